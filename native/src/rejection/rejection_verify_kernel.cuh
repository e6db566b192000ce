// rejection_verify: a block walks a request. Contract: quern/rejection.h; the rules, step by step:
// io.quern.internal.cpu.RejectionWalk, whose names are used here.
//
// Every thread takes every decision, from the same numbers; only whole rows are shared among the threads. No
// row is stored: a residual is max(fma(-c, q, a * p), 0), made anew in every pass over p and q, which the L2
// cache holds. Tokens that were cleared from p and q are bits in shared memory.
#ifndef QUERN_REJECTION_REJECTION_VERIFY_KERNEL_CUH_
#define QUERN_REJECTION_REJECTION_VERIFY_KERNEL_CUH_

#include <type_traits>

#include "core/row_reduction.cuh"
#include "quern/rejection.h"
#include "quern/tree.h"

namespace quern {

constexpr int kRejectionThreads = 512;

// Strides of rows in bytes, others in elements.
struct RejectionArguments {
  const int32_t* offsets;
  const int32_t* tokens;
  const int32_t* first_child;
  const int32_t* next_sibling;
  const char* target;
  const char* draft;
  const float* temperatures;
  const float* uniforms;
  const float* final_uniforms;
  const void* nearest;
  int32_t* accepted;
  int32_t* counts;
  int32_t* next;
  int32_t* status;
  float* distribution;
  float* rho;
  int64_t requests;
  int64_t nodes;
  int64_t target_stride;
  int64_t draft_stride;
  int64_t nearest_stride;
  int64_t accepted_stride;
  int64_t distribution_stride;
  int32_t vocab;
  int32_t width;
  int32_t nearest_columns;
  int32_t neighbours;
  float delta;
  int32_t rule;
  int32_t by_node;
  int32_t target_logits;
  int32_t draft_logits;
  int32_t wide_nearest;    // 1: I32
  int32_t target_aligned;  // rows can be read 4 elements at a time
  int32_t draft_aligned;
};

inline __device__ float positive_part(float x) {
  return x > 0.0f ? x : 0.0f;
}

// exp((x - max) * inverse) of a row of logits, 1 at the maximum, 0 where the exponent is NaN.
template <typename Row>
struct WeightRow {
  Row row;
  float max;
  float inverse;

  __device__ float one(float x) const {
    const float exponent = __fmul_rn(__fsub_rn(x, max), inverse);
    return x == max ? 1.0f : exponent != exponent ? 0.0f : canonical_exp(exponent);
  }
  __device__ float operator()(int64_t i) const { return one(row(i)); }
  __device__ float4 four(int64_t i) const {
    const float4 x = row.four(i);
    return make_float4(one(x.x), one(x.y), one(x.z), one(x.w));
  }
};

// Probabilities: given ones, or weights / divisor; without the cleared tokens (bits, or null); or 1 for every
// token but those.
template <typename Element>
struct ProbabilityRow {
  WeightRow<StoredRow<Element>> weights;
  float divisor;  // 0: given as probabilities
  const unsigned int* cleared;
  bool uniform;

  __device__ float one(float x) const {
    if (uniform) {
      return 1.0f;
    }
    return divisor == 0.0f ? positive_part(x) : __fdiv_rn(weights.one(x), divisor);
  }
  __device__ float operator()(int64_t i) const {
    const bool gone = cleared != nullptr && (cleared[i >> 5] >> (i & 31) & 1u) != 0;
    return gone ? 0.0f : one(weights.row(i));
  }
  __device__ float4 four(int64_t i) const {
    const unsigned int gone = cleared == nullptr ? 0u : cleared[i >> 5] >> (i & 31);
    const float4 x = weights.row.four(i);
    return make_float4(gone & 1u ? 0.0f : one(x.x), gone & 2u ? 0.0f : one(x.y), gone & 4u ? 0.0f : one(x.z),
                       gone & 8u ? 0.0f : one(x.w));
  }
};

// What is missing where a kernel has no draft rows.
template <>
struct ProbabilityRow<void> {};

// max(fma(-c, q, a * p), 0); q is not read where c is 0.
template <typename Target, typename Draft>
struct ResidualRow {
  ProbabilityRow<Target> p;
  ProbabilityRow<Draft> q;
  float a;
  float c;

