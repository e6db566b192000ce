// Products of many rows with many: sums[i][j] = sum over k of left(i, k) * right(j, k), every element one
// chain of fma over k ascending from +0 (rule 3), whatever the tile.
#ifndef QUERN_CORE_PRODUCT_CUH_
#define QUERN_CORE_PRODUCT_CUH_

#include "core/launch.cuh"

namespace quern {

// Threads of a block that computes a tile: 16 x 16.
constexpr int kProductThreads = 256;
// Elements of k that lie in shared memory at a time.
constexpr int kProductDepth = 16;

// A tile of 16 * SUMS x 16 * SUMS results by one block of kProductThreads threads, each holding SUMS x SUMS
// of them: rows SUMS * (thread / 16) + i, columns SUMS * (thread % 16) + j. SUMS is a multiple of 4.
template <int SUMS>
struct ProductTile {
  static constexpr int kRows = 16 * SUMS;
  static constexpr int kPitch = kRows + 4;  // keeps the 16-byte alignment and spreads a column over the banks
  static_assert(SUMS % 4 == 0, "sums are loaded four at a time");

  struct Shared {
    alignas(16) float left[kProductDepth][kPitch];
    alignas(16) float right[kProductDepth][kPitch];
  };

  float sums[SUMS][SUMS];

  static __device__ int row(int thread, int i) { return SUMS * (thread / 16) + i; }
  static __device__ int column(int thread, int j) { return SUMS * (thread % 16) + j; }

  // All threads of the block. left(i, k) and right(j, k) give the elements of the tile's rows for k < depth;
  // each is asked once by one thread, neighbouring threads for neighbouring k. The shared memory may be used
  // again at once afterwards.
  template <typename Left, typename Right>
  __device__ void compute(int thread, int64_t depth, const Left& left, const Right& right, Shared& shared) {
#pragma unroll
    for (int i = 0; i < SUMS; ++i) {
#pragma unroll
      for (int j = 0; j < SUMS; ++j) {
        sums[i][j] = 0.0f;
      }
    }
    const int k_of_thread = thread % kProductDepth;
    const int row_of_thread = thread / kProductDepth;
    // The next piece is on its way while this one is computed.
    float next_left[SUMS];
    float next_right[SUMS];
    const auto fetch = [&](int64_t first) {
      const int64_t k = first + k_of_thread;
#pragma unroll
      for (int u = 0; u < SUMS; ++u) {
        const int r = row_of_thread + 16 * u;
        next_left[u] = k < depth ? left(r, k) : 0.0f;
        next_right[u] = k < depth ? right(r, k) : 0.0f;
      }
    };
    fetch(0);
#pragma unroll 1
    for (int64_t first = 0; first < depth; first += kProductDepth) {
#pragma unroll
      for (int u = 0; u < SUMS; ++u) {
        shared.left[k_of_thread][row_of_thread + 16 * u] = next_left[u];
        shared.right[k_of_thread][row_of_thread + 16 * u] = next_right[u];
      }
      __syncthreads();
      if (first + kProductDepth < depth) {
        fetch(first + kProductDepth);
      }
      const int steps = static_cast<int>(min(static_cast<int64_t>(kProductDepth), depth - first));
      if (steps == kProductDepth) {
#pragma unroll
        for (int k = 0; k < kProductDepth; ++k) {
          step(thread, shared, k);
        }
      } else {
#pragma unroll 1
        for (int k = 0; k < steps; ++k) {
          step(thread, shared, k);
        }
      }
      __syncthreads();
    }
  }

 private:
  __device__ void step(int thread, const Shared& shared, int k) {
    float a[SUMS];
    float b[SUMS];
#pragma unroll
    for (int v = 0; v < SUMS; v += 4) {
      const float4 x = *reinterpret_cast<const float4*>(&shared.left[k][row(thread, v)]);
      const float4 y = *reinterpret_cast<const float4*>(&shared.right[k][column(thread, v)]);
      a[v] = x.x;
      a[v + 1] = x.y;
      a[v + 2] = x.z;
      a[v + 3] = x.w;
      b[v] = y.x;
      b[v + 1] = y.y;
      b[v + 2] = y.z;
      b[v + 3] = y.w;
    }
#pragma unroll
    for (int i = 0; i < SUMS; ++i) {
#pragma unroll
      for (int j = 0; j < SUMS; ++j) {
        sums[i][j] = __fmaf_rn(a[i], b[j], sums[i][j]);
      }
    }
  }
};

}  // namespace quern

#endif  // QUERN_CORE_PRODUCT_CUH_
