// tree_topology, tree_mask, dynamic_tree, tree_from_mask and pack_bits: what the launchers refuse, small
// trees against plain loops, and a graph. Linked twice: with libquern_emulated, and with libquern, where it
// is skipped without a device. Parity over many shapes is tested from Java.
#include <algorithm>
#include <functional>
#include <string>

#include "operand.h"
#include "quern/tree.h"

namespace {

using quern_test::failures;
using quern_test::must;
using quern_test::Operand;
using quern_test::Random;

std::vector<int32_t> ints(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<int32_t> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

void expect_ints(const std::string& name, const Operand& operand, const std::vector<int32_t>& expected) {
  const std::vector<int32_t> got = ints(operand);
  QUERN_EXPECT(operand.guards_hold(), "%s: wrote around it", name.c_str());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (got[i] != expected[i]) {
      QUERN_FAIL("%s[%zu] is %d, not %d", name.c_str(), i, got[i], expected[i]);
      return;
    }
  }
}

// The trees of a batch of three: one of the given parents, one of two nodes whose root has a parent, one
// without nodes.
struct Batch {
  std::vector<int32_t> parents;
  std::vector<int32_t> offsets;

  explicit Batch(const std::vector<int32_t>& tree) : parents(tree) {
    const int32_t n = static_cast<int32_t>(tree.size());
    parents.insert(parents.end(), {0, 0});
    offsets = {0, n, n + 2, n + 2};
  }
};

std::vector<std::vector<int32_t>> trees() {
  Random random(5);
  std::vector<std::vector<int32_t>> all;
  for (const int n : {1, 2, 31, 33, 64, 65, 200, 2100}) {
    std::vector<int32_t> scattered(n, -1), chain(n, -1);
    for (int i = 1; i < n; ++i) {
      scattered[i] = static_cast<int32_t>(random.below(i));
      chain[i] = i - 1;
    }
    all.push_back(scattered);
    if (n < 1000) all.push_back(chain);
  }
  return all;
}

bool sees(const std::vector<int32_t>& tree, int i, int j) {
  while (i > j) i = tree[i];
  return i == j;
}

void test_tree(const std::vector<int32_t>& tree) {
  const Batch batch(tree);
  const int n = static_cast<int>(tree.size());
  const int64_t nodes = n + 2;
  const int64_t row = (n + 7) / 8 + 1;
  std::vector<int32_t> depth(nodes), first(nodes, -1), next(nodes, -1);
  int leaves = 0;
  int deepest = 0;
  for (int i = n - 1; i > 0; --i) {
    next[i] = first[tree[i]];
    first[tree[i]] = i;
  }
  for (int i = 0; i < n; ++i) {
    depth[i] = i == 0 ? 0 : depth[tree[i]] + 1;
    leaves += first[i] < 0;
    deepest = std::max(deepest, depth[i]);
  }
  const int64_t width = deepest + 1;
  const Operand parent(batch.parents), offsets(batch.offsets);
  const Operand bits(nodes * row, 3), depths(nodes * 4), firsts(nodes * 4), nexts(nodes * 4);
  const Operand paths(3 * leaves * width * 4), counts(12), status(12);
  quern_tree_topology_desc desc = {};
  desc.size = sizeof(desc);
  desc.prefix_dtype = desc.out.position_dtype = QUERN_I32;
  desc.requests = 3;
  desc.nodes = nodes;
  desc.out.bits = bits.data();
  desc.out.bits_bytes = desc.out.bits_stride = row;
  desc.out.depth = static_cast<int32_t*>(depths.data());
  desc.out.first_child = static_cast<int32_t*>(firsts.data());
  desc.out.next_sibling = static_cast<int32_t*>(nexts.data());
  desc.out.paths = static_cast<int32_t*>(paths.data());
  desc.out.max_leaves = leaves;
  desc.out.path_width = width;
  desc.out.leaf_count = static_cast<int32_t*>(counts.data());
  desc.out.status = static_cast<int32_t*>(status.data());

  // As a graph, captured and launched.
  must(static_cast<cudaError_t>(quern_tree_topology_prepare(&desc, 0)), "prepare");
  must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeRelaxed), "capture");
  const quern_status launched = quern_tree_topology(&desc, 0, static_cast<const int32_t*>(parent.data()),
                                                    static_cast<const int32_t*>(offsets.data()), nullptr,
                                                    nullptr, 0, quern_test::stream());
  QUERN_EXPECT(launched == QUERN_OK, "tree_topology: status %d", launched);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  must(cudaStreamEndCapture(quern_test::stream(), &graph), "end of capture");
  must(cudaGraphInstantiate(&executable, graph, 0), "instantiate");
  must(cudaGraphLaunch(executable, quern_test::stream()), "graph");
  must(cudaGraphExecDestroy(executable), "destroy");
  must(cudaGraphDestroy(graph), "destroy");

  const std::string name = std::to_string(n) + " nodes: ";
  expect_ints(name + "depth", depths, depth);
  expect_ints(name + "first child", firsts, first);
  expect_ints(name + "next sibling", nexts, next);
  expect_ints(name + "leaves", counts, {leaves, 0, 0});
  expect_ints(name + "status", status, {QUERN_TREE_OK, QUERN_TREE_ROOT, QUERN_TREE_OK});
  std::vector<int32_t> path(3 * leaves * width, -1);
  for (int i = 0, r = 0; i < n; ++i) {
    if (first[i] < 0) {
      for (int a = i; a >= 0; a = tree[a]) path[r * width + depth[a]] = a;
      ++r;
    }
  }
  expect_ints(name + "paths", paths, path);
  const std::vector<unsigned char> words = bits.read();
  for (int64_t i = 0; i < nodes; ++i) {
    for (int64_t j = 0; j < row * 8; ++j) {
      const bool got = words[i * row + j / 8] >> (j % 8) & 1;
      if (got != (i < n && j < n && sees(tree, static_cast<int>(i), static_cast<int>(j)))) {
        QUERN_FAIL("%sbit %lld of row %lld is %d", name.c_str(), static_cast<long long>(j),
                   static_cast<long long>(i), got);
        return;
      }
    }
  }
  QUERN_EXPECT(bits.guards_hold(), "%swrote around the bits", name.c_str());
}