  __device__ float one(float p_value, float q_value) const {
    return positive_part(__fmaf_rn(-c, q_value, __fmul_rn(a, p_value)));
  }
  __device__ float operator()(int64_t i) const {
    if constexpr (!std::is_void_v<Draft>) {
      if (c != 0.0f) {
        return one(p(i), q(i));
      }
    }
    return positive_part(__fmul_rn(a, p(i)));
  }
  __device__ float4 four(int64_t i) const {
    const float4 x = p.four(i);
    if constexpr (!std::is_void_v<Draft>) {
      if (c != 0.0f) {
        const float4 y = q.four(i);
        return make_float4(one(x.x, y.x), one(x.y, y.y), one(x.z, y.z), one(x.w, y.w));
      }
    }
    return make_float4(positive_part(__fmul_rn(a, x.x)), positive_part(__fmul_rn(a, x.y)),
                       positive_part(__fmul_rn(a, x.z)), positive_part(__fmul_rn(a, x.w)));
  }
};

// min(q, p * inverse).
template <typename Target, typename Draft>
struct CappedRow {
  ProbabilityRow<Target> p;
  ProbabilityRow<Draft> q;
  float inverse;

  __device__ float one(float p_value, float q_value) const {
    const float most = __fmul_rn(p_value, inverse);
    return q_value < most ? q_value : most;
  }
  __device__ float operator()(int64_t i) const { return one(p(i), q(i)); }
  __device__ float4 four(int64_t i) const {
    const float4 x = p.four(i);
    const float4 y = q.four(i);
    return make_float4(one(x.x, y.x), one(x.y, y.y), one(x.z, y.z), one(x.w, y.w));
  }
};

// Passes over a row. Not inlined: each has a long loop of exponentials, and the walk needs them in many
// places.
template <typename Target, typename Draft>
__device__ __noinline__ float residual_sum(ResidualRow<Target, Draft> row, int32_t n) {
  return block_sum<kRejectionThreads>(row, n);
}
template <typename Target, typename Draft>
__device__ __noinline__ int32_t residual_search(ResidualRow<Target, Draft> row, int32_t n, float target) {
  return static_cast<int32_t>(block_search<kRejectionThreads>(row, n, target));
}
template <typename Target, typename Draft>
__device__ __noinline__ float capped_sum(CappedRow<Target, Draft> row, int32_t n) {
  return block_sum<kRejectionThreads>(row, n);
}
template <typename Element>
__device__ __noinline__ float row_sum(ProbabilityRow<Element> row, int32_t n) {
  return block_sum<kRejectionThreads>(row, n);
}
template <typename Element>
__device__ __noinline__ int32_t row_argmax(StoredRow<Element> row, int32_t n) {
  return static_cast<int32_t>(block_argmax<kRejectionThreads>(row, n));
}
template <typename Element>
__device__ __noinline__ float row_element(ProbabilityRow<Element> row, int32_t i) {
  return row(i);
}

// One request. The rules are not inlined either, so that what one of them holds does not spill for all. Draft
// is void where there are no draft rows.
template <typename Target, typename Draft>
class RejectionBlock {
  static constexpr bool kDraft = !std::is_void_v<Draft>;
  static constexpr int kThreads = kRejectionThreads;
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kBroken = -2;
  static constexpr int kRhoSteps = 40;
  static constexpr float kRhoTolerance = 0x1p-22f;

 public:
  __device__ RejectionBlock(const RejectionArguments& arguments, unsigned int* shared)
      : arguments_(arguments), shared_(shared) {}

  __device__ void walk(int64_t request) {
    request_ = request;
    const int64_t end = arguments_.offsets[request + 1];
    first_ = arguments_.offsets[request];
    depth_ = steps_ = tests_ = 0;
    last_rho_ = 0.0f;
    dirty_ = true;  // shared memory begins with anything
    if (first_ < 0 || end < first_ || end > arguments_.nodes) {
      return finish(QUERN_TREE_OFFSETS, kNone);
    }
    count_ = static_cast<int32_t>(end - first_);
    if (count_ == 0) {
      depth_ = -1;
      return finish(QUERN_TREE_OK, kNone);
    }
    const float temperature = arguments_.temperatures == nullptr ? 1.0f : arguments_.temperatures[request];
    inverse_ = __fdiv_rn(1.0f, temperature);
    arrive_at(0);
    accept(0, 0);
    if (!(temperature > 0.0f)) {
      return greedy();
    }
    if constexpr (kDraft) {
      if (arguments_.rule == QUERN_REJECTION_BLOCK) {
        return block();
      }
    } else {
      if (arguments_.rule == QUERN_REJECTION_RELAXED_GREEDY) {
        return relaxed_greedy();
      }
    }
    descend();
  }

