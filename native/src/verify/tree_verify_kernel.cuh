// tree_verify: walks through draft trees, a block for each request. Contract: quern/verify.h.
//
// All threads of a block walk together and read the same links, coins and probabilities; they share the work
// on the rows that the walk comes to. Only thread 0 writes.
#ifndef QUERN_VERIFY_TREE_VERIFY_KERNEL_CUH_
#define QUERN_VERIFY_TREE_VERIFY_KERNEL_CUH_

#include "core/row_reduction.cuh"
#include "quern/verify.h"

namespace quern {

constexpr int kVerifyThreads = 512;
constexpr int kVerifyPieces = QUERN_MAX_VERIFY_VOCAB / kRowPiece;
constexpr int kCachedNodes = 1024;  // trees of so many nodes are walked in shared memory
constexpr int kListedTokens = 256;  // rejected tokens that are found without following links
constexpr int kNone = -1;
constexpr float kLeastAcc = 1e-9f;
constexpr float kEntropyShift = 1e-5f;  // within the logarithm, so that it is finite at 0

// Strides in bytes.
struct TreeVerifyArguments {
  const int32_t* offsets;
  const int32_t* tokens;
  const int32_t* first_child;
  const int32_t* next_sibling;
  const int32_t* paths;
  const char* target;
  const float* temperatures;  // null: 1
  const float* uniforms;
  const float* final_uniforms;
  int32_t* accepted;
  int32_t* counts;
  int32_t* next;
  int32_t* status;
  int64_t requests;
  int64_t nodes;
  int64_t vocab;
  int64_t target_stride;
  int64_t path_count;
  int64_t path_width;
  int64_t width;
  int64_t accepted_stride;  // in elements
  int32_t rule;
  int32_t target_kind;
  int32_t aligned;  // rows begin at multiples of 4 elements
  float epsilon;
  float alpha;
  float threshold_single;
  float threshold_acc;
};

// exp((x - max) * scale) of logits, 1 at the maximum and 0 of NaN; of probabilities what is positive.
template <typename Element>
struct TargetWeights {
  StoredRow<Element> row;
  float max;
  float scale;
  bool logits;

  __device__ float weight(float x) const {
    if (logits && x == max) {
      return 1.0f;
    }
    const float w = logits ? canonical_exp(__fmul_rn(__fsub_rn(x, max), scale)) : x;
    return w > 0.0f ? w : 0.0f;
  }
  __device__ float operator()(int64_t i) const { return weight(row(i)); }
  __device__ float4 four(int64_t i) const {
    const float4 x = row.four(i);
    return make_float4(weight(x.x), weight(x.y), weight(x.z), weight(x.w));
  }
};

// p log(p + shift) of p = weight / sum, for the entropy.
template <typename Weights>
struct NegativeEntropyOf {
  Weights weights;
  float sum;

  __device__ float add_one(float total, float weight) const {
    const float p = __fdiv_rn(weight, sum);
    return __fmaf_rn(p, canonical_log(__fadd_rn(p, kEntropyShift)), total);
  }
  __device__ float add(float total, int64_t i) const { return add_one(total, weights(i)); }
  __device__ void add_four(float (&totals)[4], int64_t i) const {
    const float4 w = weights.four(i);
    totals[0] = add_one(totals[0], w.x);
    totals[1] = add_one(totals[1], w.y);
    totals[2] = add_one(totals[2], w.z);
    totals[3] = add_one(totals[3], w.w);
  }
};

// The links and tokens of one request, of `n` nodes.
struct LinkedTree {
  const int32_t* tokens;
  const int32_t* first_child;
  const int32_t* next_sibling;
  int64_t n;
};

// Tokens of a node's children: the first ones in a list, the rest by their links.
struct RejectedTokens {
  const int32_t* list;
  int listed;
  LinkedTree tree;
  int rest;  // the first child that is not listed, -1: none

  __device__ bool has(int64_t token) const {
    for (int i = 0; i < listed; ++i) {
      if (list[i] == token) {
        return true;
      }
    }
    for (int child = rest; child != kNone; child = tree.next_sibling[child]) {
      if (tree.tokens[child] == token) {
        return true;
      }
    }
    return false;
  }
  __device__ bool any_in_piece(int64_t piece) const {
    bool any = rest != kNone;
    for (int i = 0; i < listed; ++i) {
      any = any || (list[i] >= 0 && list[i] / kRowPiece == piece);
    }
    return any;
  }
};

// Weights without those of rejected tokens.
template <typename Weights>
struct RestOf {
  Weights weights;
  RejectedTokens rejected;

