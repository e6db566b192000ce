/* Family 3: token merging. Formulae, shapes and policies: io.quern.op.TokenMatch, TokenMerge, TokenUnmerge.
 */
#ifndef QUERN_MERGING_H_
#define QUERN_MERGING_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which tokens may merge into which (io.quern.op.MergeScheme). */
enum {
  QUERN_MERGE_BIPARTITE = 0, /* even tokens into odd ones */
  QUERN_MERGE_EVERY_KTH = 1, /* all into the last of each k tokens; tokens beyond whole groups are dropped */
  QUERN_MERGE_PERMUTED = 2,  /* the first r tokens of an order into the others, all of them */
  QUERN_MERGE_GRID = 3,      /* into one token of each whole cell of a grid */
  QUERN_MERGE_HEAD_TAIL = 4  /* the first `prune` of an order into its first `keep`; the rest is dropped */
};

/* Order of the rows that are left. Ordinals of io.quern.op.TokenOrder. */
enum { QUERN_TOKEN_ORDER_PUBLISHED = 0, QUERN_TOKEN_ORDER_TOKENS = 1 };

/*
 * token_match: slot[b, n], the row in which token n of batch row b goes on, -1 where it is dropped.
 *
 *   metric      F32, F16 or BF16, [batch * tokens, dim] with metric_stride >= dim; dim >= 1
 *   order       I32 or null. PERMUTED and HEAD_TAIL: [batch, tokens], a permutation of the tokens each
 *               (null: 0, 1, ...); otherwise the batch row is bad: slots -1, similarity 0, count 0.
 *               GRID: [height / stride_y, width / stride_x], the destination's place in its cell,
 *               dy * stride_x + dx (null, or outside: 0)
 *   limits      I32, [batch], or null: at most so many merges in each batch row; 0 or less: it stays as it is
 *   slot        I32, [batch, tokens]
 *   similarity  F32, [batch, tokens], or null: of sources; 1 of destinations, 0 of dropped tokens
 *   count       I32, [batch], or null: rows that are left
 *   workspace   of quern_token_match_workspace bytes, 16-byte aligned
 *
 * Canonical order: f32; squared norms by 64 partial sums, one square root, 1 / norm once, NaN where that is
 * zero; products one chain of fma over k ascending from +0, times 1 / norm of the destination; the first of
 * the greatest of these, times 1 / norm of the source. What is not above -2 counts as -2, with the first
 * destination that may be merged into; sources in the order (similarity descending, number ascending).
 * Results do not depend on the launch shape.
 */
typedef struct quern_token_match_desc {
  uint32_t size;
  int32_t metric_dtype;
  int32_t scheme;
  int32_t order;
  int32_t class_token;   /* BIPARTITE, HEAD_TAIL: 1 if the first token merges with nothing */
  int32_t distill_token; /* BIPARTITE: 1 if nothing merges into token 1 */
  float threshold;       /* only pairs above it merge (BIPARTITE, GRID); -infinity: all */
  int32_t reserved;
  int64_t batch;
  int64_t tokens; /* at most 2^31 - 1, and tokens * dim too */
  int64_t dim;
  int64_t metric_stride;
  int64_t r;     /* BIPARTITE, GRID: merges asked for; PERMUTED: sources, below tokens */
  int64_t k;     /* EVERY_KTH */
  int64_t width; /* GRID: width * height = tokens */
  int64_t height;
  int64_t stride_x; /* at least 1 */
  int64_t stride_y;
  int64_t prune; /* HEAD_TAIL */
  int64_t keep;
} quern_token_match_desc;

/* Bytes of workspace that desc's call needs: as many for each batch row. */
QUERN_API quern_status quern_token_match_workspace(const quern_token_match_desc* desc, int64_t* bytes);

