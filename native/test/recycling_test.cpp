// adjacency_fill against plain loops. Linked twice: with libquern_emulated, and with libquern, where it is
// skipped without a device.
#include "quern/recycling.h"

#include <functional>
#include <string>

#include "operand.h"
#include "quern/tree.h"

namespace {

using quern_test::failures;
using quern_test::Operand;
using quern_test::Random;

constexpr int32_t kUntouched = static_cast<int32_t>(0xa5a5a5a5);  // four bytes of poison
constexpr int64_t kLaunch = 7;

struct Batch {
  std::vector<int32_t> offsets = {0}, parent, rank, roots;

  void add(int32_t nodes, int32_t vocab, int32_t candidates, bool chain, Random& random) {
    for (int32_t i = 0; i < nodes; ++i) {
      parent.push_back(i == 0 ? -1 : chain ? i - 1 : static_cast<int32_t>(random.below(i)));
      rank.push_back(static_cast<int32_t>(random.below(candidates)));
    }
    offsets.push_back(static_cast<int32_t>(parent.size()));
    roots.push_back(static_cast<int32_t>(random.below(vocab)));
  }
};

quern_adjacency_fill_desc describe(const Batch& batch, int32_t policy, int64_t vocab, int64_t candidates,
                                   int64_t stride) {
  quern_adjacency_fill_desc desc = {};
  desc.size = sizeof(desc);
  desc.policy = policy;
  desc.requests = static_cast<int64_t>(batch.roots.size());
  desc.nodes = static_cast<int64_t>(batch.parent.size());
  desc.vocab = vocab;
  desc.candidates = candidates;
  desc.stride = stride;
  desc.launch = kLaunch;
  return desc;
}

std::vector<int32_t> read(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<int32_t> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// Fills the batch once directly and once from a graph, and compares both with plain loops.
void run(const char* name, const Batch& batch, const std::vector<int32_t>& matrix, int32_t policy,
         int32_t vocab, int32_t candidates, int32_t stride) {
  std::vector<int32_t> tokens(batch.parent.size(), kUntouched), status;
  int64_t bad = -1;
  for (size_t b = 0; b < batch.roots.size(); ++b) {
    const int32_t begin = batch.offsets[b], end = batch.offsets[b + 1];
    bool good = begin >= 0 && begin <= end && end <= static_cast<int64_t>(batch.parent.size());
    for (size_t a = 0; a < b; ++a) good = good && batch.offsets[a] <= begin;
    int32_t found = good ? QUERN_TREE_OK : QUERN_TREE_OFFSETS;
    for (int32_t i = begin; good && i < end; ++i) {
      const int32_t p = batch.parent[i];
      if (i == begin && p != -1) found = QUERN_TREE_ROOT;
      if (i > begin && (p < 0 || p >= i - begin) && found == QUERN_TREE_OK) found = QUERN_TREE_PARENT;
    }
    status.push_back(found);
    for (int32_t i = begin; good && i < end; ++i) {
      int32_t& token = tokens[i];
      token = i == begin ? batch.roots[b] : -1;
      if (found != QUERN_TREE_OK) token = -1;
      if (i == begin || found != QUERN_TREE_OK) continue;
      const int32_t position = begin + batch.parent[i], before = tokens[position], rank = batch.rank[i];
      if (before == -1 || rank < 0 || rank >= candidates) continue;
      if (before >= 0 && before < vocab) {
        token = matrix[before * stride + rank];
      } else if (policy == QUERN_INDEX_ZERO) {
        token = 0;
      } else if (policy == QUERN_INDEX_CLAMP) {
        token = matrix[(before < 0 ? 0 : vocab - 1) * stride + rank];
      } else if (policy == QUERN_INDEX_FAIL && (bad < 0 || position < bad)) {
        bad = position;
      }
    }
  }

  const quern_adjacency_fill_desc desc = describe(batch, policy, vocab, candidates, stride);
  const quern_error_record empty = {};
  const Operand adjacency(matrix), roots(batch.roots), parent(batch.parent), rank(batch.rank),
      offsets(batch.offsets);
  QUERN_EXPECT(quern_adjacency_fill_prepare(&desc, 0) == QUERN_OK, "%s: prepare", name);
  for (const bool captured : {false, true}) {
    const Operand out(4 * tokens.size()), found(4 * status.size()), record(&empty, sizeof(empty));
    const auto call = [&] {
      return quern_adjacency_fill(&desc, 0, static_cast<int32_t*>(adjacency.data()),
                                  static_cast<int32_t*>(roots.data()), static_cast<int32_t*>(parent.data()),
                                  static_cast<int32_t*>(rank.data()), static_cast<int32_t*>(offsets.data()),
                                  static_cast<int32_t*>(out.data()), static_cast<int32_t*>(found.data()),
                                  static_cast<quern_error_record*>(record.data()), nullptr, 0,
                                  quern_test::stream());
    };
    if (captured) {
      cudaGraph_t graph;
      cudaGraphExec_t launchable;
      quern_test::must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeRelaxed), "capture");
      QUERN_EXPECT(call() == QUERN_OK, "%s: captured", name);
      quern_test::must(cudaStreamEndCapture(quern_test::stream(), &graph), "end of capture");
      quern_test::must(cudaGraphInstantiate(&launchable, graph, 0), "instantiate");
      quern_test::must(cudaGraphLaunch(launchable, quern_test::stream()), "launch");
      quern_test::must(cudaStreamSynchronize(quern_test::stream()), "synchronize");
      quern_test::must(cudaGraphExecDestroy(launchable), "destroy");
      quern_test::must(cudaGraphDestroy(graph), "destroy");
    } else {
      QUERN_EXPECT(call() == QUERN_OK, "%s", name);
    }
    QUERN_EXPECT(read(out) == tokens, "%s, policy %d: tokens", name, policy);
    QUERN_EXPECT(read(found) == status, "%s, policy %d: status", name, policy);
    quern_error_record reported;
    std::memcpy(&reported, record.read().data(), sizeof(reported));
    QUERN_EXPECT(bad < 0 ? reported.kind == QUERN_DATA_OK
                         : reported.kind == QUERN_DATA_INDEX && reported.position == bad &&
                               reported.value == tokens[bad] && reported.limit == vocab &&
                               reported.launch == kLaunch,
                 "%s, policy %d: recorded %d at %lld", name, policy, reported.kind,
                 static_cast<long long>(reported.position));
    QUERN_EXPECT(out.guards_hold() && found.guards_hold(), "%s: wrote around its outputs", name);
  }
}

