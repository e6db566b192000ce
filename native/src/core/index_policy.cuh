// What an index means under a policy; the same for gather and bag, for ids and for table ids.
#ifndef QUERN_CORE_INDEX_POLICY_CUH_
#define QUERN_CORE_INDEX_POLICY_CUH_

#include "core/launch.cuh"

namespace quern {

// Results of resolve_index that are no row.
constexpr int64_t kZeroRow = -1;  // a row of zeros
constexpr int64_t kSkipRow = -2;  // left untouched, not counted
constexpr int64_t kBadRow = -3;   // to be recorded

inline __device__ int64_t resolve_index(int64_t index, int64_t limit, int32_t policy) {
  if (index >= 0 && index < limit) {
    return index;
  }
  switch (policy) {
    case QUERN_INDEX_FAIL:
      return kBadRow;
    case QUERN_INDEX_SKIP:
      return kSkipRow;
    case QUERN_INDEX_CLAMP:
      return limit == 0 ? kZeroRow : index < 0 ? 0 : limit - 1;
    default:
      return kZeroRow;
  }
}

// Element i of an array of I32 or I64.
inline __device__ int64_t load_index(const void* indices, bool wide, int64_t i) {
  return wide ? static_cast<int64_t>(__ldg(static_cast<const long long*>(indices) + i))
              : static_cast<int64_t>(__ldg(static_cast<const int*>(indices) + i));
}

}  // namespace quern

#endif  // QUERN_CORE_INDEX_POLICY_CUH_
