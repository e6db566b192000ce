/* Family 2: draft trees. A tree is parent[n]: parent[0] = -1, parent[i] < i, ids local to its request; a
 * batch is the concatenation, cut by offsets [requests + 1].
 */
#ifndef QUERN_TREE_H_
#define QUERN_TREE_H_

#include "quern/quern.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a request's tree is found to be; of several the lowest number. Ordinals of io.quern.op.TreeStatus. */
enum {
  QUERN_TREE_OK = 0,
  QUERN_TREE_OFFSETS = 1,  /* its offsets descend or leave the nodes */
  QUERN_TREE_EMPTY = 2,    /* it has no node, where one is needed */
  QUERN_TREE_ROOT = 3,     /* the parent of node 0 is not -1 */
  QUERN_TREE_PARENT = 4,   /* a parent is not before its child (so a cycle, or a node that nothing reaches) */
  QUERN_TREE_LINK = 5,     /* a child or sibling link leads outside the tree, or round in a circle */
  QUERN_TREE_CAPACITY = 6, /* an output is too small for it */
  QUERN_TREE_NAN = 7,      /* a score or probability that decides is NaN */
  QUERN_TREE_TOKEN = 8,    /* a token is outside the vocabulary */
  QUERN_TREE_PREFIX = 9,   /* a prefix length is not in [0, 2^31) */
  QUERN_TREE_SELECTION = 10, /* selected candidates do not ascend or leave the pool */
  QUERN_TREE_MASK = 11       /* a mask is not that of a tree */
};

/*
 * What tree_topology, dynamic_tree and tree_from_mask write; null: not wanted. `nodes` counts all requests'.
 *
 *   parent       I32 [nodes]; dynamic_tree and tree_from_mask, which need it
 *   bits         ancestors of each node, itself and the root included: bit j of row i is bit j % 8 of byte
 *                j / 8; rows of bits_bytes, bits_stride apart, at any alignment
 *   depth        I32 [nodes], the root's is 0
 *   positions    I32 or I64 [nodes]: prefix + depth, its low bits
 *   first_child  I32 [nodes], the child of lowest id, -1: none
 *   next_sibling I32 [nodes], the next higher child of the same parent, -1: none
 *   paths        I32 [requests, max_leaves, path_width]: node ids from the root to each leaf, leaves
 *                ascending, the rest -1
 *   leaf_count   I32 [requests]
 *   status       I32 [requests], needed: QUERN_TREE_OK, or why the request has neutral outputs: -1 in parent,
 *                first_child, next_sibling and paths, 0 elsewhere; rows that belong to no request, as under
 *                QUERN_TREE_OFFSETS, stay untouched
 *
 * QUERN_TREE_CAPACITY: a row of bits is too short, or there are more leaves or longer paths than fit.
 */
typedef struct quern_tree_outputs {
  int32_t* parent;
  void* bits;
  int32_t* depth;
  void* positions;
  int32_t* first_child;
  int32_t* next_sibling;
  int32_t* paths;
  int32_t* leaf_count;
  int32_t* status;
  int64_t bits_bytes;
  int64_t bits_stride; /* in bytes */
  int64_t max_leaves;
  int64_t path_width;
  int32_t position_dtype;
  int32_t reserved;
} quern_tree_outputs;

/*
 * tree_topology: what follows from parent.
 *
 *   parent   I32 [nodes]
 *   offsets  I32 [requests + 1]; a request's are good if 0 <= offsets[b] <= offsets[b + 1] <= nodes and no
 *            earlier offset is above offsets[b]
 *   prefix   I32 or I64 [requests], or null: all 0
 *
 * One launch, a block for each request; outputs overlap no input.
 */
typedef struct quern_tree_topology_desc {
  uint32_t size;
  int32_t prefix_dtype;
  int64_t requests;
  int64_t nodes;
  quern_tree_outputs out;
} quern_tree_topology_desc;

/* Loads every kernel that desc may launch, so that the call below can be captured into a graph. */
QUERN_API quern_status quern_tree_topology_prepare(const quern_tree_topology_desc* desc, int32_t device);

