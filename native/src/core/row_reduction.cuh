// Reductions along a row in canonical order (rules 4, 6 and 8), by half a warp or by a block. The result is
// that of io.quern.internal.scalar.RowReduction, bit by bit, and every thread of the group gets it.
//
// A row is a functor, so that it need not be in memory:
//   float operator()(int64_t i) const   element i, as f32
//   float4 four(int64_t i) const        elements i ... i + 3, i a multiple of 4, all of them in the row
// Both must give the same numbers; four() is where wide loads happen. StoredRow is a row in memory, others
// are made of rows:
//   struct Residual {
//     StoredRow<F32> p, q;
//     __device__ float one(float a, float b) const { return a > b ? __fsub_rn(a, b) : 0.0f; }
//     __device__ float operator()(int64_t i) const { return one(p(i), q(i)); }
//     __device__ float4 four(int64_t i) const {
//       const float4 a = p.four(i), b = q.four(i);
//       return make_float4(one(a.x, b.x), one(a.y, b.y), one(a.z, b.z), one(a.w, b.w));
//     }
//   };
// What is added up is a term of rows: SumOf<Row>, DotOf<RowA, RowB>, SquaredNormOf<Row>.
//
// Every thread of the group must call, with the same row and n. Block forms want blockDim.x = THREADS, a
// multiple of 32, begin and end with a barrier, and may follow one another. A piece of 4096 elements is the
// work of half a warp, which reads 256 bytes of f32 at a time; 512 threads read a row of 128 Ki elements at
// once.
#ifndef QUERN_CORE_ROW_REDUCTION_CUH_
#define QUERN_CORE_ROW_REDUCTION_CUH_

#include "core/math.cuh"
#include "core/vector.cuh"

namespace quern {

constexpr int64_t kRowPiece = 4096;  // pieces' results are added in ascending order, from +0
constexpr int kRowPartials = 64;     // partial sum p takes the elements i = p (mod 64) of a piece
constexpr int kRowLanes = 16;        // each with 4 partial sums

// A row in memory. `aligned`: its address is a multiple of 4 elements' bytes.
template <typename Element>
struct StoredRow {
  const char* data;
  bool aligned;

  __device__ float operator()(int64_t i) const {
    return Packet<Element, 1>::load(data + i * Packet<Element, 1>::kBytes).widened(0);
  }
  __device__ float4 four(int64_t i) const {
    if (aligned) {
      const Packet<Element, 4> packet = Packet<Element, 4>::load(data + i * Packet<Element, 1>::kBytes);
      return make_float4(packet.widened(0), packet.widened(1), packet.widened(2), packet.widened(3));
    }
    return make_float4((*this)(i), (*this)(i + 1), (*this)(i + 2), (*this)(i + 3));
  }
};

// exp(row[i] - max), what softmax adds up.
template <typename Row>
struct ExpOf {
  Row row;
  float max;

  __device__ float operator()(int64_t i) const { return canonical_exp(__fsub_rn(row(i), max)); }
  __device__ float4 four(int64_t i) const {
    const float4 x = row.four(i);
    return make_float4(canonical_exp(__fsub_rn(x.x, max)), canonical_exp(__fsub_rn(x.y, max)),
                       canonical_exp(__fsub_rn(x.z, max)), canonical_exp(__fsub_rn(x.w, max)));
  }
};

template <typename Row>
struct SumOf {
  Row row;

  __device__ float add(float sum, int64_t i) const { return __fadd_rn(sum, row(i)); }
  __device__ void add_four(float (&sums)[4], int64_t i) const {
    const float4 x = row.four(i);
    sums[0] = __fadd_rn(sums[0], x.x);
    sums[1] = __fadd_rn(sums[1], x.y);
    sums[2] = __fadd_rn(sums[2], x.z);
    sums[3] = __fadd_rn(sums[3], x.w);
  }
};

template <typename RowA, typename RowB>
struct DotOf {
  RowA a;
  RowB b;

  __device__ float add(float sum, int64_t i) const { return __fmaf_rn(a(i), b(i), sum); }
  __device__ void add_four(float (&sums)[4], int64_t i) const {
    const float4 x = a.four(i);
    const float4 y = b.four(i);
    sums[0] = __fmaf_rn(x.x, y.x, sums[0]);
    sums[1] = __fmaf_rn(x.y, y.y, sums[1]);
    sums[2] = __fmaf_rn(x.z, y.z, sums[2]);
    sums[3] = __fmaf_rn(x.w, y.w, sums[3]);
  }
};

template <typename Row>
struct SquaredNormOf {
  Row row;

