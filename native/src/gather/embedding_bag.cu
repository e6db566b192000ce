// embedding_bag: check, choose, launch. The kernels are in embedding_bag_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "gather/embedding_bag_kernel.cuh"

namespace quern {
namespace {

// Bags of at least two chunks on average, on fewer threads than this (about half of what a large device runs
// at once), get a block each instead of a group of lanes. The results are the same.
constexpr int64_t kFewThreads = 128 * 1024;
// Blocks to aim at when there are few bags: narrower slices of the rows make more of them.
constexpr int64_t kManyBlocks = 256;
constexpr int64_t kNarrowestSliceBytes = 64;

template <int TABLES>
using BagKernel = void (*)(EmbeddingBagArguments<TABLES>);

BagMode mode_of(const quern_embedding_bag_desc& desc, bool weighted) {
  if (desc.combine == QUERN_COMBINE_MAX || desc.combine == QUERN_COMBINE_MIN) {
    return BagMode::kExtreme;
  }
  return weighted ? BagMode::kWeightedSum : BagMode::kSum;
}

bool is_pick(const quern_embedding_bag_desc& desc) {
  return desc.combine == QUERN_COMBINE_FIRST || desc.combine == QUERN_COMBINE_LAST;
}

template <typename Element, int N, int TABLES>
BagKernel<TABLES> bag_kernel(BagMode mode, bool long_bags) {
  switch (mode) {
    case BagMode::kSum:
      return long_bags ? embedding_long_bag_kernel<Element, N, BagMode::kSum, TABLES>
                       : embedding_bag_kernel<Element, N, BagMode::kSum, TABLES>;
    case BagMode::kWeightedSum:
      return long_bags ? embedding_long_bag_kernel<Element, N, BagMode::kWeightedSum, TABLES>
                       : embedding_bag_kernel<Element, N, BagMode::kWeightedSum, TABLES>;
    default:
      return long_bags ? embedding_long_bag_kernel<Element, N, BagMode::kExtreme, TABLES>
                       : embedding_bag_kernel<Element, N, BagMode::kExtreme, TABLES>;
  }
}

// Packets are 16 bytes of the table, or single elements.
template <int TABLES>
BagKernel<TABLES> choose_kernel(const quern_embedding_bag_desc& desc, bool packed, bool weighted,
                                bool long_bags) {
  const auto kernel = [&](auto element, auto single, auto wide) -> BagKernel<TABLES> {
    using Element = decltype(element);
    if (is_pick(desc)) {
      return packed ? embedding_bag_pick_kernel<Element, wide.value, TABLES>
                    : embedding_bag_pick_kernel<Element, single.value, TABLES>;
    }
    const BagMode mode = mode_of(desc, weighted);
    return packed ? bag_kernel<Element, wide.value, TABLES>(mode, long_bags)
                  : bag_kernel<Element, single.value, TABLES>(mode, long_bags);
  };
  const std::integral_constant<int, 1> one;
  const std::integral_constant<int, 4> four;
  const std::integral_constant<int, 8> eight;
  switch (desc.table_dtype) {
    case QUERN_F32:
      return kernel(F32(), one, four);
    case QUERN_F16:
      return kernel(F16(), one, eight);
    default:
      return kernel(BF16(), one, eight);
  }
}

OperandCheck check(const quern_embedding_bag_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->table_dtype)
      .row_dtype(desc->out_dtype)
      .index_dtype(desc->id_dtype)
      .index_dtype(desc->offset_dtype)
      .policy(desc->policy)
      .require(desc->combine >= QUERN_COMBINE_SUM && desc->combine <= QUERN_COMBINE_LAST,
               QUERN_INVALID_ARGUMENT)
      .require(desc->empty >= QUERN_EMPTY_ZERO && desc->empty <= QUERN_EMPTY_FALLBACK, QUERN_INVALID_ARGUMENT)
      .not_negative(desc->dim)
      .not_negative(desc->count)
      .not_negative(desc->bags)
      .require(desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT)
      .require(desc->empty != QUERN_EMPTY_FALLBACK || desc->fallback_stride == 0 ||
                   desc->fallback_stride >= desc->dim,
               QUERN_INVALID_ARGUMENT);
  return check;
}

template <int TABLES>
quern_status launch_bags(const quern_embedding_bag_desc& desc, const void* ids, const int32_t* table_ids,
                         const void* offsets, const float* weights, const void* fallback, void* out,
                         quern_error_record* errors, void* stream) {
  const int64_t in_element = dtype_bytes(desc.table_dtype);
  const int64_t out_element = dtype_bytes(desc.out_dtype);
  const int64_t packet_elements = 16 / in_element;
  const int64_t row_bytes = desc.dim * in_element;
  bool packed = rows_are_aligned(out, desc.out_stride * out_element, desc.dim * out_element,
                                 std::min<int64_t>(16, packet_elements * out_element));
  if (desc.empty == QUERN_EMPTY_FALLBACK) {
    packed = packed && rows_are_aligned(fallback, desc.fallback_stride * in_element, row_bytes, 16);
  }
  EmbeddingBagArguments<TABLES> arguments;
  for (int t = 0; t < TABLES; ++t) {
    const quern_table table = t < desc.table_count ? desc.tables[t] : quern_table{};
    packed = packed && rows_are_aligned(table.data, table.stride * in_element, row_bytes, 16);
    arguments.tables[t] = {static_cast<const char*>(table.data), table.rows, table.stride * in_element};
  }
  const int64_t packet_bytes = packed ? 16 : in_element;
  arguments.ids = ids;
  arguments.table_ids = table_ids;
  arguments.offsets = offsets;
  arguments.weights = weights;
  arguments.fallback = static_cast<const char*>(fallback);
  arguments.out = static_cast<char*>(out);
  arguments.errors = errors;
  arguments.count = desc.count;
  arguments.bags = desc.bags;
  arguments.packets = row_bytes / packet_bytes;
  arguments.out_stride = desc.out_stride * out_element;
  arguments.fallback_stride = desc.fallback_stride * in_element;
  arguments.launch = desc.launch;
  arguments.table_count = desc.table_count;
  arguments.policy = desc.policy;
  arguments.combine = desc.combine;
  arguments.empty = desc.empty;
  arguments.out_dtype = desc.out_dtype;
  arguments.wide_ids = desc.id_dtype == QUERN_I64;
  arguments.wide_offsets = desc.offset_dtype == QUERN_I64;

  int shift = 0;
  while (shift < 5 && (int64_t{1} << shift) < arguments.packets) {
    ++shift;
  }
  const auto slices = [&] { return ((arguments.packets - 1) >> shift) + 1; };
  const bool long_bags = !is_pick(desc) && desc.count / desc.bags >= 2 * kBagChunk &&
                         desc.bags < kFewThreads / (slices() << shift);
  if (long_bags) {
    while (desc.bags * slices() < kManyBlocks && (packet_bytes << shift) > kNarrowestSliceBytes) {
      --shift;
    }
  }
  if (slices() > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  arguments.group_shift = shift;
  const int threads = long_bags ? kLongBagThreads : kBagThreads;
  arguments.block_bags = long_bags ? 1 : kBagThreads >> shift;
  const dim3 grid(
      static_cast<unsigned int>(slices()),
      static_cast<unsigned int>(std::min<int64_t>((desc.bags - 1) / arguments.block_bags + 1, 65535)));
  return launch(choose_kernel<TABLES>(desc, packed, weights != nullptr, long_bags), grid, dim3(threads), 0,
                stream, arguments);
}

template <int TABLES>
quern_status prepare_bags(const quern_embedding_bag_desc& desc) {
  quern_status status = QUERN_OK;
  for (int variant = 0; status == QUERN_OK && variant < 8; ++variant) {
    status = prepare(choose_kernel<TABLES>(desc, variant & 1, variant & 2, variant & 4));
  }
  return status;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_embedding_bag_prepare(const quern_embedding_bag_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status = prepare_bags<1>(*desc);
  return status != QUERN_OK ? status : prepare_bags<QUERN_MAX_TABLES>(*desc);
}

quern_status quern_embedding_bag(const quern_embedding_bag_desc* desc, int32_t device, const void* ids,
                                 const int32_t* table_ids, const void* offsets, const float* weights,
                                 const void* fallback, void* out, quern_error_record* errors, void*, size_t,
                                 void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const bool may_have_weights =
      desc->combine == QUERN_COMBINE_SUM || desc->combine == QUERN_COMBINE_WEIGHTED_MEAN;
  checked.tables(desc->tables, desc->table_count, desc->dim, desc->table_dtype)
      .require(weights == nullptr || may_have_weights, QUERN_UNSUPPORTED);
  const bool empty = desc->bags == 0 || desc->dim == 0;
  if (!empty) {
    checked.operand(offsets, dtype_bytes(desc->offset_dtype))
        .optional_operand(table_ids, sizeof(int32_t))
        .optional_operand(weights, sizeof(float))
        .operand(out, dtype_bytes(desc->out_dtype))
        .error_record(errors, desc->policy);
    if (desc->count > 0) {
      checked.optional_operand(ids, dtype_bytes(desc->id_dtype))
          .require(weights != nullptr || desc->combine != QUERN_COMBINE_WEIGHTED_MEAN,
                   QUERN_INVALID_ARGUMENT);
    }
    if (desc->empty == QUERN_EMPTY_FALLBACK) {
      checked.operand(fallback, dtype_bytes(desc->table_dtype));
    }
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  return table_ids == nullptr
             ? launch_bags<1>(*desc, ids, table_ids, offsets, weights, fallback, out, errors, stream)
             : launch_bags<QUERN_MAX_TABLES>(*desc, ids, table_ids, offsets, weights, fallback, out, errors,
                                             stream);
}