  __device__ float operator()(int64_t i) const { return rejected.has(i) ? 0.0f : weights(i); }
  __device__ float4 four(int64_t i) const {
    float4 w = weights.four(i);
    w.x = rejected.has(i) ? 0.0f : w.x;
    w.y = rejected.has(i + 1) ? 0.0f : w.y;
    w.z = rejected.has(i + 2) ? 0.0f : w.z;
    w.w = rejected.has(i + 3) ? 0.0f : w.w;
    return w;
  }
};

inline __device__ float temperature_of(const TreeVerifyArguments& arguments, int64_t b) {
  return arguments.temperatures == nullptr ? 1.0f : __ldg(arguments.temperatures + b);
}

// The reciprocal, finite also of a subnormal temperature.
inline __device__ float scale_of(float temperature) {
  const float scale = __fdiv_rn(1.0f, temperature);
  return scale < 3.402823466e+38f ? scale : 3.402823466e+38f;
}

template <typename Element>
__device__ StoredRow<Element> target_row(const TreeVerifyArguments& arguments, int64_t node) {
  return {arguments.target + node * arguments.target_stride, arguments.aligned != 0};
}

// The row's argmax, or the given id.
template <typename Element>
__device__ int predicted(const TreeVerifyArguments& arguments, int64_t node) {
  if (arguments.target_kind == QUERN_TARGET_IDS) {
    return __ldg(reinterpret_cast<const int32_t*>(arguments.target) + node);
  }
  return static_cast<int>(
      block_argmax<kVerifyThreads>(target_row<Element>(arguments, node), arguments.vocab));
}

// The sums of the pieces' weights, which stay in `sums`, added up.
template <typename Weights>
__device__ float sum_pieces(const Weights& weights, int64_t vocab, float* sums) {
  for (int64_t first = 0; first * kRowPiece < vocab; first += kVerifyThreads / kRowLanes) {
    block_pieces<kVerifyThreads>(SumOf<Weights>{weights}, vocab, first, sums + first);
  }
  float total = 0.0f;
  for (int64_t k = 0; k * kRowPiece < vocab; ++k) {
    total = __fadd_rn(total, sums[k]);
  }
  return total;
}

// Draws from the weights that are not rejected. Of logits `sums` holds the sums of all weights, and only
// those of pieces with rejected tokens are taken again.
template <typename Weights>
__device__ int draw(const Weights& weights, const RejectedTokens& rejected, int64_t vocab, float coin,
                    float* sums) {
  QUERN_SHARED(int64_t, found);
  const RestOf<Weights> rest{weights, rejected};
  __syncthreads();
  for (int64_t k = threadIdx.x / kRowLanes; k * kRowPiece < vocab; k += kVerifyThreads / kRowLanes) {
    if (!weights.logits || rejected.any_in_piece(k)) {
      const float sum =
          half_warp_piece(SumOf<RestOf<Weights>>{rest}, k * kRowPiece, min(vocab, (k + 1) * kRowPiece));
      if (threadIdx.x % kRowLanes == 0) {
        sums[k] = sum;
      }
    }
  }
  __syncthreads();
  float total = 0.0f;
  for (int64_t k = 0; k * kRowPiece < vocab; ++k) {
    total = __fadd_rn(total, sums[k]);
  }
  const float passed = __fmul_rn(coin, total);
  float before = 0.0f;
  for (int64_t k = 0; k * kRowPiece < vocab; ++k) {
    const float after = __fadd_rn(before, sums[k]);
    if (after > passed) {
      if (threadIdx.x < 32) {
        const int64_t index =
            warp_search_piece(rest, k * kRowPiece, min(vocab, (k + 1) * kRowPiece), before, passed);
        if (threadIdx.x == 0) {
          found = index;
        }
      }
      __syncthreads();
      return static_cast<int>(found);
    }
    before = after;
  }
  const int64_t last = block_last_positive<kVerifyThreads>(rest, 0, vocab);
  return static_cast<int>(last < 0 ? vocab - 1 : last);
}

inline __device__ void accept(const TreeVerifyArguments& arguments, int64_t b, int64_t column, int node) {
  if (threadIdx.x == 0) {
    arguments.accepted[b * arguments.accepted_stride + column] = node;
  }
}

// Pads what was accepted, or takes it back.
inline __device__ void finish(const TreeVerifyArguments& arguments, int64_t b, int status, int64_t count,
                              int token) {
  __syncthreads();
  const bool ok = status == QUERN_TREE_OK;
  for (int64_t i = threadIdx.x; i < arguments.width; i += kVerifyThreads) {
    if (!ok || i > count) {
      arguments.accepted[b * arguments.accepted_stride + i] = kNone;
    }
  }
  if (threadIdx.x == 0) {
    arguments.counts[b] = ok ? static_cast<int32_t>(count) : 0;
    arguments.next[b] = ok ? token : kNone;
    arguments.status[b] = status;
  }
}

inline __device__ int offsets_status(const TreeVerifyArguments& arguments, int64_t first, int64_t end) {
  return first < 0 || end < first || end > arguments.nodes ? QUERN_TREE_OFFSETS
         : end == first                                    ? QUERN_TREE_EMPTY
                                                           : QUERN_TREE_OK;
}

// GREEDY_LINKED and TARGET_ONLY.
template <typename Element>
__global__ void __launch_bounds__(kVerifyThreads, 1)
    tree_verify_links_kernel(const __grid_constant__ TreeVerifyArguments arguments) {
  QUERN_SHARED(int32_t[3 * kCachedNodes], cache);
  QUERN_SHARED(int32_t[kListedTokens], list);
  QUERN_SHARED(float[kVerifyPieces], sums);
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    const int64_t first = __ldg(arguments.offsets + b);
    const int64_t end = __ldg(arguments.offsets + b + 1);
    int status = offsets_status(arguments, first, end);
    int64_t count = 0;
    int token = kNone;
    if (status == QUERN_TREE_OK) {
      LinkedTree tree{arguments.tokens + first, arguments.first_child + first, arguments.next_sibling + first,
                      end - first};
      __syncthreads();
      if (tree.n <= kCachedNodes) {
        for (int64_t i = threadIdx.x; i < tree.n; i += kVerifyThreads) {
          cache[i] = __ldg(tree.tokens + i);
          cache[kCachedNodes + i] = __ldg(tree.first_child + i);
          cache[2 * kCachedNodes + i] = __ldg(tree.next_sibling + i);
        }
        tree.tokens = cache;
        tree.first_child = cache + kCachedNodes;
        tree.next_sibling = cache + 2 * kCachedNodes;
      }
      __syncthreads();
      const bool logits = arguments.target_kind == QUERN_TARGET_LOGITS;
      const float temperature = temperature_of(arguments, b);
      const bool draws = arguments.rule == QUERN_VERIFY_TARGET_ONLY && temperature > 0.0f;
      int64_t seen = 0;  // children looked at; a tree has n - 1
      int node = 0;
      accept(arguments, b, 0, 0);
      for (;;) {
        TargetWeights<Element> weights{target_row<Element>(arguments, first + node), 0.0f,
                                       scale_of(temperature), logits};
        float coin = 0.0f;
        float sum = 0.0f;
        if (!draws || logits) {
          token = predicted<Element>(arguments, first + node);
        }
        if (draws) {
          coin = __ldg(arguments.uniforms + first + node);
          if (logits) {
            weights.max = weights.row(token);
            sum = sum_pieces(weights, arguments.vocab, sums);
          }
        }
        const int firstborn = count + 1 < arguments.width ? tree.first_child[node] : kNone;
        RejectedTokens rejected{list, 0, tree, kNone};
        float passed = 0.0f;
        int child = firstborn;
        for (; child != kNone; child = tree.next_sibling[child]) {
          if (child <= 0 || child >= tree.n || ++seen >= tree.n) {
            status = QUERN_TREE_LINK;
            break;
          }
          const int x = tree.tokens[child];
          if (!draws) {
            if (x == token && x >= 0) {
              break;
            }
            continue;
          }
          if (x >= 0 && x < arguments.vocab) {
            const float p = logits ? __fdiv_rn(weights(x), sum) : weights(x);
            passed = __fadd_rn(passed, p);
            if (coin <= __fdiv_rn(passed, arguments.threshold_acc) || p >= arguments.threshold_single) {
              break;
            }
          }
          if (rejected.listed < kListedTokens) {
            if (threadIdx.x == 0) {
              list[rejected.listed] = x;
            }
            ++rejected.listed;
          } else if (rejected.rest == kNone) {
            rejected.rest = child;
          }
        }
        if (status != QUERN_TREE_OK) {
          break;
        }
        if (child == kNone) {
          if (draws) {
            token = draw(weights, rejected, arguments.vocab, __ldg(arguments.final_uniforms + b), sums);
          }
          break;
        }
        node = child;
        accept(arguments, b, ++count, node);
      }
    }
    finish(arguments, b, status, count, token);
  }
}

