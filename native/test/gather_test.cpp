// embedding_gather and embedding_bag against plain loops, bit by bit. Linked twice: with libquern_emulated,
// and with libquern, where it is skipped without a device.
#include "quern/gather.h"

#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "operand.h"

namespace {

using quern_test::element_bytes;
using quern_test::failures;
using quern_test::Operand;
using quern_test::Random;

constexpr int32_t kRowDtypes[] = {QUERN_F32, QUERN_F16, QUERN_BF16};
constexpr int32_t kPolicies[] = {QUERN_INDEX_FAIL, QUERN_INDEX_ZERO, QUERN_INDEX_CLAMP, QUERN_INDEX_SKIP};
constexpr int64_t kNoRow = -1, kZeros = -2, kUntouched = -3, kFailed = -4;

struct BadData {
  int32_t kind = QUERN_DATA_OK;
  int64_t position = 0, value = 0, limit = 0;

  void offer(int32_t other_kind, int64_t other_position, int64_t other_value, int64_t other_limit) {
    if (kind == QUERN_DATA_OK || other_kind < kind || (other_kind == kind && other_position < position)) {
      *this = {other_kind, other_position, other_value, other_limit};
    }
  }
};

// The contract's rule for one index, and what it reports.
int64_t resolve(int32_t policy, int64_t index, int64_t limit, int32_t kind, int64_t position, BadData* bad) {
  if (index >= 0 && index < limit) return index;
  switch (policy) {
    case QUERN_INDEX_FAIL:
      bad->offer(kind, position, index, limit);
      return kFailed;
    case QUERN_INDEX_SKIP:
      return kUntouched;
    case QUERN_INDEX_CLAMP:
      return limit == 0 ? kZeros : std::clamp<int64_t>(index, 0, limit - 1);
    default:
      return kZeros;
  }
}

// Rows in host memory with a stride in elements.
struct Matrix {
  int32_t dtype;
  int64_t rows, dim, stride;
  std::vector<unsigned char> bytes;

  Matrix(int32_t dtype, int64_t rows, int64_t dim, int64_t stride)
      : dtype(dtype),
        rows(rows),
        dim(dim),
        stride(stride),
        bytes(rows == 0 ? 0 : ((rows - 1) * stride + dim) * element_bytes(dtype), quern_test::kPoison) {}

  static Matrix random(int32_t dtype, int64_t rows, int64_t dim, int64_t stride, Random& random) {
    Matrix matrix(dtype, rows, dim, stride);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t d = 0; d < dim; ++d) matrix.set(r, d, random.value());
    }
    return matrix;
  }
  unsigned char* at(int64_t row, int64_t d) {
    return bytes.data() + (row * stride + d) * element_bytes(dtype);
  }
  const unsigned char* at(int64_t row, int64_t d) const { return const_cast<Matrix*>(this)->at(row, d); }
  float get(int64_t row, int64_t d) const { return quern_test::load_element(dtype, at(row, d)); }
  void set(int64_t row, int64_t d, float value) { quern_test::store_element(dtype, at(row, d), value); }
};

void expect_same(const std::string& name, const Matrix& expected, const Operand& out) {
  const std::vector<unsigned char> bytes = out.read();
  const size_t size = element_bytes(expected.dtype);
  for (size_t i = 0; i < bytes.size(); i += size) {
    if (!quern_test::same_element(expected.dtype, &bytes[i], &expected.bytes[i])) {
      const int64_t element = static_cast<int64_t>(i / size);
      QUERN_FAIL("%s: out[%lld, %lld] is %.9g, not %.9g", name.c_str(),
                 static_cast<long long>(element / expected.stride),
                 static_cast<long long>(element % expected.stride),
                 quern_test::load_element(expected.dtype, &bytes[i]),
                 quern_test::load_element(expected.dtype, &expected.bytes[i]));
      return;
    }
  }
}

std::vector<unsigned char> indices(int32_t dtype, const std::vector<int64_t>& values) {
  std::vector<unsigned char> bytes(values.size() * (dtype == QUERN_I64 ? 8 : 4));
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t narrow = static_cast<int32_t>(values[i]);
    if (dtype == QUERN_I64) {
      std::memcpy(&bytes[8 * i], &values[i], 8);
    } else {
      std::memcpy(&bytes[4 * i], &narrow, 4);
    }
  }
  return bytes;
}

constexpr int64_t kLaunch = 7;

// The stream's record, 64-byte aligned in device memory.
class Record {
 public:
  Record() : operand_(&empty_, sizeof(empty_)) {}
  quern_error_record* data() const { return static_cast<quern_error_record*>(operand_.data()); }

  void expect(const std::string& name, const BadData& bad) const {
    quern_error_record record;
    std::memcpy(&record, operand_.read().data(), sizeof(record));
    const bool same =
        record.kind == bad.kind && record.lock == 0 &&
        (bad.kind == QUERN_DATA_OK || (record.launch == kLaunch && record.position == bad.position &&
                                       record.value == bad.value && record.limit == bad.limit));
    QUERN_EXPECT(same, "%s: recorded kind %d at %lld: %lld of %lld, expected kind %d at %lld: %lld of %lld",
                 name.c_str(), record.kind, static_cast<long long>(record.position),
                 static_cast<long long>(record.value), static_cast<long long>(record.limit), bad.kind,
                 static_cast<long long>(bad.position), static_cast<long long>(bad.value),
                 static_cast<long long>(bad.limit));
    QUERN_EXPECT(operand_.guards_hold(), "%s: wrote around the error record", name.c_str());
  }

 private:
  quern_error_record empty_ = {};
  Operand operand_;
};

// How operands lie: elements between rows beyond dim, and elements by which bases miss 16-byte alignment.
struct Layout {
  int64_t padding, shift, out_padding, out_shift, fallback_shift;
};
constexpr Layout kLayouts[] = {{0, 0, 0, 0, 0}, {8, 0, 8, 0, 0}, {3, 0, 3, 0, 0}, {0, 1, 0, 1, 1},
                               {2, 2, 2, 2, 2}, {0, 0, 0, 1, 0}, {0, 1, 0, 0, 0}, {0, 0, 1, 0, 0},
                               {0, 0, 0, 0, 1}, {4, 4, 0, 0, 0}};
