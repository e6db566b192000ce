// kv_compaction: check, choose, launch. The kernel is in kv_compaction_kernel.cuh.
#include <algorithm>

#include "cache/kv_compaction_kernel.cuh"
#include "core/operand_check.h"

namespace quern {
namespace {

using CompactionKernel = void (*)(KvCompactionArguments);

CompactionKernel choose_kernel(int64_t access_bytes) {
  switch (access_bytes) {
    case 16:
      return kv_compaction_kernel<uint4>;
    case 8:
      return kv_compaction_kernel<uint2>;
    case 4:
      return kv_compaction_kernel<unsigned int>;
    case 2:
      return kv_compaction_kernel<unsigned short>;
    default:
      return kv_compaction_kernel<unsigned char>;
  }
}

OperandCheck check(const quern_kv_compaction_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  const bool paged = desc->addressing != QUERN_CACHE_CONTIGUOUS;
  check
      .require(desc->addressing >= QUERN_CACHE_CONTIGUOUS && desc->addressing <= QUERN_CACHE_TABLE,
               QUERN_INVALID_ARGUMENT)
      .require(desc->cache_count >= 0 && desc->cache_count <= QUERN_MAX_CACHES, QUERN_INVALID_ARGUMENT)
      .require(desc->page >= 1, QUERN_INVALID_ARGUMENT)
      .require(!paged || desc->heads == 1, QUERN_INVALID_ARGUMENT)
      .require(desc->row_stride >= desc->row_bytes, QUERN_INVALID_ARGUMENT)
      .require(desc->slot_stride >= desc->slot_columns, QUERN_INVALID_ARGUMENT);
  for (const int64_t extent : {desc->requests, desc->width, desc->nodes, desc->outer, desc->heads, desc->rows,
                               desc->row_bytes, desc->slot_rows, desc->slot_columns}) {
    check.not_negative(extent);
  }
  if (paged) {
    check.index_dtype(desc->slot_dtype);
  }
  return check;
}

int64_t access_bytes(const quern_kv_compaction_desc& desc) {
  int64_t access = 16;
  for (int32_t c = 0; c < desc.cache_count; ++c) {
    while (!rows_are_aligned(desc.caches[c], desc.row_stride, desc.row_bytes, access)) {
      access /= 2;  // ends: anything is a multiple of 1
    }
  }
  return access;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_kv_compaction_prepare(const quern_kv_compaction_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  quern_status status = scope.status();
  for (int64_t access = 16; status == QUERN_OK && access >= 1; access /= 2) {
    status = prepare(choose_kernel(access));
  }
  return status;
}

quern_status quern_kv_compaction(const quern_kv_compaction_desc* desc, int32_t device, const int32_t* path,
                                 const int32_t* counts, const int32_t* lengths, const void* slots,
                                 const int32_t* offsets, const int32_t* table_rows, int32_t* new_lengths,
                                 int32_t* status, void* freed, int32_t* freed_counts, uint8_t* evicted, void*,
                                 size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->requests == 0) {
    return checked.status();
  }
  const bool paged = desc->addressing != QUERN_CACHE_CONTIGUOUS;
  const bool table = desc->addressing == QUERN_CACHE_TABLE;
  const int64_t planes = desc->cache_count * desc->outer * desc->heads;
  const bool moves = planes > 0 && desc->rows > 0 && desc->row_bytes > 0;
  checked.operand(counts, sizeof(int32_t))
      .operand(lengths, sizeof(int32_t))
      .operand(new_lengths, sizeof(int32_t))
      .operand(status, sizeof(int32_t))
      .optional_operand(table_rows, sizeof(int32_t))
      .require(paged || (slots == nullptr && offsets == nullptr && freed == nullptr && evicted == nullptr),
               QUERN_UNSUPPORTED)
      .require(table || table_rows == nullptr, QUERN_UNSUPPORTED);
  if (desc->width > 0) {
    checked.operand(path, sizeof(int32_t));
  }
  if (paged) {
    checked.operand(offsets, sizeof(int32_t)).optional_operand(freed, dtype_bytes(desc->slot_dtype));
    if (table ? desc->slot_rows * desc->slot_columns > 0 : desc->nodes > 0) {
      checked.operand(slots, dtype_bytes(desc->slot_dtype));
    }
    if (freed != nullptr) {
      checked.operand(freed_counts, sizeof(int32_t));
    }
  }
  for (int32_t c = 0; moves && c < desc->cache_count; ++c) {
    checked.operand(desc->caches[c], 1);
  }
  if (checked.failed()) {
    return checked.status();
  }
  KvCompactionArguments arguments{};
  arguments.path = path;
  arguments.counts = counts;
  arguments.lengths = lengths;
  arguments.slots = slots;
  arguments.offsets = offsets;
  arguments.table_rows = table_rows;
  arguments.new_lengths = new_lengths;
  arguments.status = status;
  arguments.freed = freed;
  arguments.freed_counts = freed_counts;
  arguments.evicted = evicted;
  arguments.requests = desc->requests;
  arguments.width = desc->width;
  arguments.nodes = desc->nodes;
  arguments.outer = desc->outer;
  arguments.heads = desc->heads;
  arguments.rows = desc->rows;
  arguments.row_stride = desc->row_stride;
  arguments.slot_rows = desc->slot_rows;
  arguments.slot_columns = desc->slot_columns;
  arguments.slot_stride = desc->slot_stride;
  arguments.page = desc->page;
  arguments.addressing = desc->addressing;
  arguments.wide_slots = desc->slot_dtype == QUERN_I64;
  const int64_t access = moves ? access_bytes(*desc) : 1;
  arguments.packets = desc->row_bytes / access;
  arguments.columns = moves ? planes * arguments.packets : 0;
  std::copy_n(reinterpret_cast<char* const*>(desc->caches), desc->cache_count, arguments.caches);

  const int64_t blocks = std::max<int64_t>(1, (arguments.columns - 1) / kCompactionThreads + 1);
  if (blocks > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const dim3 grid(static_cast<unsigned int>(blocks),
                  static_cast<unsigned int>(std::min<int64_t>(desc->requests, 65535)));
  return launch(choose_kernel(access), grid, dim3(kCompactionThreads), 0, stream, arguments);
}
