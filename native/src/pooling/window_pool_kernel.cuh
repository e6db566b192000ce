// window_pool: rows pooled over a sliding window. Contract: quern/pooling.h.
#ifndef QUERN_POOLING_WINDOW_POOL_KERNEL_CUH_
#define QUERN_POOLING_WINDOW_POOL_KERNEL_CUH_

#include "pooling/pooled_rows.cuh"
#include "quern/pooling.h"

namespace quern {

constexpr int64_t kWindowChunk = 64;  // rows that are added in order before chunks are
constexpr int kWindowThreads = 256;

// Strides in bytes.
struct WindowPoolArguments {
  const char* x;
  char* out;
  int64_t rows;     // of out
  int64_t packets;  // per row
  int64_t length;
  int64_t windows;
  int64_t x_stride;
  int64_t out_stride;
  int32_t window;
  int32_t step;
  int32_t padding;
  int32_t out_dtype;
};

// A thread makes a packet of an output row. Neighbouring windows find their common rows in the cache.
template <typename Element, int N, bool MEAN>
__global__ void __launch_bounds__(kWindowThreads)
    window_pool_kernel(const __grid_constant__ WindowPoolArguments arguments) {
  const int64_t all = arguments.rows * arguments.packets;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWindowThreads;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * kWindowThreads + threadIdx.x; at < all; at += stride) {
    const int64_t row = at / arguments.packets;
    const int64_t packet = at - row * arguments.packets;
    const int64_t sequence = row / arguments.windows;
    const int64_t first = (row - sequence * arguments.windows) * arguments.step - arguments.padding;
    const int64_t begin = first < 0 ? 0 : first;
    const int64_t end = min(arguments.length, first + arguments.window);
    const char* column =
        arguments.x + sequence * arguments.length * arguments.x_stride + packet * Packet<Element, N>::kBytes;
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      values[i] = MEAN ? 0.0f : -INFINITY;
    }
    for (int64_t chunk = begin; chunk < end; chunk += kWindowChunk) {
      float partial[N] = {};
      const int64_t chunk_end = min(end, chunk + kWindowChunk);
      for (int64_t j = chunk; j < chunk_end; ++j) {
        const Packet<Element, N> x = Packet<Element, N>::load(column + j * arguments.x_stride);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          if constexpr (MEAN) {
            partial[i] = __fadd_rn(partial[i], x.widened(i));
          } else {
            values[i] = canonical_max(values[i], x.widened(i));
          }
        }
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if constexpr (MEAN) {
          values[i] = __fadd_rn(values[i], partial[i]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if constexpr (MEAN) {
        values[i] = __fdiv_rn(values[i], __ll2float_rn(end - begin));
      } else {
        values[i] = values[i] == 0.0f ? 0.0f : values[i];
      }
    }
    store_packet(arguments.out_dtype, arguments.out + row * arguments.out_stride, packet, values);
  }
}

}  // namespace quern

#endif  // QUERN_POOLING_WINDOW_POOL_KERNEL_CUH_
