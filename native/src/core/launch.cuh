// The one place where kernel sources meet their compiler: CUDA's headers under nvcc, and under a host
// compiler with QUERN_EMULATED the execution layer that runs the same kernels on the CPU. Nothing else in
// src/ includes either.
//
// Both sides define
//   QUERN_SHARED(T[n], name);     static shared memory of a block
//   quern::dynamic_shared<T>()    the block's dynamic shared memory, 16-byte aligned
//   quern::launch(kernel, grid, block, shared_bytes, stream, arguments...)
#ifndef QUERN_CORE_LAUNCH_CUH_
#define QUERN_CORE_LAUNCH_CUH_

#include <type_traits>

#include "quern/quern.h"

#ifdef QUERN_EMULATED

#include "emulation/cuda.h"

namespace quern {

template <typename... Parameters, typename... Arguments>
quern_status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void* stream,
                    const Arguments&... arguments) {
  return emulation::launch(kernel, grid, block, shared_bytes, stream, arguments...);
}

}  // namespace quern

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define QUERN_SHARED(type, name) __shared__ ::quern::SharedType<type> name

namespace quern {

template <typename T>
using SharedType = T;  // lets an array type stand before the name

template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 quern_dynamic_shared[];
  return reinterpret_cast<T*>(quern_dynamic_shared);
}

// The status of this very launch: cudaLaunchKernel returns it, so that an older error of the thread, which
// belongs to somebody else, is neither taken for ours nor cleared. Only what this launch left behind is
// cleared.
template <typename... Parameters, typename... Arguments>
quern_status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void* stream,
                    const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per kernel parameter");
  static_assert((std::is_same_v<std::remove_const_t<Parameters>, Arguments> && ...),
                "kernel parameters are passed as raw bytes, so arguments must have exactly their types");
  void* packed[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  const cudaError_t status = cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, packed,
                                              shared_bytes, static_cast<cudaStream_t>(stream));
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
  }
  return static_cast<quern_status>(status);
}

}  // namespace quern

#endif  // QUERN_EMULATED

namespace quern {

// Makes a device current for one call and gives the caller's back: the current device is a property of the OS
// thread.
class DeviceScope {
 public:
  explicit DeviceScope(int device) {
    status_ = cudaGetDevice(&previous_);
    if (status_ == cudaSuccess && previous_ != device) {
      status_ = cudaSetDevice(device);
      changed_ = status_ == cudaSuccess;
    }
    if (status_ != cudaSuccess) {
      (void)cudaGetLastError();
    }
  }
  ~DeviceScope() {
    if (changed_) {
      (void)cudaSetDevice(previous_);
    }
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  quern_status status() const { return static_cast<quern_status>(status_); }

 private:
  int previous_ = 0;
  cudaError_t status_;
  bool changed_ = false;
};

// Loads a kernel's code now. With lazy loading the first launch would load it, which a stream capture does
// not allow.
template <typename... Parameters>
quern_status prepare(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes;
  const cudaError_t status = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  if (status != cudaSuccess) {
    (void)cudaGetLastError();
  }
  return static_cast<quern_status>(status);
}

}  // namespace quern

#endif  // QUERN_CORE_LAUNCH_CUH_