QUERN_API quern_status quern_tree_topology(const quern_tree_topology_desc* desc, int32_t device,
                                           const int32_t* parent, const int32_t* offsets, const void* prefix,
                                           void* workspace, size_t workspace_bytes, void* stream);

/* Formats of tree_mask. Ordinals of io.quern.op.TreeMaskFormat. */
enum {
  QUERN_MASK_ONE_ZERO = 0,     /* rows [nodes, columns]: 1 where visible, else 0 */
  QUERN_MASK_ADDITIVE_INF = 1, /* the same with 0 and -infinity */
  QUERN_MASK_ADDITIVE_MIN = 2, /* the same with 0 and the dtype's lowest finite value */
  QUERN_MASK_BITS = 3,         /* rows [nodes, columns] of words, as quern_tree_outputs.bits; no prefix */
  QUERN_MASK_FLAT = 4,         /* 1 or 0, n * (p + n) elements of a request back to back */
  QUERN_MASK_PACKED = 5        /* the same as bits, each request's from a byte of its own on */
};

/*
 * tree_mask: which columns each node sees. A request with prefix length p and n nodes has p + n columns: all
 * of the prefix is visible, of the tree a node's ancestors and itself.
 *
 *   parent, offsets, prefix   as for tree_topology; a prefix length is in [0, 2^31)
 *   out      ONE_ZERO: F32, F16, BF16, U8, BOOL, I32 or I64; ADDITIVE_*: F32, F16 or BF16; rows
 *            [nodes, columns], `stride` elements apart; columns from p + n on are not visible
 *            BITS: U8, U16, U32, U64, I32 or I64 words, rows [nodes, columns], `stride` words apart
 *            FLAT: U8 or BOOL [columns]; PACKED: U8 [columns]; bit q * (p + n) + k of a request's bytes, bit
 *            0 of a byte first, the last byte filled up with 0
 *   indptr   I64 [requests + 1], FLAT and PACKED, or null: where each request begins in out. A request whose
 *            offsets or prefix length are bad has no elements. (Lengths that add up to more than 2^62 count
 * as 2^62.) status   I32 [requests]. A request that is not QUERN_TREE_OK sees nothing; where it does not fit
 * into out (QUERN_TREE_CAPACITY) a FLAT or PACKED one leaves out untouched.
 *
 * One launch; outputs overlap no input.
 */
typedef struct quern_tree_mask_desc {
  uint32_t size;
  int32_t format;
  int32_t dtype;
  int32_t prefix_dtype;
  int64_t requests;
  int64_t nodes;
  int64_t columns;
  int64_t stride;
} quern_tree_mask_desc;

QUERN_API quern_status quern_tree_mask_prepare(const quern_tree_mask_desc* desc, int32_t device);

QUERN_API quern_status quern_tree_mask(const quern_tree_mask_desc* desc, int32_t device,
                                       const int32_t* parent, const int32_t* offsets, const void* prefix,
                                       void* out, int64_t* indptr, int32_t* status, void* workspace,
                                       size_t workspace_bytes, void* stream);

/* How parent_list names candidates. Ordinals of io.quern.op.CandidateNumbering. */
enum {
  QUERN_CANDIDATES_FROM_ONE = 0, /* EAGLE: candidate f is f + 1, the root 0 */
  QUERN_CANDIDATES_FROM_ZERO = 1 /* SGLang: candidate f is f, the root -1 */
};

/*
 * dynamic_tree: the tree of the best n - 1 of a pool of scored candidates, requests of `tree_nodes` = n each.
 *
 *   scores       F32 [requests, pool], score_stride apart: the n - 1 highest are selected, of equal ones the
 *                lower index; NaN is below all, and selecting one is QUERN_TREE_NAN. Or null, with:
 *   selection    I32 or I64 (index_dtype) [requests, n - 1]: candidates in ascending order
 *   parent_list  index_dtype [requests, groups]: candidate f is a child of parent_list[f / top_k], of the
 *                root where f < top_k
 *   selected     index_dtype [requests, n - 1], needed with scores: the selected candidates ascending; -1
 * where the request is not QUERN_TREE_OK. Node i is candidate selected[i - 1]. prefix       as for
 * tree_topology out.parent   needed
 *
 * QUERN_TREE_PARENT: a selected candidate's parent is not selected before it, or has no entry in parent_list.
 * One launch; outputs overlap no input.
 */