 private:
  __device__ void descend() {
    while (true) {
      const int32_t child = depth_ + 1 < arguments_.width ? first_child(node_) : kNone;
      if (child == kBroken) {
        return finish(QUERN_TREE_LINK, kNone);
      }
      if (child == kNone) {
        need_target();
        return draw(1.0f, 0.0f);
      }
      const int32_t chosen = judge(child);
      if (chosen == kBroken) {
        return finish(QUERN_TREE_LINK, kNone);
      }
      if (chosen == kNone) {
        return;  // next has been drawn
      }
      accept(++depth_, chosen);
      arrive_at(chosen);
    }
  }

  __device__ int32_t judge(int32_t child) {
    if (arguments_.rule == QUERN_REJECTION_RELAXED) {
      return judge_relaxed(child);
    }
    if constexpr (kDraft) {
      return arguments_.rule == QUERN_REJECTION_K_SEQ ? judge_together(child) : judge_draws(child);
    } else {
      return judge_points(child);
    }
  }

  __device__ __noinline__ int32_t judge_draws(int32_t child) {
    const bool without = arguments_.rule == QUERN_REJECTION_WITHOUT_REPLACEMENT;
    float rejected = 0.0f;
    float share = 1.0f;
    bool pending = false;
    if (without) {
      clear_none();
    }
    for (; child >= 0; child = next_sibling(child)) {
      const int32_t x = token(child);
      if (!in_vocabulary(x)) {
        continue;
      }
      if (pending) {
        need_draft();
        const float left = without ? row_sum(q_, arguments_.vocab) : 1.0f;
        const float mass = residual_mass(1.0f, rejected);
        share = left > 0.0f ? __fdiv_rn(mass, left) : 0.0f;
        pending = false;
      }
      const float u = coin(child);
      const float qx = draft_at(x);
      const float known = positive_part(qx);
      float residual = target_at(x);
      if (rejected != 0.0f) {
        residual = positive_part(__fmaf_rn(-rejected, known, residual));
      }
      const float bound = __fmul_rn(u, __fmul_rn(share, qx != qx ? qx : known));
      if (residual > 0.0f && bound < residual) {
        return child;
      }
      rejected = __fadd_rn(rejected, share);
      pending = true;
      if (without) {
        clear(x);
      }
    }
    if (child == kBroken) {
      return kBroken;
    }
    need_draft();
    need_target();
    draw(1.0f, rejected);
    return kNone;
  }

  __device__ __noinline__ int32_t judge_points(int32_t child) {
    const int32_t start = child;
    float left = 1.0f;
    int32_t before = 0;
    clear_none();
    for (; child >= 0; child = next_sibling(child), ++before) {
      const int32_t x = token(child);
      if (in_vocabulary(x) && !is_repeated(start, before, x)) {
        const float u = coin(child);
        const float px = target_at(x);
        if (__fmul_rn(u, left) < px) {
          return child;
        }
        left = __fsub_rn(left, px);
        clear(x);
      }
    }
    if (child == kBroken) {
      return kBroken;
    }
    need_target();
    draw(1.0f, 0.0f);
    return kNone;
  }

  __device__ __noinline__ int32_t judge_together(int32_t start) {
    int32_t k = 0;
    int32_t child = start;
    for (; child >= 0; child = next_sibling(child)) {
      k += in_vocabulary(token(child)) ? 1 : 0;
    }
    if (child == kBroken) {
      return kBroken;
    }
    need_target();
    need_draft();
    const float rho = k > 1 ? solve_rho(k) : 1.0f;
    last_rho_ = rho;
    for (child = start; child >= 0; child = link(arguments_.next_sibling, child)) {
      const int32_t x = token(child);
      if (in_vocabulary(x)) {
        const float u = coin(child);
        const float px = target_at(x);
        if (px > 0.0f && __fmul_rn(u, __fmul_rn(rho, draft_at(x))) < px) {
          return child;
        }
      }
    }
    draw(1.0f, k > 0 ? rho : 0.0f);
    return kNone;
  }

