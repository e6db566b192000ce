// What kernels share, on the emulation: exp and log, Philox, and reductions along a row, against plain loops
// that follow the documentation's rules.
#include <algorithm>
#include <cinttypes>
#include <string>

#include "core/math.cuh"
#include "core/philox.cuh"
#include "core/row_reduction.cuh"
#include "operand.h"

namespace {

using quern_test::failures;
using quern_test::Operand;
using quern_test::Random;

constexpr int kThreads = 256;

// The digest that io.quern.internal.simd.CanonicalMathTest computes of its twins, over every 257th float.
template <typename Function>
void expect_digest(const char* name, Function function, uint64_t expected) {
  uint64_t digest = 0;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 257) {
    const float value = function(__uint_as_float(static_cast<uint32_t>(bits)));
    digest = (digest ^ (value != value ? 0x7fc00000u : __float_as_uint(value))) * 0x100000001b3u;
  }
  QUERN_EXPECT(digest == expected, "%s: the digest is %" PRIx64 ", not %" PRIx64, name, digest, expected);
}

void test_math() {
  expect_digest("exp", quern::canonical_exp, 0x7a152172fbc67122u);
  expect_digest("log", quern::canonical_log, 0xc1c7d400de8af5d5u);
  expect_digest("log1p", quern::canonical_log1p, 0x206ba9ca89295599u);
}

void test_philox() {
  // Known answers that Random123 publishes for philox4x32-10.
  const uint32_t known[3][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
       0x5001e420, 0x24126ea1}};
  for (const uint32_t(&k)[10] : known) {
    const uint4 words = quern::philox_block(make_uint4(k[0], k[1], k[2], k[3]), k[4], k[5]);
    QUERN_EXPECT(words.x == k[6] && words.y == k[7] && words.z == k[8] && words.w == k[9],
                 "philox of counter %x...: %x %x %x %x", k[0], words.x, words.y, words.z, words.w);
  }
  // The last one again, as seed, position, purpose and column.
  const float uniform =
      quern::philox_uniform(0x299f31d0a4093822, 0x13198a2e85a308d3, 0x03707344, int64_t{0x243f6a88} * 4 + 2);
  QUERN_EXPECT(uniform == ((0x5001e420u >> 9) * 2 + 1) * 0x1p-24f, "philox_uniform is %.9g", uniform);
}

struct Results {
  float max, sum, norm, dot, exp_sum, half_warp_sum;
  int64_t argmax, found;
};

template <typename Element>
__global__ void reduce_kernel(const char* a, const char* b, int64_t n, bool aligned, float target,
                              Results* results) {
  const quern::StoredRow<Element> x = {a, aligned};
  const quern::StoredRow<Element> y = {b, aligned};
  Results r;
  r.max = quern::block_max<kThreads>(x, n);
  r.argmax = quern::block_argmax<kThreads>(x, n);
  r.sum = quern::block_sum<kThreads>(x, n);
  r.norm = quern::block_reduce<kThreads>(quern::SquaredNormOf<quern::StoredRow<Element>>{x}, n);
  r.dot = quern::block_reduce<kThreads>(
      quern::DotOf<quern::StoredRow<Element>, quern::StoredRow<Element>>{x, y}, n);
  r.exp_sum = quern::block_sum<kThreads>(quern::ExpOf<quern::StoredRow<Element>>{x, r.max}, n);
  r.half_warp_sum = quern::half_warp_reduce(quern::SumOf<quern::StoredRow<Element>>{x}, n);
  r.found = quern::block_search<kThreads>(x, n, target);
  results[threadIdx.x] = r;
}

template <typename Term>
float piece_of(int64_t begin, int64_t end, Term term) {
  float partials[64] = {};
  for (int64_t i = begin; i < end; ++i) partials[i % 64] = term(i, partials[i % 64]);
  for (int half = 32; half > 0; half /= 2) {
    for (int p = 0; p < half; ++p) partials[p] += partials[p + half];
  }
  return partials[0];
}

template <typename Term>
float reduce(int64_t n, Term term) {
  float total = 0.0f;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    total += piece_of(begin, std::min(n, begin + 4096), term);
  }
  return total;
}

int64_t search(const std::vector<float>& x, float target) {
  const int64_t n = static_cast<int64_t>(x.size());
  float before = 0.0f;
  for (int64_t begin = 0; begin < n; begin += 4096) {
    const int64_t end = std::min(n, begin + 4096);
    const float after = before + piece_of(begin, end, [&](int64_t i, float s) { return s + x[i]; });
    if (after > target) {
      int64_t last = -1;
      float sum = before;
      for (int64_t i = begin; i < end; ++i) {
        sum += x[i];
        if (x[i] > 0.0f) {
          if (sum > target) return i;
          last = i;
        }
      }
      return last;
    }
    before = after;
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    if (x[i] > 0.0f) return i;
  }
  return -1;
}

bool same(float a, float b) {
  return __float_as_uint(a) == __float_as_uint(b) || (a != a && b != b);
}

enum class Values { kNormal, kNonnegative, kFew, kSpecial };