constexpr int64_t kLayoutCount = sizeof(kLayouts) / sizeof(*kLayouts);

struct Tables {
  std::vector<Matrix> matrices;
  std::vector<std::unique_ptr<Operand>> operands;

  Tables(int count, int32_t dtype, int64_t rows, int64_t dim, const Layout& layout, Random& random) {
    for (int t = 0; t < count; ++t) {
      matrices.push_back(Matrix::random(dtype, rows + 2 * t, dim, dim + layout.padding, random));
      operands.push_back(
          std::make_unique<Operand>(matrices.back().bytes, layout.shift * element_bytes(dtype)));
    }
  }
  template <typename Desc>
  void describe(Desc* desc) const {
    desc->table_count = static_cast<int32_t>(matrices.size());
    for (size_t t = 0; t < matrices.size(); ++t) {
      desc->tables[t] = {operands[t]->data(), matrices[t].rows, matrices[t].stride};
    }
  }
  void expect_unchanged(const std::string& name) const {
    for (size_t t = 0; t < matrices.size(); ++t) {
      QUERN_EXPECT(operands[t]->read() == matrices[t].bytes && operands[t]->guards_hold(),
                   "%s: table %zu was written to", name.c_str(), t);
    }
  }
};

std::vector<int64_t> random_ids(int64_t count, int64_t rows, bool bad, Random& random) {
  std::vector<int64_t> ids(count);
  for (int64_t& id : ids) {
    id = rows == 0 || random.below(8) == 0 ? -1 : random.below(rows);
    if (bad && random.below(12) == 0) {
      const int64_t wrong[] = {rows, rows + 1, -2, INT32_MIN, INT32_MAX};
      id = wrong[random.below(5)];
    }
  }
  return ids;
}

struct GatherCase {
  int32_t in, out, id_dtype, policy;
  int64_t dim, count, rows;
  const Layout* layout;
  int tables;
  bool bad;

  std::string name() const {
    char text[200];
    std::snprintf(
        text, sizeof(text),
        "gather dtypes %d->%d ids %d policy %d dim %lld count %lld rows %lld layout %td tables %d bad %d", in,
        out, id_dtype, policy, static_cast<long long>(dim), static_cast<long long>(count),
        static_cast<long long>(rows), layout - kLayouts, tables, bad);
    return text;
  }
};

void run_gather(const GatherCase& c) {
  Random random(static_cast<uint64_t>(c.dim * 31 + c.count * 7 + c.in * 3 + c.out));
  const std::string name = c.name();
  const Tables tables(c.tables, c.in, c.rows, c.dim, *c.layout, random);
  const std::vector<int64_t> ids = random_ids(c.count, c.rows, c.bad, random);
  std::vector<int32_t> table_ids;
  for (int64_t i = 0; c.tables > 1 && i < c.count; ++i) {
    table_ids.push_back(static_cast<int32_t>(random.below(c.tables + (c.bad ? 1 : 0))) -
                        (c.bad && i % 9 == 8 ? 3 : 0));
  }

  Matrix expected(c.out, c.count, c.dim, c.dim + c.layout->out_padding);
  BadData bad;
  for (int64_t i = 0; i < c.count; ++i) {
    int64_t table = 0;
    int64_t row = kZeros;
    if (ids[i] != -1) {
      if (c.tables > 1) table = resolve(c.policy, table_ids[i], c.tables, QUERN_DATA_TABLE_ID, i, &bad);
      row = table < 0 ? table
                      : resolve(c.policy, ids[i], tables.matrices[table].rows, QUERN_DATA_INDEX, i, &bad);
    }
    for (int64_t d = 0; row != kUntouched && d < c.dim; ++d) {
      if (row >= 0 && c.in == c.out) {
        std::memcpy(expected.at(i, d), tables.matrices[table].at(row, d), element_bytes(c.in));
      } else {
        expected.set(i, d, row >= 0 ? tables.matrices[table].get(row, d) : 0.0f);
      }
    }
  }

  const Operand ids_operand(indices(c.id_dtype, ids));
  const Operand table_ids_operand(table_ids);
  const Operand out(expected.bytes.size(), c.layout->out_shift * element_bytes(c.out));
  const Record record;
  quern_embedding_gather_desc desc = {};
  desc.size = sizeof(desc);
  desc.table_dtype = c.in;
  desc.out_dtype = c.out;
  desc.id_dtype = c.id_dtype;
  desc.policy = c.policy;
  desc.dim = c.dim;
  desc.count = c.count;
  desc.out_stride = expected.stride;
  desc.launch = kLaunch;
  tables.describe(&desc);
  const quern_status status = quern_embedding_gather(
      &desc, 0, ids_operand.data(), c.tables > 1 ? static_cast<int32_t*>(table_ids_operand.data()) : nullptr,
      out.data(), record.data(), nullptr, 0, quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "%s: status %d", name.c_str(), status);
  expect_same(name, expected, out);
  record.expect(name, bad);
  QUERN_EXPECT(out.guards_hold(), "%s: wrote around the output", name.c_str());
  tables.expect_unchanged(name);
}

