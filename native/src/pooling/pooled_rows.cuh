// What the kernels of this family share: maxima, their order-preserving keys, rows out, ragged batches.
#ifndef QUERN_POOLING_POOLED_ROWS_CUH_
#define QUERN_POOLING_POOLED_ROWS_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "core/row_reduction.cuh"
#include "core/vector.cuh"

namespace quern {

// Unsigned keys in the order of floats, NaN above all, zeros equal; 0 is below every key. Their maximum by
// integer atomics is the canonical maximum (rule 8), whatever the order.
constexpr unsigned int kNoKey = 0;

inline __device__ unsigned int max_key(float value) {
  if (value != value) {
    return 0xffffffffu;
  }
  const unsigned int bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline __device__ float max_of_key(unsigned int key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);  // ~0 of NaN is a NaN
}

template <int N>
__device__ void store_packet(int32_t dtype, char* row, int64_t packet, const float (&values)[N]) {
  if (dtype == QUERN_F32) {
    Packet<F32, N>::rounded(values).store(row + packet * Packet<F32, N>::kBytes);
  } else if (dtype == QUERN_F16) {
    Packet<F16, N>::rounded(values).store(row + packet * Packet<F16, N>::kBytes);
  } else {
    Packet<BF16, N>::rounded(values).store(row + packet * Packet<BF16, N>::kBytes);
  }
}

// The offsets of a ragged batch.
struct Sequences {
  const void* offsets;
  int64_t count;
  int64_t tokens;
  int32_t wide;  // 1: I64
  int32_t reserved;

  __device__ int64_t begin(int64_t s) const { return load_index(offsets, wide, s); }
  __device__ bool outside(int64_t offset) const { return offset < 0 || offset > tokens; }
  __device__ bool bad(int64_t s) const {
    return outside(begin(s)) || begin(s + 1) < begin(s) || outside(begin(s + 1));
  }

  // Whether any offsets are bad; if so, and `report`, the first ones are recorded. By a whole block.
  __device__ bool block_refuses(quern_error_record* errors, int64_t launch, bool report) const {
    int found = 0;
    for (int64_t s = threadIdx.x; s < count; s += blockDim.x) {
      if (bad(s)) {
        found = 1;
        if (report) {
          record_bad_data(errors, launch, QUERN_DATA_OFFSETS, s, outside(begin(s)) ? begin(s) : begin(s + 1),
                          tokens);
        }
      }
    }
    return __syncthreads_or(found) != 0;
  }
};

}  // namespace quern

#endif  // QUERN_POOLING_POOLED_ROWS_CUH_
