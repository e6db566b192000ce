// partition: check, choose, launch. The kernel is in partition_kernel.cuh.
#include <algorithm>

#include "core/operand_check.h"
#include "gather/partition_kernel.cuh"

namespace quern {
namespace {

int passes_of(const quern_partition_desc& desc) {
  int passes = 1;
  while (passes < 4 && (int64_t{1} << (passes * kDigitBits)) < desc.keys) {
    ++passes;
  }
  return passes;
}

int64_t workspace_bytes_of(const quern_partition_desc& desc) {
  return passes_of(desc) > 1 ? desc.batch * desc.count * int64_t{sizeof(int32_t)} : 0;
}

OperandCheck check(const quern_partition_desc* desc) {
  OperandCheck check;
  check.require(desc != nullptr && desc->size == sizeof(*desc), QUERN_INVALID_DESCRIPTOR);
  if (check.failed()) {
    return check;
  }
  check.policy(desc->policy)
      .not_negative(desc->batch)
      .require(desc->count >= 0 && desc->count <= INT32_MAX, QUERN_INVALID_ARGUMENT)
      .require(desc->keys >= 0 && desc->keys < INT32_MAX, QUERN_INVALID_ARGUMENT);
  return check;
}

}  // namespace
}  // namespace quern

using namespace quern;

quern_status quern_partition_workspace(const quern_partition_desc* desc, int64_t* bytes) {
  OperandCheck checked = check(desc);
  checked.operand(bytes, 1);
  if (!checked.failed()) {
    *bytes = workspace_bytes_of(*desc);
  }
  return checked.status();
}

quern_status quern_partition_prepare(const quern_partition_desc* desc, int32_t device) {
  const OperandCheck checked = check(desc);
  if (checked.failed()) {
    return checked.status();
  }
  const DeviceScope scope(device);
  return scope.status() != QUERN_OK ? scope.status() : prepare(partition_kernel);
}

quern_status quern_partition(const quern_partition_desc* desc, int32_t device, const int32_t* key,
                             int32_t* perm, int32_t* offsets, int32_t* inverse, quern_error_record* errors,
                             void* workspace, int64_t workspace_bytes, void* stream) {
  OperandCheck checked = check(desc);
  if (checked.failed() || desc->batch == 0) {
    return checked.status();
  }
  const int64_t bytes = workspace_bytes_of(*desc);
  checked.operand(offsets, sizeof(int32_t))
      .optional_operand(inverse, sizeof(int32_t))
      .require(workspace_bytes >= bytes, QUERN_INVALID_ARGUMENT);
  if (desc->count > 0) {
    checked.operand(key, sizeof(int32_t)).operand(perm, sizeof(int32_t)).error_record(errors, desc->policy);
  }
  if (bytes > 0) {
    checked.operand(workspace, sizeof(int32_t));
  }
  if (checked.failed()) {
    return checked.status();
  }
  PartitionArguments arguments;
  arguments.key = key;
  arguments.perm = perm;
  arguments.offsets = offsets;
  arguments.inverse = inverse;
  arguments.spare = static_cast<int32_t*>(workspace);
  arguments.errors = errors;
  arguments.batch = desc->batch;
  arguments.count = desc->count;
  arguments.keys = desc->keys;
  arguments.launch = desc->launch;
  arguments.policy = desc->policy;
  arguments.passes = passes_of(*desc);
  const DeviceScope scope(device);
  if (scope.status() != QUERN_OK) {
    return scope.status();
  }
  return launch(partition_kernel, dim3(static_cast<unsigned int>(std::min<int64_t>(desc->batch, 65535))),
                dim3(kPartitionThreads), 0, stream, arguments);
}