// FLAT and PACKED agree with each other and with the walk.
void test_mask(const std::vector<int32_t>& tree, int64_t prefix_length) {
  const Batch batch(tree);
  const int n = static_cast<int>(tree.size());
  const std::vector<int64_t> prefixes = {prefix_length, 3, 7};
  const int64_t width = n + prefix_length;
  const int64_t elements = n * width + 2 * (2 + 3);
  const int64_t bytes = (n * width + 7) / 8 + 2;
  const Operand parent(batch.parents), offsets(batch.offsets), prefix(prefixes);
  const Operand flat(elements, 1), packed(bytes, 5), indptr(32), status(12);
  for (const bool is_packed : {false, true}) {
    quern_tree_mask_desc desc = {};
    desc.size = sizeof(desc);
    desc.format = is_packed ? QUERN_MASK_PACKED : QUERN_MASK_FLAT;
    desc.dtype = QUERN_U8;
    desc.prefix_dtype = QUERN_I64;
    desc.requests = 3;
    desc.nodes = n + 2;
    desc.columns = is_packed ? bytes : elements;
    const quern_status launched = quern_tree_mask(
        &desc, 0, static_cast<const int32_t*>(parent.data()), static_cast<const int32_t*>(offsets.data()),
        prefix.data(), is_packed ? packed.data() : flat.data(), static_cast<int64_t*>(indptr.data()),
        static_cast<int32_t*>(status.data()), nullptr, 0, quern_test::stream());
    QUERN_EXPECT(launched == QUERN_OK, "tree_mask: status %d", launched);
    expect_ints("mask status", status, {QUERN_TREE_OK, QUERN_TREE_ROOT, QUERN_TREE_OK});
    std::vector<int64_t> begins(4);
    std::memcpy(begins.data(), indptr.read().data(), 32);
    QUERN_EXPECT(begins[3] == (is_packed ? bytes : elements), "the masks end at %lld",
                 static_cast<long long>(begins[3]));
  }
  const std::vector<unsigned char> loose = flat.read();
  const std::vector<unsigned char> dense = packed.read();
  for (int64_t e = 0; e < n * width; ++e) {
    const int64_t column = e % width;
    const bool visible = column < prefix_length ||
                         sees(tree, static_cast<int>(e / width), static_cast<int>(column - prefix_length));
    if (loose[e] != visible || (dense[e / 8] >> (e % 8) & 1) != visible) {
      QUERN_FAIL("%d nodes, prefix %lld: element %lld is %d and %d, not %d", n,
                 static_cast<long long>(prefix_length), static_cast<long long>(e), loose[e],
                 dense[e / 8] >> (e % 8) & 1, visible);
      return;
    }
  }
  QUERN_EXPECT(flat.guards_hold() && packed.guards_hold(), "%d nodes: wrote around a mask", n);
}