void test_gather() {
  for (const int64_t dim : {1, 3, 17, 33, 129, 200, 384}) {
    for (const int32_t in : kRowDtypes) {
      for (const int32_t out : kRowDtypes) {
        for (const Layout& layout : kLayouts) {
          const int64_t mixed = dim + in + 2 * out + layout.padding + layout.out_shift;
          run_gather({in, out, mixed % 2 == 0 ? QUERN_I32 : QUERN_I64, kPolicies[mixed % 4], dim, 37, 11,
                      &layout, 1, mixed % 3 != 0});
        }
      }
    }
  }
  for (const int32_t policy : kPolicies) {
    for (const bool bad : {false, true}) {
      for (const int32_t id_dtype : {QUERN_I32, QUERN_I64}) {
        for (const int tables : {1, 2, 5, QUERN_MAX_TABLES}) {
          run_gather({QUERN_F32, QUERN_F32, id_dtype, policy, 8, 150, 6, &kLayouts[0], tables, bad});
          run_gather({QUERN_F16, QUERN_F32, id_dtype, policy, 40, 45, 6, &kLayouts[1], tables, bad});
        }
        run_gather(
            {QUERN_BF16, QUERN_BF16, id_dtype, policy, 24, 20, 0, &kLayouts[0], 1, bad});  // no rows at all
      }
    }
  }
  for (const int64_t count : {0, 1, 2, 31, 32, 33, 127, 128, 129, 1025}) {
    run_gather({QUERN_F32, QUERN_F32, QUERN_I32, QUERN_INDEX_FAIL, 4, count, 9, &kLayouts[0], 1, false});
    run_gather({QUERN_F32, QUERN_F16, QUERN_I64, QUERN_INDEX_FAIL, 264, std::min<int64_t>(count, 40), 9,
                &kLayouts[0], 1, true});
  }
}

// A record that another launch owns is left alone.
void test_record_of_an_earlier_launch() {
  quern_error_record earlier = {};
  earlier.kind = QUERN_DATA_INDEX;
  earlier.launch = kLaunch - 1;
  earlier.position = 500;
  const Operand record(&earlier, sizeof(earlier));
  const Operand table(std::vector<float>(8, 1.0f));
  const Operand ids(std::vector<int32_t>{0, 9, 1});
  const Operand out(3 * 4 * sizeof(float));
  quern_embedding_gather_desc desc = {};
  desc.size = sizeof(desc);
  desc.id_dtype = QUERN_I32;
  desc.table_count = 1;
  desc.dim = desc.out_stride = 4;
  desc.count = 3;
  desc.launch = kLaunch;
  desc.tables[0] = {table.data(), 2, 4};
  QUERN_EXPECT(quern_embedding_gather(&desc, 0, ids.data(), nullptr, out.data(),
                                      static_cast<quern_error_record*>(record.data()), nullptr, 0,
                                      quern_test::stream()) == QUERN_OK,
               "launch with a record that is taken");
  QUERN_EXPECT(std::memcmp(record.read().data(), &earlier, sizeof(earlier)) == 0,
               "an earlier launch's record changed");
}

struct BagCase {
  int32_t in, out, policy, combine, empty;
  bool weighted;
  int64_t dim, rows;
  std::vector<int64_t> lengths;
  const Layout* layout;
  int tables;
  bool bad;

  std::string name() const {
    char text[240];
    std::snprintf(
        text, sizeof(text),
        "bag dtypes %d->%d policy %d combine %d empty %d weighted %d dim %lld rows %lld bags %zu layout %td "
        "tables %d bad %d",
        in, out, policy, combine, empty, weighted, static_cast<long long>(dim), static_cast<long long>(rows),
        lengths.size(), layout - kLayouts, tables, bad);
    return text;
  }
};

// One bag by the contract's words. Empty: no value of its own.
std::vector<float> combine_bag(const BagCase& c, const Matrix& table, const std::vector<int64_t>& rows,
                               const float* weights) {
  std::vector<size_t> counted;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= 0 || rows[i] == kZeros) counted.push_back(i);
  }
  if (counted.empty()) return {};
  const auto value = [&](size_t i, int64_t d) { return rows[i] >= 0 ? table.get(rows[i], d) : 0.0f; };
  // Sums the terms of each chunk from +0, then the chunks.
  const auto chunked = [&](const std::function<float(size_t, float)>& add) {
    float total = 0.0f;
    for (size_t chunk = 0; chunk < rows.size(); chunk += 64) {
      float sum = 0.0f;
      for (const size_t i : counted) {
        if (i / 64 == chunk / 64) sum = add(i, sum);
      }
      total += sum;
    }
    return total;
  };
  std::vector<float> result(c.dim);
  for (int64_t d = 0; d < c.dim; ++d) {
    float& r = result[d];
    switch (c.combine) {
      case QUERN_COMBINE_FIRST:
        r = value(counted.front(), d);
        break;
      case QUERN_COMBINE_LAST:
        r = value(counted.back(), d);
        break;
      case QUERN_COMBINE_MAX:
      case QUERN_COMBINE_MIN:
        r = value(counted[0], d);
        for (const size_t i : counted) {
          const float v = value(i, d);
          const bool better = c.combine == QUERN_COMBINE_MAX ? v > r : v < r;
          if (!std::isnan(r) && (std::isnan(v) || better)) r = v;
        }
        if (r == 0.0f) r = 0.0f;
        break;
      default:
        r = weights != nullptr
                ? chunked([&](size_t i, float sum) { return std::fma(weights[i], value(i, d), sum); })
                : chunked([&](size_t i, float sum) { return sum + value(i, d); });
        if (c.combine == QUERN_COMBINE_MEAN) r /= static_cast<float>(counted.size());
        if (c.combine == QUERN_COMBINE_WEIGHTED_MEAN) {
          r /= chunked([&](size_t i, float sum) { return sum + weights[i]; });
        }
    }
  }
  return result;
}

