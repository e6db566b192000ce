// The library's description of itself and of a device.
#include <cstring>

#include "core/launch.cuh"

int32_t quern_abi_version(void) {
  return QUERN_ABI_VERSION;
}

const char* quern_build_info(void) {
  return "quern " QUERN_VERSION " (" QUERN_BUILD ")";
}

quern_status quern_describe_device(int32_t device, quern_device_info* info) {
  if (info == nullptr || info->size != sizeof(*info)) {
    return QUERN_INVALID_DESCRIPTOR;
  }
  cudaDeviceProp properties;
  cudaError_t status = cudaGetDeviceProperties(&properties, device);
  int memory_pools = 0;
  if (status == cudaSuccess) {
    status = cudaDeviceGetAttribute(&memory_pools, cudaDevAttrMemoryPoolsSupported, device);
  }
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
    return static_cast<quern_status>(status);
  }
  info->compute_major = properties.major;
  info->compute_minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  info->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  info->l2_bytes = properties.l2CacheSize;
  info->memory_pools = memory_pools;
  info->reserved = 0;
  std::memset(info->name, 0, sizeof(info->name));
  std::memcpy(info->name, properties.name, strnlen(properties.name, sizeof(info->name) - 1));
  return QUERN_OK;
}