// A pool of two levels, three each; and its tree again from its mask.
void test_dynamic() {
  const std::vector<float> scores = {-1, -3, -2, -1.5f, -9, -9, -9, -9, -9, -9, -2.5f, -9};
  const std::vector<int64_t> list = {-1, 0, 1, 2};
  const Operand score(scores), parents(list), selected(4 * 8), parent(5 * 4), status(4);
  quern_dynamic_tree_desc desc = {};
  desc.size = sizeof(desc);
  desc.prefix_dtype = desc.out.position_dtype = QUERN_I32;
  desc.index_dtype = QUERN_I64;
  desc.numbering = QUERN_CANDIDATES_FROM_ZERO;
  desc.requests = 1;
  desc.tree_nodes = 5;
  desc.pool = desc.score_stride = 12;
  desc.groups = 4;
  desc.top_k = 3;
  desc.out.parent = static_cast<int32_t*>(parent.data());
  desc.out.status = static_cast<int32_t*>(status.data());
  must(static_cast<cudaError_t>(quern_dynamic_tree_prepare(&desc, 0)), "prepare");
  const quern_status launched =
      quern_dynamic_tree(&desc, 0, static_cast<const float*>(score.data()), nullptr, parents.data(), nullptr,
                         selected.data(), nullptr, 0, quern_test::stream());
  QUERN_EXPECT(launched == QUERN_OK, "dynamic_tree: status %d", launched);
  // Candidates 0, 2, 3 (of 0) and 10 (of 2).
  expect_ints("selected", selected, {0, 0, 2, 0, 3, 0, 10, 0});
  expect_ints("parent", parent, {-1, 0, 0, 1, 2});
  expect_ints("dynamic status", status, {QUERN_TREE_OK});

  std::vector<unsigned char> mask(25);
  const std::vector<int32_t> tree = ints(parent);
  for (int i = 0; i < 25; ++i) mask[i] = sees(tree, i / 5, i % 5) ? 7 : 0;
  const Operand masks(mask), again(5 * 4), verdict(4);
  quern_tree_from_mask_desc from = {};
  from.size = sizeof(from);
  from.prefix_dtype = from.out.position_dtype = QUERN_I32;
  from.requests = 1;
  from.tree_nodes = 5;
  from.out.parent = static_cast<int32_t*>(again.data());
  from.out.status = static_cast<int32_t*>(verdict.data());
  must(static_cast<cudaError_t>(quern_tree_from_mask_prepare(&from, 0)), "prepare");
  const quern_status found =
      quern_tree_from_mask(&from, 0, masks.data(), nullptr, nullptr, 0, quern_test::stream());
  QUERN_EXPECT(found == QUERN_OK, "tree_from_mask: status %d", found);
  expect_ints("parent from a mask", again, tree);
  expect_ints("mask status", verdict, {QUERN_TREE_OK});
}

