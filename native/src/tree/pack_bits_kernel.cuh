// pack_bits: segments of bytes as bits. Contract: quern/tree.h.
#ifndef QUERN_TREE_PACK_BITS_KERNEL_CUH_
#define QUERN_TREE_PACK_BITS_KERNEL_CUH_

#include "core/index_policy.cuh"
#include "tree/flat_layout.cuh"

namespace quern {

struct PackBitsArguments {
  const uint8_t* x;
  const void* offsets;
  uint8_t* out;
  int64_t* out_offsets;
  int32_t* status;
  int64_t count;
  int64_t segments;
  int64_t bytes;
  int64_t block_elements;  // that a block takes in one step: its threads
  int32_t wide;            // 1: offsets are I64
  int32_t big;             // 1: the highest bit of a byte is first
};

// Elements of a segment, -1 where its offsets are bad.
inline __device__ int64_t segment_elements(const PackBitsArguments& arguments, int64_t s) {
  const int64_t begin = load_index(arguments.offsets, arguments.wide, s);
  const int64_t end = load_index(arguments.offsets, arguments.wide, s + 1);
  return begin < 0 || end < begin || end > arguments.count ? -1 : end - begin;
}

// Blocks (grid y) share a segment; a warp turns 32 elements into 4 bytes at a time.
__global__ void __launch_bounds__(kMostTreeThreads, 2)
    pack_bits_kernel(const __grid_constant__ PackBitsArguments arguments) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const bool speaks = blockIdx.y == 0 && threadIdx.x == 0;
  if (speaks && arguments.segments == 0) {
    arguments.out_offsets[0] = 0;
  }
  for (int64_t s = blockIdx.x; s < arguments.segments; s += gridDim.x) {
    const int64_t found = segment_elements(arguments, s);
    const int64_t elements = found < 0 ? 0 : found;
    const int64_t bytes = elements / 8 + (elements % 8 != 0);
    const int64_t begin = sum_before(s, [&](int64_t a) {
      const int64_t before = segment_elements(arguments, a);
      return before < 0 ? 0 : before / 8 + (before % 8 != 0);
    });
    const int64_t end = saturating_add(begin, bytes);
    const bool fits = end <= arguments.bytes;
    const uint8_t* x =
        elements == 0 ? nullptr : arguments.x + load_index(arguments.offsets, arguments.wide, s);
    const int64_t step = gridDim.y * arguments.block_elements;
    for (int64_t from = blockIdx.y * arguments.block_elements + (threadIdx.x - lane); fits && from < elements;
         from += step) {
      const unsigned int ones =
          __ballot_sync(0xffffffffu, from + lane < elements && __ldg(x + from + lane) != 0);
      const unsigned int word = arguments.big ? __brev(ones) : ones;
      if (lane < 4 && from + lane * 8 < elements) {
        const int shift = arguments.big ? 24 - 8 * lane : 8 * lane;
        arguments.out[begin + from / 8 + lane] = static_cast<uint8_t>(word >> shift);
      }
    }
    if (speaks) {
      arguments.status[s] = found < 0            ? QUERN_TREE_OFFSETS
                            : bytes > 0 && !fits ? QUERN_TREE_CAPACITY
                                                 : QUERN_TREE_OK;
      if (arguments.out_offsets != nullptr) {
        arguments.out_offsets[s] = begin;
        if (s == arguments.segments - 1) {
          arguments.out_offsets[s + 1] = end;
        }
      }
    }
  }
}

}  // namespace quern

#endif  // QUERN_TREE_PACK_BITS_KERNEL_CUH_
