/* Family 1: gathers. Formulae, shapes and policies: io.quern.op.EmbeddingGather and io.quern.op.EmbeddingBag.
 */
#ifndef QUERN_GATHER_H_
#define QUERN_GATHER_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * embedding_gather: out[i, :] = table[ids[i], :] for i < count, converted to out_dtype.
 *
 *   table   F32, F16 or BF16, [rows, dim] with a row stride each (stride >= dim); up to QUERN_MAX_TABLES of
 * one width ids     I32 or I64, [count]; -1 gives a row of zeros table_ids  I32, [count], or null: which
 * table each id belongs to (null: table 0); not looked at where the id is -1 out     F32, F16 or BF16,
 * [count, dim] with out_stride >= dim Equal dtypes copy bits; otherwise the value is widened exactly and
 * rounded once to nearest even. Operands are aligned to their element size; out overlaps no input. Results do
 * not depend on the launch shape. Where out has no elements nothing is read and nothing recorded.
 */
typedef struct quern_embedding_gather_desc {
  uint32_t size;
  int32_t table_dtype;
  int32_t out_dtype;
  int32_t id_dtype;
  int32_t policy;
  int32_t table_count;
  int64_t dim;
  int64_t count;
  int64_t out_stride;
  int64_t launch;                       /* number of this launch, for the error record */
  quern_table tables[QUERN_MAX_TABLES]; /* the first table_count are read */
} quern_embedding_gather_desc;

/* Loads every kernel that desc's dtypes may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_embedding_gather_prepare(const quern_embedding_gather_desc* desc,
                                                      int32_t device);

QUERN_API quern_status quern_embedding_gather(const quern_embedding_gather_desc* desc, int32_t device,
                                              const void* ids, const int32_t* table_ids, void* out,
                                              quern_error_record* errors, void* workspace,
                                              size_t workspace_bytes, void* stream);

/* How a bag is combined. Ordinals of io.quern.op.Combine. */
enum {
  QUERN_COMBINE_SUM = 0,
  QUERN_COMBINE_MEAN = 1,
  QUERN_COMBINE_WEIGHTED_MEAN = 2,
  QUERN_COMBINE_MAX = 3,
  QUERN_COMBINE_MIN = 4,
  QUERN_COMBINE_FIRST = 5,
  QUERN_COMBINE_LAST = 6
};

/* What an empty bag (no counted id) becomes. Ordinals of io.quern.op.EmptyBagPolicy. */
enum { QUERN_EMPTY_ZERO = 0, QUERN_EMPTY_KEEP = 1, QUERN_EMPTY_FALLBACK = 2 };

/*
 * embedding_bag: out[s, :] = combine of table[ids[j], :] for offsets[s] <= j < offsets[s + 1], s < bags.
 *
 *   table, ids, out   as for embedding_gather; ids [count]; -1 is skipped and not counted. Null: position j
 *                     reads row j (segment reduction)
 *   table_ids  I32, [bags], or null: which table each bag reads
 *   offsets    I32 or I64, [bags + 1]
 *   weights    F32, [count], or null; SUM and WEIGHTED_MEAN only (WEIGHTED_MEAN needs them)
 *   fallback   table_dtype, [bags, dim] with fallback_stride (0: one row for all); read where empty is
 * FALLBACK
 *
 * Canonical order: f32; within a chunk of 64 consecutive positions of the bag rows are added in ascending
 * order from +0, weighted rows by fma; chunk results are added in ascending order, from +0 too; positions of
 * skipped ids count as positions. MEAN divides once by the counted ids, WEIGHTED_MEAN by the weights' sum
 * (same order); rounded once on store. MAX and MIN: NaN if any value is NaN, a zero result is +0. FIRST and
 * LAST copy the first or last counted row.
 *
 * A bag whose offsets are outside [0, count] or descend follows the policy too: FAIL zeros and a record, ZERO
 * zeros, CLAMP both ends clamped to [0, count] and the end to at least the start, SKIP row untouched. Under
 * FAIL a bag with a bad id, or a bad table id, becomes zeros, even without ids. Under ZERO and SKIP a bad
 * table id makes every id of the bag bad. A record of offsets names the start if that is outside [0, count],
 * else the end.
 */
typedef struct quern_embedding_bag_desc {
  uint32_t size;
  int32_t table_dtype;
  int32_t out_dtype;
  int32_t id_dtype;
  int32_t offset_dtype;
  int32_t policy;
  int32_t combine;
  int32_t empty;
  int32_t table_count;
  int32_t reserved;
  int64_t dim;
  int64_t count; /* of ids */
  int64_t bags;
  int64_t out_stride;
  int64_t fallback_stride;
  int64_t launch;
  quern_table tables[QUERN_MAX_TABLES];
} quern_embedding_bag_desc;

