/* Family 2, continued: verification of draft trees by rejection. Rules and formulae:
 * io.quern.op.RejectionVerify and io.quern.op.SeededCoins.
 */
#ifndef QUERN_REJECTION_H_
#define QUERN_REJECTION_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How draft tokens are accepted. Ordinals of io.quern.op.RejectionRule. */
enum {
  QUERN_REJECTION_WITHOUT_REPLACEMENT = 0,
  QUERN_REJECTION_WITH_REPLACEMENT = 1,
  QUERN_REJECTION_POINT_DRAFTS = 2,
  QUERN_REJECTION_K_SEQ = 3,
  QUERN_REJECTION_BLOCK = 4,
  QUERN_REJECTION_RELAXED = 5,
  QUERN_REJECTION_RELAXED_GREEDY = 6
};

/* Which uniform a test takes. Ordinals of io.quern.op.CoinOrder. */
enum {
  QUERN_COINS_BY_NODE = 0, /* that of the tested node */
  QUERN_COINS_BY_TEST = 1  /* the next one of the request */
};

/* How rows are given. Ordinals of io.quern.op.Distribution. */
enum { QUERN_DISTRIBUTION_PROBABILITIES = 0, QUERN_DISTRIBUTION_LOGITS = 1 };

/* The longest row, and the longest path with RELAXED_GREEDY. */
#define QUERN_REJECTION_MAX_VOCAB 524288
#define QUERN_REJECTION_MAX_GREEDY_WIDTH 4096

/*
 * rejection_verify: which path of each draft tree is accepted, and the token after it.
 *
 *   offsets        I32 [requests + 1], in nodes
 *   tokens         I32 [nodes]
 *   first_child    I32 [nodes], next_sibling I32 [nodes]: local ids, -1: none; both null: chains (BLOCK:
 * always) target         F32, F16 or BF16 [nodes, vocab], target_stride apart draft          the same with
 * draft_stride; WITHOUT_REPLACEMENT, WITH_REPLACEMENT, K_SEQ and BLOCK need it, RELAXED may have it, the
 * others have none (has_draft) temperatures   F32 [requests], or null: 1; none with RELAXED_GREEDY uniforms
 * F32 [nodes], final_uniforms F32 [requests]; none with RELAXED_GREEDY nearest        U16 or I32 [vocab,
 * nearest_columns >= neighbours], nearest_stride apart, with RELAXED and RELAXED_GREEDY accepted       I32
 * [requests, width], accepted_stride apart; counts, next, status I32 [requests] distribution   F32 [requests,
 * vocab], distribution_stride apart, or null rho            F32 [requests] with K_SEQ, or null
 *
 * Strides in elements. Outputs overlap no other operand. Sums over the vocabulary are canonical: 64 partial
 * sums in pieces of 4096, pieces ascending; everything is f32, fma where the formulae say so. One launch, a
 * block for each request, which reads the rows of the nodes that it visits. status is of quern/tree.h.
 */
typedef struct quern_rejection_verify_desc {
  uint32_t size;
  int32_t rule;
  int32_t coins;
  int32_t has_draft;
  int32_t target_form;
  int32_t target_dtype;
  int32_t draft_form;
  int32_t draft_dtype;
  int32_t nearest_dtype;
  int32_t neighbours;
  float delta;
  int32_t reserved;
  int64_t requests;
  int64_t nodes;
  int64_t vocab;
  int64_t width;
  int64_t target_stride;
  int64_t draft_stride;
  int64_t nearest_stride;
  int64_t nearest_columns;
  int64_t accepted_stride;
  int64_t distribution_stride;
} quern_rejection_verify_desc;

/* Loads every kernel that desc may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_rejection_verify_prepare(const quern_rejection_verify_desc* desc,
                                                      int32_t device);

QUERN_API quern_status quern_rejection_verify(
    const quern_rejection_verify_desc* desc, int32_t device, const int32_t* offsets, const int32_t* tokens,
    const int32_t* first_child, const int32_t* next_sibling, const void* target, const void* draft,
    const float* temperatures, const float* uniforms, const float* final_uniforms, const void* nearest,
    int32_t* accepted, int32_t* counts, int32_t* next, int32_t* status, float* distribution, float* rho,
    void* workspace, size_t workspace_bytes, void* stream);

/*
 * seeded_coins: coins[i] of node i and finals[b] of request b from the hash (MurmurHash3-x86-32, seed 0) of
 * seed (low, high), position (low 32 bits) and column: the node's local id, or the request's number of nodes.
 *
 *   seeds, positions  I64 [requests]
 *   offsets           I32 [requests + 1]; node i belongs to the request that a binary search for the last
 *                     offset <= i gives; 0 where it belongs to none, and bad offsets mean no nodes
 *   coins [nodes], finals [requests]: F32, hash / (2^32 - 1) in f64, at most 1 - 2^-24; or U32, the hashes
 *
 * Outputs overlap no other operand. One launch.
 */
typedef struct quern_seeded_coins_desc {
  uint32_t size;
  int32_t out_dtype;
  int64_t requests;
  int64_t nodes;
} quern_seeded_coins_desc;

QUERN_API quern_status quern_seeded_coins_prepare(const quern_seeded_coins_desc* desc, int32_t device);

QUERN_API quern_status quern_seeded_coins(const quern_seeded_coins_desc* desc, int32_t device,
                                          const int64_t* seeds, const int64_t* positions,
                                          const int32_t* offsets, void* coins, void* finals, void* workspace,
                                          size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_REJECTION_H_ */
