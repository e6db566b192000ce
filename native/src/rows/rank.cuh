// The first k elements of a row in the order (value descending, index ascending), by a block, for any k.
//
// A row is what row_reduction.cuh calls one, with one function more:
//   bool exists(int64_t i) const   an element that does not is passed over
// The result goes to emit(rank, index) for every rank below k, index -1 where the row has no more elements.
#ifndef QUERN_ROWS_RANK_CUH_
#define QUERN_ROWS_RANK_CUH_

#include "core/row_reduction.cuh"

namespace quern {

constexpr int kRankThreads = 512;
constexpr int kRankWarps = kRankThreads / 32;
constexpr int kListLength = 32;   // up to so many are kept as a sorted list by every warp, a key a lane
constexpr int kRankBatch = 2048;  // more are selected so many at a time, and sorted in shared memory
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;

// The value of a key of rank_key; NaN also of 0, which is no element.
inline __device__ float rank_value(unsigned long long key) {
  const unsigned int ordered = static_cast<unsigned int>(key >> 32);
  if (ordered == 0) {
    return NAN;
  }
  return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

template <typename Row>
__device__ unsigned long long key_of(const Row& row, float value, int64_t i) {
  return row.exists(i) ? rank_key(value, i) : 0;
}

// Elements i ... i + 3 of a row of n; what is outside is not looked at by the callers.
template <typename Row>
__device__ float4 four_or_fewer(const Row& row, int64_t i, int64_t n) {
  if (i + 4 <= n) {
    return row.four(i);
  }
  return make_float4(i < n ? row(i) : 0.0f, i + 1 < n ? row(i + 1) : 0.0f, i + 2 < n ? row(i + 2) : 0.0f,
                     0.0f);
}

// Sorts `size` keys, a power of two, in descending order, by a block.
inline __device__ void sort_keys(unsigned long long* keys, int size) {
  for (int width = 2; width <= size; width *= 2) {
    for (int distance = width / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int pair = static_cast<int>(threadIdx.x); pair < size / 2; pair += kRankThreads) {
        const int low = 2 * pair - (pair & (distance - 1));
        const int high = low + distance;
        const bool ascending = (low & width) != 0;
        const unsigned long long a = keys[low];
        const unsigned long long b = keys[high];
        if ((a < b) != ascending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
}

// A warp's share of a row: its first `k` keys, one a lane in descending order. Most elements are below the
// least of the list and cost a comparison.
template <typename Row>
__device__ unsigned long long warp_list(const Row& row, int64_t n, int k) {
  constexpr unsigned int kAll = 0xffffffffu;
  constexpr int kLoads = 4;  // on their way at once
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  unsigned long long list = 0;
  unsigned long long least = 0;
  float least_value = NAN;
  for (int64_t base = static_cast<int64_t>(warp) * 128 * kLoads; base < n;
       base += static_cast<int64_t>(kRankWarps) * 128 * kLoads) {
    float values[4 * kLoads];
#pragma unroll
    for (int load = 0; load < kLoads; ++load) {
      const float4 four = four_or_fewer(row, base + load * 128 + 4 * lane, n);
      values[4 * load] = four.x;
      values[4 * load + 1] = four.y;
      values[4 * load + 2] = four.z;
      values[4 * load + 3] = four.w;
    }
    bool any = false;
#pragma unroll
    for (int c = 0; c < 4 * kLoads; ++c) {
      any = any || !(values[c] < least_value);
    }
    if (__ballot_sync(kAll, any) == 0) {
      continue;
    }
#pragma unroll
    for (int c = 0; c < 4 * kLoads; ++c) {
      const int64_t i = base + c / 4 * 128 + 4 * lane + c % 4;
      unsigned long long key = 0;
      if (i < n && !(values[c] < least_value)) {
        key = key_of(row, values[c], i);
      }
      for (unsigned int entering = __ballot_sync(kAll, key > least); entering != 0;
           entering &= entering - 1) {
        const unsigned long long next = __shfl_sync(kAll, key, __ffs(static_cast<int>(entering)) - 1);
        if (next > least) {  // the same for all lanes; the list may have risen since
          const int place = __popc(__ballot_sync(kAll, list > next));
          const unsigned long long above = __shfl_up_sync(kAll, list, 1);
          list = lane < place ? list : lane == place ? next : above;
          least = __shfl_sync(kAll, list, k - 1);
          least_value = rank_value(least);
        }
      }
    }
  }
  return list;
}

template <typename Row, typename Emit>
__device__ void rank_few(const Row& row, int64_t n, int k, const Emit& emit) {
  QUERN_SHARED(unsigned long long[kRankWarps * kListLength], lists);
  const unsigned long long list = warp_list(row, n, k);
  __syncthreads();
  lists[threadIdx.x] = static_cast<int>(threadIdx.x) % 32 < k ? list : 0;
  sort_keys(lists, kRankWarps * kListLength);
  if (threadIdx.x < static_cast<unsigned int>(k)) {
    const unsigned long long key = lists[threadIdx.x];
    emit(static_cast<int64_t>(threadIdx.x), key == 0 ? -1 : rank_index(key));
  }
  __syncthreads();
}

// Calls visit(key) for every element, all threads of a warp together; key 0 is no element.
template <typename Row, typename Visit>
__device__ void for_each_key(const Row& row, int64_t n, const Visit& visit) {
  for (int64_t base = 0; base < n; base += 4 * kRankThreads) {
    const int64_t i = base + 4 * static_cast<int64_t>(threadIdx.x);
    const float4 x = four_or_fewer(row, i, n);
    visit(i < n ? key_of(row, x.x, i) : 0);
    visit(i + 1 < n ? key_of(row, x.y, i + 1) : 0);
    visit(i + 2 < n ? key_of(row, x.z, i + 2) : 0);
    visit(i + 3 < n ? key_of(row, x.w, i + 3) : 0);
  }
}

// Adds one to counts[digit] for every lane whose digit is not negative; lanes with the same digit add once.
inline __device__ void count_digit(int* counts, int digit) {
  const unsigned int same = __match_any_sync(0xffffffffu, digit);
  if (digit >= 0 && static_cast<int>(threadIdx.x) % 32 == __ffs(static_cast<int>(same)) - 1) {
    atomicAdd(&counts[digit], __popc(same));
  }
}

// The key that exactly `want` keys below `bound` are not less than; 1 if there are no more than that. Keys
// are distinct. Digit by digit from the top: the digit where the count from above reaches what is wanted.
template <typename Row>
__device__ unsigned long long select_key(const Row& row, int64_t n, unsigned long long bound, int want) {
  QUERN_SHARED(int[kDigits], counts);
  QUERN_SHARED(int[3], found);  // digit, keys above it, keys in it
  unsigned long long prefix = 0;
  int shift = 64;
  int remaining = want;
  for (;;) {
    const int bits = shift < kDigitBits ? shift : kDigitBits;
    const int lower = shift - bits;
    __syncthreads();
    for (int digit = static_cast<int>(threadIdx.x); digit < kDigits; digit += kRankThreads) {
      counts[digit] = 0;
    }
    if (threadIdx.x == 0) {
      found[0] = -1;
    }
    __syncthreads();
    for_each_key(row, n, [&](unsigned long long key) {
      const bool counted = key != 0 && key < bound && (shift == 64 || key >> shift == prefix);
      count_digit(counts, counted ? static_cast<int>(key >> lower & ((1u << bits) - 1)) : -1);
    });
    __syncthreads();
    if (threadIdx.x < 32) {
      // Lane l has the digits from kDigits - 64 * l - 1 down.
      constexpr int kShare = kDigits / 32;
      const int lane = static_cast<int>(threadIdx.x);
      const int top = kDigits - 1 - lane * kShare;
      int sum = 0;
      for (int d = 0; d < kShare; ++d) {
        sum += counts[top - d];
      }
      int upto = sum;
#pragma unroll
      for (int distance = 1; distance < 32; distance *= 2) {
        const int before = __shfl_up_sync(0xffffffffu, upto, distance);
        upto += lane >= distance ? before : 0;
      }
      int above = upto - sum;
      if (above < remaining && upto >= remaining) {
        int digit = top;
        while (above + counts[digit] < remaining) {
          above += counts[digit];
          --digit;
        }
        found[0] = digit;
        found[1] = above;
        found[2] = counts[digit];
      }
    }
    __syncthreads();
    const int digit = found[0];
    if (digit < 0) {
      return 1;
    }
    remaining -= found[1];
    prefix = prefix << bits | static_cast<unsigned long long>(digit);
    shift = lower;
    if (found[2] == remaining || shift == 0) {
      const unsigned long long least = prefix << shift;
      return least == 0 ? 1 : least;
    }
  }
}

template <typename Row, typename Emit>
__device__ void rank_many(const Row& row, int64_t n, int64_t k, const Emit& emit) {
  QUERN_SHARED(unsigned long long[kRankBatch], keys);
  QUERN_SHARED(int, taken);
  unsigned long long bound = ~0ULL;
  for (int64_t done = 0; done < k; done += kRankBatch) {
    const int want = static_cast<int>(min(k - done, static_cast<int64_t>(kRankBatch)));
    const unsigned long long least = n <= kRankBatch ? 1 : select_key(row, n, bound, want);
    int size = 2;
    while (size < (n <= kRankBatch ? n : want)) {
      size *= 2;
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < size; i += kRankThreads) {
      keys[i] = 0;
    }
    if (threadIdx.x == 0) {
      taken = 0;
    }
    __syncthreads();
    for_each_key(row, n, [&](unsigned long long key) {
      if (key >= least && key < bound) {
        keys[atomicAdd(&taken, 1)] = key;
      }
    });
    sort_keys(keys, size);
    for (int i = static_cast<int>(threadIdx.x); i < want; i += kRankThreads) {
      const unsigned long long key = i < size ? keys[i] : 0;
      emit(done + i, key == 0 ? -1 : rank_index(key));
    }
    bound = least;
    __syncthreads();
  }
}

template <bool FEW, typename Row, typename Emit>
__device__ void rank_row(const Row& row, int64_t n, int64_t k, const Emit& emit) {
  if constexpr (FEW) {
    rank_few(row, n, static_cast<int>(k), emit);
  } else {
    rank_many(row, n, k, emit);
  }
}

}  // namespace quern

#endif  // QUERN_ROWS_RANK_CUH_