// What has become of a path: its last accepted column, inverted where it has ended; the argmax of the row it
// ended at; the sum of log p of its run.
struct PathStates {
  int32_t* runs;
  int32_t* ends;
  float* scores;
};

constexpr int32_t kAbsent = INT32_MIN;

template <typename Element>
struct PathWalk {
  const TreeVerifyArguments& arguments;
  const PathStates& states;
  const int32_t* paths;  // of this request
  int64_t b;
  int64_t first;
  int64_t n;

  __device__ int path(int64_t r, int64_t column) const {
    return __ldg(paths + r * arguments.path_width + column);
  }

  // The first path whose last accepted column is c, -1: none.
  __device__ int64_t first_open(int64_t c) const {
    unsigned long long key = 0;
    for (int64_t r = threadIdx.x; r < arguments.path_count; r += kVerifyThreads) {
      if (key == 0 && states.runs[r] == c) {
        key = 0xffffffffu - static_cast<unsigned int>(r);
      }
    }
    key = block_max_key<kVerifyThreads>(key);
    return key == 0 ? -1 : rank_index(key);
  }

  // min(epsilon, alpha exp(-H)) of a row, whose sum and weights it leaves behind.
  __device__ float threshold(TargetWeights<Element>* weights, float* sum, float* sums) const {
    float negative = canonical_log(__fadd_rn(1.0f, kEntropyShift));
    if (temperature_of(arguments, b) > 0.0f) {
      *sum = sum_pieces(*weights, arguments.vocab, sums);
      negative = block_reduce<kVerifyThreads>(NegativeEntropyOf<TargetWeights<Element>>{*weights, *sum},
                                              arguments.vocab);
    }
    const float bound = __fmul_rn(arguments.alpha, canonical_exp(negative));
    return bound < arguments.epsilon ? bound : arguments.epsilon;
  }

