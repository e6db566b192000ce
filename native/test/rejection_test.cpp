// rejection_verify and seeded_coins: what the launchers refuse, one request of each rule, coins, and a graph.
// Linked twice: with libquern_emulated, and with libquern, where it is skipped without a device. Parity over
// many shapes is tested from Java.
#include "quern/rejection.h"

#include <string>

#include "operand.h"
#include "quern/tree.h"

namespace {

using quern_test::failures;
using quern_test::must;
using quern_test::Operand;

std::vector<int32_t> ints(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<int32_t> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<float> floats(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void expect_ints(const std::string& name, const Operand& operand, const std::vector<int32_t>& expected) {
  const std::vector<int32_t> got = ints(operand);
  QUERN_EXPECT(operand.guards_hold(), "%s: wrote around it", name.c_str());
  for (size_t i = 0; i < expected.size(); ++i) {
    QUERN_EXPECT(got[i] == expected[i], "%s[%zu] is %d, not %d", name.c_str(), i, got[i], expected[i]);
  }
}

quern_rejection_verify_desc good_desc(int32_t rule) {
  quern_rejection_verify_desc desc = {};
  desc.size = sizeof(desc);
  desc.rule = rule;
  desc.coins = QUERN_COINS_BY_TEST;
  desc.has_draft = rule != QUERN_REJECTION_POINT_DRAFTS && rule < QUERN_REJECTION_RELAXED ? 1 : 0;
  desc.nearest_dtype = QUERN_I32;
  desc.neighbours = 1;
  desc.delta = 0.5f;
  desc.requests = 3;
  desc.nodes = 5;
  desc.vocab = 4;
  desc.width = 3;
  desc.target_stride = desc.draft_stride = desc.distribution_stride = 4;
  desc.nearest_stride = desc.nearest_columns = 2;
  desc.accepted_stride = 3;
  return desc;
}

// Three requests: a root with the children 3 and 1 in that order, nothing, and a root alone.
struct Call {
  quern_rejection_verify_desc desc;
  Operand offsets{std::vector<int32_t>{0, 4, 4, 5}};
  Operand tokens{std::vector<int32_t>{0, 1, 2, 3, 0}};
  Operand first_child{std::vector<int32_t>{3, -1, -1, -1, -1}};
  Operand next_sibling{std::vector<int32_t>{-1, -1, -1, 1, -1}};
  Operand target{std::vector<float>{0.1f, 0.5f, 0.3f, 0.1f, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}};
  Operand draft{std::vector<float>{0.2f, 0.2f, 0.2f, 0.4f, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}};
  Operand uniforms{std::vector<float>{0.6f, 0.1f, 0.9f, 0.9f, 0.9f}};
  Operand final_uniforms{std::vector<float>{0.5f, 0.5f, 0.5f}};
  Operand nearest{std::vector<int32_t>{1, 2, 0, 2, 1, 3, 2, 0}};
  Operand accepted{9 * 4}, counts{12}, next{12}, status{12}, distribution{12 * 4}, rho{12};

  explicit Call(int32_t rule) : desc(good_desc(rule)) {}

  quern_status run() const {
    const auto data = [](const Operand& operand) { return static_cast<int32_t*>(operand.data()); };
    const bool chain = desc.rule == QUERN_REJECTION_BLOCK;
    const bool chance = desc.rule != QUERN_REJECTION_RELAXED_GREEDY;
    return quern_rejection_verify(
        &desc, 0, data(offsets), data(tokens), chain ? nullptr : data(first_child),
        chain ? nullptr : data(next_sibling), target.data(), desc.has_draft ? draft.data() : nullptr, nullptr,
        chance ? static_cast<float*>(uniforms.data()) : nullptr,
        chance ? static_cast<float*>(final_uniforms.data()) : nullptr, nearest.data(), data(accepted),
        data(counts), data(next), data(status), static_cast<float*>(distribution.data()),
        desc.rule == QUERN_REJECTION_K_SEQ ? static_cast<float*>(rho.data()) : nullptr, nullptr, 0,
        quern_test::stream());
  }

  void expect(const std::string& name, const std::vector<int32_t>& path, int32_t after) const {
    must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
    std::vector<int32_t> rows(9, -1);
    std::copy(path.begin(), path.end(), rows.begin());
    rows[6] = 0;
    expect_ints(name + ", accepted", accepted, rows);
    expect_ints(name + ", counts", counts, {static_cast<int32_t>(path.size()) - 1, 0, 0});
    expect_ints(name + ", next", next, {after, -1, 3});
    expect_ints(name + ", status", status, {QUERN_TREE_OK, QUERN_TREE_OK, QUERN_TREE_OK});
  }
};

// By hand, with p = .1 .5 .3 .1 and q = .2 .2 .2 .4 at the root.
void test_rules() {
  const struct {
    int32_t rule;
    std::vector<int32_t> path;
    int32_t next;
  } expected[] = {
      // 3: .6 * .4 > .1; r = 0 .3 .1 0, c = .4 / .6; 1: .1 * (.67 * .2) < .3. Row 1 gives 2.
      {QUERN_REJECTION_WITHOUT_REPLACEMENT, {0, 1}, 2},
      // c = .4.
      {QUERN_REJECTION_WITH_REPLACEMENT, {0, 1}, 2},
      // 3: .6 > .1; 1: .1 * .9 < .5.
      {QUERN_REJECTION_POINT_DRAFTS, {0, 1}, 2},
      // rho in [1, 2]: .6 * .4 rho > .1; .1 * .2 rho < .5.
      {QUERN_REJECTION_K_SEQ, {0, 1}, 2},
      // The chain 0, 1, 2, 3, of which width 3 leaves two tests: pi = 1, Z = 1, h = 1: .6 < 1; then
      // p[2] = 1 > q[2] = 0: pi = 1. Row 2 gives 1.
      {QUERN_REJECTION_BLOCK, {0, 1, 2}, 1},
      // 3 has the neighbour 2 with .3 <= .5: .6 > .1 + .3; then 2, 0 and 3 are gone and 1 is all that is
      // left:
      // its neighbour 0 adds nothing, .1 * .5 < .5.
      {QUERN_REJECTION_RELAXED, {0, 1}, 2},
      // 3: .1 + .3 < .5; 1 is the argmax; row 1 gives 2.
      {QUERN_REJECTION_RELAXED_GREEDY, {0, 1}, 2},
  };
  for (const auto& each : expected) {
    const Call call(each.rule);
    const std::string name = "rule " + std::to_string(each.rule);
    QUERN_EXPECT(quern_rejection_verify_prepare(&call.desc, 0) == QUERN_OK, "%s: prepare", name.c_str());
    QUERN_EXPECT(call.run() == QUERN_OK, "%s: run", name.c_str());
    call.expect(name, each.path, each.next);
    const std::vector<float> law = floats(call.distribution);
    for (int b = 0; b < 3; ++b) {
      float sum = 0;
      for (int v = 0; v < 4; ++v) sum += law[4 * b + v];
      QUERN_EXPECT(std::fabs(sum - (b == 1 ? 0.0f : 1.0f)) < 1e-5f, "%s: distribution %d adds up to %g",
                   name.c_str(), b, sum);
    }
  }
}

void test_graph() {
  Call call(QUERN_REJECTION_WITHOUT_REPLACEMENT);
  call.desc.vocab = 4;
  QUERN_EXPECT(quern_rejection_verify_prepare(&call.desc, 0) == QUERN_OK, "graph: prepare");
  must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeThreadLocal), "begin capture");
  const quern_status status = call.run();
  cudaGraph_t graph;
  must(cudaStreamEndCapture(quern_test::stream(), &graph), "end capture");
  QUERN_EXPECT(status == QUERN_OK, "graph: run is %d", status);
  cudaGraphExec_t exec;
  must(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate");
  must(cudaGraphLaunch(exec, quern_test::stream()), "cudaGraphLaunch");
  call.expect("graph", {0, 1}, 2);
  must(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
  must(cudaGraphDestroy(graph), "cudaGraphDestroy");
}

// More shared memory than a block has without asking.
void test_longest_row() {
  const int64_t vocab = QUERN_REJECTION_MAX_VOCAB;
  quern_rejection_verify_desc desc = good_desc(QUERN_REJECTION_POINT_DRAFTS);
  desc.requests = 1;
  desc.nodes = 3;
  desc.vocab = desc.target_stride = vocab;
  std::vector<float> rows(3 * vocab, 0.0f);
  rows[vocab - 1] = rows[vocab - 2] = 0.5f;
  const Operand offsets(std::vector<int32_t>{0, 3}), tokens(std::vector<int32_t>{0, 7, int32_t(vocab) - 1});
  const Operand first(std::vector<int32_t>{1, -1, -1}), sibling(std::vector<int32_t>{-1, 2, -1});
  const Operand target(rows), coins(std::vector<float>{0.9f, 0.9f, 0.9f}), final_coin(std::vector<float>{0});
  const Operand accepted(12), counts(4), next(4), status(4);
  const auto data = [](const Operand& operand) { return static_cast<int32_t*>(operand.data()); };
  QUERN_EXPECT(quern_rejection_verify_prepare(&desc, 0) == QUERN_OK, "longest row: prepare");
  QUERN_EXPECT(quern_rejection_verify(&desc, 0, data(offsets), data(tokens), data(first), data(sibling),
                                      target.data(), nullptr, nullptr, static_cast<float*>(coins.data()),
                                      static_cast<float*>(final_coin.data()), nullptr, data(accepted),
                                      data(counts), data(next), data(status), nullptr, nullptr, nullptr, 0,
                                      quern_test::stream()) == QUERN_OK,
               "longest row: run");
  must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  expect_ints("longest row, accepted", accepted, {0, -1, -1});
  expect_ints("longest row, next", next, {int32_t(vocab) - 2});
}

void test_refusals() {
  const auto refuses = [](const char* name, quern_status expected, auto spoil) {
    quern_rejection_verify_desc desc = good_desc(QUERN_REJECTION_RELAXED);
    spoil(desc);
    const quern_status got = quern_rejection_verify_prepare(&desc, 0);
    QUERN_EXPECT(got == expected, "%s is %d, not %d", name, got, expected);
  };
  using D = quern_rejection_verify_desc;
  QUERN_EXPECT(quern_rejection_verify_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "no descriptor");
  refuses("size", QUERN_INVALID_DESCRIPTOR, [](D& d) { d.size += 8; });
  refuses("rule", QUERN_INVALID_ARGUMENT, [](D& d) { d.rule = 7; });
  refuses("coins", QUERN_INVALID_ARGUMENT, [](D& d) { d.coins = 2; });
  refuses("form", QUERN_INVALID_ARGUMENT, [](D& d) { d.target_form = -1; });
  refuses("target", QUERN_UNSUPPORTED, [](D& d) { d.target_dtype = QUERN_F64; });
  refuses("draft", QUERN_INVALID_ARGUMENT, [](D& d) { d.has_draft = 2; });
  refuses("no draft", QUERN_UNSUPPORTED, [](D& d) { d.rule = QUERN_REJECTION_K_SEQ; });
  refuses("requests", QUERN_INVALID_ARGUMENT, [](D& d) { d.requests = -1; });
  refuses("nodes", QUERN_INVALID_ARGUMENT, [](D& d) { d.nodes = -1; });
  refuses("no vocabulary", QUERN_INVALID_ARGUMENT, [](D& d) { d.vocab = 0; });
  refuses("vocabulary", QUERN_UNSUPPORTED,
          [](D& d) { d.vocab = d.target_stride = QUERN_REJECTION_MAX_VOCAB + 1; });
  refuses("width", QUERN_INVALID_ARGUMENT, [](D& d) { d.width = 0; });
  refuses("stride", QUERN_INVALID_ARGUMENT, [](D& d) { d.target_stride = 3; });
  refuses("accepted", QUERN_INVALID_ARGUMENT, [](D& d) { d.accepted_stride = 2; });
  refuses("nearest", QUERN_UNSUPPORTED, [](D& d) { d.nearest_dtype = QUERN_I64; });
  refuses("neighbours", QUERN_INVALID_ARGUMENT, [](D& d) { d.neighbours = 3; });
  refuses("delta", QUERN_INVALID_ARGUMENT, [](D& d) { d.delta = NAN; });

  quern_rejection_verify_desc desc = good_desc(QUERN_REJECTION_POINT_DRAFTS);
  QUERN_EXPECT(quern_rejection_verify(&desc, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                      nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                      nullptr, nullptr, 0, nullptr) == QUERN_INVALID_ARGUMENT,
               "no operands");
  quern_seeded_coins_desc coins = {sizeof(coins), QUERN_F16, 1, 1};
  QUERN_EXPECT(quern_seeded_coins_prepare(&coins, 0) == QUERN_UNSUPPORTED, "coins of F16");
  coins = {sizeof(coins), QUERN_F32, -1, 1};
  QUERN_EXPECT(quern_seeded_coins_prepare(&coins, 0) == QUERN_INVALID_ARGUMENT, "negative requests");
  coins = {sizeof(coins), QUERN_F32, 1, 1};
  QUERN_EXPECT(quern_seeded_coins(&coins, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0,
                                  nullptr) == QUERN_INVALID_ARGUMENT,
               "coins of nothing");
}

// The hashes of seed 42 at position 5192 are those that SGLang's code gives.
void test_coins() {
  const quern_seeded_coins_desc desc = {sizeof(desc), QUERN_U32, 1, 3};
  const Operand seeds(std::vector<int64_t>{42}), positions(std::vector<int64_t>{5192});
  const Operand offsets(std::vector<int32_t>{0, 2}), coins(12), finals(4);
  QUERN_EXPECT(quern_seeded_coins_prepare(&desc, 0) == QUERN_OK, "coins: prepare");
  QUERN_EXPECT(
      quern_seeded_coins(&desc, 0, static_cast<int64_t*>(seeds.data()),
                         static_cast<int64_t*>(positions.data()), static_cast<int32_t*>(offsets.data()),
                         coins.data(), finals.data(), nullptr, 0, quern_test::stream()) == QUERN_OK,
      "coins: run");
  must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
  expect_ints("coins", coins, {608402334, static_cast<int32_t>(2555667715u), 0});
  expect_ints("final coin", finals, {1895076641});
}

}  // namespace

// `rejection_test tiny` leaves out the longest row.
int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("rejection kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  test_rules();
  test_coins();
  test_graph();
  if (count < 2 || std::strcmp(arguments[1], "tiny") != 0) {
    test_longest_row();
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