  __device__ float add(float sum, int64_t i) const {
    const float x = row(i);
    return __fmaf_rn(x, x, sum);
  }
  __device__ void add_four(float (&sums)[4], int64_t i) const {
    const float4 x = row.four(i);
    sums[0] = __fmaf_rn(x.x, x.x, sums[0]);
    sums[1] = __fmaf_rn(x.y, x.y, sums[1]);
    sums[2] = __fmaf_rn(x.z, x.z, sums[2]);
    sums[3] = __fmaf_rn(x.w, x.w, sums[3]);
  }
};

// The result of the piece [begin, end), at most kRowPiece elements, by half a warp.
template <typename Term>
__device__ float half_warp_piece(const Term& term, int64_t begin, int64_t end) {
  const int lane = static_cast<int>(threadIdx.x) & (kRowLanes - 1);
  const unsigned int mask = 0xffffu << (threadIdx.x & kRowLanes);
  float sums[4] = {};
  int64_t i = begin + 4 * lane;
  // Several loads on their way at once; the chains of additions are short of work anyway.
#pragma unroll 8
  for (; i + 4 <= end; i += kRowPartials) {
    term.add_four(sums, i);
  }
  if (i < end) {
    sums[0] = term.add(sums[0], i);
    if (i + 1 < end) {
      sums[1] = term.add(sums[1], i + 1);
    }
    if (i + 2 < end) {
      sums[2] = term.add(sums[2], i + 2);
    }
  }
  // Partial sum p = 4 * lane + k; p += p + 32, + 16, + 8, + 4 are between lanes, addition commutes.
#pragma unroll
  for (int distance = kRowLanes / 2; distance > 0; distance /= 2) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      sums[k] = __fadd_rn(sums[k], __shfl_xor_sync(mask, sums[k], distance, kRowLanes));
    }
  }
  return __fadd_rn(__fadd_rn(sums[0], sums[2]), __fadd_rn(sums[1], sums[3]));
}

// A whole row by half a warp: 16 lanes beginning at a multiple of 16. A warp has two, for two rows.
template <typename Term>
__device__ float half_warp_reduce(const Term& term, int64_t n) {
  float total = 0.0f;
  for (int64_t begin = 0; begin < n; begin += kRowPiece) {
    total = __fadd_rn(total, half_warp_piece(term, begin, min(n, begin + kRowPiece)));
  }
  return total;
}

// Results of pieces [first, first + THREADS / 16) of a row into `pieces`, by a block.
template <int THREADS, typename Term>
__device__ void block_pieces(const Term& term, int64_t n, int64_t first, float* pieces) {
  const int half_warp = static_cast<int>(threadIdx.x) / kRowLanes;
  const int64_t begin = (first + half_warp) * kRowPiece;
  __syncthreads();
  if (begin < n) {
    const float piece = half_warp_piece(term, begin, min(n, begin + kRowPiece));
    if (threadIdx.x % kRowLanes == 0) {
      pieces[half_warp] = piece;
    }
  }
  __syncthreads();
}

// A whole row by a block.
template <int THREADS, typename Term>
__device__ float block_reduce(const Term& term, int64_t n) {
  constexpr int kPieces = THREADS / kRowLanes;
  QUERN_SHARED(float[kPieces], row_pieces);
  const int64_t count = (n + kRowPiece - 1) / kRowPiece;
  float total = 0.0f;
  for (int64_t first = 0; first < count; first += kPieces) {
    block_pieces<THREADS>(term, n, first, row_pieces);
    const int pieces = static_cast<int>(min(static_cast<int64_t>(kPieces), count - first));
    for (int piece = 0; piece < pieces; ++piece) {
      total = __fadd_rn(total, row_pieces[piece]);
    }
  }
  __syncthreads();
  return total;
}

template <int THREADS, typename Row>
__device__ float block_sum(const Row& row, int64_t n) {
  return block_reduce<THREADS>(SumOf<Row>{row}, n);
}

// The greater of two, NaN if one is.
inline __device__ float canonical_max(float a, float b) {
  return b > a || b != b ? b : a;
}

// The greatest element of a row, NaN if any is; a zero is +0; -inf of no elements.
template <int THREADS, typename Row>
__device__ float block_max(const Row& row, int64_t n) {
  QUERN_SHARED(float[THREADS / 32], warp_max);
  float greatest = -INFINITY;
  int64_t i = 4 * static_cast<int64_t>(threadIdx.x);
#pragma unroll 4
  for (; i + 4 <= n; i += 4 * THREADS) {
    const float4 x = row.four(i);
    greatest = canonical_max(greatest, canonical_max(canonical_max(x.x, x.y), canonical_max(x.z, x.w)));
  }
  for (; i < n; ++i) {
    greatest = canonical_max(greatest, row(i));
  }
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    greatest = canonical_max(greatest, __shfl_xor_sync(0xffffffffu, greatest, distance));
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    warp_max[threadIdx.x / 32] = greatest;
  }
  __syncthreads();
  for (int warp = 0; warp < THREADS / 32; ++warp) {
    greatest = canonical_max(greatest, warp_max[warp]);
  }
  __syncthreads();
  return greatest == 0.0f ? 0.0f : greatest;
}

// An element's place in the order (value descending, index ascending), NaN below -inf: the greater key goes
// first. Indices are below 2^32 - 1. Zeros of either sign are equal.
inline __device__ unsigned long long rank_key(float value, int64_t index) {
  const unsigned int bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  const unsigned int ordered = value != value ? 0u : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<unsigned long long>(ordered) << 32 | (0xffffffffu - static_cast<unsigned int>(index));
}