  // All paths whose last accepted column is c, at the node of path r, go on to their next column or end.
  __device__ int advance(int64_t r, int64_t c, int64_t last, float* sums) const {
    const int node = path(r, c);
    bool bad = false;
    bool goes_on = false;
    for (int64_t q = r + threadIdx.x; q < arguments.path_count; q += kVerifyThreads) {
      if (states.runs[q] == c && path(q, c) == node && c < last) {
        const int child = path(q, c + 1);
        bad = bad || (child != kNone && (child <= 0 || child >= n));
        goes_on = goes_on || child != kNone;
      }
    }
    if (__syncthreads_or(bad)) {
      return QUERN_TREE_LINK;
    }
    int token = kNone;
    float bound = 0.0f;
    float sum = 0.0f;
    const float temperature = temperature_of(arguments, b);
    TargetWeights<Element> weights{target_row<Element>(arguments, first + node), 0.0f, scale_of(temperature),
                                   true};
    const bool typical = arguments.rule == QUERN_VERIFY_TYPICAL;
    const bool reads = __syncthreads_or(goes_on);
    if (reads) {
      token = predicted<Element>(arguments, first + node);
      if (typical) {
        weights.max = weights.row(token);
        bound = threshold(&weights, &sum, sums);
      }
    }
    for (int64_t q = r + threadIdx.x; q < arguments.path_count; q += kVerifyThreads) {
      if (states.runs[q] != c || path(q, c) != node) {
        continue;
      }
      const int child = c < last ? path(q, c + 1) : kNone;
      const int x = child == kNone ? kNone : __ldg(arguments.tokens + first + child);
      bool accepted = false;
      if (child != kNone && !typical) {
        accepted = x == token && x >= 0;
      } else if (child != kNone && x >= 0 && x < arguments.vocab) {
        const float p = temperature > 0.0f ? __fdiv_rn(weights(x), sum) : x == token ? 1.0f : 0.0f;
        accepted = p > bound;
        if (accepted) {
          states.scores[q] = __fadd_rn(states.scores[q], canonical_log(p));
        }
      }
      states.runs[q] = static_cast<int32_t>(accepted ? c + 1 : ~c);
      states.ends[q] = token;
      if (!reads) {
        states.ends[q] = kNone;
      }
    }
    __syncthreads();
    return QUERN_TREE_OK;
  }