QUERN_API quern_status quern_embedding_bag_prepare(const quern_embedding_bag_desc* desc, int32_t device);

QUERN_API quern_status quern_embedding_bag(const quern_embedding_bag_desc* desc, int32_t device,
                                           const void* ids, const int32_t* table_ids, const void* offsets,
                                           const float* weights, const void* fallback, void* out,
                                           quern_error_record* errors, void* workspace,
                                           size_t workspace_bytes, void* stream);

/* What becomes of rows that are scattered to one place. Ordinals of io.quern.op.ScatterMode. */
enum { QUERN_SCATTER_SET = 0, QUERN_SCATTER_ADD = 1, QUERN_SCATTER_MAX = 2 };

/*
 * scatter_rows: out[ids[i], :] = or += or max= x[i, :] for i < count.
 *
 *   x     F32, F16 or BF16, for SET also I32 or I64, [count, dim] with x_stride >= dim
 *   ids   I32 or I64, [count]; a row whose id is -1 is dropped
 *   out   F32, F16 or BF16 or x's dtype, [rows, dim] with out_stride >= dim; rows that no id names stay
 * untouched SET: of several rows the one with the highest i; equal dtypes copy bits, otherwise a value is
 * widened exactly and rounded once. ADD: out[v] + total, rounded once, where the total is f32: rows in
 * ascending order of i, within a chunk of 64 of the destination's rows added from +0, chunk results added
 * ascending from +0. MAX: NaN if any value is NaN, a zero result is +0.
 *
 * A bad id: FAIL a record and the row is dropped, ZERO and SKIP the row is dropped, CLAMP the nearest
 * destination (of none: dropped).
 *
 *   workspace  4-byte aligned, at least 4 * (count + 3 * capacity) bytes, where capacity is the least power
 * of two that is at least 64 and 2 * count; its contents mean nothing. count is at most 2^29. out overlaps no
 * input. Where out has no elements nothing is read and nothing recorded.
 */
typedef struct quern_scatter_rows_desc {
  uint32_t size;
  int32_t x_dtype;
  int32_t out_dtype;
  int32_t id_dtype;
  int32_t mode;
  int32_t policy;
  int64_t dim;
  int64_t count;
  int64_t rows;
  int64_t x_stride;
  int64_t out_stride;
  int64_t launch;
} quern_scatter_rows_desc;

QUERN_API quern_status quern_scatter_rows_prepare(const quern_scatter_rows_desc* desc, int32_t device);

QUERN_API quern_status quern_scatter_rows(const quern_scatter_rows_desc* desc, int32_t device, const void* x,
                                          const void* ids, void* out, quern_error_record* errors,
                                          void* workspace, size_t workspace_bytes, void* stream);

/*
 * partition: the elements of each batch row by key, stably: perm[b, offsets[b, e] ... offsets[b, e + 1]) are
 * the n with key[b, n] = e, in ascending order.
 *
 *   key        I32, [batch, count]; an element whose key is -1 is dropped
 *   perm       I32, [batch, count]; -1 from offsets[b, keys] on
 *   offsets    I32, [batch, keys + 1]
 *   inverse    I32, [batch, count], or null: the place of element n in perm, -1 if it is dropped
 *   workspace  of quern_partition_workspace bytes, 4-byte aligned; null where that is 0
 *
 * A bad key, neither -1 nor in [0, keys): FAIL a record with the flat index and the element is dropped, ZERO
 * and SKIP it is dropped, CLAMP the nearest key (of none: dropped). A block sorts a batch row, 8 bits of the
 * key at a time. Outputs overlap neither each other nor an input.
 */
typedef struct quern_partition_desc {
  uint32_t size;
  int32_t policy;
  int64_t batch;
  int64_t count; /* at most 2^31 - 1 */
  int64_t keys;  /* at most 2^31 - 2 */
  int64_t launch;
} quern_partition_desc;

/* Bytes of workspace that desc's call needs: as many for each batch row. */
QUERN_API quern_status quern_partition_workspace(const quern_partition_desc* desc, int64_t* bytes);

QUERN_API quern_status quern_partition_prepare(const quern_partition_desc* desc, int32_t device);

QUERN_API quern_status quern_partition(const quern_partition_desc* desc, int32_t device, const int32_t* key,
                                       int32_t* perm, int32_t* offsets, int32_t* inverse,
                                       quern_error_record* errors, void* workspace, int64_t workspace_bytes,
                                       void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_GATHER_H_ */