inline __device__ int64_t rank_index(unsigned long long key) {
  return 0xffffffffu - static_cast<unsigned int>(key);
}

// The greatest of every thread's keys.
template <int THREADS>
__device__ unsigned long long block_max_key(unsigned long long key) {
  QUERN_SHARED(unsigned long long[THREADS / 32], warp_key);
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) {
    key = max(key, __shfl_xor_sync(0xffffffffu, key, distance));
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    warp_key[threadIdx.x / 32] = key;
  }
  __syncthreads();
  for (int warp = 0; warp < THREADS / 32; ++warp) {
    key = max(key, warp_key[warp]);
  }
  __syncthreads();
  return key;
}

// The first element in the order of rank_key; -1 of no elements.
template <int THREADS, typename Row>
__device__ int64_t block_argmax(const Row& row, int64_t n) {
  float best = -INFINITY;
  int64_t index = n;  // of `best`; n: nothing but NaN so far
  const auto offer = [&](float value, int64_t i) {
    if (value > best || (index == n && value == best)) {
      best = value;
      index = i;
    }
  };
  int64_t i = 4 * static_cast<int64_t>(threadIdx.x);
#pragma unroll 4
  for (; i + 4 <= n; i += 4 * THREADS) {
    const float4 x = row.four(i);
    offer(x.x, i);
    offer(x.y, i + 1);
    offer(x.z, i + 2);
    offer(x.w, i + 3);
  }
  for (; i < n; ++i) {
    offer(row(i), i);
  }
  const unsigned long long key = block_max_key<THREADS>(index == n ? 0 : rank_key(best, index));
  return n == 0 ? -1 : key == 0 ? 0 : rank_index(key);
}

// The greatest index in [begin, end) of a positive element, -1 if there is none.
template <int THREADS, typename Row>
__device__ int64_t block_last_positive(const Row& row, int64_t begin, int64_t end) {
  unsigned long long last = 0;  // index + 1
  for (int64_t i = begin + threadIdx.x; i < end; i += THREADS) {
    if (row(i) > 0.0f) {
      last = static_cast<unsigned long long>(i) + 1;
    }
  }
  return static_cast<int64_t>(block_max_key<THREADS>(last)) - 1;
}

// The first index of the piece [begin, end) at which the prefix sum passes the target, by a warp: elements
// are added to `before` in order, and the first positive one counts whose sum is greater; else the last
// positive one; -1 if there is none.
template <typename Row>
__device__ int64_t warp_search_piece(const Row& row, int64_t begin, int64_t end, float before, float target) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum = before;
  int64_t last = -1;
  for (int64_t first = begin; first < end; first += 32) {
    const bool inside = first + lane < end;
    const float value = inside ? row(first + lane) : 0.0f;
    const int count = static_cast<int>(min(static_cast<int64_t>(32), end - first));
    float here = 0.0f;  // the sum up to this lane's element
    for (int k = 0; k < count; ++k) {
      sum = __fadd_rn(sum, __shfl_sync(0xffffffffu, value, k));
      here = k == lane ? sum : here;
    }
    const bool positive = inside && value > 0.0f;
    const unsigned int passed = __ballot_sync(0xffffffffu, positive && here > target);
    if (passed != 0) {
      return first + __ffs(static_cast<int>(passed)) - 1;
    }
    const unsigned int some = __ballot_sync(0xffffffffu, positive);
    if (some != 0) {
      last = first + 31 - __clz(static_cast<int>(some));
    }
  }
  return last;
}

// The first index of a row at which the prefix sum passes the target: pieces' sums are added in ascending
// order, from +0, until the sum is greater than the target; inside that piece warp_search_piece decides. If
// no piece passes, the last positive element of the row; -1 if there is none.
template <int THREADS, typename Row>
__device__ int64_t block_search(const Row& row, int64_t n, float target) {
  constexpr int kPieces = THREADS / kRowLanes;
  QUERN_SHARED(float[kPieces], row_pieces);
  QUERN_SHARED(int64_t, found);
  const int64_t count = (n + kRowPiece - 1) / kRowPiece;
  float before = 0.0f;
  int64_t piece = -1;
  for (int64_t first = 0; piece < 0 && first < count; first += kPieces) {
    block_pieces<THREADS>(SumOf<Row>{row}, n, first, row_pieces);
    for (int p = 0; piece < 0 && p < kPieces && first + p < count; ++p) {
      const float after = __fadd_rn(before, row_pieces[p]);
      if (after > target) {
        piece = first + p;
      } else {
        before = after;
      }
    }
  }
  if (piece < 0) {
    return block_last_positive<THREADS>(row, 0, n);
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    const int64_t begin = piece * kRowPiece;
    const int64_t index = warp_search_piece(row, begin, min(n, begin + kRowPiece), before, target);
    if (threadIdx.x == 0) {
      found = index;
    }
  }
  __syncthreads();
  const int64_t index = found;
  __syncthreads();
  return index;
}

}  // namespace quern

#endif  // QUERN_CORE_ROW_REDUCTION_CUH_