// Two segments, of 9 and 0 elements, and one whose offsets descend; the highest bit first.
void test_pack_bits() {
  const std::vector<unsigned char> x = {0, 1, 2, 0, 0, 0, 0, 3, 0, 1, 1};
  const std::vector<int32_t> offsets = {1, 10, 10, 4};
  const Operand elements(x, 1), cuts(offsets), out(3, 1), begins(4 * 8), status(3 * 4);
  quern_pack_bits_desc desc = {};
  desc.size = sizeof(desc);
  desc.offset_dtype = QUERN_I32;
  desc.order = QUERN_BITS_BIG;
  desc.count = static_cast<int64_t>(x.size());
  desc.segments = desc.bytes = 3;
  must(static_cast<cudaError_t>(quern_pack_bits_prepare(&desc, 0)), "prepare");
  const auto run = [&] {
    return quern_pack_bits(&desc, 0, elements.data(), cuts.data(), out.data(),
                           static_cast<int64_t*>(begins.data()), static_cast<int32_t*>(status.data()),
                           nullptr, 0, quern_test::stream());
  };
  QUERN_EXPECT(run() == QUERN_OK, "pack_bits");
  expect_ints("pack status", status, {QUERN_TREE_OK, QUERN_TREE_OK, QUERN_TREE_OFFSETS});
  expect_ints("pack offsets", begins, {0, 0, 2, 0, 2, 0, 2, 0});
  const std::vector<unsigned char> bytes = out.read();
  QUERN_EXPECT(bytes[0] == 0xc2 && bytes[1] == 0x80 && bytes[2] == quern_test::kPoison && out.guards_hold(),
               "packed into %02x %02x %02x", bytes[0], bytes[1], bytes[2]);
  desc.order = 2;
  QUERN_EXPECT(run() == QUERN_INVALID_ARGUMENT, "order of bits");
  desc.order = QUERN_BITS_LITTLE;
  desc.offset_dtype = QUERN_U8;
  QUERN_EXPECT(run() == QUERN_UNSUPPORTED, "dtype of the offsets");
  desc.offset_dtype = QUERN_I32;
  desc.bytes = -1;
  QUERN_EXPECT(run() == QUERN_INVALID_ARGUMENT, "negative bytes");
}

template <typename Call>
void refuses(const char* what, quern_status expected, const Call& right,
             const std::function<void(Call&)>& change) {
  Call call = right;
  change(call);
  const quern_status status = call.run();
  QUERN_EXPECT(status == expected, "%s: status %d, expected %d", what, status, expected);
}

struct TopologyCall {
  quern_tree_topology_desc desc = {};
  void *parent, *offsets, *prefix = nullptr;
  quern_status run() {
    return quern_tree_topology(&desc, 0, static_cast<int32_t*>(parent), static_cast<int32_t*>(offsets),
                               prefix, nullptr, 0, nullptr);
  }
};

struct MaskCall {
  quern_tree_mask_desc desc = {};
  void *parent, *offsets, *out, *indptr = nullptr, *status;
  quern_status run() {
    return quern_tree_mask(&desc, 0, static_cast<int32_t*>(parent), static_cast<int32_t*>(offsets), nullptr,
                           out, static_cast<int64_t*>(indptr), static_cast<int32_t*>(status), nullptr, 0,
                           nullptr);
  }
};

struct DynamicCall {
  quern_dynamic_tree_desc desc = {};
  void *scores, *selection = nullptr, *list, *selected;
  quern_status run() {
    return quern_dynamic_tree(&desc, 0, static_cast<float*>(scores), selection, list, nullptr, selected,
                              nullptr, 0, nullptr);
  }
};

