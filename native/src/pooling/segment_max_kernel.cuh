// segment_max: the maximum of each segment's rows, in any order. Contract: quern/pooling.h.
#ifndef QUERN_POOLING_SEGMENT_MAX_KERNEL_CUH_
#define QUERN_POOLING_SEGMENT_MAX_KERNEL_CUH_

#include "pooling/pooled_rows.cuh"
#include "quern/pooling.h"

namespace quern {

constexpr int kSegmentThreads = 256;
constexpr int64_t kSegmentStrip = 32;  // consecutive rows of a thread

// Strides in bytes.
struct SegmentMaxArguments {
  const char* x;
  const void* ids;
  char* out;
  unsigned int* keys;  // [segments, dim], zero at first
  quern_error_record* errors;
  int64_t count;
  int64_t segments;
  int64_t dim;
  int64_t packets;  // per row
  int64_t x_stride;
  int64_t out_stride;
  int64_t launch;
  int32_t wide_ids;  // 1: I64
  int32_t dtype;
};

template <int N>
__device__ void raise_keys(unsigned int* keys, const float (&best)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    atomicMax(keys + i, max_key(best[i]));
  }
}

// A thread walks down a packet of columns of consecutive rows; where the segment changes, what it has so far
// raises that segment's keys. Runs of one segment cost one round of atomics.
template <typename Element, int N>
__global__ void __launch_bounds__(kSegmentThreads, 4)
    segment_max_kernel(const __grid_constant__ SegmentMaxArguments arguments) {
  const int64_t strips = (arguments.count + kSegmentStrip - 1) / kSegmentStrip;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kSegmentThreads;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * kSegmentThreads + threadIdx.x;
       at < strips * arguments.packets; at += stride) {
    const int64_t strip = at / arguments.packets;
    const int64_t packet = at - strip * arguments.packets;
    const int64_t end = min(arguments.count, (strip + 1) * kSegmentStrip);
    float best[N] = {};
    int64_t open = -1;  // the segment of best
    for (int64_t row = strip * kSegmentStrip; row < end; ++row) {
      const int64_t id = load_index(arguments.ids, arguments.wide_ids, row);
      if (id < 0 || id >= arguments.segments) {
        if (id != -1 && packet == 0) {
          record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, row, id, arguments.segments);
        }
        continue;
      }
      const Packet<Element, N> x = Packet<Element, N>::load(arguments.x + row * arguments.x_stride +
                                                            packet * Packet<Element, N>::kBytes);
      if (id != open) {
        if (open >= 0) {
          raise_keys(arguments.keys + open * arguments.dim + packet * N, best);
        }
        open = id;
#pragma unroll
        for (int i = 0; i < N; ++i) {
          best[i] = -INFINITY;
        }
      }
#pragma unroll
      for (int i = 0; i < N; ++i) {
        best[i] = canonical_max(best[i], x.widened(i));
      }
    }
    if (open >= 0) {
      raise_keys(arguments.keys + open * arguments.dim + packet * N, best);
    }
  }
}

// Rows of the keys' values.
template <int N>
__global__ void __launch_bounds__(kSegmentThreads)
    segment_max_finish_kernel(const __grid_constant__ SegmentMaxArguments arguments) {
  const int64_t packets = arguments.dim / N;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kSegmentThreads;
  for (int64_t at = static_cast<int64_t>(blockIdx.x) * kSegmentThreads + threadIdx.x;
       at < arguments.segments * packets; at += stride) {
    const int64_t segment = at / packets;
    const int64_t packet = at - segment * packets;
    const unsigned int* keys = arguments.keys + segment * arguments.dim + packet * N;
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      values[i] = keys[i] == kNoKey ? 0.0f : max_of_key(keys[i]);
    }
    store_packet(arguments.dtype, arguments.out + segment * arguments.out_stride, packet, values);
  }
}

}  // namespace quern

#endif  // QUERN_POOLING_SEGMENT_MAX_KERNEL_CUH_
