// Runs one grid at a time; its callers take turns.
#ifndef QUERN_EMULATION_EXECUTION_H_
#define QUERN_EMULATION_EXECUTION_H_

#include <functional>
#include <string>

#include "emulation/cuda.h"

namespace quern {
namespace emulation {

constexpr size_t kMaxThreadsPerBlock = 1024;
constexpr size_t kMaxStaticSharedBytes = 48 * 1024;
constexpr size_t kMaxSharedBytes = 227 * 1024;

// What memory holds that nobody has written: a NaN as f32 (signalling), f16 and bf16, and no index of any
// table.
constexpr uint32_t kPoison = 0x7fa57fa5;

struct Failure {
  cudaError_t error = cudaSuccess;
  std::string message;
};

// Runs `body` once per thread. `seed` 0: blocks and threads in ascending order.
Failure execute(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed, const std::function<void()>& body);

}  // namespace emulation
}  // namespace quern

#endif  // QUERN_EMULATION_EXECUTION_H_
