// embedding_gather: check, choose, launch. The kernel is in embedding_gather_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "gather/embedding_gather_kernel.cuh"

namespace quern {
namespace {

template <int TABLES>
using GatherKernel = void (*)(EmbeddingGatherArguments<TABLES>);

// Equal dtypes copy bits, as packets of 2-byte units whatever the dtype; F16 only names the unit there.
template <int TABLES>
GatherKernel<TABLES> copy_kernel(int64_t access_bytes) {
  switch (access_bytes) {
    case 16:
      return embedding_gather_kernel<F16, F16, 8, TABLES>;
    case 8:
      return embedding_gather_kernel<F16, F16, 4, TABLES>;
    case 4:
      return embedding_gather_kernel<F16, F16, 2, TABLES>;
    default:
      return embedding_gather_kernel<F16, F16, 1, TABLES>;
  }
}

template <typename In, typename Out, int TABLES>
GatherKernel<TABLES> conversion_kernel(int64_t packet_elements) {
  return packet_elements == 8 ? embedding_gather_kernel<In, Out, 8, TABLES>
                              : embedding_gather_kernel<In, Out, 1, TABLES>;
}

template <int TABLES>
GatherKernel<TABLES> conversion_kernel(int32_t in, int32_t out, int64_t packet_elements) {
  if (in == QUERN_F32) {
    return out == QUERN_F16 ? conversion_kernel<F32, F16, TABLES>(packet_elements)
                            : conversion_kernel<F32, BF16, TABLES>(packet_elements);
  }
  if (in == QUERN_F16) {
    return out == QUERN_F32 ? conversion_kernel<F16, F32, TABLES>(packet_elements)
                            : conversion_kernel<F16, BF16, TABLES>(packet_elements);
  }
  return out == QUERN_F32 ? conversion_kernel<BF16, F32, TABLES>(packet_elements)
                          : conversion_kernel<BF16, F16, TABLES>(packet_elements);
}

OperandCheck check(const quern_embedding_gather_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.row_dtype(desc->table_dtype)
      .row_dtype(desc->out_dtype)
      .index_dtype(desc->id_dtype)
      .policy(desc->policy);
  check.not_negative(desc->dim)
      .not_negative(desc->count)
      .require(desc->out_stride >= desc->dim, QUERN_INVALID_ARGUMENT);
  return check;
}

// Whether every table and the output can be accessed in packets of these sizes.
bool packets_fit(const quern_embedding_gather_desc& desc, const void* out, int64_t in_bytes,
                 int64_t out_bytes) {
  const int64_t in_element = dtype_bytes(desc.table_dtype);
  const int64_t out_element = dtype_bytes(desc.out_dtype);
  bool fit = rows_are_aligned(out, desc.out_stride * out_element, desc.dim * out_element, out_bytes);
  for (int32_t t = 0; t < desc.table_count; ++t) {
    fit = fit && rows_are_aligned(desc.tables[t].data, desc.tables[t].stride * in_element,
                                  desc.dim * in_element, in_bytes);
  }
  return fit;
}

template <int TABLES>
quern_status launch_gather(const quern_embedding_gather_desc& desc, const void* ids, const int32_t* table_ids,
                           void* out, quern_error_record* errors, void* stream) {
  const int64_t in_element = dtype_bytes(desc.table_dtype);
  const int64_t out_element = dtype_bytes(desc.out_dtype);
  GatherKernel<TABLES> kernel;
  EmbeddingGatherArguments<TABLES> arguments;
  if (desc.table_dtype == desc.out_dtype) {
    int64_t access = 16;
    while (!packets_fit(desc, out, access, access)) {
      access /= 2;  // ends: operands are aligned to their elements, of 2 or 4 bytes
    }
    kernel = copy_kernel<TABLES>(access);
    arguments.packets = desc.dim * in_element / access;
  } else {
    const int64_t elements = desc.dim % 8 == 0 && packets_fit(desc, out, 16, 16) ? 8 : 1;
    kernel = conversion_kernel<TABLES>(desc.table_dtype, desc.out_dtype, elements);
    arguments.packets = desc.dim / elements;
  }
  arguments.ids = ids;
  arguments.table_ids = table_ids;
  arguments.out = static_cast<char*>(out);
  arguments.errors = errors;
  arguments.count = desc.count;
  arguments.out_stride = desc.out_stride * out_element;
  arguments.launch = desc.launch;
  arguments.table_count = desc.table_count;
  arguments.policy = desc.policy;
  arguments.wide_ids = desc.id_dtype == QUERN_I64;
  arguments.group_shift = 0;
  while (arguments.group_shift < 5 && (int64_t{1} << arguments.group_shift) < arguments.packets) {
    ++arguments.group_shift;
  }
  for (int t = 0; t < TABLES; ++t) {
    const quern_table table = t < desc.table_count ? desc.tables[t] : quern_table{};
    arguments.tables[t] = {static_cast<const char*>(table.data), table.rows, table.stride * in_element};
  }

  const int64_t slices = ((arguments.packets - 1) >> arguments.group_shift) + 1;
  arguments.block_rows = (kGatherThreads >> arguments.group_shift) * kGatherRows;
  if (slices > INT32_MAX) {
    return QUERN_UNSUPPORTED;
  }
  const dim3 grid(
      static_cast<unsigned int>(slices),
      static_cast<unsigned int>(std::min<int64_t>((desc.count - 1) / arguments.block_rows + 1, 65535)));
  return launch(kernel, grid, dim3(kGatherThreads), 0, stream, arguments);
}

template <int TABLES>
quern_status prepare_gather(const quern_embedding_gather_desc& desc) {
  quern_status status = QUERN_OK;
  if (desc.table_dtype == desc.out_dtype) {
    for (int64_t access = 16; status == QUERN_OK && access >= 2; access /= 2) {
      status = prepare(copy_kernel<TABLES>(access));
    }
    return status;
  }
  for (int64_t elements = 8; status == QUERN_OK && elements >= 1; elements /= 8) {
    status = prepare(conversion_kernel<TABLES>(desc.table_dtype, desc.out_dtype, elements));
  }
  return status;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_embedding_gather_prepare(const quern_embedding_gather_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  const quern_status status = prepare_gather<1>(*desc);
  return status != QUERN_OK ? status : prepare_gather<QUERN_MAX_TABLES>(*desc);
}

quern_status quern_embedding_gather(const quern_embedding_gather_desc* desc, int32_t device, const void* ids,
                                    const int32_t* table_ids, void* out, quern_error_record* errors, void*,
                                    size_t, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  checked.tables(desc->tables, desc->table_count, desc->dim, desc->table_dtype);
  const bool empty = desc->count == 0 || desc->dim == 0;
  if (!empty) {
    checked.operand(ids, dtype_bytes(desc->id_dtype))
        .optional_operand(table_ids, sizeof(int32_t))
        .operand(out, dtype_bytes(desc->out_dtype))
        .error_record(errors, desc->policy);
  }
  if (checked.failed() || empty) {
    return checked.status();
  }
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  return table_ids == nullptr ? launch_gather<1>(*desc, ids, table_ids, out, errors, stream)
                              : launch_gather<QUERN_MAX_TABLES>(*desc, ids, table_ids, out, errors, stream);
}