void run_bags(const BagCase& c) {
  Random random(static_cast<uint64_t>(c.dim * 17 + c.combine + c.in * 5));
  const std::string name = c.name();
  const auto bags = static_cast<int64_t>(c.lengths.size());
  const int32_t id_dtype = c.dim % 2 == 0 ? QUERN_I32 : QUERN_I64;
  const int32_t offset_dtype = c.combine % 2 == 0 ? QUERN_I64 : QUERN_I32;
  std::vector<int64_t> offsets = {0};
  for (const int64_t length : c.lengths) offsets.push_back(offsets.back() + length);
  const int64_t count = offsets.back();
  const Tables tables(c.tables, c.in, c.rows, c.dim, *c.layout, random);
  // One bad id in a few hundred, so that most bags stay good.
  std::vector<int64_t> ids = random_ids(count, c.rows, false, random);
  for (int64_t i = 0; c.bad && i < count; ++i) {
    if (random.below(200) == 0 || (i == 0 && c.combine % 2 == 0))
      ids[i] = random.below(2) == 0 ? c.rows + 50 : -7;
  }
  if (c.bad && bags >= 6) {
    offsets[bags - 4] = count + 2;
    offsets[bags - 2] = -3;
    offsets[bags] -= 1;
  }
  std::vector<int32_t> table_ids;
  for (int64_t s = 0; c.tables > 1 && s < bags; ++s) {
    table_ids.push_back(c.bad && s % 4 == 3 ? c.tables + 1 : static_cast<int32_t>(random.below(c.tables)));
  }
  std::vector<float> weights(c.weighted ? count : 0);
  for (float& weight : weights) weight = random.value();
  const bool one_fallback = c.dim % 3 == 0;
  const Matrix fallback =
      Matrix::random(c.in, one_fallback ? 1 : bags, c.dim, c.dim + c.layout->out_padding, random);

  Matrix expected(c.out, bags, c.dim, c.dim + c.layout->out_padding);
  BadData bad;
  for (int64_t s = 0; s < bags; ++s) {
    int64_t begin = offsets[s], end = offsets[s + 1];
    bool zeros = false;
    if (begin < 0 || begin > count || end < begin || end > count) {
      if (c.policy == QUERN_INDEX_SKIP) continue;
      if (c.policy == QUERN_INDEX_FAIL) {
        bad.offer(QUERN_DATA_OFFSETS, s, begin < 0 || begin > count ? begin : end, count);
      }
      if (c.policy == QUERN_INDEX_CLAMP) {
        begin = std::clamp<int64_t>(begin, 0, count);
        end = std::max(begin, std::clamp<int64_t>(end, 0, count));
      } else {
        zeros = true;
        begin = end = 0;
      }
    }
    int64_t table =
        c.tables > 1 ? resolve(c.policy, table_ids[s], c.tables, QUERN_DATA_TABLE_ID, s, &bad) : 0;
    zeros = zeros || table == kFailed;
    std::vector<int64_t> rows;
    for (int64_t j = begin; j < end; ++j) {
      const int64_t id = ids[j];
      rows.push_back(id == -1 ? kNoRow
                     : table < 0
                         ? table
                         : resolve(c.policy, id, tables.matrices[table].rows, QUERN_DATA_INDEX, j, &bad));
      zeros = zeros || rows.back() == kFailed;
    }
    std::vector<float> values(c.dim, 0.0f);
    if (!zeros) {
      values = combine_bag(c, tables.matrices[std::max<int64_t>(table, 0)], rows,
                           c.weighted ? &weights[begin] : nullptr);
    }
    if (values.empty()) {
      if (c.empty == QUERN_EMPTY_KEEP) continue;
      for (int64_t d = 0; d < c.dim; ++d) {
        values.push_back(c.empty == QUERN_EMPTY_ZERO ? 0.0f : fallback.get(one_fallback ? 0 : s, d));
      }
    }
    for (int64_t d = 0; d < c.dim; ++d) expected.set(s, d, values[d]);
  }

  const Operand ids_operand(indices(id_dtype, ids)), offsets_operand(indices(offset_dtype, offsets));
  const Operand table_ids_operand(table_ids), weights_operand(weights);
  const Operand fallback_operand(fallback.bytes, c.layout->fallback_shift * element_bytes(c.in));
  const Operand out(expected.bytes.size(), c.layout->out_shift * element_bytes(c.out));
  const Record record;
  quern_embedding_bag_desc desc = {};
  desc.size = sizeof(desc);
  desc.table_dtype = c.in;
  desc.out_dtype = c.out;
  desc.id_dtype = id_dtype;
  desc.offset_dtype = offset_dtype;
  desc.policy = c.policy;
  desc.combine = c.combine;
  desc.empty = c.empty;
  desc.dim = c.dim;
  desc.count = count;
  desc.bags = bags;
  desc.out_stride = expected.stride;
  desc.fallback_stride = one_fallback ? 0 : fallback.stride;
  desc.launch = kLaunch;
  tables.describe(&desc);
  const quern_status status = quern_embedding_bag(
      &desc, 0, ids_operand.data(), c.tables > 1 ? static_cast<int32_t*>(table_ids_operand.data()) : nullptr,
      offsets_operand.data(), c.weighted ? static_cast<float*>(weights_operand.data()) : nullptr,
      c.empty == QUERN_EMPTY_FALLBACK ? fallback_operand.data() : nullptr, out.data(), record.data(), nullptr,
      0, quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "%s: status %d", name.c_str(), status);
  expect_same(name, expected, out);
  record.expect(name, bad);
  QUERN_EXPECT(out.guards_hold(), "%s: wrote around the output", name.c_str());
  tables.expect_unchanged(name);
}

struct Combination {
  int32_t combine;
  bool weighted;
};
constexpr Combination kCombinations[] = {{QUERN_COMBINE_SUM, false},   {QUERN_COMBINE_SUM, true},
                                         {QUERN_COMBINE_MEAN, false},  {QUERN_COMBINE_WEIGHTED_MEAN, true},
                                         {QUERN_COMBINE_MAX, false},   {QUERN_COMBINE_MIN, false},
                                         {QUERN_COMBINE_FIRST, false}, {QUERN_COMBINE_LAST, false}};
// Short ones run as groups of lanes, long ones as blocks; both cross chunks.
const std::vector<int64_t> kShortBags = {0, 1, 2, 5, 0, 63, 64, 65, 128, 129, 0, 200, 7, 1, 1, 3, 0};
constexpr int64_t kManyBlocks = 260;  // so many that the launcher leaves groups at full width
const std::vector<int64_t> kLongBags = {0, 700, 64, 1, 0, 65, 129, 600, 130};