  __device__ __noinline__ float solve_rho(int32_t k) {
    float low = 1.0f;
    float high = static_cast<float>(k);
    float at_low = excess(low, k);
    if (!(at_low > kRhoTolerance)) {
      return low;
    }
    float at_high = excess(high, k);
    if (!(at_high < __fmul_rn(-kRhoTolerance, high))) {
      return high;
    }
    int side = 0;
    for (int step = 0; step < kRhoSteps; ++step) {
      const float slope = __fdiv_rn(__fsub_rn(high, low), __fsub_rn(at_high, at_low));
      float middle = __fsub_rn(high, __fmul_rn(at_high, slope));
      if (!(middle > low && middle < high)) {
        middle = __fadd_rn(low, __fmul_rn(__fsub_rn(high, low), 0.5f));
      }
      const float at = excess(middle, k);
      if (fabsf(at) <= __fmul_rn(kRhoTolerance, middle)) {
        return middle;
      }
      if (at > 0.0f) {
        low = middle;
        at_low = at;
        at_high = side == 1 ? __fmul_rn(at_high, 0.5f) : at_high;
        side = 1;
      } else {
        high = middle;
        at_high = at;
        at_low = side == -1 ? __fmul_rn(at_low, 0.5f) : at_low;
        side = -1;
      }
    }
    return high;
  }

  __device__ float excess(float rho, int32_t k) {
    const CappedRow<Target, Draft> capped{p_, q_, __fdiv_rn(1.0f, rho)};
    const float miss = __fsub_rn(1.0f, capped_sum(capped, arguments_.vocab));
    float sum = 1.0f;
    for (int32_t i = 1; i < k; ++i) {
      sum = __fmaf_rn(sum, miss, 1.0f);
    }
    return __fsub_rn(sum, rho);
  }

  __device__ __noinline__ int32_t judge_relaxed(int32_t child) {
    const int32_t start = child;
    float left = 1.0f;
    int32_t before = 0;
    bool pending = false;
    need_target();
    clear_none();
    p_.uniform = false;
    for (; child >= 0; child = next_sibling(child), ++before) {
      const int32_t x = token(child);
      float qx = in_vocabulary(x) ? 1.0f : 0.0f;
      if constexpr (kDraft) {
        qx = in_vocabulary(x) ? draft_at(x) : 0.0f;
      }
      if (!(qx > 0.0f) || is_repeated(start, before, x)) {
        continue;
      }
      if (pending) {
        left = renormalized();
        pending = false;
      }
      const float u = coin(child);
      const float px = row_element(p_, x);
      float added;
      const int32_t used = neighbours(x, relaxed_bound(left, px), &added);
      if (__fmul_rn(u, __fmul_rn(qx, left)) < __fadd_rn(px, added)) {
        return child;
      }
      clear(x);
      if (used > 0) {
        for (int64_t j = threadIdx.x; j <= arguments_.neighbours && j < arguments_.nearest_columns;
             j += kThreads) {
          const int32_t id = neighbour(x, j);
          if (in_vocabulary(id)) {
            atomicOr(&shared_[id >> 5], 1u << (id & 31));
          }
        }
        __syncthreads();
      }
      pending = true;
    }
    if (child == kBroken) {
      return kBroken;
    }
    if (pending) {
      renormalized();
    }
    draw(1.0f, 0.0f);
    return kNone;
  }

  // What is left of p; where nothing is, p becomes uniform.
  __device__ float renormalized() {
    const float left = row_sum(p_, arguments_.vocab);
    if (left > 0.0f) {
      return left;
    }
    clear_none();
    p_.uniform = true;
    return static_cast<float>(arguments_.vocab);
  }

  __device__ float relaxed_bound(float left, float px) const {
    return arguments_.delta <= 1.0f ? __fmul_rn(arguments_.delta, left)
                                    : __fmul_rn(__fsub_rn(arguments_.delta, 1.0f), px);
  }

  // How many neighbours of x have a sum within the bound, and that sum. Every warp does the same: its lanes
  // read, then all add in order.
  __device__ int32_t neighbours(int32_t x, float bound, float* added) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float sum = 0.0f;
    for (int32_t first = 0; first < arguments_.neighbours; first += 32) {
      const int32_t here = min(32, arguments_.neighbours - first);
      float value = 0.0f;
      if (lane < here) {
        const int32_t id = neighbour(x, first + lane);
        value = in_vocabulary(id) ? row_element(p_, id) : 0.0f;
      }
      for (int32_t j = 0; j < here; ++j) {
        const float with = __fadd_rn(sum, __shfl_sync(0xffffffffu, value, j));
        if (!(with <= bound)) {
          *added = sum;
          return first + j;
        }
        sum = with;
      }
    }
    *added = sum;
    return arguments_.neighbours;
  }

