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
  QUERN_TREE_TOKEN = 8     /* a token is outside the vocabulary */
};

#ifdef __cplusplus
}
#endif

#endif /* QUERN_TREE_H_ */
