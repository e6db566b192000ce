// seeded_coins: check, launch. The kernel is in seeded_coins_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "rejection/seeded_coins_kernel.cuh"

namespace quern {
namespace {

constexpr int kCoinThreads = 256;
constexpr int64_t kMostBlocks = 1024;

OperandCheck check(const quern_seeded_coins_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (!check.failed()) {
    check.require(dtype_bytes(desc->out_dtype) != 0, QUERN_INVALID_ARGUMENT)
        .require(desc->out_dtype == QUERN_F32 || desc->out_dtype == QUERN_U32, QUERN_UNSUPPORTED)
        .not_negative(desc->requests)
        .not_negative(desc->nodes);
  }
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_seeded_coins_prepare(const quern_seeded_coins_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(seeded_coins_kernel);
}

quern_status quern_seeded_coins(const quern_seeded_coins_desc* desc, int32_t device, const int64_t* seeds,
                                const int64_t* positions, const int32_t* offsets, void* coins, void* finals,
                                void*, size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const int64_t count = desc->nodes + desc->requests;
  if (count > 0) {
    checked.operand(offsets, sizeof(int32_t));
  }
  if (desc->requests > 0) {
    checked.operand(seeds, sizeof(int64_t))
        .operand(positions, sizeof(int64_t))
        .operand(finals, sizeof(int32_t));
  }
  if (desc->nodes > 0) {
    checked.operand(coins, sizeof(int32_t));
  }
  if (checked.failed() || count == 0) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const SeededCoinsArguments arguments{seeds,
                                       positions,
                                       offsets,
                                       static_cast<unsigned int*>(coins),
                                       static_cast<unsigned int*>(finals),
                                       desc->requests,
                                       desc->nodes,
                                       desc->out_dtype == QUERN_U32};
  const dim3 grid(static_cast<unsigned int>(std::min((count - 1) / kCoinThreads + 1, kMostBlocks)));
  return launch(seeded_coins_kernel, grid, dim3(kCoinThreads), 0, stream, arguments);
}
