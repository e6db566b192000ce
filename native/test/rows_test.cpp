// top_k, sample_rows and beam_expand against plain loops, bit by bit; what descriptors are refused; capture.
// Linked twice: with libquern_emulated, and with libquern, where it is skipped without a device.
#include "quern/rows.h"

#include <algorithm>
#include <functional>
#include <string>

#include "operand.h"

namespace {

using quern_test::failures;
using quern_test::Operand;
using quern_test::Random;

constexpr int32_t kRowDtypes[] = {QUERN_F32, QUERN_F16, QUERN_BF16};

// The order of scores: value descending, index ascending, NaN below -inf.
bool is_before(const std::vector<float>& x, int32_t a, int32_t b) {
  const bool nan_a = std::isnan(x[a]);
  const bool nan_b = std::isnan(x[b]);
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && x[a] != x[b]) return x[a] > x[b];
  return a < b;
}

std::vector<int32_t> order(const std::vector<float>& x) {
  std::vector<int32_t> indices(x.size());
  for (size_t i = 0; i < x.size(); ++i) indices[i] = static_cast<int32_t>(i);
  std::sort(indices.begin(), indices.end(), [&](int32_t a, int32_t b) { return is_before(x, a, b); });
  return indices;
}

template <typename T>
T element(const std::vector<unsigned char>& bytes, int64_t i) {
  T value;
  std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
  return value;
}

bool same(float a, float b) {
  return std::memcmp(&a, &b, sizeof(a)) == 0 || (std::isnan(a) && std::isnan(b));
}

// The first k of every row, values and indices with gaps between rows.
void run_top_k(int32_t dtype, int64_t rows, int64_t dim, int64_t k, int64_t padding, bool ties) {
  const std::string name = "top_k dtype " + std::to_string(dtype) + " " + std::to_string(rows) + " x " +
                           std::to_string(dim) + " k " + std::to_string(k) + " padding " +
                           std::to_string(padding);
  Random random(static_cast<uint64_t>(rows * 31 + dim * 7 + k));
  const size_t size = quern_test::element_bytes(dtype);
  const int64_t stride = dim + padding;
  std::vector<unsigned char> bytes(rows * stride * size, quern_test::kPoison);
  std::vector<std::vector<float>> x(rows);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < dim; ++i) {
      unsigned char* at = &bytes[(r * stride + i) * size];
      quern_test::store_element(dtype, at, ties ? static_cast<float>(random.below(4)) : random.value());
      x[r].push_back(quern_test::load_element(dtype, at));
    }
  }
  const Operand in(bytes, padding * size);
  const Operand values(rows * (k + 1) * sizeof(float));
  const Operand indices(rows * (k + 2) * sizeof(int32_t));
  quern_top_k_desc desc = {};
  desc.size = sizeof(desc);
  desc.x_dtype = dtype;
  desc.rows = rows;
  desc.dim = dim;
  desc.k = k;
  desc.x_stride = stride;
  desc.values_stride = k + 1;
  desc.indices_stride = k + 2;
  const quern_status status =
      quern_top_k(&desc, 0, in.data(), static_cast<float*>(values.data()),
                  static_cast<int32_t*>(indices.data()), nullptr, 0, quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "%s: status %d", name.c_str(), status);
  const std::vector<unsigned char> got_values = values.read();
  const std::vector<unsigned char> got_indices = indices.read();
  for (int64_t r = 0; r < rows; ++r) {
    const std::vector<int32_t> expected = order(x[r]);
    for (int64_t j = 0; j < k; ++j) {
      const int32_t index = element<int32_t>(got_indices, r * (k + 2) + j);
      const float value = element<float>(got_values, r * (k + 1) + j);
      if (index != expected[j] || !same(value, x[r][expected[j]])) {
        QUERN_FAIL("%s: [%lld, %lld] is %d (%.9g), not %d (%.9g)", name.c_str(), static_cast<long long>(r),
                   static_cast<long long>(j), index, value, expected[j], x[r][expected[j]]);
        return;
      }
    }
  }
  QUERN_EXPECT(in.read() == bytes && in.guards_hold() && values.guards_hold() && indices.guards_hold(),
               "%s: wrote where it must not", name.c_str());
}

void test_top_k(bool tiny) {
  for (int32_t dtype : kRowDtypes) {
    run_top_k(dtype, 3, 70, 5, 0, false);
    run_top_k(dtype, 2, 300, 40, 3, true);
    if (!tiny) {
      run_top_k(dtype, 1, 5000, 1, 4, false);
      run_top_k(dtype, 2, 3000, 2500, 0, true);
    }
  }
}

