// kv_compaction and scatter_rows: what the launchers refuse, small calls against plain loops, and a graph.
// Linked twice: with libquern_emulated, and with libquern, where it is skipped without a device. Parity over
// many shapes is tested from Java.
#include "quern/cache.h"

#include <algorithm>
#include <string>

#include "operand.h"
#include "quern/gather.h"

namespace {

using quern_test::failures;
using quern_test::must;
using quern_test::Operand;
using quern_test::Random;

template <typename T>
void expect_values(const std::string& name, const Operand& operand, const std::vector<T>& expected) {
  std::vector<T> got(expected.size());
  const std::vector<unsigned char> bytes = operand.read();
  std::memcpy(got.data(), bytes.data(), bytes.size());
  QUERN_EXPECT(operand.guards_hold(), "%s: wrote around it", name.c_str());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (got[i] != expected[i]) {
      QUERN_FAIL("%s[%zu] is %lld, not %lld", name.c_str(), i, static_cast<long long>(got[i]),
                 static_cast<long long>(expected[i]));
      return;
    }
  }
}

constexpr int64_t kRequests = 3, kWidth = 6, kHeads = 2, kRows = 40, kOuter = 2;

// Three requests of 10 nodes each: a path, one that does not ascend, a root alone.
struct Batch {
  std::vector<int32_t> path = {0, 2, 3, 7, 9, -1, 0, 4, 4, -1, -1, -1, 0, -1, -1, -1, -1, -1};
  std::vector<int32_t> counts = {4, 2, 0};
  std::vector<int32_t> lengths = {5, 20, 30};
  std::vector<int32_t> offsets = {0, 10, 20, 30};
  std::vector<int32_t> new_lengths = {10, 20, 31};
  std::vector<int32_t> status = {QUERN_TREE_OK, QUERN_TREE_PARENT, QUERN_TREE_OK};
};

quern_kv_compaction_desc compaction(int32_t addressing, int64_t row_bytes, int64_t row_stride) {
  quern_kv_compaction_desc desc = {};
  desc.size = sizeof(desc);
  desc.addressing = addressing;
  desc.slot_dtype = QUERN_I64;
  desc.requests = kRequests;
  desc.width = kWidth;
  desc.outer = kOuter;
  desc.heads = addressing == QUERN_CACHE_CONTIGUOUS ? kHeads : 1;
  desc.rows = kRows;
  desc.row_bytes = row_bytes;
  desc.row_stride = row_stride;
  desc.page = 4;
  return desc;
}

void run_compaction(int32_t addressing, int64_t row_bytes, int64_t row_stride, size_t misalignment,
                    bool as_graph) {
  char name[100];
  std::snprintf(name, sizeof(name), "compaction %d of %lld bytes every %lld%s", addressing,
                static_cast<long long>(row_bytes), static_cast<long long>(row_stride),
                as_graph ? " in a graph" : "");
  const bool paged = addressing != QUERN_CACHE_CONTIGUOUS;
  const Batch batch;
  Random random(7);
  const int64_t planes = paged ? kOuter : kOuter * kRequests * kHeads;
  std::vector<std::vector<unsigned char>> caches(2);
  for (std::vector<unsigned char>& cache : caches) {
    cache.resize((planes * kRows - 1) * row_stride + row_bytes);
    for (unsigned char& byte : cache) byte = static_cast<unsigned char>(random.next());
  }
  const Operand first(caches[0], misalignment);
  const Operand second(caches[1], misalignment);
  std::vector<int64_t> slots(kRequests * kRows);  // a table has a row of its own for each request
  for (size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<int64_t>((i * 7 + 3) % kRows);

  const Operand path(batch.path), counts(batch.counts), lengths(batch.lengths), offsets(batch.offsets);
  const Operand slots_operand(slots);
  const Operand new_lengths(kRequests * 4), status(kRequests * 4);
  const Operand freed(30 * 8), freed_counts(kRequests * 4), evicted(30);
  quern_kv_compaction_desc desc = compaction(addressing, row_bytes, row_stride);
  desc.cache_count = 2;
  desc.caches[0] = first.data();
  desc.caches[1] = second.data();
  if (paged) desc.nodes = 30;
  if (addressing == QUERN_CACHE_TABLE) {
    desc.slot_rows = kRequests;
    desc.slot_columns = desc.slot_stride = kRows;
  }
  const auto launch = [&] {
    const quern_status launched = quern_kv_compaction(
        &desc, 0, static_cast<int32_t*>(path.data()), static_cast<int32_t*>(counts.data()),
        static_cast<int32_t*>(lengths.data()), paged ? slots_operand.data() : nullptr,
        paged ? static_cast<int32_t*>(offsets.data()) : nullptr, nullptr,
        static_cast<int32_t*>(new_lengths.data()), static_cast<int32_t*>(status.data()),
        paged ? freed.data() : nullptr, paged ? static_cast<int32_t*>(freed_counts.data()) : nullptr,
        paged ? static_cast<uint8_t*>(evicted.data()) : nullptr, nullptr, 0, quern_test::stream());
    QUERN_EXPECT(launched == QUERN_OK, "%s: status %d", name, launched);
  };
  if (as_graph) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeRelaxed), "capture");
    launch();
    must(cudaStreamEndCapture(quern_test::stream(), &graph), "end of capture");
    must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    must(cudaGraphLaunch(executable, quern_test::stream()), "cudaGraphLaunch");
    must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
    must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    must(cudaGraphDestroy(graph), "cudaGraphDestroy");
  } else {
    launch();
  }

  const auto row = [&](int64_t b, int64_t node) {
    return addressing == QUERN_CACHE_CONTIGUOUS ? batch.lengths[b] + node
           : addressing == QUERN_CACHE_SLOTS    ? slots[batch.offsets[b] + node]
                                                : slots[b * kRows + batch.lengths[b] + node];
  };
  for (std::vector<unsigned char>& cache : caches) {
    for (int64_t plane = 0; plane < planes; ++plane) {
      for (const int64_t b : {0, 2}) {
        if (!paged && plane / kHeads % kRequests != b) continue;
        for (int64_t j = 0; j <= batch.counts[b]; ++j) {
          std::memmove(&cache[(plane * kRows + row(b, j)) * row_stride],
                       &cache[(plane * kRows + row(b, batch.path[b * kWidth + j])) * row_stride], row_bytes);
        }
      }
    }
  }
  expect_values(std::string(name) + ": first cache", first, caches[0]);
  expect_values(std::string(name) + ": second cache", second, caches[1]);
  expect_values(std::string(name) + ": new lengths", new_lengths, batch.new_lengths);
  expect_values(std::string(name) + ": status", status, batch.status);
  if (!paged) return;
  // Request 0: 10 rows are kept, rounded up to 12, of 15. Request 2: 31, rounded up to 32, of 40.
  std::vector<int64_t> free(30, -1);
  for (int64_t i = 0; i < 3; ++i) free[i] = row(0, 7 + i);
  for (int64_t i = 0; i < 8; ++i) free[20 + i] = row(2, 2 + i);
  expect_values(std::string(name) + ": freed", freed, free);
  expect_values(std::string(name) + ": freed counts", freed_counts, std::vector<int32_t>{3, 0, 8});
  // The pages of the last kept positions, 9 and 30, are 8 to 11 and 28 to 31: nodes 3 to 6 and up to 1.
  std::vector<uint8_t> mask(30, 0);
  for (const int node : {1, 8}) mask[node] = 1;
  for (int node = 2; node < 10; ++node) mask[20 + node] = 1;
  expect_values(std::string(name) + ": evicted", evicted, mask);
}

