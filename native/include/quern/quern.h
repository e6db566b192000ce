/*
 * Quern's C ABI: the part every operator family shares.
 *
 * Conventions of every function:
 *   - it returns a quern_status: 0 is success, positive values are cudaError_t, negative ones are below;
 *   - it never allocates, synchronises, prints, aborts or throws, and keeps no state between calls;
 *   - it sets the CUDA device it is given for the duration of its own launches, in the same call;
 *   - it touches no memory but its operands, its workspace and the error record;
 *   - a descriptor begins with its own size in bytes, set by the caller; another size is refused.
 */
#ifndef QUERN_QUERN_H_
#define QUERN_QUERN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define QUERN_API __declspec(dllexport)
#else
#define QUERN_API __attribute__((visibility("default")))
#endif

/* Raised whenever a signature, a descriptor or a constant changes; caller and library must agree exactly. */
#define QUERN_ABI_VERSION 3

/* The most tables one call can read. */
#define QUERN_MAX_TABLES 32

typedef int32_t quern_status;

enum {
  QUERN_OK = 0,
  QUERN_INVALID_DESCRIPTOR = -1, /* null, or its size is not the one this library was built with */
  QUERN_INVALID_ARGUMENT = -2,   /* a negative extent, a null operand, an unknown enumeration value */
  QUERN_UNSUPPORTED = -3,        /* a combination of dtypes or options this operator does not have */
  QUERN_MISALIGNED = -4          /* an operand that is not aligned to its element type */
};

/* Element types; the numbers are those of io.quern.DType's ordinals. */
enum {
  QUERN_F32 = 0,
  QUERN_F16 = 1,
  QUERN_BF16 = 2,
  QUERN_F64 = 3,
  QUERN_I8 = 4,
  QUERN_U8 = 5,
  QUERN_I16 = 6,
  QUERN_U16 = 7,
  QUERN_I32 = 8,
  QUERN_U32 = 9,
  QUERN_I64 = 10,
  QUERN_U64 = 11,
  QUERN_BOOL = 12
};

/* What happens to an index outside its range; -1 is never one ("no row"). Ordinals of
 * io.quern.op.IndexPolicy. */
enum {
  QUERN_INDEX_FAIL = 0,  /* the row becomes zeros and the error record names it */
  QUERN_INDEX_ZERO = 1,  /* the row counts as a row of zeros */
  QUERN_INDEX_CLAMP = 2, /* the nearest valid index is used; in an empty table as ZERO */
  QUERN_INDEX_SKIP = 3   /* the row is left untouched; in a bag: not counted */
};

/* Kinds of bad data, in the order in which they win when one launch meets several. */
enum {
  QUERN_DATA_OK = 0,
  QUERN_DATA_OFFSETS = 1,  /* position: segment s, value: offsets[s] or offsets[s+1], limit: number of ids */
  QUERN_DATA_TABLE_ID = 2, /* position in table_ids, value: the table id, limit: number of tables */
  QUERN_DATA_INDEX = 3     /* position in ids, value: the id, limit: rows of the table */
};

/*
 * A stream's record of bad data under QUERN_INDEX_FAIL, in memory that host and device can both read
 * (64 bytes, 64-byte aligned, zeroed by its owner). The first launch that finds bad data owns the record
 * until the host clears it; within that launch the lowest (kind, position) wins, whatever the order of
 * threads.
 */
typedef struct quern_error_record {
  int32_t lock;
  int32_t kind;
  int64_t launch;
  int64_t position;
  int64_t value;
  int64_t limit;
  int64_t reserved[3];
} quern_error_record;

/* A matrix of rows: `rows` rows, `stride` elements from one row to the next. */
typedef struct quern_table {
  const void* data;
  int64_t rows;
  int64_t stride;
} quern_table;

/* What a device is; strings are zero-terminated. */
typedef struct quern_device_info {
  uint32_t size;
  int32_t compute_major;
  int32_t compute_minor;
  int32_t multiprocessors;
  int64_t memory_bytes;
  int64_t l2_bytes;
  int32_t memory_pools; /* 1 if the stream-ordered allocator is supported */
  int32_t reserved;
  char name[256];
} quern_device_info;

/* QUERN_ABI_VERSION of the library. */
QUERN_API int32_t quern_abi_version(void);

/* One line about the build: version, CUDA toolkit, architectures. Static storage. */
QUERN_API const char* quern_build_info(void);

/* Fills *info (whose size must be set) for the device of that ordinal. */
QUERN_API quern_status quern_describe_device(int32_t device, quern_device_info* info);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_QUERN_H_ */