// Draws seeded twice are the same, in the order of their scores, without repetition.
void test_sample_rows() {
  const int64_t rows = 2, dim = 500, k = 20;
  Random random(5);
  std::vector<float> x(rows * dim);
  for (float& value : x) value = static_cast<float>(random.below(1000)) / 250.0f - 2.0f;
  const std::vector<int64_t> seeds = {7, -7};
  const std::vector<int64_t> positions = {11, int64_t{1} << 40};
  const Operand in(x), seeds_operand(seeds), positions_operand(positions);
  std::vector<unsigned char> first;
  for (int run = 0; run < 2; ++run) {
    const Operand scores(rows * k * sizeof(float));
    const Operand indices(rows * k * sizeof(int32_t));
    quern_sample_rows_desc desc = {};
    desc.size = sizeof(desc);
    desc.x_dtype = QUERN_F32;
    desc.scale = 1.0f;
    desc.purpose = 3;
    desc.rows = rows;
    desc.dim = dim;
    desc.k = k;
    desc.x_stride = dim;
    desc.scores_stride = k;
    desc.indices_stride = k;
    const quern_status status =
        quern_sample_rows(&desc, 0, in.data(), nullptr, static_cast<int64_t*>(seeds_operand.data()),
                          static_cast<int64_t*>(positions_operand.data()), static_cast<float*>(scores.data()),
                          nullptr, static_cast<int32_t*>(indices.data()), nullptr, 0, quern_test::stream());
    QUERN_EXPECT(status == QUERN_OK, "sample_rows: status %d", status);
    const std::vector<unsigned char> drawn = indices.read();
    const std::vector<unsigned char> by = scores.read();
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<bool> seen(dim);
      for (int64_t j = 0; j < k; ++j) {
        const int32_t index = element<int32_t>(drawn, r * k + j);
        const bool fresh = index >= 0 && index < dim && !seen[index];
        QUERN_EXPECT(fresh, "sample_rows: [%lld, %lld] is %d", static_cast<long long>(r),
                     static_cast<long long>(j), index);
        if (fresh) seen[index] = true;
        QUERN_EXPECT(j == 0 || element<float>(by, r * k + j) <= element<float>(by, r * k + j - 1),
                     "sample_rows: scores rise at [%lld, %lld]", static_cast<long long>(r),
                     static_cast<long long>(j));
      }
    }
    if (run == 0) first = drawn;
    QUERN_EXPECT(drawn == first, "sample_rows: two runs differ");
  }
}