float next(Values values, Random& random) {
  const float any = random.value();
  const float value = std::fabs(any) < 1e4f ? any : 0.25f;  // sums of infinities would tell nothing
  switch (values) {
    case Values::kNormal:
      return value;
    case Values::kNonnegative:
      return value > 0.0f ? value : 0.0f;
    case Values::kFew:
      return static_cast<float>(random.below(5) - 2);
    default:
      switch (random.below(30)) {
        case 0:
          return NAN;
        case 1:
          return -INFINITY;
        case 2:
          return -0.0f;
        default:
          return value < 0.0f ? value : -value;
      }
  }
}

template <typename Element>
void test_row(int32_t dtype, int64_t n, Values values, bool aligned, float part) {
  const std::string name = "row of dtype " + std::to_string(dtype) + ", n " + std::to_string(n) +
                           ", values " + std::to_string(static_cast<int>(values)) + ", part " +
                           std::to_string(part);
  Random random(static_cast<uint64_t>(n * 31 + dtype * 7 + static_cast<int>(values)));
  const size_t size = quern_test::element_bytes(dtype);
  std::vector<unsigned char> bytes[2];
  std::vector<float> rows[2];
  for (int r = 0; r < 2; ++r) {
    bytes[r].resize(n * size);
    for (int64_t i = 0; i < n; ++i) {
      quern_test::store_element(dtype, &bytes[r][i * size], next(values, random));
      rows[r].push_back(quern_test::load_element(dtype, &bytes[r][i * size]));
    }
  }
  const std::vector<float>& x = rows[0];
  const std::vector<float>& y = rows[1];
  Results expected;
  expected.max = -INFINITY;
  expected.argmax = n == 0 ? -1 : 0;
  for (int64_t i = 0; i < n; ++i) {
    const float best = x[expected.argmax];
    if (x[i] > best || (best != best && x[i] == x[i])) expected.argmax = i;
    if (!(x[i] <= expected.max) && expected.max == expected.max) expected.max = x[i];
  }
  expected.max += 0.0f;
  expected.sum = reduce(n, [&](int64_t i, float s) { return s + x[i]; });
  expected.half_warp_sum = expected.sum;
  expected.norm = reduce(n, [&](int64_t i, float s) { return __builtin_fmaf(x[i], x[i], s); });
  expected.dot = reduce(n, [&](int64_t i, float s) { return __builtin_fmaf(x[i], y[i], s); });
  expected.exp_sum =
      reduce(n, [&](int64_t i, float s) { return s + quern::canonical_exp(x[i] - expected.max); });
  const float target = part * expected.sum;
  expected.found = search(x, target);

  const Operand a(bytes[0], aligned ? 0 : size);
  const Operand b(bytes[1], aligned ? 0 : size);
  const Operand results(kThreads * sizeof(Results));
  const quern_status status =
      quern::launch(reduce_kernel<Element>, dim3(1), dim3(kThreads), 0, quern_test::stream(),
                    static_cast<const char*>(a.data()), static_cast<const char*>(b.data()), n, aligned,
                    target, static_cast<Results*>(results.data()));
  QUERN_EXPECT(status == QUERN_OK, "%s: status %d", name.c_str(), status);
  const std::vector<unsigned char> read = results.read();
  for (int thread = 0; thread < kThreads; ++thread) {
    Results got;
    std::memcpy(&got, &read[thread * sizeof(Results)], sizeof(Results));
    const bool equal = same(got.max, expected.max) && same(got.sum, expected.sum) &&
                       same(got.norm, expected.norm) && same(got.dot, expected.dot) &&
                       same(got.exp_sum, expected.exp_sum) &&
                       same(got.half_warp_sum, expected.half_warp_sum) && got.argmax == expected.argmax &&
                       got.found == expected.found;
    if (!equal) {
      QUERN_FAIL("%s: thread %d has max %.9g sum %.9g norm %.9g dot %.9g exp %.9g half %.9g argmax %" PRId64
                 " found %" PRId64 ", not %.9g %.9g %.9g %.9g %.9g %.9g %" PRId64 " %" PRId64,
                 name.c_str(), thread, got.max, got.sum, got.norm, got.dot, got.exp_sum, got.half_warp_sum,
                 got.argmax, got.found, expected.max, expected.sum, expected.norm, expected.dot,
                 expected.exp_sum, expected.half_warp_sum, expected.argmax, expected.found);
      return;
    }
  }
}

void test_rows() {
  const int64_t sizes[] = {0, 1, 2, 3, 5, 63, 64, 65, 130, 767, 1024, 4095, 4096, 4097, 9000, 70001};
  int count = 0;
  for (int64_t n : sizes) {
    for (Values values : {Values::kNormal, Values::kNonnegative, Values::kFew, Values::kSpecial}) {
      for (bool aligned : {true, false}) {
        const float parts[] = {0.5f, 0.0f, 0.999999f, 1.0f, -1.0f, 0.01f, 2.0f};
        const float part = parts[count++ % 7];
        test_row<quern::F32>(QUERN_F32, n, values, aligned, part);
        if (n < 9000) {
          test_row<quern::F16>(QUERN_F16, n, values, aligned, part);
          test_row<quern::BF16>(QUERN_BF16, n, values, aligned, part);
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || std::string(argv[1]) != "rows") {
    test_math();
    test_philox();
  }
  test_rows();
  if (failures > 0) {
    std::fprintf(stderr, "%d failures\n", failures);
    return 1;
  }
  std::printf("exp, log, philox and row reductions are as documented\n");
  return 0;
}