  // The path that wins, -1 if there is none. All have ended.
  __device__ int64_t best() const {
    int longest = kNone;
    for (int64_t r = threadIdx.x; r < arguments.path_count; r += kVerifyThreads) {
      if (states.runs[r] != kAbsent) {
        longest = max(longest, ~states.runs[r]);
      }
    }
    longest =
        static_cast<int>(block_max_key<kVerifyThreads>(static_cast<unsigned long long>(longest + 1))) - 1;
    if (longest == kNone) {
      return -1;
    }
    unsigned long long key = 0;
    for (int64_t r = threadIdx.x; r < arguments.path_count; r += kVerifyThreads) {
      if (states.runs[r] == ~longest) {
        float rank = 0.0f;
        if (arguments.rule == QUERN_VERIFY_TYPICAL) {
          rank = states.scores[r];
        }
        unsigned long long own = rank_key(rank, r);
        if (arguments.rule == QUERN_VERIFY_GREEDY_DEEPEST) {
          const unsigned int node = static_cast<unsigned int>(path(r, longest));
          own = static_cast<unsigned long long>(~node) << 32 | (0xffffffffu - static_cast<unsigned int>(r));
        }
        key = max(key, own);
      }
    }
    return rank_index(block_max_key<kVerifyThreads>(key));
  }
};

// GREEDY_PATH, GREEDY_DEEPEST and TYPICAL, column by column: each node that a path has been accepted up to is
// looked at once.
template <typename Element>
__global__ void __launch_bounds__(kVerifyThreads, 1)
    tree_verify_paths_kernel(const __grid_constant__ TreeVerifyArguments arguments) {
  QUERN_SHARED(float[kVerifyPieces], sums);
  int32_t* shared = dynamic_shared<int32_t>();
  const PathStates states{shared, shared + arguments.path_count,
                          reinterpret_cast<float*>(shared + 2 * arguments.path_count)};
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    const int64_t first = __ldg(arguments.offsets + b);
    const int64_t end = __ldg(arguments.offsets + b + 1);
    int status = offsets_status(arguments, first, end);
    int64_t run = 0;
    int token = kNone;
    if (status == QUERN_TREE_OK) {
      const PathWalk<Element> walk{
          arguments, states, arguments.paths + b * arguments.path_count * arguments.path_width,
          b,         first,  end - first};
      const int64_t last = min(arguments.path_width, arguments.width) - 1;
      bool bad = false;
      for (int64_t r = threadIdx.x; r < arguments.path_count; r += kVerifyThreads) {
        const int root = arguments.path_width == 0 ? kNone : walk.path(r, 0);
        bad = bad || (root != 0 && root != kNone);
        states.runs[r] = root == 0 ? 0 : kAbsent;
        states.ends[r] = kNone;
        states.scores[r] = 0.0f;
      }
      if (__syncthreads_or(bad)) {
        status = QUERN_TREE_LINK;
      }
      bool open = true;
      for (int64_t c = 0; open && status == QUERN_TREE_OK; ++c) {
        open = false;
        for (int64_t r = walk.first_open(c); r >= 0 && status == QUERN_TREE_OK; r = walk.first_open(c)) {
          open = true;
          status = walk.advance(r, c, last, sums);
        }
      }
      if (status == QUERN_TREE_OK) {
        const int64_t best = walk.best();
        run = best < 0 ? 0 : ~states.runs[best];
        accept(arguments, b, 0, 0);
        for (int64_t c = 1 + threadIdx.x; c <= run; c += kVerifyThreads) {
          arguments.accepted[b * arguments.accepted_stride + c] = walk.path(best, c);
        }
        token = best < 0 ? kNone : states.ends[best];
        if (token == kNone) {
          token = predicted<Element>(arguments, first + (run == 0 ? 0 : walk.path(best, run)));
        }
      }
    }
    finish(arguments, b, status, run, token);
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_VERIFY_TREE_VERIFY_KERNEL_CUH_