  __device__ int32_t neighbour(int32_t x, int64_t j) const {
    const int64_t i = x * arguments_.nearest_stride + j;
    return arguments_.wide_nearest ? __ldg(static_cast<const int*>(arguments_.nearest) + i)
                                   : __ldg(static_cast<const unsigned short*>(arguments_.nearest) + i);
  }

  __device__ __noinline__ void relaxed_greedy() {
    int32_t* path = reinterpret_cast<int32_t*>(shared_);  // the stack; every thread writes the same
    int32_t longest = 0;
    int32_t best = 0;
    int32_t level = 0;
    put(path, 0, 0);
    int32_t child = arguments_.width > 1 ? first_child(0) : kNone;
    while (true) {
      if (child == kBroken) {
        return finish(QUERN_TREE_LINK, kNone);
      }
      if (child == kNone) {
        if (level == 0) {
          break;
        }
        child = next_sibling(path[level--]);
      } else if (matches(path[level], child)) {
        put(path, ++level, child);
        if (level > longest) {
          longest = level;
          best = child;
          for (int32_t i = 1; i <= level; ++i) {
            accept(i, path[i]);
          }
        }
        child = level + 1 < arguments_.width ? first_child(child) : kNone;
      } else {
        child = next_sibling(child);
      }
    }
    depth_ = longest;
    arrive_at(best);
    finish(QUERN_TREE_OK, argmax());
  }

  __device__ static void put(int32_t* path, int32_t level, int32_t id) {
    __syncthreads();
    if (threadIdx.x == 0) {
      path[level] = id;
    }
    __syncthreads();
  }

  __device__ bool matches(int32_t parent, int32_t child) {
    const int32_t x = token(child);
    if (!in_vocabulary(x)) {
      return false;
    }
    if (node_ != parent || !ready_target_) {
      arrive_at(parent);
      need_target();
      top_ = argmax();
    }
    if (x == top_) {
      return true;
    }
    const float px = row_element(p_, x);
    float added;
    if (neighbours(x, relaxed_bound(1.0f, px), &added) == 0) {
      return false;
    }
    const float raised = __fadd_rn(px, added);
    const float highest = row_element(p_, top_);
    return raised > highest || (raised == highest && x < top_);
  }

  __device__ __noinline__ void block() {
    const int32_t last = min(count_, arguments_.width) - 1;
    float joint = 1.0f;
    float joint_at_end = 1.0f;
    int32_t end = 0;
    for (int32_t i = 1; i <= last; ++i) {
      if (node_ != i - 1) {
        arrive_at(i - 1);
      }
      const int32_t x = token(i);
      joint = in_vocabulary(x) ? ratio(__fmul_rn(joint, target_at(x)), draft_at(x)) : 0.0f;
      if (joint == 0.0f) {
        break;
      }
      float h = joint;
      if (i < last) {
        arrive_at(i);
        need_target();
        need_draft();
        const float mass = residual_mass(joint, 1.0f);
        h = mass > 0.0f ? __fdiv_rn(mass, __fadd_rn(mass, __fsub_rn(1.0f, joint))) : 0.0f;
      }
      if (uniform(arguments_.by_node ? i : i - 1) < h) {
        end = i;
        joint_at_end = joint;
      }
    }
    for (depth_ = 0; depth_ < end;) {
      ++depth_;
      accept(depth_, depth_);
    }
    if (node_ != end) {
      arrive_at(end);
    }
    need_target();
    if (end == last) {
      return draw(1.0f, 0.0f);
    }
    need_draft();
    draw(joint_at_end, 1.0f);
  }

  __device__ static float ratio(float t, float q) {
    return !(t > 0.0f) ? 0.0f : t >= q ? 1.0f : positive_part(__fdiv_rn(t, q));
  }

  __device__ __noinline__ void greedy() {
    while (true) {
      const int32_t wanted = argmax();
      int32_t child = depth_ + 1 < arguments_.width ? first_child(node_) : kNone;
      while (child >= 0 && token(child) != wanted) {
        child = next_sibling(child);
      }
      if (child < 0) {
        return finish(child == kBroken ? QUERN_TREE_LINK : QUERN_TREE_OK, child == kBroken ? kNone : wanted);
      }
      accept(++depth_, child);
      arrive_at(child);
    }
  }