void test_bags() {
  for (const Combination& combination : kCombinations) {
    for (const int64_t dim : {1, 3, 17, 33, 129, 200, 384}) {
      for (const int32_t in : kRowDtypes) {
        const int64_t mixed = dim + in + combination.combine + combination.weighted;
        const Layout& layout = kLayouts[mixed % kLayoutCount];
        const auto empty = static_cast<int32_t>(mixed % 3);
        run_bags({in, in, kPolicies[mixed % 4], combination.combine, empty, combination.weighted, dim, 23,
                  kShortBags, &layout, 1, mixed % 2 == 0});
        run_bags({in, kRowDtypes[mixed % 3], kPolicies[(mixed + 1) % 4], combination.combine, empty,
                  combination.weighted, dim, 23, kLongBags, &layout, 1, mixed % 2 == 0});
      }
    }
    for (const int32_t in : kRowDtypes) {
      for (const int32_t out : kRowDtypes) {
        run_bags({in, out, QUERN_INDEX_FAIL, combination.combine, QUERN_EMPTY_FALLBACK, combination.weighted,
                  48, 300, kShortBags, &kLayouts[out == QUERN_F32 ? 8 : 0], 1, false});
      }
    }
    for (const int32_t policy : kPolicies) {
      for (const bool bad : {false, true}) {
        for (const int32_t empty : {QUERN_EMPTY_ZERO, QUERN_EMPTY_KEEP, QUERN_EMPTY_FALLBACK}) {
          run_bags({QUERN_F32, QUERN_F32, policy, combination.combine, empty, combination.weighted, 16, 30,
                    kShortBags, &kLayouts[0], 1, bad});
          run_bags({QUERN_F16, QUERN_F16, policy, combination.combine, empty, combination.weighted, 16, 30,
                    kLongBags, &kLayouts[0], 4, bad});
        }
        run_bags({QUERN_BF16, QUERN_F32, policy, combination.combine, QUERN_EMPTY_ZERO, combination.weighted,
                  8, 0, kShortBags, &kLayouts[0], 1, bad});  // no rows at all
      }
    }
    const auto run_good = [&](int32_t dtype, int64_t dim, const std::vector<int64_t>& lengths) {
      run_bags({dtype, dtype, QUERN_INDEX_FAIL, combination.combine, QUERN_EMPTY_ZERO, combination.weighted,
                dim, 400, lengths, &kLayouts[0], 1, false});
    };
    // One bag of 5000, by a block and, among many empty ones, by a group.
    std::vector<int64_t> lengths = {5000};
    run_good(QUERN_F32, 36, lengths);
    lengths.resize(60, 0);
    run_good(QUERN_F32, 36, lengths);
    // More chunks than a block has groups, so that it goes several rounds.
    run_good(QUERN_F32, 1, {40000});
    lengths.assign(kManyBlocks, 124);
    lengths[3] = 2200;
    run_good(QUERN_F32, 128, lengths);
    run_good(QUERN_BF16, 256, lengths);
    run_good(QUERN_F32, 4, {});
  }
}

// Every kernel and every way that its threads meet, in few threads: what ThreadSanitizer has the time for.
void test_tiny() {
  for (const int32_t policy : {QUERN_INDEX_FAIL, QUERN_INDEX_CLAMP}) {
    run_gather({QUERN_F32, QUERN_F32, QUERN_I32, policy, 8, 40, 6, &kLayouts[0], 2, true});
    run_gather({QUERN_F16, QUERN_F32, QUERN_I64, policy, 16, 20, 6, &kLayouts[0], 1, true});
  }
  for (const Combination& combination : kCombinations) {
    for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{0, 3, 1, 2, 4, 2, 3}, {130, 200}}) {
      run_bags({QUERN_F32, QUERN_F32, QUERN_INDEX_FAIL, combination.combine, QUERN_EMPTY_ZERO,
                combination.weighted, 16, 9, lengths, &kLayouts[0], 1, true});
    }
  }
  run_bags({QUERN_F32,
            QUERN_F32,
            QUERN_INDEX_FAIL,
            QUERN_COMBINE_SUM,
            QUERN_EMPTY_ZERO,
            false,
            1,
            9,
            {34000},
            &kLayouts[0],
            1,
            false});
}

// Offsets in rows and elements beyond 2^31, in sparse memory that a kernel on the CPU can reach.
void test_beyond_32_bits() {
  constexpr int64_t kRows = (int64_t{1} << 26) + 3, kDim = 40, kOutStride = int64_t{1} << 26, kCount = 36;
  const auto reserve = [](size_t bytes) {
    void* address =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    return static_cast<uint16_t*>(address);
  };
  const size_t table_bytes = kRows * kDim * 2, out_bytes = kCount * kOutStride * 2;
  uint16_t* table = reserve(table_bytes);
  uint16_t* out = reserve(out_bytes);
  std::vector<int32_t> ids(kCount);
  std::vector<int64_t> offsets(kCount + 1);
  for (int64_t i = 0; i < kCount; ++i) {
    ids[i] = static_cast<int32_t>(kRows - 1 - i * (kRows / kCount));
    offsets[i + 1] = i + 1;
    for (int64_t d = 0; d < kDim; ++d)
      table[ids[i] * kDim + d] = static_cast<uint16_t>(0x3c00 + i * kDim + d);
  }
  const auto expect_rows = [&](const char* name) {
    for (int64_t i = 0; i < kCount; ++i) {
      for (int64_t d = 0; d < kDim; ++d) {
        QUERN_EXPECT(out[i * kOutStride + d] == 0x3c00 + i * kDim + d, "%s beyond 2^31: row %lld", name,
                     static_cast<long long>(i));
        out[i * kOutStride + d] = 0;
      }
    }
  };
  quern_embedding_gather_desc gather = {};
  gather.size = sizeof(gather);
  gather.table_dtype = gather.out_dtype = QUERN_F16;
  gather.id_dtype = QUERN_I32;
  gather.policy = QUERN_INDEX_ZERO;
  gather.table_count = 1;
  gather.dim = kDim;
  gather.count = kCount;
  gather.out_stride = kOutStride;
  gather.tables[0] = {table, kRows, kDim};
  QUERN_EXPECT(quern_embedding_gather(&gather, 0, ids.data(), nullptr, out, nullptr, nullptr, 0,
                                      quern_test::stream()) == QUERN_OK,
               "gather beyond 2^31");
  expect_rows("gather");

  quern_embedding_bag_desc bag = {};
  bag.size = sizeof(bag);
  bag.table_dtype = bag.out_dtype = QUERN_F16;
  bag.id_dtype = QUERN_I32;
  bag.offset_dtype = QUERN_I64;
  bag.policy = QUERN_INDEX_ZERO;
  bag.table_count = 1;
  bag.dim = kDim;
  bag.count = bag.bags = kCount;
  bag.out_stride = kOutStride;
  bag.tables[0] = gather.tables[0];
  for (const int32_t combine : {QUERN_COMBINE_SUM, QUERN_COMBINE_MAX, QUERN_COMBINE_LAST}) {
    bag.combine = combine;
    QUERN_EXPECT(quern_embedding_bag(&bag, 0, ids.data(), nullptr, offsets.data(), nullptr, nullptr, out,
                                     nullptr, nullptr, 0, quern_test::stream()) == QUERN_OK,
                 "bag beyond 2^31");
    expect_rows("bag");
  }
  munmap(table, table_bytes);
  munmap(out, out_bytes);
}

