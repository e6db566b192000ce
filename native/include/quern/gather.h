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

#ifdef __cplusplus
}
#endif

#endif /* QUERN_GATHER_H_ */