std::vector<int32_t> random_matrix(int32_t vocab, int32_t stride, bool bad, Random& random) {
  std::vector<int32_t> matrix(static_cast<size_t>(vocab) * stride);
  for (int32_t& token : matrix) {
    token = static_cast<int32_t>(random.below(vocab));
    if (bad && random.below(8) == 0) token = random.below(2) == 0 ? -1 : vocab + 5;
  }
  return matrix;
}

void test_fill(bool tiny) {
  Random random(1);
  for (const int32_t policy : {QUERN_INDEX_FAIL, QUERN_INDEX_ZERO, QUERN_INDEX_CLAMP, QUERN_INDEX_SKIP}) {
    for (const bool chain : {false, true}) {
      Batch batch;
      for (const int32_t nodes : {1, 0, 2, 40, 81}) {
        if (!tiny || nodes <= 40) batch.add(nodes, 30, 4, chain, random);
      }
      run("good tokens", batch, random_matrix(30, 6, false, random), policy, 30, 4, 6);
      run("bad tokens", batch, random_matrix(30, 4, true, random), policy, 30, 4, 4);
      Batch spoilt = batch;
      spoilt.parent[spoilt.offsets[2]] = 0;
      spoilt.parent[spoilt.offsets[3] + 39] = 39;
      spoilt.rank[spoilt.offsets[3] + 1] = 4;
      run("bad parents", spoilt, random_matrix(30, 4, false, random), policy, 30, 4, 4);
      spoilt = batch;
      spoilt.offsets[1] = -3;
      spoilt.offsets[3] = spoilt.offsets[2] - 1;
      run("bad offsets", spoilt, random_matrix(30, 4, false, random), policy, 30, 4, 4);
    }
  }
}

// Every way to be wrong has its status, before anything is launched.
void test_refusals() {
  alignas(64) static unsigned char memory[256];
  struct Call {
    quern_adjacency_fill_desc desc = {};
    void* operands[7];
    void* errors = memory;
  };
  Call good;
  for (void*& operand : good.operands) operand = memory;
  good.desc.size = sizeof(good.desc);
  good.desc.requests = 1;
  good.desc.nodes = good.desc.vocab = good.desc.candidates = good.desc.stride = 2;
  const auto refuses = [&](const char* what, quern_status expected,
                           const std::function<void(Call&)>& change) {
    Call call = good;
    change(call);
    int32_t* of[7];
    for (int i = 0; i < 7; ++i) of[i] = static_cast<int32_t*>(call.operands[i]);
    const quern_status status =
        quern_adjacency_fill(&call.desc, 0, of[0], of[1], of[2], of[3], of[4], of[5], of[6],
                             static_cast<quern_error_record*>(call.errors), nullptr, 0, nullptr);
    QUERN_EXPECT(status == expected, "%s: status %d, expected %d", what, status, expected);
  };
  QUERN_EXPECT(quern_adjacency_fill_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "no descriptor");
  refuses("size", QUERN_INVALID_DESCRIPTOR, [](Call& c) { c.desc.size -= 8; });
  refuses("policy", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.policy = 4; });
  refuses("requests", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.requests = -1; });
  refuses("nodes", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.nodes = -1; });
  refuses("vocab", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.vocab = -1; });
  refuses("candidates", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.candidates = -1; });
  refuses("stride", QUERN_INVALID_ARGUMENT, [](Call& c) { c.desc.stride = 1; });
  for (int i = 0; i < 7; ++i) {
    refuses("null operand", QUERN_INVALID_ARGUMENT, [&](Call& c) { c.operands[i] = nullptr; });
    refuses("odd operand", QUERN_MISALIGNED, [&](Call& c) { c.operands[i] = memory + 1; });
  }
  refuses("null record", QUERN_INVALID_ARGUMENT, [](Call& c) { c.errors = nullptr; });
  refuses("record on 32 bytes", QUERN_MISALIGNED, [&](Call& c) { c.errors = memory + 32; });
  refuses("nothing to do", QUERN_OK, [](Call& c) {
    c.desc.requests = 0;
    for (void*& operand : c.operands) operand = nullptr;
  });
}

}  // namespace

// `recycling_test tiny` leaves out what ThreadSanitizer has no time for.
int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("recycling kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  test_fill(count > 1 && std::strcmp(arguments[1], "tiny") == 0);
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}