// Every way to be wrong has its status, before anything is launched: no device is needed and no operand is
// touched.
void test_refusals() {
  alignas(64) static unsigned char memory[256];
  void* const good = memory;
  void* const odd = memory + 1;
  struct GatherCall {
    quern_embedding_gather_desc desc = {};
    void *ids, *table_ids = nullptr, *out;
    void* errors;
  };
  GatherCall gather;
  gather.ids = gather.out = gather.errors = good;
  gather.desc.size = sizeof(gather.desc);
  gather.desc.id_dtype = QUERN_I32;
  gather.desc.table_count = 1;
  gather.desc.dim = gather.desc.out_stride = 4;
  gather.desc.count = 2;
  gather.desc.tables[0] = {good, 2, 4};
  const auto refuses = [&](const char* what, quern_status expected,
                           const std::function<void(GatherCall&)>& change) {
    GatherCall call = gather;
    change(call);
    const quern_status status =
        quern_embedding_gather(&call.desc, 0, call.ids, static_cast<int32_t*>(call.table_ids), call.out,
                               static_cast<quern_error_record*>(call.errors), nullptr, 0, nullptr);
    QUERN_EXPECT(status == expected, "gather, %s: status %d, expected %d", what, status, expected);
  };
  using G = GatherCall;
  QUERN_EXPECT(quern_embedding_gather(nullptr, 0, good, nullptr, good, nullptr, nullptr, 0, nullptr) ==
                   QUERN_INVALID_DESCRIPTOR,
               "gather without a descriptor");
  QUERN_EXPECT(quern_embedding_gather_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR,
               "prepare without a descriptor");
  refuses("size", QUERN_INVALID_DESCRIPTOR, [](G& c) { c.desc.size += 8; });
  refuses("table dtype", QUERN_UNSUPPORTED, [](G& c) { c.desc.table_dtype = QUERN_F64; });
  refuses("no dtype", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.table_dtype = 13; });
  refuses("out dtype", QUERN_UNSUPPORTED, [](G& c) { c.desc.out_dtype = QUERN_I8; });
  refuses("negative dtype", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.out_dtype = -1; });
  refuses("id dtype", QUERN_UNSUPPORTED, [](G& c) { c.desc.id_dtype = QUERN_U32; });
  refuses("policy", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.policy = 4; });
  refuses("negative policy", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.policy = -1; });
  refuses("no table", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.table_count = 0; });
  refuses("too many tables", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.table_count = QUERN_MAX_TABLES + 1; });
  refuses("dim", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.dim = -1; });
  refuses("count", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.count = -1; });
  refuses("out stride", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.out_stride = 3; });
  refuses("rows", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.tables[0].rows = -1; });
  refuses("table stride", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.tables[0].stride = 3; });
  refuses("null table", QUERN_INVALID_ARGUMENT, [](G& c) { c.desc.tables[0].data = nullptr; });
  refuses("null ids", QUERN_INVALID_ARGUMENT, [](G& c) { c.ids = nullptr; });
  refuses("null out", QUERN_INVALID_ARGUMENT, [](G& c) { c.out = nullptr; });
  refuses("null record", QUERN_INVALID_ARGUMENT, [](G& c) { c.errors = nullptr; });
  refuses("odd table", QUERN_MISALIGNED, [&](G& c) { c.desc.tables[0].data = odd; });
  refuses("odd ids", QUERN_MISALIGNED, [&](G& c) { c.ids = odd; });
  refuses("I64 ids on 4 bytes", QUERN_MISALIGNED,
          [&](G& c) { c.desc.id_dtype = QUERN_I64, c.ids = memory + 4; });
  refuses("odd table ids", QUERN_MISALIGNED, [&](G& c) { c.table_ids = odd; });
  refuses("odd out", QUERN_MISALIGNED, [&](G& c) { c.out = odd; });
  refuses("record on 32 bytes", QUERN_MISALIGNED, [&](G& c) { c.errors = memory + 32; });
  refuses("nothing to do", QUERN_OK, [](G& c) { c.desc.count = 0, c.ids = c.out = c.errors = nullptr; });
  refuses("no columns", QUERN_OK, [](G& c) { c.desc.dim = 0, c.ids = c.out = c.errors = nullptr; });

  struct BagCall {
    quern_embedding_bag_desc desc = {};
    void *ids, *table_ids = nullptr, *offsets, *weights = nullptr, *fallback = nullptr, *out;
    void* errors;
  };
  BagCall bag;
  bag.ids = bag.offsets = bag.out = bag.errors = good;
  bag.desc.size = sizeof(bag.desc);
  bag.desc.id_dtype = bag.desc.offset_dtype = QUERN_I32;
  bag.desc.table_count = 1;
  bag.desc.dim = bag.desc.out_stride = 4;
  bag.desc.count = 3;
  bag.desc.bags = 2;
  bag.desc.tables[0] = {good, 2, 4};
  const auto refuses_bag = [&](const char* what, quern_status expected,
                               const std::function<void(BagCall&)>& change) {
    BagCall call = bag;
    change(call);
    const quern_status status =
        quern_embedding_bag(&call.desc, 0, call.ids, static_cast<int32_t*>(call.table_ids), call.offsets,
                            static_cast<float*>(call.weights), call.fallback, call.out,
                            static_cast<quern_error_record*>(call.errors), nullptr, 0, nullptr);
    QUERN_EXPECT(status == expected, "bag, %s: status %d, expected %d", what, status, expected);
  };
  using B = BagCall;
  QUERN_EXPECT(quern_embedding_bag(nullptr, 0, good, nullptr, good, nullptr, nullptr, good, nullptr, nullptr,
                                   0, nullptr) == QUERN_INVALID_DESCRIPTOR,
               "bag without a descriptor");
  QUERN_EXPECT(quern_embedding_bag_prepare(nullptr, 0) == QUERN_INVALID_DESCRIPTOR,
               "prepare without a descriptor");
  refuses_bag("size", QUERN_INVALID_DESCRIPTOR, [](B& c) { c.desc.size -= 8; });
  refuses_bag("table dtype", QUERN_UNSUPPORTED, [](B& c) { c.desc.table_dtype = QUERN_U8; });
  refuses_bag("out dtype", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.out_dtype = 99; });
  refuses_bag("id dtype", QUERN_UNSUPPORTED, [](B& c) { c.desc.id_dtype = QUERN_F32; });
  refuses_bag("offset dtype", QUERN_UNSUPPORTED, [](B& c) { c.desc.offset_dtype = QUERN_U64; });
  refuses_bag("policy", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.policy = 4; });
  refuses_bag("combine", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.combine = 7; });
  refuses_bag("negative combine", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.combine = -1; });
  refuses_bag("empty policy", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.empty = 3; });
  refuses_bag("dim", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.dim = -4; });
  refuses_bag("count", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.count = -1; });
  refuses_bag("bags", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.bags = -1; });
  refuses_bag("out stride", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.out_stride = 3; });
  refuses_bag("fallback stride", QUERN_INVALID_ARGUMENT, [&](B& c) {
    c.desc.empty = QUERN_EMPTY_FALLBACK, c.desc.fallback_stride = 3, c.fallback = good;
  });
  refuses_bag("null offsets", QUERN_INVALID_ARGUMENT, [](B& c) { c.offsets = nullptr; });
  refuses_bag("null out", QUERN_INVALID_ARGUMENT, [](B& c) { c.out = nullptr; });
  refuses_bag("null record", QUERN_INVALID_ARGUMENT, [](B& c) { c.errors = nullptr; });
  refuses_bag("null fallback", QUERN_INVALID_ARGUMENT, [](B& c) { c.desc.empty = QUERN_EMPTY_FALLBACK; });
  refuses_bag("no weights", QUERN_INVALID_ARGUMENT,
              [](B& c) { c.desc.combine = QUERN_COMBINE_WEIGHTED_MEAN; });
  refuses_bag("weighted mean of counts", QUERN_UNSUPPORTED,
              [&](B& c) { c.desc.combine = QUERN_COMBINE_MEAN, c.weights = good; });
  refuses_bag("weighted max", QUERN_UNSUPPORTED,
              [&](B& c) { c.desc.combine = QUERN_COMBINE_MAX, c.weights = good; });
  refuses_bag("odd offsets", QUERN_MISALIGNED, [&](B& c) { c.offsets = odd; });
  refuses_bag("odd weights", QUERN_MISALIGNED, [&](B& c) { c.weights = odd; });
  refuses_bag("odd ids", QUERN_MISALIGNED, [&](B& c) { c.ids = odd; });
  refuses_bag("odd fallback", QUERN_MISALIGNED,
              [&](B& c) { c.desc.empty = QUERN_EMPTY_FALLBACK, c.fallback = odd; });
  refuses_bag("odd out", QUERN_MISALIGNED, [&](B& c) { c.out = odd; });
  refuses_bag("odd table", QUERN_MISALIGNED, [&](B& c) { c.desc.tables[0].data = odd; });
  refuses_bag("nothing to do", QUERN_OK,
              [](B& c) { c.desc.bags = 0, c.offsets = c.out = c.errors = nullptr; });

  quern_device_info info = {};
  QUERN_EXPECT(quern_describe_device(0, nullptr) == QUERN_INVALID_DESCRIPTOR, "describe into nothing");
  QUERN_EXPECT(quern_describe_device(0, &info) == QUERN_INVALID_DESCRIPTOR, "describe into another size");
  QUERN_EXPECT(quern_abi_version() == QUERN_ABI_VERSION, "ABI version");
}

