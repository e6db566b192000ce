// partition: elements by key, stably. Contract: quern/gather.h.
//
// A block sorts a batch row by digits of the key, the lowest first: it counts each digit's elements, then
// moves the elements kPartitionThreads at a time. An element's place is where its digit stands, plus those of
// its digit in the warps before, plus those in the lanes before.
#ifndef QUERN_GATHER_PARTITION_KERNEL_CUH_
#define QUERN_GATHER_PARTITION_KERNEL_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "quern/gather.h"

namespace quern {

constexpr int kPartitionThreads = 512;
constexpr int kPartitionWarps = kPartitionThreads / 32;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kDigitsPerLane = kDigits / 32;

struct PartitionArguments {
  const int32_t* key;
  int32_t* perm;
  int32_t* offsets;
  int32_t* inverse;
  int32_t* spare;  // [batch, count] where there is more than one pass
  quern_error_record* errors;
  int64_t batch;
  int64_t count;
  int64_t keys;
  int64_t launch;
  int32_t policy;
  int32_t passes;
};

// The key of an element of a row, or a negative number if it is dropped: kBadRow if that is to be recorded.
inline __device__ int64_t partition_key(const PartitionArguments& arguments, const int32_t* row,
                                        int64_t element) {
  const int32_t key = __ldg(row + element);
  return key == -1 ? kSkipRow : resolve_index(key, arguments.keys, arguments.policy);
}

// Counts of digits become the places where they begin; returns the sum. By a whole warp.
inline __device__ int warp_begin_digits(int* places, int lane) {
  int before = 0;
  for (int d = 0; d < kDigitsPerLane; ++d) {
    before += places[lane * kDigitsPerLane + d];
  }
  int sum = before;
  for (int distance = 1; distance < 32; distance *= 2) {
    const int lower = __shfl_up_sync(0xffffffffu, sum, static_cast<unsigned int>(distance));
    sum += lane >= distance ? lower : 0;
  }
  before = sum - before;
  for (int d = 0; d < kDigitsPerLane; ++d) {
    const int count = places[lane * kDigitsPerLane + d];
    places[lane * kDigitsPerLane + d] = before;
    before += count;
  }
  return __shfl_sync(0xffffffffu, sum, 31);
}

static __global__ void __launch_bounds__(kPartitionThreads)
    partition_kernel(const __grid_constant__ PartitionArguments arguments) {
  QUERN_SHARED(int[kPartitionWarps][kDigits],
               in_warp);               // of those being moved: a digit's elements, then their place
  QUERN_SHARED(int[kDigits], places);  // where the next element of a digit goes
  QUERN_SHARED(int, kept);
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  for (int64_t b = blockIdx.x; b < arguments.batch; b += gridDim.x) {
    const int32_t* const key = arguments.key + b * arguments.count;
    int32_t* const perm = arguments.perm + b * arguments.count;
    int32_t* const inverse = arguments.inverse == nullptr ? nullptr : arguments.inverse + b * arguments.count;
    const int32_t* from = nullptr;  // at first every element is where it is
    int64_t size = arguments.count;
    for (int pass = 0; pass < arguments.passes; ++pass) {
      const bool last = pass == arguments.passes - 1;
      int32_t* const to = (arguments.passes - pass) % 2 == 1 ? perm : arguments.spare + b * arguments.count;
      const int shift = pass * kDigitBits;
      if (thread < kDigits) {
        places[thread] = 0;
      }
      __syncthreads();
      for (int64_t i = thread; i < size; i += kPartitionThreads) {
        const int64_t element = from == nullptr ? i : from[i];
        const int64_t value = partition_key(arguments, key, element);
        if (value >= 0) {
          atomicAdd(&places[(value >> shift) & (kDigits - 1)], 1);
          continue;
        }
        if (inverse != nullptr) {
          inverse[element] = -1;
        }
        if (value == kBadRow) {
          record_bad_data(arguments.errors, arguments.launch, QUERN_DATA_INDEX, b * arguments.count + element,
                          key[element], arguments.keys);
        }
      }
      __syncthreads();
      if (warp == 0) {
        const int sum = warp_begin_digits(places, lane);
        if (lane == 0) {
          kept = sum;
        }
      }
      for (int64_t first = 0; first < size; first += kPartitionThreads) {
        for (int d = lane; d < kDigits; d += 32) {
          in_warp[warp][d] = 0;
        }
        __syncwarp();
        const int64_t i = first + thread;
        const int64_t element = i >= size ? 0 : from == nullptr ? i : from[i];
        const int64_t value = i < size ? partition_key(arguments, key, element) : -1;
        const int digit = value < 0 ? -1 : static_cast<int>(value >> shift) & (kDigits - 1);
        const unsigned int equal = __match_any_sync(0xffffffffu, digit);
        const int rank = __popc(equal & ((1u << lane) - 1));
        if (digit >= 0 && rank == 0) {
          in_warp[warp][digit] = __popc(equal);
        }
        __syncthreads();
        if (thread < kDigits) {
          int place = places[thread];
          for (int w = 0; w < kPartitionWarps; ++w) {
            const int here = in_warp[w][thread];
            in_warp[w][thread] = place;
            place += here;
          }
          places[thread] = place;
        }
        __syncthreads();
        if (digit >= 0) {
          const int place = in_warp[warp][digit] + rank;
          to[place] = static_cast<int32_t>(element);
          if (last && inverse != nullptr) {
            inverse[element] = place;
          }
        }
        __syncwarp();
      }
      __syncthreads();
      size = kept;
      from = to;
    }
    for (int64_t i = size + thread; i < arguments.count; i += kPartitionThreads) {
      perm[i] = -1;
    }
    int32_t* const offsets = arguments.offsets + b * (arguments.keys + 1);
    for (int64_t e = thread; e <= arguments.keys; e += kPartitionThreads) {
      int64_t low = 0;  // elements before it have a lower key
      for (int64_t high = size; low < high;) {
        const int64_t middle = low + (high - low) / 2;
        if (partition_key(arguments, key, perm[middle]) < e) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      offsets[e] = static_cast<int32_t>(low);
    }
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_GATHER_PARTITION_KERNEL_CUH_
