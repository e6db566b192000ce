// The merging operators: what they refuse, and small calls against plain loops, bit by bit, launched and
// captured. The parity tests in Java have the variants. Linked twice: with libquern_emulated, and with
// libquern, where it is skipped without a device.
#include "quern/merging.h"

#include <cmath>
#include <limits>
#include <vector>

#include "operand.h"
#include "quern/gather.h"

namespace {

using quern_test::failures;
using quern_test::Operand;

template <typename T>
std::vector<T> values_of(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

constexpr float kNoThreshold = -std::numeric_limits<float>::infinity();

quern_token_match_desc bipartite(int64_t batch, int64_t tokens, int64_t dim, int64_t r) {
  quern_token_match_desc desc = {};
  desc.size = sizeof(desc);
  desc.metric_dtype = QUERN_F32;
  desc.scheme = QUERN_MERGE_BIPARTITE;
  desc.threshold = kNoThreshold;
  desc.batch = batch;
  desc.tokens = tokens;
  desc.dim = dim;
  desc.metric_stride = dim;
  desc.r = r;
  return desc;
}

template <typename Desc, typename Change>
void expect_match_status(quern_status expected, const char* what, Desc desc, Change change) {
  change(desc);
  int64_t bytes = 0;
  const quern_status status = quern_token_match_workspace(&desc, &bytes);
  QUERN_EXPECT(status == expected, "%s: status %d, expected %d", what, status, expected);
}

void test_refusals() {
  using Desc = quern_token_match_desc;
  const Desc desc = bipartite(1, 6, 4, 2);
  expect_match_status(QUERN_OK, "as it is", desc, [](Desc&) {});
  expect_match_status(QUERN_INVALID_DESCRIPTOR, "size", desc, [](Desc& d) { d.size -= 4; });
  expect_match_status(QUERN_UNSUPPORTED, "dtype", desc, [](Desc& d) { d.metric_dtype = QUERN_I32; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "scheme", desc, [](Desc& d) { d.scheme = 5; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "order", desc, [](Desc& d) { d.order = -1; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "flag", desc, [](Desc& d) { d.class_token = 2; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "threshold", desc, [](Desc& d) { d.threshold = NAN; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "dim", desc, [](Desc& d) { d.dim = 0; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "tokens", desc, [](Desc& d) { d.tokens = INT64_MAX; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "batch", desc, [](Desc& d) { d.batch = -1; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "stride", desc, [](Desc& d) { d.metric_stride = 3; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "grid", desc, [](Desc& d) { d.scheme = QUERN_MERGE_GRID; });
  expect_match_status(QUERN_INVALID_ARGUMENT, "one destination", desc, [](Desc& d) {
    d.scheme = QUERN_MERGE_HEAD_TAIL;
    d.prune = 6;
    d.keep = 1;
    d.class_token = 1;
  });
  expect_match_status(QUERN_INVALID_ARGUMENT, "all permuted", desc, [](Desc& d) {
    d.scheme = QUERN_MERGE_PERMUTED;
    d.r = 6;
  });
  QUERN_EXPECT(quern_token_match(&desc, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0,
                                 nullptr) == QUERN_INVALID_ARGUMENT,
               "no operands");
  quern_token_merge_desc merge = {};
  merge.size = sizeof(merge);
  merge.combine = QUERN_COMBINE_MIN;
  QUERN_EXPECT(quern_token_merge_prepare(&merge, 0) == QUERN_INVALID_ARGUMENT,
               "a combination merges have not");
  quern_token_unmerge_desc unmerge = {};
  unmerge.size = sizeof(unmerge) + 8;
  QUERN_EXPECT(quern_token_unmerge_prepare(&unmerge, 0) == QUERN_INVALID_DESCRIPTOR, "size of unmerge");
  quern_token_prune_desc prune = {};
  prune.size = sizeof(prune);
  QUERN_EXPECT(quern_token_prune_prepare(&prune, 0) == QUERN_INVALID_ARGUMENT, "no heads");
}

// Tokens on a line between two directions: their similarity falls with their distance, so that the plan is
// known. In two launches, or as one step.
void test_match_and_merge(bool step, bool captured) {
  constexpr int64_t kBatch = 3, kTokens = 8, kDim = 2, kMerges = 2;
  // Tokens 2 and 3, then 6 and 1 are nearly equal; the others are far apart.
  const float angles[kTokens] = {0.0f, 0.9f, 2.0f, 2.001f, 3.5f, 4.6f, 0.91f, 5.7f};
  std::vector<float> metric;
  std::vector<float> x;
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t n = 0; n < kTokens; ++n) {
      metric.push_back((1.0f + static_cast<float>(n)) * std::cos(angles[n]));
      metric.push_back((1.0f + static_cast<float>(n)) * std::sin(angles[n]));
      x.push_back(static_cast<float>(16 * b + n));
    }
  }
  const quern_token_match_desc match = bipartite(kBatch, kTokens, kDim, kMerges);
  int64_t bytes = 0;
  QUERN_EXPECT(quern_token_match_workspace(&match, &bytes) == QUERN_OK, "workspace");
  quern_token_merge_desc merge = {};
  merge.size = sizeof(merge);
  merge.combine = QUERN_COMBINE_MEAN;
  merge.least_size = kNoThreshold;
  merge.batch = kBatch;
  merge.tokens = kTokens;
  merge.merged = kTokens - kMerges;
  merge.dim = merge.x_stride = merge.out_stride = 1;
  QUERN_EXPECT(quern_token_match_prepare(&match, 0) == QUERN_OK, "prepare match");
  QUERN_EXPECT(quern_token_merge_prepare(&merge, 0) == QUERN_OK, "prepare merge");
  quern_merge_step_desc both = {};
  both.size = sizeof(both);
  both.match = match;
  both.merge = merge;
  QUERN_EXPECT(quern_merge_step_prepare(&both, 0) == QUERN_OK, "prepare step");

  const Operand metric_operand(metric);
  const Operand x_operand(x);
  Operand workspace(static_cast<size_t>(bytes));
  Operand slot(kBatch * kTokens * sizeof(int32_t));
  Operand count(kBatch * sizeof(int32_t));
  Operand out(static_cast<size_t>(kBatch * merge.merged) * sizeof(float));
  Operand size(static_cast<size_t>(kBatch * merge.merged) * sizeof(float));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  if (captured) {
    quern_test::must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeThreadLocal),
                     "capture");
  }
  int32_t* slots_out = static_cast<int32_t*>(slot.data());
  int32_t* counts_out = static_cast<int32_t*>(count.data());
  float* sizes_out = static_cast<float*>(size.data());
  if (step) {
    const quern_status status = quern_merge_step(&both, 0, metric_operand.data(), nullptr, nullptr, nullptr,
                                                 x_operand.data(), nullptr, nullptr, slots_out, nullptr,
                                                 counts_out, out.data(), sizes_out, quern_test::stream());
    QUERN_EXPECT(status == QUERN_OK, "step: %d", status);
  } else {
    quern_status status =
        quern_token_match(&match, 0, metric_operand.data(), nullptr, nullptr, slots_out, nullptr, counts_out,
                          workspace.data(), bytes, quern_test::stream());
    QUERN_EXPECT(status == QUERN_OK, "match: %d", status);
    status = quern_token_merge(&merge, 0, x_operand.data(), slots_out, nullptr, nullptr, out.data(),
                               sizes_out, quern_test::stream());
    QUERN_EXPECT(status == QUERN_OK, "merge: %d", status);
  }
  if (captured) {
    quern_test::must(cudaStreamEndCapture(quern_test::stream(), &graph), "cudaStreamEndCapture");
    quern_test::must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    quern_test::must(cudaGraphLaunch(executable, quern_test::stream()), "cudaGraphLaunch");
  }
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");

  // Unmerged sources 0 and 4 by descending similarity, then destinations 1, 3, 5, 7. Token 4's nearest is 5,
  // at 1.1; token 0's is 7, at 0.58.
  const int32_t slots[kTokens] = {0, 2, 3, 3, 1, 4, 2, 5};
  const float merged[kTokens - kMerges] = {0.0f, 4.0f, 3.5f, 2.5f, 5.0f, 7.0f};
  const float sizes[kTokens - kMerges] = {1.0f, 1.0f, 2.0f, 2.0f, 1.0f, 1.0f};
  const std::vector<int32_t> slot_values = values_of<int32_t>(slot);
  const std::vector<int32_t> counts = values_of<int32_t>(count);
  const std::vector<float> out_values = values_of<float>(out);
  const std::vector<float> size_values = values_of<float>(size);
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t n = 0; n < kTokens; ++n) {
      QUERN_EXPECT(slot_values[b * kTokens + n] == slots[n], "slot of token %d is %d", static_cast<int>(n),
                   slot_values[b * kTokens + n]);
    }
    for (int64_t m = 0; m < merge.merged; ++m) {
      const float value = out_values[b * merge.merged + m];
      QUERN_EXPECT(value == 16.0f * static_cast<float>(b) + merged[m], "row %d is %f", static_cast<int>(m),
                   static_cast<double>(value));
      QUERN_EXPECT(size_values[b * merge.merged + m] == sizes[m], "size %d", static_cast<int>(m));
    }
    QUERN_EXPECT(counts[b] == kTokens - kMerges, "count %d", counts[b]);
  }
  for (const Operand* operand : {&slot, &count, &out, &size, &workspace}) {
    QUERN_EXPECT(operand->guards_hold(), "written outside an operand");
  }
  if (captured) {
    quern_test::must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    quern_test::must(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
}

// Of six tokens the five most important, the class token first, then four: 4 goes into 2, whose features are
// alike.
void test_diffrate() {
  constexpr int64_t kTokens = 6, kKept = 4;
  quern_merge_step_desc desc = {};
  desc.size = sizeof(desc);
  desc.match = bipartite(1, kTokens, 2, 0);
  desc.match.scheme = QUERN_MERGE_HEAD_TAIL;
  desc.match.class_token = 1;
  desc.match.prune = 5;
  desc.match.keep = kKept;
  desc.merge.size = sizeof(desc.merge);
  desc.merge.combine = QUERN_COMBINE_MEAN;
  desc.merge.least_size = kNoThreshold;
  desc.merge.batch = 1;
  desc.merge.tokens = kTokens;
  desc.merge.merged = kKept;
  desc.merge.dim = desc.merge.x_stride = desc.merge.out_stride = 2;
  desc.heads = 1;
  desc.attention_stride = kTokens;
  const Operand x(std::vector<float>{1, 1, 9, 9, 1, 0, 0, 1, 3, 0, -1, 0});
  const Operand attention(std::vector<float>{0, 1, 5, 4, 2, 3});
  Operand order(kTokens * sizeof(int32_t));
  Operand slot(kTokens * sizeof(int32_t));
  Operand similarity(kTokens * sizeof(float));
  Operand out(kKept * 2 * sizeof(float));
  Operand size(kKept * sizeof(float));
  float* similarities = static_cast<float*>(similarity.data());
  const auto call = [&] {
    return quern_merge_step(&desc, 0, x.data(), static_cast<const float*>(attention.data()),
                            static_cast<int32_t*>(order.data()), nullptr, x.data(), nullptr, similarities,
                            static_cast<int32_t*>(slot.data()), similarities, nullptr, out.data(),
                            static_cast<float*>(size.data()), quern_test::stream());
  };
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_OK, "prepare");
  QUERN_EXPECT(call() == QUERN_OK, "diffrate");
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  QUERN_EXPECT((values_of<int32_t>(order) == std::vector<int32_t>{0, 2, 3, 5, 4, 1}), "order");
  QUERN_EXPECT((values_of<int32_t>(slot) == std::vector<int32_t>{0, -1, 1, 2, 1, 3}), "slot");
  QUERN_EXPECT((values_of<float>(similarity) == std::vector<float>{1, 0, 1, 1, 1, 1}), "similarity");
  QUERN_EXPECT((values_of<float>(out) == std::vector<float>{1, 1, 2, 0, 0, 1, -1, 0}), "out");
  QUERN_EXPECT((values_of<float>(size) == std::vector<float>{1, 2, 1, 1}), "size");
  for (const Operand* operand : {&order, &slot, &similarity, &out, &size}) {
    QUERN_EXPECT(operand->guards_hold(), "written outside an operand");
  }
  desc.attention_stride = kTokens - 1;
  QUERN_EXPECT(call() == QUERN_INVALID_ARGUMENT, "stride of attention");
  desc.heads = 0;
  QUERN_EXPECT(call() == QUERN_INVALID_ARGUMENT, "attention of no heads");
  desc.merge.tokens = 7;
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "other tokens");
  desc.merge.tokens = desc.match.tokens = QUERN_MERGE_STEP_TOKENS + 1;
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_UNSUPPORTED, "too many tokens");
  desc.match.metric_dtype = QUERN_I32;
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_UNSUPPORTED, "dtype");
  desc.merge.size = 0;
  desc.match.metric_dtype = QUERN_F32;
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_INVALID_DESCRIPTOR, "size of merge");
  desc.size = 0;
  QUERN_EXPECT(quern_merge_step_prepare(&desc, 0) == QUERN_INVALID_DESCRIPTOR, "size of step");
}

void test_prune() {
  quern_token_prune_desc desc = {};
  desc.size = sizeof(desc);
  desc.class_token = 1;
  desc.batch = 1;
  desc.heads = 2;
  desc.tokens = desc.attention_stride = 5;
  desc.keep = 3;
  const Operand attention(std::vector<float>{0.0f, 1.0f, 2.0f, NAN, 2.0f, 0.0f, 3.0f, 2.0f, 1.0f, 4.0f});
  Operand order(5 * sizeof(int32_t));
  Operand slot(5 * sizeof(int32_t));
  const quern_status status = quern_token_prune(
      &desc, 0, static_cast<const float*>(attention.data()), static_cast<int32_t*>(order.data()),
      static_cast<int32_t*>(slot.data()), nullptr, 0, quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "prune: %d", status);
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  QUERN_EXPECT((values_of<int32_t>(order) == std::vector<int32_t>{0, 4, 1, 2, 3}), "order");
  QUERN_EXPECT((values_of<int32_t>(slot) == std::vector<int32_t>{0, 2, -1, -1, 1}), "slot");
  QUERN_EXPECT(order.guards_hold() && slot.guards_hold(), "written outside an operand");
}

void test_source_map() {
  quern_source_map_desc desc = {};
  desc.size = sizeof(desc);
  desc.matrix_dtype = QUERN_F32;
  desc.batch = 2;
  desc.sources = 4;
  desc.tokens = 3;
  desc.merged = 2;
  const Operand slot(std::vector<int32_t>{0, 1, 1, 1, -1, 2});
  const Operand source(std::vector<int32_t>{2, 1, 0, -1, 0, 1, 2, 3});
  Operand groups(8 * sizeof(int32_t));
  Operand matrix(16 * sizeof(float));
  QUERN_EXPECT(quern_source_map(&desc, 0, static_cast<const int32_t*>(slot.data()), nullptr,
                                static_cast<int32_t*>(groups.data()), nullptr,
                                quern_test::stream()) == QUERN_INVALID_ARGUMENT,
               "no sources of another number");
  QUERN_EXPECT(quern_source_map_prepare(&desc, 0) == QUERN_OK, "prepare");
  const quern_status status = quern_source_map(
      &desc, 0, static_cast<const int32_t*>(slot.data()), static_cast<const int32_t*>(source.data()),
      static_cast<int32_t*>(groups.data()), matrix.data(), quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "source map: %d", status);
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  QUERN_EXPECT((values_of<int32_t>(groups) == std::vector<int32_t>{1, 1, 0, -1, 1, -1, -1, -1}), "groups");
  QUERN_EXPECT(
      (values_of<float>(matrix) == std::vector<float>{0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}),
      "matrix");
  QUERN_EXPECT(groups.guards_hold() && matrix.guards_hold(), "written outside an operand");
  desc.merged = -1;
  QUERN_EXPECT(quern_source_map_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "merged");
  desc.size = 0;
  QUERN_EXPECT(quern_source_map_prepare(&desc, 0) == QUERN_INVALID_DESCRIPTOR, "size of source map");
}

void test_delete_gate() {
  quern_delete_gate_desc desc = {};
  desc.size = sizeof(desc);
  desc.dtype = QUERN_F32;
  desc.rows = 4;
  desc.dim = desc.x_stride = 2;
  desc.scale = -30.0f;
  desc.threshold = -15.0f;
  const Operand x(std::vector<float>{1.0f, 0.0f, -1.0f, 0.0f, 0.0f, 9.0f, NAN, 0.0f});
  const Operand weight(std::vector<float>{200.0f, 0.0f});
  const Operand group(std::vector<int32_t>{5, 6, 7, 8});
  Operand gate(4 * sizeof(float));
  Operand key(4 * sizeof(int32_t));
  QUERN_EXPECT(quern_delete_gate_prepare(&desc, 0) == QUERN_OK, "prepare");
  const quern_status status = quern_delete_gate(
      &desc, 0, x.data(), static_cast<const float*>(weight.data()), static_cast<const int32_t*>(group.data()),
      static_cast<float*>(gate.data()), static_cast<int32_t*>(key.data()), quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "delete gate: %d", status);
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  // At z = 0 the gate is half of its scale, which is deleted; NaN is not.
  const std::vector<float> gates = values_of<float>(gate);
  QUERN_EXPECT(gates[0] == -30.0f && gates[1] == 0.0f && gates[2] == -15.0f && gates[3] != gates[3], "gates");
  QUERN_EXPECT((values_of<int32_t>(key) == std::vector<int32_t>{-1, 6, -1, 8}), "keys");
  QUERN_EXPECT(gate.guards_hold() && key.guards_hold(), "written outside an operand");
  desc.normalized = 1;
  desc.epsilon = -1.0f;
  QUERN_EXPECT(quern_delete_gate_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "epsilon");
  desc.epsilon = 0.0f;
  desc.dim = 0;
  QUERN_EXPECT(quern_delete_gate_prepare(&desc, 0) == QUERN_INVALID_ARGUMENT, "dim");
}

}  // namespace

int main() {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("merging kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  for (const bool step : {false, true}) {
    test_match_and_merge(step, false);
    test_match_and_merge(step, true);
  }
  test_diffrate();
  test_prune();
  test_source_map();
  test_delete_gate();
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}