/* Loads every kernel that desc's dtype may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_token_match_prepare(const quern_token_match_desc* desc, int32_t device);

QUERN_API quern_status quern_token_match(const quern_token_match_desc* desc, int32_t device,
                                         const void* metric, const int32_t* order, const int32_t* limits,
                                         int32_t* slot, float* similarity, int32_t* count, void* workspace,
                                         int64_t workspace_bytes, void* stream);

/*
 * token_prune: order[b, i] = the i-th most important token of batch row b; slot[b, n] = its place, -1 from
 * `keep` on.
 *
 *   attention  F32, [batch * heads, tokens] with attention_stride >= tokens; the importance is the mean over
 *              heads: added ascending, 64 at a time from +0, these sums again from +0, one division
 *   order      I32, [batch, tokens]: with class_token first token 0, then (importance descending, token
 *              ascending), NaN below -infinity
 *   slot       I32, [batch, tokens], or null
 *   workspace  of quern_token_prune_workspace bytes, 16-byte aligned
 */
typedef struct quern_token_prune_desc {
  uint32_t size;
  int32_t class_token;
  int64_t batch;
  int64_t heads; /* at least 1 */
  int64_t tokens;
  int64_t keep;
  int64_t attention_stride;
} quern_token_prune_desc;

/* Bytes of workspace that desc's call needs: as many for each batch row. */
QUERN_API quern_status quern_token_prune_workspace(const quern_token_prune_desc* desc, int64_t* bytes);

QUERN_API quern_status quern_token_prune_prepare(const quern_token_prune_desc* desc, int32_t device);

QUERN_API quern_status quern_token_prune(const quern_token_prune_desc* desc, int32_t device,
                                         const float* attention, int32_t* order, int32_t* slot,
                                         void* workspace, int64_t workspace_bytes, void* stream);

/*
 * token_merge: out[b, m, :] = combine of x[b, n, :] over the n with slot[b, n] = m; size_out[b, m] = sum of
 * their sizes.
 *
 *   x         F32, F16 or BF16, [batch * tokens, dim] with x_stride >= dim
 *   slot      I32, [batch, tokens]; outside [0, merged): the token is dropped
 *   size      F32, [batch, tokens], or null: 1; scale likewise; a token's size is their product
 *   out       dtype of x, [batch * merged, dim] with out_stride >= dim; overlaps no input
 *   size_out  F32, [batch, merged], or null; a sum below least_size becomes it
 *
 * combine is QUERN_COMBINE_SUM, MEAN, WEIGHTED_MEAN (by size) or MAX. A token alone in its row is copied; a
 * row without a token is zeros, of size 0. Canonical order: f32; 64 tokens at a time in ascending order from
 * +0, these results again from +0; weighted by fma; one division; MAX: NaN if any value is NaN, a zero is +0.
 * Rounded once on store.
 */
typedef struct quern_token_merge_desc {
  uint32_t size;
  int32_t dtype;
  int32_t combine;
  float least_size;
  int64_t batch;
  int64_t tokens;
  int64_t merged;
  int64_t dim;
  int64_t x_stride;
  int64_t out_stride;
} quern_token_merge_desc;

QUERN_API quern_status quern_token_merge_prepare(const quern_token_merge_desc* desc, int32_t device);

QUERN_API quern_status quern_token_merge(const quern_token_merge_desc* desc, int32_t device, const void* x,
                                         const int32_t* slot, const float* size, const float* scale,
                                         void* out, float* size_out, void* stream);

/* The most tokens of a batch row that quern_merge_step takes. */
enum { QUERN_MERGE_STEP_TOKENS = 1024 };

/*
 * merge_step: token_match and token_merge of the slots it finds, in one launch and without a workspace; with
 * attention token_prune before them, whose order is that of the match. Operands and results are theirs, bit
 * for bit:
 *
 *   metric, limits, slot, similarity, count   of token_match
 *   x, size, scale, out, size_out             of token_merge; scale may be similarity itself, which need not
 *                                             hold anything before
 *   attention                                 of token_prune, or null: order is an input
 *   order                                     of token_match, or with attention an output of token_prune
 *
 * match.batch = merge.batch; match.tokens = merge.tokens, at most QUERN_MERGE_STEP_TOKENS, else
 * QUERN_UNSUPPORTED; merge.merged is at most that; attention is for HEAD_TAIL. Outputs overlap neither each
 * other nor an input. Results do not depend on the launch shape.
 */
typedef struct quern_merge_step_desc {
  uint32_t size;
  int32_t reserved;
  quern_token_match_desc match;
  quern_token_merge_desc merge;
  int64_t heads; /* of attention, at least 1; 0: there is none */
  int64_t attention_stride;
} quern_merge_step_desc;

