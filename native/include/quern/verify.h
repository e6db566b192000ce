/* Family 2: verification of draft trees. Formulae, shapes and policies: io.quern.op.TreeVerify. */
#ifndef QUERN_VERIFY_H_
#define QUERN_VERIFY_H_

#include "quern/tree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How tokens are accepted. Ordinals of io.quern.op.VerifyRule. */
enum {
  QUERN_VERIFY_GREEDY_PATH = 0,    /* first of the paths with the longest run of argmaxes */
  QUERN_VERIFY_GREEDY_LINKED = 1,  /* the first child that is the argmax, from the root on */
  QUERN_VERIFY_GREEDY_DEEPEST = 2, /* the deepest node that a run of argmaxes reaches, the lowest id */
  QUERN_VERIFY_TYPICAL = 3,        /* p > min(epsilon, alpha exp(-H)); the likeliest of the longest */
  QUERN_VERIFY_TARGET_ONLY = 4     /* a coin for each level against accumulated probabilities */
};

/* What is given of the target model. Ordinals of io.quern.op.VerifyTarget. */
enum { QUERN_TARGET_LOGITS = 0, QUERN_TARGET_PROBABILITIES = 1, QUERN_TARGET_IDS = 2 };

/* The most paths of a request, and the longest row of logits or probabilities. */
#define QUERN_MAX_VERIFY_PATHS 2048
#define QUERN_MAX_VERIFY_VOCAB 4194304

/*
 * tree_verify: which path of each draft tree the target accepts, and the token it continues with.
 *
 *   offsets         I32 [requests + 1]; request b has the nodes from offsets[b] on, with ids from 0, 0 the
 * root tokens          I32 [nodes] first_child     I32 [nodes], -1: none           GREEDY_LINKED and
 * TARGET_ONLY; null for the others next_sibling    I32 [nodes], -1: none           the same paths I32
 * [requests, path_count, path_width], padded with -1; a path of -1 alone is absent; null for GREEDY_LINKED
 * and TARGET_ONLY target          target_dtype [nodes, vocab] with target_stride >= vocab; IDS: I32 [nodes],
 * vocab 1 LOGITS: every rule; PROBABILITIES: TARGET_ONLY; IDS: the greedy rules temperatures    F32
 * [requests], or null: 1      TYPICAL, and TARGET_ONLY on LOGITS uniforms        F32 [nodes] TARGET_ONLY,
 * null for the others final_uniforms  F32 [requests]                  the same accepted        I32 [requests,
 * width], accepted_stride >= width: node ids from the root on, then -1 counts          I32 [requests]: how
 * many, without the root next            I32 [requests]: the token after the last of them status          I32
 * [requests]: QUERN_TREE_OK, _OFFSETS, _EMPTY or _LINK; unless OK, accepted and next are -1 and counts 0
 *
 * Only rows that the walk visits are read. Argmax: NaN below -infinity, ties to the lowest index. Weights of
 * logits: w = exp((x - max) * s), s = min(1 / temperature, FLT_MAX), 1 where x is the maximum, 0 of NaN;
 * given probabilities: w = p if p > 0, else 0. Sums of pieces of 4096 by 64 partial sums (rule 4), added in
 * ascending order; of logits p = w / sum. Prefix sums as in core/row_reduction.cuh. Everything is F32.
 *
 * One launch, a block for each request. Operands are aligned to their element size; outputs overlap nothing.
 */
typedef struct quern_tree_verify_desc {
  uint32_t size;
  int32_t rule;
  int32_t target;
  int32_t target_dtype;
  int64_t requests;
  int64_t nodes;
  int64_t vocab;
  int64_t target_stride;
  int64_t path_count;
  int64_t path_width;
  int64_t width;
  int64_t accepted_stride;
  float epsilon; /* TYPICAL */
  float alpha;
  float threshold_single; /* TARGET_ONLY, in [0, 1] */
  float threshold_acc;
} quern_tree_verify_desc;

/* Loads every kernel that desc may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_tree_verify_prepare(const quern_tree_verify_desc* desc, int32_t device);

QUERN_API quern_status quern_tree_verify(const quern_tree_verify_desc* desc, int32_t device,
                                         const int32_t* offsets, const int32_t* tokens,
                                         const int32_t* first_child, const int32_t* next_sibling,
                                         const int32_t* paths, const void* target, const float* temperatures,
                                         const float* uniforms, const float* final_uniforms,
                                         int32_t* accepted, int32_t* counts, int32_t* next, int32_t* status,
                                         void* workspace, size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_VERIFY_H_ */
