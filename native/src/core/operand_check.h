// What every launcher checks before it launches. Host code; the first failure is the status.
#ifndef QUERN_CORE_OPERAND_CHECK_H_
#define QUERN_CORE_OPERAND_CHECK_H_

#include "quern/quern.h"

namespace quern {

// Bytes of an element, 0 for a number that is no dtype.
inline int64_t dtype_bytes(int32_t dtype) {
  switch (dtype) {
    case QUERN_I8:
    case QUERN_U8:
    case QUERN_BOOL:
      return 1;
    case QUERN_F16:
    case QUERN_BF16:
    case QUERN_I16:
    case QUERN_U16:
      return 2;
    case QUERN_F32:
    case QUERN_I32:
    case QUERN_U32:
      return 4;
    case QUERN_F64:
    case QUERN_I64:
    case QUERN_U64:
      return 8;
    default:
      return 0;
  }
}

inline bool is_aligned(const void* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

// Whether rows of this layout can be accessed `bytes` (a power of two) at a time.
inline bool rows_are_aligned(const void* data, int64_t stride_bytes, int64_t row_bytes, int64_t bytes) {
  return is_aligned(data, bytes) && stride_bytes % bytes == 0 && row_bytes % bytes == 0;
}

// Collects the first failed check.
class OperandCheck {
 public:
  quern_status status() const { return status_; }
  bool failed() const { return status_ != QUERN_OK; }

  OperandCheck& require(bool holds, quern_status otherwise) {
    if (!failed() && !holds) {
      status_ = otherwise;
    }
    return *this;
  }

  // A number that is no dtype is invalid; a dtype this operand cannot have is unsupported.
  OperandCheck& row_dtype(int32_t dtype) {
    return require(dtype_bytes(dtype) != 0, QUERN_INVALID_ARGUMENT)
        .require(dtype == QUERN_F32 || dtype == QUERN_F16 || dtype == QUERN_BF16, QUERN_UNSUPPORTED);
  }

  OperandCheck& index_dtype(int32_t dtype) {
    return require(dtype_bytes(dtype) != 0, QUERN_INVALID_ARGUMENT)
        .require(dtype == QUERN_I32 || dtype == QUERN_I64, QUERN_UNSUPPORTED);
  }

  OperandCheck& policy(int32_t policy) {
    return require(policy >= QUERN_INDEX_FAIL && policy <= QUERN_INDEX_SKIP, QUERN_INVALID_ARGUMENT);
  }

  OperandCheck& not_negative(int64_t extent) { return require(extent >= 0, QUERN_INVALID_ARGUMENT); }

  OperandCheck& operand(const void* address, int64_t alignment) {
    return require(address != nullptr, QUERN_INVALID_ARGUMENT)
        .require(is_aligned(address, alignment), QUERN_MISALIGNED);
  }

  OperandCheck& optional_operand(const void* address, int64_t alignment) {
    return require(is_aligned(address, alignment), QUERN_MISALIGNED);
  }

  // An empty table needs no memory.
  OperandCheck& tables(const quern_table* tables, int32_t count, int64_t dim, int32_t dtype) {
    require(count >= 1 && count <= QUERN_MAX_TABLES, QUERN_INVALID_ARGUMENT);
    for (int32_t t = 0; !failed() && t < count; ++t) {
      not_negative(tables[t].rows).require(tables[t].stride >= dim, QUERN_INVALID_ARGUMENT);
      if (tables[t].rows > 0) {
        operand(tables[t].data, dtype_bytes(dtype));
      }
    }
    return *this;
  }

  // Needed only where a policy reports; the record is one aligned 64-byte line.
  OperandCheck& error_record(const quern_error_record* errors, int32_t policy) {
    return policy == QUERN_INDEX_FAIL ? operand(errors, sizeof(quern_error_record)) : *this;
  }

 private:
  quern_status status_ = QUERN_OK;
};

}  // namespace quern

#endif  // QUERN_CORE_OPERAND_CHECK_H_