/* Loads every kernel that desc's dtypes may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_merge_step_prepare(const quern_merge_step_desc* desc, int32_t device);

QUERN_API quern_status quern_merge_step(const quern_merge_step_desc* desc, int32_t device, const void* metric,
                                        const float* attention, int32_t* order, const int32_t* limits,
                                        const void* x, const float* size, const float* scale, int32_t* slot,
                                        float* similarity, int32_t* count, void* out, float* size_out,
                                        void* stream);

/*
 * token_unmerge: out[b, n, :] = y[b, slot[b, n], :], bit for bit.
 *
 *   y     F32, F16 or BF16, [batch * merged, dim] with y_stride >= dim
 *   slot  I32, [batch, tokens]; outside [0, merged): zeros, or with dropped_to_first row 0 where there is one
 *   out   dtype of y, [batch * tokens, dim] with out_stride >= dim; overlaps no input
 */
typedef struct quern_token_unmerge_desc {
  uint32_t size;
  int32_t dtype;
  int32_t dropped_to_first;
  int32_t reserved;
  int64_t batch;
  int64_t merged;
  int64_t tokens;
  int64_t dim;
  int64_t y_stride;
  int64_t out_stride;
} quern_token_unmerge_desc;

QUERN_API quern_status quern_token_unmerge_prepare(const quern_token_unmerge_desc* desc, int32_t device);

QUERN_API quern_status quern_token_unmerge(const quern_token_unmerge_desc* desc, int32_t device,
                                           const void* y, const int32_t* slot, void* out, void* stream);

/*
 * source_map: groups[b, n] = slot[b, source[b, n]], the row in which source token n is after one more merge;
 * matrix[b, m, n] = 1 where groups[b, n] = m, else 0.
 *
 *   slot    I32, [batch, tokens]; outside [0, merged): -1
 *   source  I32, [batch, sources], where each source token is before; outside [0, tokens): -1; or null: token
 *           n is n, and sources = tokens
 *   groups  I32, [batch, sources]
 *   matrix  F32, F16 or BF16, [batch, merged, sources], or null
 *
 * Outputs overlap neither each other nor an input.
 */
typedef struct quern_source_map_desc {
  uint32_t size;
  int32_t matrix_dtype; /* of a matrix */
  int64_t batch;
  int64_t sources;
  int64_t tokens;
  int64_t merged;
} quern_source_map_desc;

QUERN_API quern_status quern_source_map_prepare(const quern_source_map_desc* desc, int32_t device);

QUERN_API quern_status quern_source_map(const quern_source_map_desc* desc, int32_t device,
                                        const int32_t* slot, const int32_t* source, int32_t* groups,
                                        void* matrix, void* stream);

/*
 * delete_gate: gate[n] = scale / (1 + exp(-z)) with z = (x[n] . weight) / sqrt((x[n] . x[n]) / dim + epsilon)
 * + bias, or, where not normalized, z = x[n] . weight + bias; key[n] = -1 where gate[n] <= threshold, else
 * group[n].
 *
 *   x       F32, F16 or BF16, [rows, dim] with x_stride >= dim; dim >= 1
 *   weight  F32, [dim]
 *   group   I32, [rows], or null: 0
 *   gate    F32, [rows], or null
 *   key     I32, [rows]
 *
 * Canonical order: f32; both products by rule 4, exp by rule 7, every other operation rounded by itself. A
 * gate that is NaN deletes nothing. Outputs overlap neither each other nor an input.
 */
typedef struct quern_delete_gate_desc {
  uint32_t size;
  int32_t dtype;
  int64_t rows;
  int64_t dim;
  int64_t x_stride;
  int32_t normalized; /* 0 or 1 */
  float epsilon;
  float bias;
  float scale;
  float threshold;
  int32_t reserved;
} quern_delete_gate_desc;

QUERN_API quern_status quern_delete_gate_prepare(const quern_delete_gate_desc* desc, int32_t device);

QUERN_API quern_status quern_delete_gate(const quern_delete_gate_desc* desc, int32_t device, const void* x,
                                         const float* weight, const int32_t* group, float* gate, int32_t* key,
                                         void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_MERGING_H_ */