void test_compaction() {
  for (const int32_t addressing : {QUERN_CACHE_CONTIGUOUS, QUERN_CACHE_SLOTS, QUERN_CACHE_TABLE}) {
    run_compaction(addressing, 256, 256, 0, false);
    run_compaction(addressing, 48, 64, 0, true);
    run_compaction(addressing, 48, 56, 8, false);
    run_compaction(addressing, 20, 20, 4, false);
    run_compaction(addressing, 6, 6, 2, false);
    run_compaction(addressing, 5, 7, 1, false);
  }
}

// Rows of 4 floats, five of them to place 2, one dropped, one to a place that does not exist.
void run_scatter(int32_t mode, bool as_graph) {
  const std::vector<int32_t> ids = {2, 0, -1, 2, 2, 9, 2, 2};
  std::vector<float> x(ids.size() * 4), out(3 * 4);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i * 5 % 13) - 6);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i) - 4;
  const Operand x_operand(x), ids_operand(ids), out_operand(out);
  quern_error_record empty = {};
  const Operand record(&empty, sizeof(empty));
  quern_scatter_rows_desc desc = {};
  desc.size = sizeof(desc);
  desc.id_dtype = QUERN_I32;
  desc.mode = mode;
  desc.dim = desc.x_stride = desc.out_stride = 4;
  desc.count = static_cast<int64_t>(ids.size());
  desc.rows = 3;
  desc.launch = 5;
  const size_t bytes = 4 * (ids.size() + 3 * 64);
  const Operand workspace(bytes);
  const auto launch = [&](size_t given) {
    return quern_scatter_rows(&desc, 0, x_operand.data(), ids_operand.data(), out_operand.data(),
                              static_cast<quern_error_record*>(record.data()), workspace.data(), given,
                              quern_test::stream());
  };
  QUERN_EXPECT(launch(bytes - 1) == QUERN_INVALID_ARGUMENT, "scatter with too little scratch");
  if (as_graph) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeRelaxed), "capture");
    QUERN_EXPECT(launch(bytes) == QUERN_OK, "captured scatter %d", mode);
    must(cudaStreamEndCapture(quern_test::stream(), &graph), "end of capture");
    must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    must(cudaGraphLaunch(executable, quern_test::stream()), "cudaGraphLaunch");
    must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");
    must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    must(cudaGraphDestroy(graph), "cudaGraphDestroy");
  } else {
    QUERN_EXPECT(launch(bytes) == QUERN_OK, "scatter %d", mode);
  }
  for (size_t i = 0; i < ids.size(); ++i) {  // small integers: any order of additions gives the same
    for (int d = 0; d < 4 && ids[i] >= 0 && ids[i] < 3; ++d) {
      float& place = out[ids[i] * 4 + d];
      const float value = x[i * 4 + d];
      place = mode == QUERN_SCATTER_SET   ? value
              : mode == QUERN_SCATTER_ADD ? place + value
                                          : std::max(place, value);
    }
  }
  expect_values("scatter " + std::to_string(mode), out_operand, out);
  QUERN_EXPECT(workspace.guards_hold(), "scatter %d: wrote around the scratch", mode);
  quern_error_record found;
  std::memcpy(&found, record.read().data(), sizeof(found));
  QUERN_EXPECT(found.kind == QUERN_DATA_INDEX && found.position == 5 && found.value == 9 && found.limit == 3,
               "scatter %d: recorded kind %d", mode, found.kind);
}