// Two beams of three candidates, one of which does not exist; captured, and run twice.
void test_beam_expand() {
  const std::vector<int32_t> tokens = {10, 11, -1, 20, 21, 22};
  const std::vector<float> inputs = {-1.0f, -3.0f, -0.5f, -2.0f, -1.5f, -9.0f};
  const std::vector<float> own = {0.0f, -1.0f};
  const Operand tokens_operand(tokens), inputs_operand(inputs), own_operand(own);
  const Operand parents(8 * sizeof(int32_t)), out_tokens(8 * sizeof(int32_t)), scores(8 * sizeof(float));
  quern_beam_expand_desc desc = {};
  desc.size = sizeof(desc);
  desc.mode = QUERN_BEAM_SUM;
  desc.scale = 1.0f;
  desc.threshold = -5.0f;
  desc.requests = 1;
  desc.beams = 2;
  desc.candidates = 3;
  desc.keep = 8;
  desc.tokens_stride = 3;
  desc.inputs_stride = 3;
  desc.scores_stride = 2;
  desc.out_parents_stride = 8;
  desc.out_tokens_stride = 8;
  desc.out_scores_stride = 8;
  QUERN_EXPECT(quern_beam_expand_prepare(&desc, 0) == QUERN_OK, "beam_expand_prepare failed");
  const cudaStream_t stream = quern_test::stream();
  quern_test::must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin capture");
  const quern_status status = quern_beam_expand(
      &desc, 0, static_cast<int32_t*>(tokens_operand.data()), static_cast<float*>(inputs_operand.data()),
      nullptr, nullptr, static_cast<float*>(own_operand.data()), nullptr,
      static_cast<int32_t*>(parents.data()), static_cast<int32_t*>(out_tokens.data()),
      static_cast<float*>(scores.data()), nullptr, nullptr, nullptr, 0, stream);
  cudaGraph_t graph;
  quern_test::must(cudaStreamEndCapture(stream, &graph), "end capture");
  QUERN_EXPECT(status == QUERN_OK, "beam_expand: status %d", status);
  cudaGraphExec_t exec;
  quern_test::must(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
  for (int run = 0; run < 2; ++run) {
    quern_test::must(cudaGraphLaunch(exec, stream), "launch graph");
    quern_test::must(cudaStreamSynchronize(stream), "synchronize");
    const int32_t expected_parents[] = {0, 1, 0, 1, -1, -1, -1, -1};
    const int32_t expected_tokens[] = {10, 21, 11, 20, -1, -1, -1, -1};
    const float expected_scores[] = {-1.0f, -2.5f, -3.0f, -3.0f, -INFINITY, -INFINITY, -INFINITY, -INFINITY};
    const std::vector<unsigned char> p = parents.read(), t = out_tokens.read(), s = scores.read();
    for (int i = 0; i < 8; ++i) {
      QUERN_EXPECT(element<int32_t>(p, i) == expected_parents[i] &&
                       element<int32_t>(t, i) == expected_tokens[i] &&
                       element<float>(s, i) == expected_scores[i],
                   "beam_expand: %d is beam %d token %d score %g", i, element<int32_t>(p, i),
                   element<int32_t>(t, i), element<float>(s, i));
    }
  }
  quern_test::must(cudaGraphExecDestroy(exec), "destroy graph");
  quern_test::must(cudaGraphDestroy(graph), "destroy graph");
}

// What is refused, before anything is launched.
void test_refusals() {
  float data[4] = {};
  int32_t indices[4] = {};
  quern_top_k_desc good = {};
  good.size = sizeof(good);
  good.rows = 1;
  good.dim = 4;
  good.k = 2;
  good.x_stride = 4;
  good.indices_stride = 2;
  const auto refused = [&](const char* what, quern_status expected,
                           const std::function<void(quern_top_k_desc*)>& spoil) {
    quern_top_k_desc desc = good;
    spoil(&desc);
    const quern_status status = quern_top_k(&desc, 0, data, nullptr, indices, nullptr, 0, nullptr);
    QUERN_EXPECT(status == expected, "top_k with %s: status %d, not %d", what, status, expected);
  };
  refused("another size", QUERN_INVALID_DESCRIPTOR, [](quern_top_k_desc* d) { --d->size; });
  refused("no dtype", QUERN_INVALID_ARGUMENT, [](quern_top_k_desc* d) { d->x_dtype = 99; });
  refused("I32 rows", QUERN_UNSUPPORTED, [](quern_top_k_desc* d) { d->x_dtype = QUERN_I32; });
  refused("negative rows", QUERN_INVALID_ARGUMENT, [](quern_top_k_desc* d) { d->rows = -1; });
  refused("k over dim", QUERN_INVALID_ARGUMENT, [](quern_top_k_desc* d) { d->k = 5; });
  refused("a stride below dim", QUERN_INVALID_ARGUMENT, [](quern_top_k_desc* d) { d->x_stride = 3; });
  refused("an output stride below k", QUERN_INVALID_ARGUMENT,
          [](quern_top_k_desc* d) { d->indices_stride = 1; });
  QUERN_EXPECT(
      quern_top_k(nullptr, 0, data, nullptr, indices, nullptr, 0, nullptr) == QUERN_INVALID_DESCRIPTOR,
      "top_k without a descriptor");
  QUERN_EXPECT(
      quern_top_k(&good, 0, nullptr, nullptr, indices, nullptr, 0, nullptr) == QUERN_INVALID_ARGUMENT,
      "top_k without x");
  QUERN_EXPECT(quern_top_k(&good, 0, reinterpret_cast<char*>(data) + 2, nullptr, indices, nullptr, 0,
                           nullptr) == QUERN_MISALIGNED,
               "top_k of a misaligned x");

  quern_sample_rows_desc sample = {};
  sample.size = sizeof(sample);
  sample.rows = 1;
  sample.dim = 4;
  sample.k = 2;
  sample.x_stride = 4;
  sample.indices_stride = 2;
  const auto sampled = [&] {
    return quern_sample_rows(&sample, 0, data, nullptr, nullptr, nullptr, nullptr, nullptr, indices, nullptr,
                             0, nullptr);
  };
  QUERN_EXPECT(sampled() == QUERN_INVALID_ARGUMENT, "sample_rows of scale 0");
  sample.scale = NAN;
  QUERN_EXPECT(sampled() == QUERN_INVALID_ARGUMENT, "sample_rows of scale NaN");
  sample.scale = 1.0f;
  QUERN_EXPECT(sampled() == QUERN_INVALID_ARGUMENT, "sample_rows without uniforms or seeds");

  quern_beam_expand_desc beams = {};
  beams.size = sizeof(beams);
  const auto expanded = [&] {
    return quern_beam_expand(&beams, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                             nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr);
  };
  QUERN_EXPECT(expanded() == QUERN_OK, "beam_expand of nothing");
  beams.mode = 2;
  QUERN_EXPECT(expanded() == QUERN_INVALID_ARGUMENT, "beam_expand in no mode");
  beams.mode = QUERN_BEAM_SUM;
  beams.beams = QUERN_MAX_BEAMS + 1;
  QUERN_EXPECT(expanded() == QUERN_INVALID_ARGUMENT, "beam_expand of too many beams");
}

}  // namespace

// `rows_test tiny` leaves out the longest rows.
int main(int count, char** arguments) {
  test_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("row kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  test_top_k(count > 1 && std::strcmp(arguments[1], "tiny") == 0);
  test_sample_rows();
  test_beam_expand();
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}
