// Writing a stream's record of bad data from many threads (QUERN_INDEX_FAIL).
#ifndef QUERN_CORE_ERROR_RECORD_CUH_
#define QUERN_CORE_ERROR_RECORD_CUH_

#include "core/launch.cuh"

namespace quern {

namespace error_record_fields {

inline __device__ unsigned long long* bits(int64_t* field) {
  return reinterpret_cast<unsigned long long*>(field);
}

inline __device__ int64_t read(int64_t* field) {
  return static_cast<int64_t>(atomicAdd(bits(field), 0ULL));
}

inline __device__ void write(int64_t* field, int64_t value) {
  atomicExch(bits(field), static_cast<unsigned long long>(value));
}

}  // namespace error_record_fields

// Makes (kind, position) the record's, if the record is this launch's to write and names nothing lower yet.
//
// Bad data may be everywhere, so most callers must get by without the lock. kind is written last and read
// first: whoever sees a kind sees the position that came with it or a later, lower entry, and kind only falls
// within a launch, so that giving up on what was read is never wrong.
inline __device__ void record_bad_data(quern_error_record* record, int64_t launch, int32_t kind,
                                       int64_t position, int64_t value, int64_t limit) {
  namespace fields = error_record_fields;
  const int32_t seen = atomicAdd(&record->kind, 0);
  if (seen != QUERN_DATA_OK) {
    __threadfence();
    if (fields::read(&record->launch) != launch || seen < kind ||
        (seen == kind && fields::read(&record->position) <= position)) {
      return;
    }
  }
  // One attempt per iteration, with the work inside it: lanes of one warp that compete must all get on.
  for (bool done = false; !done;) {
    if (atomicCAS(&record->lock, 0, 1) == 0) {
      __threadfence();
      const int32_t held = atomicAdd(&record->kind, 0);
      const bool free = held == QUERN_DATA_OK;
      if (free || (fields::read(&record->launch) == launch &&
                   (kind < held || (kind == held && position < fields::read(&record->position))))) {
        fields::write(&record->launch, launch);
        fields::write(&record->position, position);
        record->value = value;
        record->limit = limit;
        __threadfence();
        atomicExch(&record->kind, kind);
      }
      __threadfence();
      atomicExch(&record->lock, 0);
      done = true;
    }
  }
}

}  // namespace quern

#endif  // QUERN_CORE_ERROR_RECORD_CUH_