  __device__ float residual_mass(float a, float c) {
    need_target();
    return residual_sum(ResidualRow<Target, Draft>{p_, q_, a, c}, arguments_.vocab);
  }

  __device__ __noinline__ void draw(float a, float c) {
    ResidualRow<Target, Draft> residual{p_, q_, a, c};
    float total = residual_sum(residual, arguments_.vocab);
    if (!(total > 0.0f) && arguments_.first_child != nullptr) {
      residual.p.cleared = nullptr;
      residual.p.uniform = false;
      residual.a = 1.0f;
      residual.c = 0.0f;
      total = residual_sum(residual, arguments_.vocab);
    }
    int32_t drawn = arguments_.vocab - 1;
    if (!(total > 0.0f)) {
      return finish(QUERN_TREE_OK, drawn);
    }
    const float passed = __fmul_rn(arguments_.final_uniforms[request_], total);
    const int32_t found = residual_search(residual, arguments_.vocab, passed);
    if (found >= 0) {
      drawn = found;
    }
    if (arguments_.distribution != nullptr) {
      float* row = arguments_.distribution + request_ * arguments_.distribution_stride;
      for (int32_t v = static_cast<int32_t>(threadIdx.x); v < arguments_.vocab; v += kThreads) {
        row[v] = __fdiv_rn(residual(v), total);
      }
    }
    finish_numbers(QUERN_TREE_OK, drawn);
  }

  __device__ void finish(int32_t status, int32_t drawn) {
    if (arguments_.distribution != nullptr) {
      float* row = arguments_.distribution + request_ * arguments_.distribution_stride;
      for (int32_t v = static_cast<int32_t>(threadIdx.x); v < arguments_.vocab; v += kThreads) {
        row[v] = v == drawn ? 1.0f : 0.0f;
      }
    }
    finish_numbers(status, drawn);
  }

  // Everything behind the path is padding; of a request that is not OK, the path too.
  __device__ void finish_numbers(int32_t status, int32_t drawn) {
    const bool ok = status == QUERN_TREE_OK;
    const int32_t nodes_of_path = ok ? depth_ + 1 : 0;
    __syncthreads();
    int32_t* row = arguments_.accepted + request_ * arguments_.accepted_stride;
    for (int64_t i = nodes_of_path + static_cast<int64_t>(threadIdx.x); i < arguments_.width; i += kThreads) {
      row[i] = kNone;
    }
    if (threadIdx.x == 0) {
      arguments_.counts[request_] = max(0, nodes_of_path - 1);
      arguments_.next[request_] = drawn;
      arguments_.status[request_] = status;
      if (arguments_.rho != nullptr) {
        arguments_.rho[request_] = ok ? last_rho_ : 0.0f;
      }
    }
  }

  __device__ void accept(int32_t position, int32_t id) {
    if (threadIdx.x == 0) {
      arguments_.accepted[request_ * arguments_.accepted_stride + position] = id;
    }
  }

  __device__ void arrive_at(int32_t id) {
    node_ = id;
    ready_target_ = false;
    ready_draft_ = false;
    begin(p_, arguments_.target + (first_ + id) * arguments_.target_stride, arguments_.target_aligned);
    if constexpr (kDraft) {
      begin(q_, arguments_.draft + (first_ + id) * arguments_.draft_stride, arguments_.draft_aligned);
    }
  }

  // A row as if it were given as probabilities, with no token cleared.
  template <typename Element>
  __device__ void begin(ProbabilityRow<Element>& row, const char* data, int32_t aligned) const {
    row.weights.row.data = data;
    row.weights.row.aligned = aligned != 0;
    row.weights.max = 0.0f;
    row.weights.inverse = inverse_;
    row.divisor = 0.0f;
    row.cleared = nullptr;
    row.uniform = false;
  }

  template <typename Element>
  __device__ void softmax(ProbabilityRow<Element>& row) {
    const int32_t top = row_argmax(row.weights.row, arguments_.vocab);
    row.weights.max = row.weights.row(top);
    row.divisor = 1.0f;
    const float total = row_sum(row, arguments_.vocab);
    if (total > 0.0f) {
      row.divisor = total;
    }
  }

