// tree_verify: what the launcher refuses, small trees against plain loops, and a graph. Linked twice: with
// libquern_emulated, and with libquern, where it is skipped without a device. Parity over many shapes,
// typical acceptance and logits that are sampled from are tested from Java.
#include "quern/verify.h"

#include <algorithm>
#include <functional>
#include <string>

#include "operand.h"

namespace {

using quern_test::element_bytes;
using quern_test::failures;
using quern_test::must;
using quern_test::Operand;
using quern_test::Random;

constexpr int32_t kBad = 1 << 20;

std::vector<int32_t> ints(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<int32_t> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// A batch of trees and what the target says of each node, on the host. Probabilities are sixteenths and coins
// lie between them, so that no sum is rounded.
struct Batch {
  std::vector<int32_t> offsets{0}, tokens, first_child, next_sibling, parents, paths;
  std::vector<float> rows, uniforms, final_uniforms;
  int64_t vocab, path_count = 0, path_width = 0;

  Batch(const std::vector<int32_t>& sizes, int64_t vocab, bool sampled, Random& random) : vocab(vocab) {
    for (const int32_t n : sizes) add(n, sampled, random);
    list_paths();
  }

  int64_t requests() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t nodes() const { return static_cast<int64_t>(tokens.size()); }
  float value(int64_t node, int64_t token) const { return rows[node * vocab + token]; }

  int32_t argmax(int64_t node) const {
    int32_t best = 0;
    for (int32_t i = 1; i < vocab; ++i) {
      if (value(node, i) > value(node, best)) best = i;
    }
    return best;
  }

 private:
  void add(int32_t n, bool sampled, Random& random) {
    const int64_t first = nodes();
    offsets.push_back(offsets.back() + n);
    final_uniforms.push_back(coin(random));
    for (int32_t i = 0; i < n; ++i) {
      const int32_t parent = i == 0 ? -1 : static_cast<int32_t>(random.below(i));
      parents.push_back(parent);
      tokens.push_back(static_cast<int32_t>(random.below(vocab)));
      first_child.push_back(-1);
      next_sibling.push_back(-1);
      uniforms.push_back(coin(random));
      if (i > 0) {  // before its elder siblings
        next_sibling[first + i] = first_child[first + parent];
        first_child[first + parent] = i;
      }
    }
    for (int32_t i = 0; i < n; ++i) {
      std::vector<float> row(vocab, sampled ? 0.0f : -1.0f);
      for (int k = 0; k < 16; ++k) row[random.below(vocab)] += 0.0625f;
      const int32_t child = first_child[first + i];
      if (child >= 0 && random.below(4) > 0 && !sampled) row[tokens[first + child]] = 2.0f;
      rows.insert(rows.end(), row.begin(), row.end());
    }
  }

  static float coin(Random& random) { return (static_cast<float>(random.below(16)) + 0.5f) / 16; }

  // One path for each node, which need not be a leaf.
  void list_paths() {
    for (size_t b = 0; b + 1 < offsets.size(); ++b) {
      path_count = std::max<int64_t>(path_count, offsets[b + 1] - offsets[b]);
    }
    path_width = path_count;
    paths.assign(requests() * path_count * path_width, -1);
    for (int64_t b = 0; b < requests(); ++b) {
      for (int32_t leaf = 0; leaf < offsets[b + 1] - offsets[b]; ++leaf) {
        std::vector<int32_t> path;
        for (int32_t i = leaf; i >= 0; i = parents[offsets[b] + i]) path.insert(path.begin(), i);
        std::copy(path.begin(), path.end(), paths.begin() + (b * path_count + leaf) * path_width);
      }
    }
  }
};

struct Answer {
  std::vector<int32_t> accepted;
  int32_t next = -1, status = QUERN_TREE_OK;
};

// Greedily or by coins, from the documentation.
Answer follow_links(const Batch& batch, int64_t b, int64_t width, bool draws) {
  const int32_t first = batch.offsets[b], n = batch.offsets[b + 1] - first;
  Answer answer;
  if (n == 0) {
    answer.status = QUERN_TREE_EMPTY;
    return answer;
  }
  answer.accepted = {0};
  int32_t seen = 0;
  for (;;) {
    const int64_t node = first + answer.accepted.back();
    std::vector<float> rest(batch.rows.begin() + node * batch.vocab,
                            batch.rows.begin() + (node + 1) * batch.vocab);
    int32_t child = static_cast<int64_t>(answer.accepted.size()) < width ? batch.first_child[node] : -1;
    float passed = 0.0f;
    for (; child != -1; child = batch.next_sibling[first + child]) {
      if (child <= 0 || child >= n || ++seen >= n) {
        answer = {};
        answer.status = QUERN_TREE_LINK;
        return answer;
      }
      const int32_t token = batch.tokens[first + child];
      passed += batch.value(node, token);
      if (draws ? batch.uniforms[node] <= passed : token == batch.argmax(node)) break;
      rest[token] = 0.0f;
    }
    if (child != -1) {
      answer.accepted.push_back(child);
      continue;
    }
    answer.next = batch.argmax(node);
    if (draws) {
      float total = 0.0f, prefix = 0.0f;
      for (const float p : rest) total += p;
      answer.next = static_cast<int32_t>(batch.vocab) - 1;
      for (int32_t i = static_cast<int32_t>(batch.vocab) - 1; i >= 0; --i) {
        if (rest[i] > 0.0f) {
          answer.next = i;
          break;
        }
      }
      for (int32_t i = 0; i < batch.vocab; ++i) {
        prefix += rest[i];
        if (rest[i] > 0.0f && prefix > batch.final_uniforms[b] * total) {
          answer.next = i;
          break;
        }
      }
    }
    return answer;
  }
}

Answer follow_paths(const Batch& batch, int64_t b, int64_t width, bool deepest) {
  const int32_t first = batch.offsets[b], n = batch.offsets[b + 1] - first;
  Answer answer;
  if (n == 0) {
    answer.status = QUERN_TREE_EMPTY;
    return answer;
  }
  answer.accepted = {0};
  for (int64_t r = 0; r < batch.path_count; ++r) {
    const int32_t* path = &batch.paths[(b * batch.path_count + r) * batch.path_width];
    if (path[0] == -1) continue;
    std::vector<int32_t> run{0};
    for (int64_t c = 1; c < std::min(width, batch.path_width) && path[c] != -1; ++c) {
      if (batch.tokens[first + path[c]] != batch.argmax(first + path[c - 1])) break;
      run.push_back(path[c]);
    }
    if (run.size() > answer.accepted.size() ||
        (deepest && run.size() == answer.accepted.size() && run.back() < answer.accepted.back())) {
      answer.accepted = run;
    }
  }
  answer.next = batch.argmax(first + answer.accepted.back());
  return answer;
}

struct Call {
  quern_tree_verify_desc desc = {};
  const int32_t *offsets = nullptr, *tokens = nullptr, *first_child = nullptr, *next_sibling = nullptr,
                *paths = nullptr;
  const void* target = nullptr;
  const float *temperatures = nullptr, *uniforms = nullptr, *final_uniforms = nullptr;
  int32_t *accepted = nullptr, *counts = nullptr, *next = nullptr, *status = nullptr;

  quern_status run(void* stream) const {
    return quern_tree_verify(&desc, 0, offsets, tokens, first_child, next_sibling, paths, target,
                             temperatures, uniforms, final_uniforms, accepted, counts, next, status, nullptr,
                             0, stream);
  }
};

struct Variant {
  int32_t rule, target, dtype;
  int64_t width, padding, shift;  // of the target: elements between rows, and before the first
  bool captured;
};

void test(const std::string& name, const Batch& batch, const Variant& variant) {
  const bool ids = variant.target == QUERN_TARGET_IDS;
  const bool draws = variant.rule == QUERN_VERIFY_TARGET_ONLY;
  const bool links = draws || variant.rule == QUERN_VERIFY_GREEDY_LINKED;
  const int64_t stride = ids ? 1 : batch.vocab + variant.padding;
  const size_t element = ids ? 4 : element_bytes(variant.dtype);
  std::vector<unsigned char> rows(batch.nodes() * stride * element, quern_test::kPoison);
  for (int64_t node = 0; node < batch.nodes(); ++node) {
    if (ids) {
      const int32_t id = batch.argmax(node);
      std::memcpy(&rows[node * 4], &id, 4);
    }
    for (int64_t i = 0; i < batch.vocab && !ids; ++i) {
      quern_test::store_element(variant.dtype, &rows[(node * stride + i) * element], batch.value(node, i));
    }
  }
  const Operand target(rows, variant.shift * element);
  const Operand offsets(batch.offsets), tokens(batch.tokens), first_child(batch.first_child),
      next_sibling(batch.next_sibling), paths(batch.paths), uniforms(batch.uniforms),
      final_uniforms(batch.final_uniforms);
  const int64_t accepted_stride = variant.width + 1;
  const Operand accepted(batch.requests() * accepted_stride * 4), counts(batch.requests() * 4),
      next(batch.requests() * 4), status(batch.requests() * 4);
  Call call;
  call.desc.size = sizeof(call.desc);
  call.desc.rule = variant.rule;
  call.desc.target = variant.target;
  call.desc.target_dtype = ids ? QUERN_I32 : variant.dtype;
  call.desc.requests = batch.requests();
  call.desc.nodes = batch.nodes();
  call.desc.vocab = ids ? 1 : batch.vocab;
  call.desc.target_stride = stride;
  call.desc.path_count = links ? 0 : batch.path_count;
  call.desc.path_width = links ? 0 : batch.path_width;
  call.desc.width = variant.width;
  call.desc.accepted_stride = accepted_stride;
  call.desc.threshold_single = call.desc.threshold_acc = 1.0f;
  call.offsets = static_cast<const int32_t*>(offsets.data());
  call.tokens = static_cast<const int32_t*>(tokens.data());
  if (links) {
    call.first_child = static_cast<const int32_t*>(first_child.data());
    call.next_sibling = static_cast<const int32_t*>(next_sibling.data());
  } else {
    call.paths = static_cast<const int32_t*>(paths.data());
  }
  call.target = target.data();
  if (draws) {
    call.uniforms = static_cast<const float*>(uniforms.data());
    call.final_uniforms = static_cast<const float*>(final_uniforms.data());
  }
  call.accepted = static_cast<int32_t*>(accepted.data());
  call.counts = static_cast<int32_t*>(counts.data());
  call.next = static_cast<int32_t*>(next.data());
  call.status = static_cast<int32_t*>(status.data());

  quern_status result = quern_tree_verify_prepare(&call.desc, 0);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  if (variant.captured) {
    must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeThreadLocal), "begin capture");
  }
  if (result == QUERN_OK) result = call.run(quern_test::stream());
  if (variant.captured) {
    must(cudaStreamEndCapture(quern_test::stream(), &graph), "end capture");
    must(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
    must(cudaGraphLaunch(executable, quern_test::stream()), "launch");
  }
  must(cudaStreamSynchronize(quern_test::stream()), "synchronize");
  if (variant.captured) {
    must(cudaGraphExecDestroy(executable), "destroy");
    must(cudaGraphDestroy(graph), "destroy");
  }
  QUERN_EXPECT(result == QUERN_OK, "%s: status %d", name.c_str(), result);

  const std::vector<int32_t> got = ints(accepted), got_counts = ints(counts), got_next = ints(next),
                             got_status = ints(status);
  for (int64_t b = 0; b < batch.requests(); ++b) {
    const Answer want =
        links ? follow_links(batch, b, variant.width, draws)
              : follow_paths(batch, b, variant.width, variant.rule == QUERN_VERIFY_GREEDY_DEEPEST);
    const int32_t count = std::max<int32_t>(0, static_cast<int32_t>(want.accepted.size()) - 1);
    QUERN_EXPECT(got_status[b] == want.status && got_counts[b] == count && got_next[b] == want.next,
                 "%s, request %lld: status %d, count %d, next %d, not %d, %d, %d", name.c_str(),
                 static_cast<long long>(b), got_status[b], got_counts[b], got_next[b], want.status, count,
                 want.next);
    for (int64_t c = 0; c < variant.width; ++c) {
      const int32_t node = c < static_cast<int64_t>(want.accepted.size()) ? want.accepted[c] : -1;
      QUERN_EXPECT(got[b * accepted_stride + c] == node, "%s: accepted[%lld, %lld] is %d, not %d",
                   name.c_str(), static_cast<long long>(b), static_cast<long long>(c),
                   got[b * accepted_stride + c], node);
    }
  }
  for (const Operand* output : {&accepted, &counts, &next, &status}) {
    QUERN_EXPECT(output->guards_hold(), "%s: wrote around an output", name.c_str());
  }
}

void test_batches(bool tiny) {
  Random random(3);
  int number = 0;
  const auto variants = [&](const Batch& batch, int32_t rule, int32_t target) {
    for (const int32_t dtype : {QUERN_F32, QUERN_F16, QUERN_BF16}) {
      for (const int64_t width : {1, 3, 50}) {
        const Variant variant{rule, target, dtype, width, number % 3 * 2, number % 2, number % 4 == 0};
        test("verify " + std::to_string(number++), batch, variant);
        if (tiny) return;
      }
    }
  };
  for (const int64_t vocab : {5, 70, 4200}) {
    const std::vector<int32_t> sizes =
        tiny ? std::vector<int32_t>{2} : std::vector<int32_t>{7, 0, 1, vocab > 1000 ? 6 : 40};
    const Batch greedy(sizes, vocab, false, random);
    for (const int32_t rule :
         {QUERN_VERIFY_GREEDY_PATH, QUERN_VERIFY_GREEDY_LINKED, QUERN_VERIFY_GREEDY_DEEPEST}) {
      variants(greedy, rule, QUERN_TARGET_LOGITS);
      variants(greedy, rule, QUERN_TARGET_IDS);
    }
    Batch sampled(sizes, vocab, true, random);
    variants(sampled, QUERN_VERIFY_TARGET_ONLY, QUERN_TARGET_PROBABILITIES);
    if (tiny) return;
    // A cycle, a way out, the root as a child.
    for (const int32_t link : {1, kBad, 0, -2}) {
      Batch malformed = sampled;
      malformed.first_child[1] = link;
      malformed.next_sibling[2] = link;
      variants(malformed, QUERN_VERIFY_TARGET_ONLY, QUERN_TARGET_PROBABILITIES);
      variants(malformed, QUERN_VERIFY_GREEDY_LINKED, QUERN_TARGET_LOGITS);
    }
  }
  // More nodes than are walked in shared memory.
  const Batch large({1500, 3}, 7, true, random);
  test("verify large", large,
       {QUERN_VERIFY_TARGET_ONLY, QUERN_TARGET_PROBABILITIES, QUERN_F32, 30, 0, 0, false});
}

void refuses(const char* what, quern_status expected, Call call, const std::function<void(Call&)>& change) {
  change(call);
  const quern_status status = call.run(nullptr);
  QUERN_EXPECT(status == expected, "%s: status %d, not %d", what, status, expected);
}

void test_refusals() {
  int32_t numbers[4] = {};
  float floats[4] = {};
  Call good;
  good.desc.size = sizeof(good.desc);
  good.desc.rule = QUERN_VERIFY_TARGET_ONLY;
  good.desc.requests = good.desc.nodes = 1;
  good.desc.vocab = good.desc.target_stride = 4;
  good.desc.width = good.desc.accepted_stride = 2;
  good.offsets = good.tokens = good.first_child = good.next_sibling = numbers;
  good.target = good.uniforms = good.final_uniforms = floats;
  good.accepted = good.counts = good.next = good.status = numbers;
  const int32_t* odd = reinterpret_cast<const int32_t*>(reinterpret_cast<const char*>(numbers) + 1);

  QUERN_EXPECT(quern_tree_verify_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "no descriptor");
  refuses("size", QUERN_INVALID_DESCRIPTOR, good, [](Call& c) { c.desc.size = 0; });
  refuses("rule", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.rule = 5; });
  refuses("target", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.target = -1; });
  refuses("dtype", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.target_dtype = 99; });
  refuses("integer rows", QUERN_UNSUPPORTED, good, [](Call& c) { c.desc.target_dtype = QUERN_I32; });
  refuses("ids to sample from", QUERN_UNSUPPORTED, good, [](Call& c) { c.desc.target = QUERN_TARGET_IDS; });
  refuses("greedy probabilities", QUERN_UNSUPPORTED, good, [](Call& c) {
    c.desc.rule = QUERN_VERIFY_GREEDY_LINKED;
    c.desc.target = QUERN_TARGET_PROBABILITIES;
  });
  refuses("no vocab", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.vocab = 0; });
  refuses("vocab", QUERN_INVALID_ARGUMENT, good,
          [](Call& c) { c.desc.vocab = c.desc.target_stride = QUERN_MAX_VERIFY_VOCAB + 1; });
  refuses("stride", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.target_stride = 3; });
  refuses("width", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.width = 0; });
  refuses("accepted stride", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.accepted_stride = 1; });
  refuses("requests", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.requests = -1; });
  refuses("paths", QUERN_INVALID_ARGUMENT, good,
          [](Call& c) { c.desc.path_count = QUERN_MAX_VERIFY_PATHS + 1; });
  refuses("threshold", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.threshold_acc = 1.5f; });
  refuses("threshold NaN", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.desc.threshold_single = NAN; });
  refuses("temperatures", QUERN_UNSUPPORTED, good, [&](Call& c) {
    c.desc.target = QUERN_TARGET_PROBABILITIES;
    c.temperatures = floats;
  });
  refuses("no offsets", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.offsets = nullptr; });
  refuses("no links", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.next_sibling = nullptr; });
  refuses("no coins", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.final_uniforms = nullptr; });
  refuses("no paths", QUERN_INVALID_ARGUMENT, good, [](Call& c) {
    c.desc.rule = QUERN_VERIFY_TYPICAL;
    c.desc.path_count = c.desc.path_width = 1;
  });
  refuses("no status", QUERN_INVALID_ARGUMENT, good, [](Call& c) { c.status = nullptr; });
  refuses("odd tokens", QUERN_MISALIGNED, good, [&](Call& c) { c.tokens = odd; });
  refuses("nothing", QUERN_OK, good, [](Call& c) {
    c.desc.requests = 0;
    c.offsets = nullptr;
    c.accepted = nullptr;
  });
}

}  // namespace

// `verify_test tiny` runs the smallest trees only.
int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("tree_verify on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  test_batches(count > 1 && std::strcmp(arguments[1], "tiny") == 0);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