void test_refusals() {
  alignas(64) static char memory[64];
  void* good = memory;
  void* odd = memory + 1;
  int32_t* numbers = static_cast<int32_t*>(good);
  TopologyCall topology;
  topology.desc.size = sizeof(topology.desc);
  topology.desc.prefix_dtype = topology.desc.out.position_dtype = QUERN_I32;
  topology.desc.requests = 1;
  topology.desc.nodes = 1;
  topology.desc.out.status = numbers;
  topology.parent = topology.offsets = good;
  using T = TopologyCall;
  const auto refuses_topology = [&](const char* what, quern_status expected,
                                    const std::function<void(T&)>& change) {
    refuses<T>(what, expected, topology, change);
  };
  QUERN_EXPECT(quern_tree_topology_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "no descriptor");
  refuses_topology("size", QUERN_INVALID_DESCRIPTOR, [](T& c) { c.desc.size -= 8; });
  refuses_topology("prefix dtype", QUERN_UNSUPPORTED, [](T& c) { c.desc.prefix_dtype = QUERN_F32; });
  refuses_topology("position dtype", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.out.position_dtype = 99; });
  refuses_topology("requests", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.requests = -1; });
  refuses_topology("nodes", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.nodes = -1; });
  refuses_topology("bits stride", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.out.bits_bytes = 8; });
  refuses_topology("leaves", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.out.max_leaves = -1; });
  refuses_topology("a parent output", QUERN_UNSUPPORTED, [&](T& c) { c.desc.out.parent = numbers; });
  refuses_topology("null status", QUERN_INVALID_ARGUMENT, [](T& c) { c.desc.out.status = nullptr; });
  refuses_topology("null parent", QUERN_INVALID_ARGUMENT, [](T& c) { c.parent = nullptr; });
  refuses_topology("null offsets", QUERN_INVALID_ARGUMENT, [](T& c) { c.offsets = nullptr; });
  refuses_topology("odd offsets", QUERN_MISALIGNED, [&](T& c) { c.offsets = odd; });
  refuses_topology("odd prefix", QUERN_MISALIGNED, [&](T& c) { c.prefix = odd; });
  refuses_topology("odd depth", QUERN_MISALIGNED,
                   [&](T& c) { c.desc.out.depth = static_cast<int32_t*>(odd); });
  refuses_topology("nothing to do", QUERN_OK,
                   [](T& c) { c.desc.requests = 0, c.parent = c.offsets = nullptr; });

  MaskCall mask;
  mask.desc.size = sizeof(mask.desc);
  mask.desc.dtype = QUERN_F16;
  mask.desc.prefix_dtype = QUERN_I32;
  mask.desc.requests = mask.desc.nodes = mask.desc.columns = mask.desc.stride = 1;
  mask.parent = mask.offsets = mask.out = mask.status = good;
  using M = MaskCall;
  const auto refuses_mask = [&](const char* what, quern_status expected,
                                const std::function<void(M&)>& change) {
    refuses<M>(what, expected, mask, change);
  };
  refuses_mask("mask size", QUERN_INVALID_DESCRIPTOR, [](M& c) { c.desc.size -= 8; });
  refuses_mask("format", QUERN_INVALID_ARGUMENT, [](M& c) { c.desc.format = 6; });
  refuses_mask("dtype", QUERN_INVALID_ARGUMENT, [](M& c) { c.desc.dtype = -1; });
  for (int32_t format = QUERN_MASK_ONE_ZERO; format <= QUERN_MASK_PACKED; ++format) {
    refuses_mask("dtype of the format", QUERN_UNSUPPORTED, [format](M& c) {
      c.desc.format = format;
      c.desc.dtype = format == QUERN_MASK_ONE_ZERO ? QUERN_U16 : QUERN_F64;
    });
  }
  refuses_mask("stride", QUERN_INVALID_ARGUMENT, [](M& c) { c.desc.stride = 0; });
  refuses_mask("indptr of rows", QUERN_UNSUPPORTED, [&](M& c) { c.indptr = good; });
  refuses_mask("null out", QUERN_INVALID_ARGUMENT, [](M& c) { c.out = nullptr; });
  refuses_mask("odd out", QUERN_MISALIGNED, [&](M& c) { c.out = odd; });
  refuses_mask("null mask status", QUERN_INVALID_ARGUMENT, [](M& c) { c.status = nullptr; });
  refuses_mask("no mask to write", QUERN_OK, [](M& c) { c.desc.requests = 0, c.out = nullptr; });

  DynamicCall dynamic;
  dynamic.desc.size = sizeof(dynamic.desc);
  dynamic.desc.prefix_dtype = dynamic.desc.index_dtype = dynamic.desc.out.position_dtype = QUERN_I32;
  dynamic.desc.requests = 1;
  dynamic.desc.tree_nodes = 3;
  dynamic.desc.pool = dynamic.desc.score_stride = 4;
  dynamic.desc.groups = dynamic.desc.top_k = 2;
  dynamic.desc.out.parent = dynamic.desc.out.status = numbers;
  dynamic.scores = dynamic.list = dynamic.selected = good;
  using D = DynamicCall;
  const auto refuses_dynamic = [&](const char* what, quern_status expected,
                                   const std::function<void(D&)>& change) {
    refuses<D>(what, expected, dynamic, change);
  };
  refuses_dynamic("dynamic size", QUERN_INVALID_DESCRIPTOR, [](D& c) { c.desc.size = 0; });
  refuses_dynamic("numbering", QUERN_INVALID_ARGUMENT, [](D& c) { c.desc.numbering = 2; });
  refuses_dynamic("index dtype", QUERN_UNSUPPORTED, [](D& c) { c.desc.index_dtype = QUERN_U32; });
  refuses_dynamic("top k", QUERN_INVALID_ARGUMENT, [](D& c) { c.desc.top_k = 0; });
  refuses_dynamic("pool too small", QUERN_INVALID_ARGUMENT, [](D& c) { c.desc.pool = 1; });
  refuses_dynamic("pool too large", QUERN_UNSUPPORTED, [](D& c) { c.desc.pool = int64_t{1} << 31; });
  refuses_dynamic("too many nodes", QUERN_UNSUPPORTED, [](D& c) { c.desc.tree_nodes = int64_t{1} << 31; });
  refuses_dynamic("two selections", QUERN_UNSUPPORTED, [&](D& c) { c.selection = good; });
  refuses_dynamic("no selection", QUERN_INVALID_ARGUMENT, [](D& c) { c.scores = nullptr; });
  refuses_dynamic("nowhere to select", QUERN_INVALID_ARGUMENT, [](D& c) { c.selected = nullptr; });
  refuses_dynamic("no list", QUERN_INVALID_ARGUMENT, [](D& c) { c.list = nullptr; });
  refuses_dynamic("no parent", QUERN_INVALID_ARGUMENT, [](D& c) { c.desc.out.parent = nullptr; });

  quern_tree_from_mask_desc from = {};
  QUERN_EXPECT(quern_tree_from_mask(&from, 0, good, nullptr, nullptr, 0, nullptr) == QUERN_INVALID_DESCRIPTOR,
               "from a mask, size");
  from.size = sizeof(from);
  from.prefix_dtype = from.out.position_dtype = QUERN_I32;
  from.requests = from.tree_nodes = 1;
  from.out.parent = from.out.status = numbers;
  QUERN_EXPECT(
      quern_tree_from_mask(&from, 0, nullptr, nullptr, nullptr, 0, nullptr) == QUERN_INVALID_ARGUMENT,
      "from no mask");
  from.tree_nodes = -1;
  QUERN_EXPECT(quern_tree_from_mask_prepare(&from, 0) == QUERN_INVALID_ARGUMENT, "negative nodes");
}

}  // namespace

// `topology_test tiny` runs the smallest trees only.
int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("tree kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  const bool tiny = count > 1 && std::strcmp(arguments[1], "tiny") == 0;
  for (const std::vector<int32_t>& tree : trees()) {
    if (tiny && tree.size() > 2) break;
    test_tree(tree);
    for (const int64_t prefix : {0, 5, 200}) test_mask(tree, prefix);
  }
  test_dynamic();
  test_pack_bits();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
