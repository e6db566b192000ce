/* Moves in key/value caches. Formulae, shapes and policies: io.quern.op.KvCompaction.
 */
#ifndef QUERN_CACHE_H_
#define QUERN_CACHE_H_

#include "quern/quern.h"
#include "quern/tree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The most caches (one layer's keys or values each) that one call can compact. */
#define QUERN_MAX_CACHES 256

/* Where the cache row of a request's node i is. Ordinals of io.quern.op.CacheAddressing. */
enum {
  QUERN_CACHE_CONTIGUOUS = 0, /* row lengths[b] + i of the request's own rows */
  QUERN_CACHE_SLOTS = 1,      /* row slots[offsets[b] + i] of rows that all requests share */
  QUERN_CACHE_TABLE = 2       /* row slots[table_rows[b], lengths[b] + i] of rows that all requests share */
};

/*
 * kv_compaction: for every request b whose data is good, every cache and head, for j ascending from 0 to
 * counts[b]: row of node j = row of node path[b, j].
 *
 *   caches     row_bytes a row, row_stride from one to the next: CONTIGUOUS [outer, requests, heads, rows],
 *              else [outer, rows] with heads 1
 *   path       I32 [requests, width], dense: accepted node ids from the root on; what is behind counts[b] is
 * not looked at counts     I32 [requests]: accepted nodes without the root, so counts[b] + 1 rows are kept
 *   lengths    I32 [requests]: rows before the tree's, so node 0 has position lengths[b]
 *   slots      slot_dtype (I32 or I64), null if CONTIGUOUS; SLOTS [nodes], dense; TABLE [slot_rows,
 * slot_columns] with slot_stride offsets    I32 [requests + 1], null if CONTIGUOUS: where each request's
 * nodes begin; good if 0 <= offsets[b] <= offsets[b + 1] <= nodes and no earlier offset is above offsets[b]
 *   table_rows I32 [requests], or null: the row of slots that belongs to each request (null: row b); TABLE
 * only new_lengths I32 [requests]: lengths[b] + counts[b] + 1 status     I32 [requests]: QUERN_TREE_OK, or
 * what is wrong, and then nothing of the request is moved and new_lengths[b] = lengths[b]: OFFSETS   offsets
 * are bad, lengths[b] is negative or (CONTIGUOUS) over rows, or table_rows[b] is outside EMPTY     path[b, 0]
 * is -1, as of a request that was not verified, or width is 0 PARENT    the path does not ascend LINK
 * counts[b] + 1 is outside [1, width], or a node of the path is not the request's CAPACITY  a row is outside
 * the cache, the tree reaches behind its row of slots, or new_lengths[b] would be over 2^31 - 1 freed
 * slot_dtype [nodes], or null: with n nodes and keep = min(ceil((lengths[b] + counts[b] + 1) / page) * page,
 * lengths[b] + n) - lengths[b], the slots of nodes keep ... n - 1 at offsets[b] on, then -1 freed_counts I32
 * [requests], needed with freed: n - keep evicted    U8 [nodes], or null: 1 for a node that was not accepted,
 * but 0 for those at positions from s on, s + page excluded, where s = floor((lengths[b] + counts[b]) / page)
 * * page Of a request with another status than OK freed is -1, freed_counts and evicted are 0; if it is
 * OFFSETS, freed and evicted stay untouched.
 *
 * Caches do not overlap each other, nor do a request's slots repeat or serve another one; else what such rows
 * hold is unspecified. Any dtype: bytes are moved, as many at a time as alignment allows. Outputs overlap no
 * other operand.
 */
typedef struct quern_kv_compaction_desc {
  uint32_t size;
  int32_t addressing;
  int32_t slot_dtype;
  int32_t cache_count;
  int64_t requests;
  int64_t width;
  int64_t nodes;
  int64_t outer;
  int64_t heads;
  int64_t rows;
  int64_t row_bytes;
  int64_t row_stride; /* bytes */
  int64_t slot_rows;
  int64_t slot_columns;
  int64_t slot_stride;            /* elements */
  int64_t page;                   /* at least 1 */
  void* caches[QUERN_MAX_CACHES]; /* the first cache_count are used */
} quern_kv_compaction_desc;

QUERN_API quern_status quern_kv_compaction_prepare(const quern_kv_compaction_desc* desc, int32_t device);

QUERN_API quern_status quern_kv_compaction(const quern_kv_compaction_desc* desc, int32_t device,
                                           const int32_t* path, const int32_t* counts, const int32_t* lengths,
                                           const void* slots, const int32_t* offsets,
                                           const int32_t* table_rows, int32_t* new_lengths, int32_t* status,
                                           void* freed, int32_t* freed_counts, uint8_t* evicted,
                                           void* workspace, size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_CACHE_H_ */