void test_refusals() {
  quern_kv_compaction_desc good = compaction(QUERN_CACHE_SLOTS, 16, 16);
  const auto prepare = [](quern_kv_compaction_desc desc) { return quern_kv_compaction_prepare(&desc, 0); };
  const auto refuses = [&](const char* what, quern_status expected, auto change) {
    quern_kv_compaction_desc desc = good;
    change(&desc);
    const quern_status status = prepare(desc);
    QUERN_EXPECT(status == expected, "compaction with %s: status %d", what, status);
  };
  QUERN_EXPECT(quern_kv_compaction_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "null descriptor");
  using Desc = quern_kv_compaction_desc;
  refuses("another size", QUERN_INVALID_DESCRIPTOR, [](Desc* d) { d->size -= 8; });
  refuses("unknown addressing", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->addressing = 3; });
  refuses("too many caches", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->cache_count = QUERN_MAX_CACHES + 1; });
  refuses("page 0", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->page = 0; });
  refuses("heads of shared rows", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->heads = 2; });
  refuses("overlapping rows", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->row_stride = 15; });
  refuses("negative rows", QUERN_INVALID_ARGUMENT, [](Desc* d) { d->rows = -1; });
  refuses("slots of floats", QUERN_UNSUPPORTED, [](Desc* d) { d->slot_dtype = QUERN_F32; });

  quern_scatter_rows_desc scatter = {};
  scatter.size = sizeof(scatter);
  scatter.id_dtype = QUERN_I32;
  const auto status_of = [&](auto change) {
    quern_scatter_rows_desc desc = scatter;
    change(&desc);
    return quern_scatter_rows_prepare(&desc, 0);
  };
  using Scatter = quern_scatter_rows_desc;
  QUERN_EXPECT(quern_scatter_rows_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR, "null descriptor");
  QUERN_EXPECT(status_of([](Scatter* d) { d->mode = 3; }) == QUERN_INVALID_ARGUMENT, "unknown mode");
  QUERN_EXPECT(status_of([](Scatter* d) { d->count = -1; }) == QUERN_INVALID_ARGUMENT, "negative count");
  QUERN_EXPECT(status_of([](Scatter* d) { d->count = (int64_t{1} << 29) + 1; }) == QUERN_UNSUPPORTED,
               "too many rows");
  QUERN_EXPECT(status_of([](Scatter* d) { d->x_dtype = QUERN_I32; }) == QUERN_UNSUPPORTED, "I32 into F32");
  QUERN_EXPECT(status_of([](Scatter* d) {
                 d->x_dtype = d->out_dtype = QUERN_I64;
                 d->mode = QUERN_SCATTER_ADD;
               }) == QUERN_UNSUPPORTED,
               "sums of integers");
}

void test_prepare() {
  for (const int32_t addressing : {QUERN_CACHE_CONTIGUOUS, QUERN_CACHE_SLOTS, QUERN_CACHE_TABLE}) {
    const quern_kv_compaction_desc desc = compaction(addressing, 16, 16);
    QUERN_EXPECT(quern_kv_compaction_prepare(&desc, 0) == QUERN_OK, "prepare compaction %d", addressing);
  }
  for (const int32_t in : {QUERN_F32, QUERN_F16, QUERN_BF16}) {
    for (const int32_t out : {QUERN_F32, QUERN_F16, QUERN_BF16}) {
      for (int32_t mode = QUERN_SCATTER_SET; mode <= QUERN_SCATTER_MAX; ++mode) {
        quern_scatter_rows_desc desc = {};
        desc.size = sizeof(desc);
        desc.x_dtype = in;
        desc.out_dtype = out;
        desc.id_dtype = QUERN_I64;
        desc.mode = mode;
        QUERN_EXPECT(quern_scatter_rows_prepare(&desc, 0) == QUERN_OK, "prepare scatter %d", mode);
      }
    }
  }
}

}  // namespace

int main() {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("cache kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  test_prepare();
  test_compaction();
  for (int32_t mode = QUERN_SCATTER_SET; mode <= QUERN_SCATTER_MAX; ++mode) {
    run_scatter(mode, false);
    run_scatter(mode, true);
  }
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}
