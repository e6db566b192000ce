/* Token Recycling. Formulae, shapes and policies: io.quern.op.AdjacencyFill. */
#ifndef QUERN_RECYCLING_H_
#define QUERN_RECYCLING_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * adjacency_fill: the tokens of draft trees whose nodes take the rank[i]-th candidate after their parent's
 * token: tokens[0] = roots[b], tokens[i] = adjacency[tokens[parent[i]], rank[i]] for the nodes
 * offsets[b] <= i < offsets[b + 1] of request b, whose parents count from 0 within it.
 *
 *   adjacency  I32 [vocab, candidates] with a row stride (stride >= candidates)
 *   roots      I32 [requests]
 *   parent     I32 [nodes]: parent[0] = -1, parent[i] < i
 *   rank       I32 [nodes]; the root's is not read; one outside [0, candidates) gives -1
 *   offsets    I32 [requests + 1]; a request's are good if 0 <= offsets[b] <= offsets[b + 1] <= nodes and no
 *              earlier offset is above offsets[b]
 *   tokens     I32 [nodes]
 *   status     I32 [requests]: QUERN_TREE_OK, QUERN_TREE_OFFSETS (its tokens stay untouched), QUERN_TREE_ROOT
 *              or QUERN_TREE_PARENT (they are -1)
 *
 * Below -1 everything is -1. A token outside [0, vocab) that has children follows the policy: FAIL -1 for
 * them and a record of its position in tokens, ZERO 0, CLAMP the candidates of the nearest token (without
 * any: 0), SKIP -1. One launch, a warp for each request; outputs overlap no input.
 */
typedef struct quern_adjacency_fill_desc {
  uint32_t size;
  int32_t policy;
  int64_t requests;
  int64_t nodes;
  int64_t vocab;
  int64_t candidates;
  int64_t stride;
  int64_t launch; /* number of this launch, for the error record */
} quern_adjacency_fill_desc;

/* Loads every kernel that desc may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_adjacency_fill_prepare(const quern_adjacency_fill_desc* desc, int32_t device);

QUERN_API quern_status quern_adjacency_fill(const quern_adjacency_fill_desc* desc, int32_t device,
                                            const int32_t* adjacency, const int32_t* roots,
                                            const int32_t* parent, const int32_t* rank,
                                            const int32_t* offsets, int32_t* tokens, int32_t* status,
                                            quern_error_record* errors, void* workspace,
                                            size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_RECYCLING_H_ */