void test_prepare_and_describe() {
  quern_device_info info = {};
  info.size = sizeof(info);
  QUERN_EXPECT(quern_describe_device(0, &info) == QUERN_OK && info.multiprocessors > 0 &&
                   info.memory_bytes > 0 && info.name[0] != '\0',
               "describe device 0");
  QUERN_EXPECT(quern_describe_device(1 << 20, &info) == cudaErrorInvalidDevice,
               "describe a device that is not there");
  for (const int32_t in : kRowDtypes) {
    for (const int32_t out : kRowDtypes) {
      quern_embedding_gather_desc gather = {};
      gather.size = sizeof(gather);
      gather.table_dtype = in;
      gather.out_dtype = out;
      gather.id_dtype = QUERN_I64;
      QUERN_EXPECT(quern_embedding_gather_prepare(&gather, 0) == QUERN_OK, "prepare gather");
      quern_embedding_bag_desc bag = {};
      bag.size = sizeof(bag);
      bag.table_dtype = in;
      bag.out_dtype = out;
      bag.id_dtype = bag.offset_dtype = QUERN_I32;
      for (bag.combine = QUERN_COMBINE_SUM; bag.combine <= QUERN_COMBINE_LAST; ++bag.combine) {
        QUERN_EXPECT(quern_embedding_bag_prepare(&bag, 0) == QUERN_OK, "prepare bag");
      }
    }
  }
}

