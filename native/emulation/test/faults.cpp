// Seeded faults: `faults NAME` runs a kernel with one mistake in it, `faults NAME corrected` the same without
// it. Each has a test that looks for the line that its detector writes; for mistakes that the layer itself
// detects that is the message of the failed launch, which this program prints.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "emulation/cuda.h"
#include "emulation/emulation.h"

namespace {

using quern::emulation::launch;

constexpr unsigned kFull = 0xffffffffu;
constexpr int kThreads = 64;

__global__ void out_of_bounds_read(const int* in, int* out, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i <= count) out[i % count] = in[i];  // MISTAKE: out_of_bounds_read
}

__global__ void out_of_bounds_write(int* out, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i <= count) out[i] = i;  // MISTAKE: out_of_bounds_write
}

__global__ void out_of_bounds_shared(int* out, int index) {
  QUERN_SHARED(int[kThreads], tile);
  tile[threadIdx.x] = 0;
  __syncthreads();
  int* cells = tile;                       // of no known extent
  if (threadIdx.x == 0) cells[index] = 1;  // MISTAKE: out_of_bounds_shared
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

__global__ void missing_barrier(int* out, bool synchronize) {
  QUERN_SHARED(int[kThreads], tile);
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);  // MISTAKE: missing_barrier, written
  if (synchronize) __syncthreads();
  out[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];  // MISTAKE: missing_barrier, read
}

// A shuffle hands over a register but orders no memory.
__global__ void missing_warp_barrier(int* out, bool synchronize) {
  QUERN_SHARED(int[32], tile);
  const unsigned lane = threadIdx.x;
  tile[lane] = static_cast<int>(lane);  // MISTAKE: missing_warp_barrier, written
  const int other = __shfl_xor_sync(kFull, static_cast<int>(lane), 1);
  if (synchronize) __syncwarp();
  out[lane] = tile[other];  // MISTAKE: missing_warp_barrier, read
}

// Blocks run in no order: one may not read what another writes without an atomic.
__global__ void unordered_blocks(int* cell, int* out) {
  if (blockIdx.x == 0) *cell = 1;                 // MISTAKE: unordered_blocks, written
  if (blockIdx.x == gridDim.x - 1) *out = *cell;  // MISTAKE: unordered_blocks, read
}

__global__ void divergent_barrier(int leaving) {
  if (static_cast<int>(threadIdx.x) == leaving) return;
  __syncthreads();  // MISTAKE: divergent_barrier
}

__global__ void wrong_shuffle_mask(int* out, unsigned mask) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] =
        __shfl_xor_sync(mask, static_cast<int>(threadIdx.x), 8);  // MISTAKE: wrong_shuffle_mask
  }
}

__global__ void uninitialised_shared(float* out, unsigned written) {
  QUERN_SHARED(float[kThreads], tile);
  if (threadIdx.x < written) tile[threadIdx.x] = 1.0f;  // MISTAKE: uninitialised_shared
  __syncthreads();
  if (threadIdx.x == 0) {
    float sum = 0;
    for (float value : tile) sum += value;
    *out = sum;
  }
}

__global__ void unaligned_vector_load(const float* in, float* out) {
  *out = reinterpret_cast<const float4*>(in)->y;  // MISTAKE: unaligned_vector_load
}

__global__ void unaligned_cached_load(const float* in, float* out) {
  *out = __ldg(reinterpret_cast<const float4*>(in)).y;  // MISTAKE: unaligned_cached_load
}

__global__ void index_overflow(int row, int stride, const char* in, char* out) {
  const int64_t first = row * stride;  // MISTAKE: index_overflow
  out[threadIdx.x] = in[(first + threadIdx.x) % 64];
}

template <typename T>
T* new_device(size_t count) {
  void* pointer = nullptr;
  if (cudaMalloc(&pointer, count * sizeof(T)) != cudaSuccess) abort();
  return static_cast<T*>(pointer);
}

int32_t run(const std::string& name, bool faulty) {
  int* ints = new_device<int>(kThreads);
  int* more = new_device<int>(kThreads);
  float* floats = new_device<float>(kThreads);
  char* bytes = new_device<char>(kThreads);
  const int* const_ints = ints;
  const float* const_floats = floats;
  const char* const_bytes = bytes;
  const int excess = faulty ? 0 : 1;
  const std::map<std::string, std::function<int32_t()>> faults = {
      {"out_of_bounds_read",
       [&] {
         return launch(out_of_bounds_read, 1, kThreads + 1, 0, nullptr, const_ints, more, kThreads - excess);
       }},
      {"out_of_bounds_write",
       [&] { return launch(out_of_bounds_write, 1, kThreads + 1, 0, nullptr, ints, kThreads - excess); }},
      {"out_of_bounds_shared",
       [&] { return launch(out_of_bounds_shared, 1, kThreads, 0, nullptr, ints, kThreads - excess); }},
      {"missing_barrier", [&] { return launch(missing_barrier, 1, kThreads, 0, nullptr, ints, !faulty); }},
      {"missing_warp_barrier",
       [&] { return launch(missing_warp_barrier, 1, 32, 0, nullptr, ints, !faulty); }},
      {"unordered_blocks",
       [&] { return launch(unordered_blocks, faulty ? 2 : 1, 1, 0, nullptr, ints, more); }},
      {"divergent_barrier",
       [&] { return launch(divergent_barrier, 1, kThreads, 0, nullptr, faulty ? 40 : -1); }},
      {"wrong_shuffle_mask",
       [&] { return launch(wrong_shuffle_mask, 1, 32, 0, nullptr, ints, faulty ? kFull : 0x0000ffffu); }},
      {"uninitialised_shared",
       [&] {
         return launch(uninitialised_shared, 1, kThreads, 0, nullptr, floats,
                       static_cast<unsigned>(kThreads - (faulty ? 1 : 0)));
       }},
      {"unaligned_vector_load",
       [&] {
         return launch(unaligned_vector_load, 1, 1, 0, nullptr, const_floats + (faulty ? 2 : 4), floats);
       }},
      {"unaligned_cached_load",
       [&] {
         return launch(unaligned_cached_load, 1, 1, 0, nullptr, const_floats + (faulty ? 2 : 4), floats);
       }},
      {"index_overflow", [&] {
         return launch(index_overflow, 1, 1, 0, nullptr, faulty ? 1 << 20 : 1 << 10, 1 << 12, const_bytes,
                       bytes + 8);
       }}};
  const int32_t status = faults.at(name)();
  if (name == "uninitialised_shared" && isnan(*floats)) puts("the sum over unwritten shared memory is NaN");
  return status;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const int32_t status = run(arguments[1], count == 2);
  printf("%s %s\n", cudaGetErrorName(static_cast<cudaError_t>(status)), quern_emulation_message());
  return status == 0 ? 0 : 1;
}
