// adjacency_fill on raw pointers.
#ifndef QUERN_RECYCLING_ADJACENCY_FILL_KERNEL_CUH_
#define QUERN_RECYCLING_ADJACENCY_FILL_KERNEL_CUH_

#include "core/error_record.cuh"
#include "core/index_policy.cuh"
#include "core/launch.cuh"
#include "quern/recycling.h"
#include "quern/tree.h"

namespace quern {

constexpr int kFillLanes = 32;
constexpr unsigned int kAllLanes = 0xffffffffu;
constexpr int32_t kNoToken = -1;

struct AdjacencyFillArguments {
  const int32_t* adjacency;
  const int32_t* roots;
  const int32_t* parent;
  const int32_t* rank;
  const int32_t* offsets;
  int32_t* tokens;
  int32_t* status;
  quern_error_record* errors;
  int64_t requests;
  int64_t nodes;
  int64_t vocab;
  int64_t candidates;
  int64_t stride;
  int64_t launch;
  int32_t policy;
};

// Candidate `rank` after `token`, which is at `position` among all tokens.
inline __device__ int32_t candidate(const AdjacencyFillArguments& a, int32_t token, int64_t position,
                                    int32_t rank) {
  if (token == kNoToken || rank < 0 || rank >= a.candidates) {
    return kNoToken;
  }
  const int64_t row = resolve_index(token, a.vocab, a.policy);
  if (row >= 0) {
    return __ldg(a.adjacency + row * a.stride + rank);
  }
  if (row == kBadRow) {
    record_bad_data(a.errors, a.launch, QUERN_DATA_INDEX, position, token, a.vocab);
  }
  return row == kZeroRow ? 0 : kNoToken;
}

// What is wrong with the parents of nodes [first, first + count).
inline __device__ int32_t check_parents(const AdjacencyFillArguments& a, int64_t first, int32_t count,
                                        int lane) {
  bool bad_root = false;
  bool bad_parent = false;
  for (int64_t i = lane; i < count; i += kFillLanes) {
    const int32_t p = __ldg(a.parent + first + i);
    bad_root = bad_root || (i == 0 && p != -1);
    bad_parent = bad_parent || (i > 0 && (p < 0 || p >= i));
  }
  return __any_sync(kAllLanes, bad_root)     ? QUERN_TREE_ROOT
         : __any_sync(kAllLanes, bad_parent) ? QUERN_TREE_PARENT
                                             : QUERN_TREE_OK;
}

// A warp fills 32 consecutive nodes at a time: first those whose parents are in earlier pieces, then, as
// often as the piece is deep, those whose parents were filled the time before, whose tokens other lanes hold.
inline __device__ void fill_request(const AdjacencyFillArguments& a, int64_t first, int32_t count,
                                    int32_t root, int lane) {
  for (int64_t piece = 0; piece < count; piece += kFillLanes) {
    const int64_t i = piece + lane;
    const int32_t parent = i < count ? __ldg(a.parent + first + i) : -1;
    const int32_t rank = i < count ? __ldg(a.rank + first + i) : -1;
    int32_t token = root;
    bool filled = parent < 0;
    if (parent >= 0 && parent < piece) {
      token = candidate(a, a.tokens[first + parent], first + parent, rank);
      filled = true;
    }
    for (unsigned int open = __ballot_sync(kAllLanes, !filled); open != 0;
         open = __ballot_sync(kAllLanes, !filled)) {
      const int from = filled ? lane : static_cast<int>(parent - piece);
      const int32_t parents_token = __shfl_sync(kAllLanes, token, from);
      if (!filled && (open >> from & 1u) == 0) {
        token = candidate(a, parents_token, first + parent, rank);
        filled = true;
      }
    }
    if (i < count) {
      a.tokens[first + i] = token;
    }
    __syncwarp();  // later pieces read these tokens
  }
}

__global__ void adjacency_fill_kernel(AdjacencyFillArguments a) {
  const int lane = static_cast<int>(threadIdx.x);
  for (int64_t b = blockIdx.x; b < a.requests; b += gridDim.x) {
    const int32_t begin = __ldg(a.offsets + b);
    const int32_t end = __ldg(a.offsets + b + 1);
    bool above = false;
    for (int64_t earlier = lane; earlier < b; earlier += kFillLanes) {
      above = above || __ldg(a.offsets + earlier) > begin;
    }
    int32_t status = QUERN_TREE_OK;
    if (__any_sync(kAllLanes, above) || begin < 0 || end < begin || end > a.nodes) {
      status = QUERN_TREE_OFFSETS;
    } else {
      status = check_parents(a, begin, end - begin, lane);
      if (status == QUERN_TREE_OK) {
        fill_request(a, begin, end - begin, __ldg(a.roots + b), lane);
      } else {
        for (int64_t i = begin + lane; i < end; i += kFillLanes) {
          a.tokens[i] = kNoToken;
        }
      }
    }
    if (lane == 0) {
      a.status[b] = status;
    }
  }
}

}  // namespace quern

#endif  // QUERN_RECYCLING_ADJACENCY_FILL_KERNEL_CUH_