template <typename T>
std::vector<T> values_of(const Operand& operand) {
  const std::vector<unsigned char> bytes = operand.read();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

quern_partition_desc partition_of(int64_t batch, int64_t count, int64_t keys) {
  quern_partition_desc desc = {};
  desc.size = sizeof(desc);
  desc.policy = QUERN_INDEX_SKIP;
  desc.batch = batch;
  desc.count = count;
  desc.keys = keys;
  return desc;
}

void test_partition_refusals() {
  int64_t bytes = 0;
  quern_partition_desc desc = partition_of(2, 10, 257);
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_OK && bytes == 2 * 10 * 4, "workspace");
  desc.keys = 256;
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_OK && bytes == 0, "no workspace");
  desc.keys = INT32_MAX;
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_INVALID_ARGUMENT, "too many keys");
  desc = partition_of(1, int64_t{INT32_MAX} + 1, 1);
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_INVALID_ARGUMENT, "too many elements");
  desc = partition_of(-1, 1, 1);
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_INVALID_ARGUMENT, "batch");
  desc = partition_of(1, 1, 1);
  desc.policy = 4;
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_INVALID_ARGUMENT, "policy");
  desc.size += 8;
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_INVALID_DESCRIPTOR, "size");
  desc = partition_of(1, 4, 1);
  QUERN_EXPECT(quern_partition(&desc, 0, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, nullptr) ==
                   QUERN_INVALID_ARGUMENT,
               "no operands");
}

// Keys of one digit and of two, launched and captured, against a stable sort.
void test_partition(int64_t keys, bool captured) {
  constexpr int64_t kBatch = 2, kCount = 700;
  std::vector<int32_t> key;
  for (int64_t i = 0; i < kBatch * kCount; ++i) {
    const int64_t mixed = i * 2654435761 % 1000003;
    key.push_back(mixed % 5 == 0 ? -1 : mixed % 17 == 0 ? INT32_MAX : static_cast<int32_t>(mixed % keys));
  }
  const quern_partition_desc desc = partition_of(kBatch, kCount, keys);
  int64_t bytes = 0;
  QUERN_EXPECT(quern_partition_workspace(&desc, &bytes) == QUERN_OK, "workspace");
  QUERN_EXPECT(quern_partition_prepare(&desc, 0) == QUERN_OK, "prepare");
  const Operand key_operand(key);
  Operand perm(kBatch * kCount * sizeof(int32_t));
  Operand offsets(static_cast<size_t>(kBatch * (keys + 1)) * sizeof(int32_t));
  Operand inverse(kBatch * kCount * sizeof(int32_t));
  Operand workspace(static_cast<size_t>(bytes));
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  if (captured) {
    quern_test::must(cudaStreamBeginCapture(quern_test::stream(), cudaStreamCaptureModeThreadLocal),
                     "capture");
  }
  const quern_status status = quern_partition(
      &desc, 0, static_cast<const int32_t*>(key_operand.data()), static_cast<int32_t*>(perm.data()),
      static_cast<int32_t*>(offsets.data()), static_cast<int32_t*>(inverse.data()), nullptr,
      bytes == 0 ? nullptr : workspace.data(), bytes, quern_test::stream());
  QUERN_EXPECT(status == QUERN_OK, "partition: %d", status);
  if (captured) {
    quern_test::must(cudaStreamEndCapture(quern_test::stream(), &graph), "cudaStreamEndCapture");
    quern_test::must(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    quern_test::must(cudaGraphLaunch(executable, quern_test::stream()), "cudaGraphLaunch");
  }
  quern_test::must(cudaStreamSynchronize(quern_test::stream()), "cudaStreamSynchronize");

  std::vector<int32_t> perms(kBatch * kCount, -1);
  std::vector<int32_t> inverses(kBatch * kCount, -1);
  std::vector<int32_t> starts;
  for (int64_t b = 0; b < kBatch; ++b) {
    int32_t place = 0;
    for (int64_t e = 0; e < keys; ++e) {
      starts.push_back(place);
      for (int64_t n = 0; n < kCount; ++n) {
        if (key[static_cast<size_t>(b * kCount + n)] == e) {
          inverses[static_cast<size_t>(b * kCount + n)] = place;
          perms[static_cast<size_t>(b * kCount + place++)] = static_cast<int32_t>(n);
        }
      }
    }
    starts.push_back(place);
  }
  QUERN_EXPECT(values_of<int32_t>(perm) == perms, "perm of %d keys", static_cast<int>(keys));
  QUERN_EXPECT(values_of<int32_t>(offsets) == starts, "offsets of %d keys", static_cast<int>(keys));
  QUERN_EXPECT(values_of<int32_t>(inverse) == inverses, "inverse of %d keys", static_cast<int>(keys));
  for (const Operand* operand : {&perm, &offsets, &inverse, &workspace}) {
    QUERN_EXPECT(operand->guards_hold(), "written outside an operand");
  }
  if (captured) {
    quern_test::must(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
    quern_test::must(cudaGraphDestroy(graph), "cudaGraphDestroy");
  }
}

}  // namespace

// `gather_test tiny` runs test_tiny only.
int main(int count, char** arguments) {
  test_refusals();
  test_partition_refusals();
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    const char* backend = std::getenv("QUERN_BACKEND");
    const bool required = backend != nullptr && std::strcmp(backend, "cuda") == 0;
    std::printf("gather kernels on CUDA %s: no device, %s (%d)\n", required ? "failed" : "skipped",
                cudaGetErrorName(status), status);
    return failures == 0 && !required ? 77 : 1;
  }
  if (count > 1 && std::strcmp(arguments[1], "tiny") == 0) {
    test_tiny();
  } else {
    test_prepare_and_describe();
    test_gather();
    test_record_of_an_earlier_launch();
    test_bags();
    test_partition(1, false);
    test_partition(100, true);
    test_partition(1000, false);
    test_partition(1000, true);
    if (std::strstr(quern_build_info(), "on the CPU") != nullptr) {
      test_beyond_32_bits();
    }
  }
  std::printf("%s: %d failures\n", quern_build_info(), failures);
  return failures == 0 ? 0 : 1;
}