  // After these p_ and q_ can be read.
  __device__ void need_target() {
    if (!ready_target_ && arguments_.target_logits) {
      softmax(p_);
    }
    ready_target_ = true;
  }
  __device__ void need_draft() {
    if constexpr (kDraft) {
      if (!ready_draft_ && arguments_.draft_logits) {
        softmax(q_);
      }
      ready_draft_ = true;
    }
  }

  __device__ float target_at(int32_t x) {
    need_target();
    return row_element(p_, x);
  }

  // NaN where that is given as a probability.
  __device__ float draft_at(int32_t x) {
    need_draft();
    const float given = q_.weights.row(x);
    return !arguments_.draft_logits && given != given ? given : row_element(q_, x);
  }

  __device__ int32_t argmax() const { return row_argmax(p_.weights.row, arguments_.vocab); }

  // Begins a node: no token is cleared.
  __device__ void clear_none() {
    if (dirty_) {
      __syncthreads();
      for (int32_t i = static_cast<int32_t>(threadIdx.x); i < (arguments_.vocab + 31) / 32; i += kThreads) {
        shared_[i] = 0;
      }
      __syncthreads();
      dirty_ = false;
    }
    p_.cleared = shared_;
    if constexpr (kDraft) {
      q_.cleared = arguments_.rule == QUERN_REJECTION_WITHOUT_REPLACEMENT ? shared_ : nullptr;
    }
  }

  __device__ void clear(int32_t x) {
    dirty_ = true;
    __syncthreads();
    if (threadIdx.x == 0) {
      shared_[x >> 5] |= 1u << (x & 31);
    }
    __syncthreads();
  }

  __device__ bool in_vocabulary(int32_t x) const { return x >= 0 && x < arguments_.vocab; }

  __device__ int32_t token(int32_t id) const { return __ldg(arguments_.tokens + first_ + id); }

  __device__ float coin(int32_t child) { return uniform(arguments_.by_node ? child : tests_++); }

  __device__ float uniform(int32_t i) const { return __ldg(arguments_.uniforms + first_ + i); }

  // Whether one of the first `before` siblings, which may run in a circle, has token x.
  __device__ bool is_repeated(int32_t start, int32_t before, int32_t x) const {
    int32_t other = start;
    for (int32_t i = 0; i < before; i++) {
      if (token(other) == x) {
        return true;
      }
      other = link(arguments_.next_sibling, other);
    }
    return false;
  }

  __device__ int32_t first_child(int32_t id) {
    if (arguments_.first_child == nullptr) {
      return id + 1 < count_ ? id + 1 : kNone;
    }
    return checked(link(arguments_.first_child, id));
  }

  __device__ int32_t next_sibling(int32_t id) {
    return arguments_.first_child == nullptr ? kNone : checked(link(arguments_.next_sibling, id));
  }

  // No node is come to twice, so there are fewer steps than nodes.
  __device__ int32_t checked(int32_t id) {
    if (id == kNone) {
      return kNone;
    }
    return id < 1 || id >= count_ || ++steps_ >= count_ ? kBroken : id;
  }

  __device__ int32_t link(const int32_t* links, int32_t id) const {
    return links == nullptr ? kNone : __ldg(links + first_ + id);
  }

  const RejectionArguments& arguments_;
  unsigned int* const shared_;  // bits of the cleared tokens; with RELAXED_GREEDY the path
  ProbabilityRow<Target> p_;
  ProbabilityRow<Draft> q_;
  int64_t request_;
  int64_t first_;
  int32_t count_;
  int32_t node_;
  int32_t depth_;
  int32_t steps_;
  int32_t tests_;
  int32_t top_;
  float inverse_;
  float last_rho_;
  bool ready_target_;
  bool ready_draft_;
  bool dirty_;
};

template <typename Target, typename Draft>
__global__ void __launch_bounds__(kRejectionThreads, 1)
    rejection_verify_kernel(RejectionArguments arguments) {
  // Functions that are not inlined take them by address, which in parameter memory would be a copy per
  // thread.
  QUERN_SHARED(RejectionArguments, shared_arguments);
  if (threadIdx.x == 0) {
    shared_arguments = arguments;
  }
  __syncthreads();
  RejectionBlock<Target, Draft> block(shared_arguments, dynamic_shared<unsigned int>());
  for (int64_t b = blockIdx.x; b < arguments.requests; b += gridDim.x) {
    block.walk(b);
    __syncthreads();
  }
}

}  // namespace quern

#endif  // QUERN_REJECTION_REJECTION_VERIFY_KERNEL_CUH_