typedef struct quern_dynamic_tree_desc {
  uint32_t size;
  int32_t prefix_dtype;
  int32_t index_dtype;
  int32_t numbering;
  int64_t requests;
  int64_t tree_nodes;
  int64_t pool;
  int64_t groups;
  int64_t top_k;
  int64_t score_stride;
  quern_tree_outputs out;
} quern_dynamic_tree_desc;

QUERN_API quern_status quern_dynamic_tree_prepare(const quern_dynamic_tree_desc* desc, int32_t device);

QUERN_API quern_status quern_dynamic_tree(const quern_dynamic_tree_desc* desc, int32_t device,
                                          const float* scores, const void* selection, const void* parent_list,
                                          const void* prefix, void* selected, void* workspace,
                                          size_t workspace_bytes, void* stream);

/*
 * tree_from_mask: the tree whose visibility a mask is, requests of `tree_nodes` = n each.
 *
 *   mask        U8 or BOOL [requests, n, n], dense: not 0 where row i sees column j; columns above i are not
 *               looked at. The parent of i is the highest j < i that it sees.
 *   prefix      as for tree_topology
 *   out.parent  needed
 *
 * QUERN_TREE_MASK: node i > 0 does not see itself and exactly its parent's ancestors, or 0 not itself.
 * One launch; outputs overlap no input.
 */
typedef struct quern_tree_from_mask_desc {
  uint32_t size;
  int32_t prefix_dtype;
  int64_t requests;
  int64_t tree_nodes;
  quern_tree_outputs out;
} quern_tree_from_mask_desc;

QUERN_API quern_status quern_tree_from_mask_prepare(const quern_tree_from_mask_desc* desc, int32_t device);

QUERN_API quern_status quern_tree_from_mask(const quern_tree_from_mask_desc* desc, int32_t device,
                                            const void* mask, const void* prefix, void* workspace,
                                            size_t workspace_bytes, void* stream);

/* Which bit of a byte is first. Ordinals of io.quern.op.BitOrder. */
enum { QUERN_BITS_LITTLE = 0, QUERN_BITS_BIG = 1 };

/*
 * pack_bits: segments of bytes as bits, each segment's from a byte of its own on, its last byte filled up
 * with 0.
 *
 *   x            U8 or BOOL [count]: not 0 is a 1
 *   offsets      I32 or I64 (offset_dtype) [segments + 1]: a segment's are good if 0 <= offsets[s] <=
 *                offsets[s + 1] <= count; a bad one is QUERN_TREE_OFFSETS and has no bytes
 *   out          U8 [bytes]; a segment that does not fit is QUERN_TREE_CAPACITY and left out; bytes behind
 * the last segment stay untouched out_offsets  I64 [segments + 1], or null: the bytes where segments begin,
 * at most 2^62 status       I32 [segments]
 *
 * One launch; outputs overlap no input.
 */
typedef struct quern_pack_bits_desc {
  uint32_t size;
  int32_t offset_dtype;
  int32_t order;
  int32_t reserved;
  int64_t count;
  int64_t segments;
  int64_t bytes;
} quern_pack_bits_desc;

QUERN_API quern_status quern_pack_bits_prepare(const quern_pack_bits_desc* desc, int32_t device);

QUERN_API quern_status quern_pack_bits(const quern_pack_bits_desc* desc, int32_t device, const void* x,
                                       const void* offsets, void* out, int64_t* out_offsets, int32_t* status,
                                       void* workspace, size_t workspace_bytes, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* QUERN_TREE_H_ */
