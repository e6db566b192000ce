// The CUDA runtime functions that Quern uses, for one device that runs on the calling thread: every operation
// is complete when its call returns, and the device does one thing at a time.

// libquern_emulated.so exports what these headers declare.
#pragma GCC visibility push(default)
#include <cuda_runtime_api.h>
#pragma GCC visibility pop

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "emulation/emulation.h"
#include "emulation/execution.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using Operation = std::function<cudaError_t()>;

struct CUgraph_st {
  std::vector<Operation> operations;
};

struct CUgraphExec_st {
  std::vector<Operation> operations;
};

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  CUstream_st* origin;
  std::vector<Operation> operations;
  std::set<CUstream_st*> unjoined;
  bool valid = true;
};

struct CUstream_st {
  unsigned flags;
  std::shared_ptr<Capture> capture;
};

struct CUevent_st {
  unsigned flags;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::weak_ptr<Capture> capture;  // recorded in
  CUstream_st* stream = nullptr;   // the stream of that capture
};

namespace {

using quern::emulation::Failure;
using quern::emulation::kPoison;

constexpr size_t kAlignment = 256;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xe7;
constexpr size_t kMemoryBytes = size_t{8} << 30;
constexpr size_t kQuarantineBytes = 16 << 20;
constexpr size_t kQuarantineBlocks = 256;
constexpr int kMultiprocessors = 4;
constexpr const char* kDeviceName = "Quern emulation";

struct Allocation {
  cudaMemoryType type;
  size_t bytes;
  char* block;  // what malloc gave; null for registered memory
  bool stream_ordered;
};

struct Fault {
  std::string function;
  int64_t calls_left;
  cudaError_t status;
  bool sticky;
};

struct Device {
  std::recursive_mutex mutex;
  cudaError_t lost = cudaSuccess;
  char message[1024] = "";

  std::map<uintptr_t, Allocation> memory;
  std::deque<std::pair<uintptr_t, Allocation>> quarantine;  // freed, not yet given back
  size_t quarantined_bytes = 0;
  size_t device_bytes = 0;

  CUstream_st legacy_stream{cudaStreamDefault, nullptr};
  CUstream_st thread_stream{cudaStreamDefault, nullptr};
  std::set<CUstream_st*> streams;
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> executables;
  std::set<std::shared_ptr<Capture>> captures;
  std::map<const void*, int> dynamic_shared_limits;

  std::vector<Fault> faults;
  uint64_t seed = 0;
  uint64_t launches_under_seed = 0;
  int64_t launches = 0;
  int64_t synchronizations = 0;

  Device() {
    if (const char* seed_text = getenv("QUERN_EMULATION_SEED")) seed = strtoull(seed_text, nullptr, 0);
  }
};

Device& device() {
  static Device* instance = new Device;  // never destroyed: threads may outlive main
  return *instance;
}

thread_local cudaError_t last_error = cudaSuccess;

// What a function does, as far as all functions that do it behave alike.
enum Traits : unsigned {
  kPlain = 0,
  kAllocates = 1,
  kReleases = 2,       // goes on when the device is lost
  kOutsideCapture = 4  // not allowed while a capture is open that may be disturbed
};

cudaError_t injected(const char* function) {
  for (Fault& fault : device().faults) {
    if (fault.calls_left > 0 && fault.function == function && --fault.calls_left == 0) {
      if (fault.sticky) device().lost = fault.status;
      return fault.status;
    }
  }
  return cudaSuccess;
}

cudaError_t lose_device(cudaError_t error, const std::string& message) {
  snprintf(device().message, sizeof(device().message), "%s", message.c_str());
  return device().lost = error;
}

bool capture_forbids() {
  for (const std::shared_ptr<Capture>& capture : device().captures) {
    if (capture->mode == cudaStreamCaptureModeGlobal || (capture->mode == cudaStreamCaptureModeThreadLocal &&
                                                         capture->thread == std::this_thread::get_id())) {
      capture->valid = false;
      return true;
    }
  }
  return false;
}

template <typename Body>
cudaError_t call(const char* function, unsigned traits, Body body) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  cudaError_t error = injected(function);
  if (error == cudaSuccess && (traits & kAllocates) != 0) error = injected("allocation");
  if (error == cudaSuccess && (traits & kReleases) == 0) error = device().lost;
  if (error == cudaSuccess && (traits & kOutsideCapture) != 0 && capture_forbids()) {
    error = cudaErrorStreamCaptureUnsupported;
  }
  if (error == cudaSuccess) {
    error = body();
    if (error == cudaSuccess) error = device().lost;
  }
  if (error != cudaSuccess) last_error = error;
  return error;
}

// Memory.

void fill_poison(char* begin, size_t bytes) {
  for (size_t i = 0; i + 4 <= bytes; i += 4) memcpy(begin + i, &kPoison, 4);
  memcpy(begin + bytes / 4 * 4, &kPoison, bytes % 4);
}

cudaError_t allocate(void** pointer, size_t bytes, cudaMemoryType type, bool stream_ordered) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (type == cudaMemoryTypeDevice && bytes > kMemoryBytes - device().device_bytes)
    return cudaErrorMemoryAllocation;
  void* block = nullptr;
  if (bytes > SIZE_MAX - 2 * kGuardBytes ||
      posix_memalign(&block, kAlignment, bytes + 2 * kGuardBytes) != 0) {
    return cudaErrorMemoryAllocation;
  }
  char* begin = static_cast<char*>(block) + kGuardBytes;
  memset(block, kGuard, kGuardBytes);
  memset(begin + bytes, kGuard, kGuardBytes);
  fill_poison(begin, bytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(block, kGuardBytes);
  __asan_poison_memory_region(begin + bytes, kGuardBytes);
#endif
  if (type == cudaMemoryTypeDevice) device().device_bytes += bytes;
  device().memory[reinterpret_cast<uintptr_t>(begin)] = {type, bytes, static_cast<char*>(block),
                                                         stream_ordered};
  *pointer = begin;
  return cudaSuccess;
}

void give_back(const Allocation& allocation) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(allocation.block, allocation.bytes + 2 * kGuardBytes);
#endif
  free(allocation.block);
}

// Freed memory is poisoned and kept for a while, so that a copy from or to it is recognised.
cudaError_t release(void* pointer, cudaMemoryType type, bool stream_ordered) {
  if (pointer == nullptr) return cudaSuccess;
  auto found = device().memory.find(reinterpret_cast<uintptr_t>(pointer));
  if (found == device().memory.end() || found->second.type != type || found->second.block == nullptr ||
      (stream_ordered && !found->second.stream_ordered)) {
    return cudaErrorInvalidValue;
  }
  const Allocation allocation = found->second;
  if (type == cudaMemoryTypeDevice) device().device_bytes -= allocation.bytes;
  fill_poison(static_cast<char*>(pointer), allocation.bytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(pointer, allocation.bytes);
#endif
  device().quarantine.push_back(*found);
  device().quarantined_bytes += allocation.bytes;
  device().memory.erase(found);
  while (device().quarantined_bytes > kQuarantineBytes || device().quarantine.size() > kQuarantineBlocks) {
    give_back(device().quarantine.front().second);
    device().quarantined_bytes -= device().quarantine.front().second.bytes;
    device().quarantine.pop_front();
  }
  return cudaSuccess;
}

// The allocation that [address, address + bytes) begins in.
const std::pair<const uintptr_t, Allocation>* containing(const void* pointer) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  auto after = device().memory.upper_bound(address);
  if (after == device().memory.begin()) return nullptr;
  --after;
  return address - after->first < after->second.bytes ? &*after : nullptr;
}

// May a copy touch these bytes as memory of the device (1), of the host (0) or of either (-1)?
bool accessible(const void* pointer, size_t bytes, int on_device) {
  if (pointer == nullptr) return false;
  const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
  if (const auto* allocation = containing(pointer)) {
    const bool inside = bytes <= allocation->second.bytes - (address - allocation->first);
    return inside && (on_device < 0 || allocation->second.type == cudaMemoryTypeHost || on_device == 1);
  }
  for (const auto& freed : device().quarantine) {
    if (address < freed.first + freed.second.bytes && freed.first < address + bytes) return false;
  }
  return on_device != 1;
}

bool copy_allowed(const void* target, const void* source, size_t target_bytes, size_t source_bytes,
                  cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return accessible(target, target_bytes, 0) && accessible(source, source_bytes, 0);
    case cudaMemcpyHostToDevice:
      return accessible(target, target_bytes, 1) && accessible(source, source_bytes, 0);
    case cudaMemcpyDeviceToHost:
      return accessible(target, target_bytes, 0) && accessible(source, source_bytes, 1);
    case cudaMemcpyDeviceToDevice:
      return accessible(target, target_bytes, 1) && accessible(source, source_bytes, 1);
    case cudaMemcpyDefault:
      return accessible(target, target_bytes, -1) && accessible(source, source_bytes, -1);
  }
  return false;
}

cudaError_t check_guards() {
#if !defined(__SANITIZE_ADDRESS__)
  for (const auto& entry : device().memory) {
    const Allocation& allocation = entry.second;
    if (allocation.block == nullptr) continue;
    const char* end = allocation.block + kGuardBytes + allocation.bytes;
    for (size_t i = 0; i < kGuardBytes; ++i) {
      const bool before = static_cast<unsigned char>(allocation.block[i]) != kGuard;
      if (before || static_cast<unsigned char>(end[i]) != kGuard) {
        char text[160];
        snprintf(text, sizeof(text), "a kernel wrote %zu bytes %s an allocation of %zu bytes",
                 before ? kGuardBytes - i : i, before ? "before" : "behind", allocation.bytes);
        return lose_device(cudaErrorIllegalAddress, text);
      }
    }
  }
#endif
  return cudaSuccess;
}

// Streams.

CUstream_st* find_stream(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy) return &device().legacy_stream;
  if (stream == cudaStreamPerThread) return &device().thread_stream;
  return device().streams.count(stream) != 0 ? stream : nullptr;
}

cudaError_t submit(cudaStream_t handle, Operation operation) {
  CUstream_st* stream = find_stream(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr) {
    Capture& capture = *stream->capture;
    if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
    capture.operations.push_back(std::move(operation));
    if (stream != capture.origin) capture.unjoined.insert(stream);
    return cudaSuccess;
  }
  if (stream == &device().legacy_stream) {
    // The legacy stream waits for all blocking streams, which one that is being captured cannot promise.
    for (const std::shared_ptr<Capture>& capture : device().captures) {
      if ((capture->origin->flags & cudaStreamNonBlocking) == 0) {
        capture->valid = false;
        return cudaErrorStreamCaptureImplicit;
      }
    }
  }
  return operation();
}

cudaError_t run_all(const std::vector<Operation>& operations) {
  for (const Operation& operation : operations) {
    if (cudaError_t error = operation()) return error;
  }
  return cudaSuccess;
}

// An operation's memory was checked when it was submitted; a graph may be launched after its memory was
// freed.
cudaError_t still_allowed(bool allowed, const char* what) {
  if (allowed) return cudaSuccess;
  return lose_device(cudaErrorIllegalAddress, std::string(what) + " outside of live memory");
}

// Waiting for work that is only being captured would never end.
cudaError_t synchronize(CUstream_st* stream) {
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (stream->capture != nullptr) {
    stream->capture->valid = false;
    return cudaErrorStreamCaptureUnsupported;
  }
  ++device().synchronizations;
  return cudaSuccess;
}

void end_capture(const std::shared_ptr<Capture>& capture) {
  for (CUstream_st* stream : device().streams) {
    if (stream->capture == capture) stream->capture = nullptr;
  }
  if (device().thread_stream.capture == capture) device().thread_stream.capture = nullptr;
  device().captures.erase(capture);
}

struct ErrorName {
  cudaError_t error;
  const char* name;
};
constexpr ErrorName kErrorNames[] = {
    {cudaSuccess, "cudaSuccess"},
#include "error_names.inc"
};

cudaError_t attribute(int* value, cudaDeviceAttr name) {
  switch (name) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY:
      *value = static_cast<int>(quern::emulation::kMaxThreadsPerBlock);
      return cudaSuccess;
    case cudaDevAttrMaxBlockDimZ:
      *value = 64;
      return cudaSuccess;
    case cudaDevAttrMaxGridDimX:
      *value = INT32_MAX;
      return cudaSuccess;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
      *value = 65535;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(quern::emulation::kMaxStaticSharedBytes);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(quern::emulation::kMaxSharedBytes);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = warpSize;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      return cudaSuccess;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = 65536;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = 1 << 20;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrConcurrentKernels:
      *value = 1;
      return cudaSuccess;
    default:
      // Every other ability is one that the emulated device lacks.
      *value = 0;
      return name > 0 && name < cudaDevAttrMax ? cudaSuccess : cudaErrorInvalidValue;
  }
}

}  // namespace

int32_t quern::emulation::enqueue(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                  void* stream, std::function<void()> body) {
  return call("launch", kPlain, [&]() -> cudaError_t {
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (threads == 0 || threads > kMaxThreadsPerBlock || block.z > 64 || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535) {
      return cudaErrorInvalidConfiguration;
    }
    const auto raised = device().dynamic_shared_limits.find(kernel);
    const size_t limit = raised == device().dynamic_shared_limits.end() ? kMaxStaticSharedBytes
                                                                        : static_cast<size_t>(raised->second);
    if (shared_bytes > limit) return cudaErrorInvalidValue;
    return submit(static_cast<cudaStream_t>(stream), [grid, block, shared_bytes, body = std::move(body)] {
      uint64_t seed = device().seed;
      if (seed != 0) seed = seed * 0x9e3779b97f4a7c15u + ++device().launches_under_seed;
      ++device().launches;
      const Failure failure = execute(grid, block, shared_bytes, seed, body);
      return failure.error == cudaSuccess ? check_guards() : lose_device(failure.error, failure.message);
    });
  });
}

#pragma GCC visibility push(default)

// Devices and errors.

cudaError_t cudaGetDeviceCount(int* count) {
  return call(__func__, kReleases, [&] { return *count = 1, cudaSuccess; });
}
cudaError_t cudaGetDevice(int* ordinal) {
  return call(__func__, kPlain, [&] { return *ordinal = 0, cudaSuccess; });
}
cudaError_t cudaSetDevice(int ordinal) {
  return call(__func__, kPlain, [&] { return ordinal == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}
cudaError_t cudaDriverGetVersion(int* version) {
  return call(__func__, kReleases, [&] { return *version = CUDART_VERSION, cudaSuccess; });
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return call(__func__, kReleases, [&] { return *version = CUDART_VERSION, cudaSuccess; });
}
const char* cudaGetErrorName(cudaError_t error) {
  for (const ErrorName& entry : kErrorNames) {
    if (entry.error == error) return entry.name;
  }
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : cudaGetErrorName(error);
}
cudaError_t cudaPeekAtLastError() {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  return device().lost != cudaSuccess ? device().lost : last_error;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int ordinal) {
  return call(__func__, kPlain,
              [&] { return ordinal == 0 ? attribute(value, name) : cudaErrorInvalidDevice; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (ordinal != 0) return cudaErrorInvalidDevice;
    memset(properties, 0, sizeof(*properties));
    snprintf(properties->name, sizeof(properties->name), "%s", kDeviceName);
    properties->totalGlobalMem = kMemoryBytes;
    attribute(&properties->multiProcessorCount, cudaDevAttrMultiProcessorCount);
    attribute(&properties->major, cudaDevAttrComputeCapabilityMajor);
    attribute(&properties->minor, cudaDevAttrComputeCapabilityMinor);
    attribute(&properties->l2CacheSize, cudaDevAttrL2CacheSize);
    attribute(&properties->warpSize, cudaDevAttrWarpSize);
    attribute(&properties->maxThreadsPerBlock, cudaDevAttrMaxThreadsPerBlock);
    attribute(&properties->memoryPoolsSupported, cudaDevAttrMemoryPoolsSupported);
    return cudaSuccess;
  });
}
cudaError_t cudaDeviceSynchronize() {
  return call(__func__, kOutsideCapture, [&] { return ++device().synchronizations, cudaSuccess; });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    memset(attributes, 0, sizeof(*attributes));
    attributes->maxThreadsPerBlock = static_cast<int>(quern::emulation::kMaxThreadsPerBlock);
    const auto raised = device().dynamic_shared_limits.find(kernel);
    attributes->maxDynamicSharedSizeBytes = raised == device().dynamic_shared_limits.end()
                                                ? static_cast<int>(quern::emulation::kMaxStaticSharedBytes)
                                                : raised->second;
    return cudaSuccess;
  });
}
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute name, int value) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (name != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<size_t>(value) > quern::emulation::kMaxSharedBytes)
      return cudaErrorInvalidValue;
    device().dynamic_shared_limits[kernel] = value;
    return cudaSuccess;
  });
}

// Memory.

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return call(__func__, kPlain, [&] {
    *free_bytes = kMemoryBytes - device().device_bytes;
    *total_bytes = kMemoryBytes;
    return cudaSuccess;
  });
}
cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return call(__func__, kAllocates | kOutsideCapture,
              [&] { return allocate(pointer, bytes, cudaMemoryTypeDevice, false); });
}
cudaError_t cudaFree(void* pointer) {
  return call(__func__, kReleases | kOutsideCapture,
              [&] { return release(pointer, cudaMemoryTypeDevice, false); });
}
cudaError_t cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t handle) {
  return call(__func__, kAllocates, [&]() -> cudaError_t {
    CUstream_st* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    // A GPU would make it a node of the graph; Quern's operators never allocate, so here it is a mistake.
    if (stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    return allocate(pointer, bytes, cudaMemoryTypeDevice, true);
  });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    CUstream_st* stream = find_stream(handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) return cudaErrorStreamCaptureUnsupported;
    return release(pointer, cudaMemoryTypeDevice, true);
  });
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return call(__func__, kAllocates | kOutsideCapture,
              [&] { return allocate(pointer, bytes, cudaMemoryTypeHost, false); });
}
cudaError_t cudaFreeHost(void* pointer) {
  return call(__func__, kReleases | kOutsideCapture,
              [&] { return release(pointer, cudaMemoryTypeHost, false); });
}
cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  return call(__func__, kAllocates | kOutsideCapture, [&]() -> cudaError_t {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    const uintptr_t address = reinterpret_cast<uintptr_t>(pointer);
    const auto next = device().memory.lower_bound(address);
    if (containing(pointer) != nullptr || (next != device().memory.end() && next->first - address < bytes)) {
      return cudaErrorHostMemoryAlreadyRegistered;
    }
    device().memory[address] = {cudaMemoryTypeHost, bytes, nullptr, false};
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return call(__func__, kReleases | kOutsideCapture, [&]() -> cudaError_t {
    const auto found = device().memory.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == device().memory.end() || found->second.block != nullptr)
      return cudaErrorHostMemoryNotRegistered;
    device().memory.erase(found);
    return cudaSuccess;
  });
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call(__func__, kPlain, [&] {
    memset(attributes, 0, sizeof(*attributes));
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    attributes->hostPointer = const_cast<void*>(pointer);
    if (const auto* allocation = containing(pointer)) {
      attributes->type = allocation->second.type;
      attributes->device = 0;
      attributes->devicePointer = const_cast<void*>(pointer);
      if (attributes->type == cudaMemoryTypeDevice) attributes->hostPointer = nullptr;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (bytes == 0) return find_stream(stream) != nullptr ? cudaSuccess : cudaErrorInvalidResourceHandle;
    if (!copy_allowed(target, source, bytes, bytes, kind)) return cudaErrorInvalidValue;
    return submit(stream, [=] {
      if (cudaError_t error = still_allowed(copy_allowed(target, source, bytes, bytes, kind), "copy"))
        return error;
      memmove(target, source, bytes);
      return cudaSuccess;
    });
  });
}
cudaError_t cudaMemcpy2DAsync(void* target, size_t target_pitch, const void* source, size_t source_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (width > target_pitch || width > source_pitch) return cudaErrorInvalidPitchValue;
    if (width == 0 || height == 0)
      return find_stream(stream) != nullptr ? cudaSuccess : cudaErrorInvalidResourceHandle;
    const size_t target_bytes = (height - 1) * target_pitch + width;
    const size_t source_bytes = (height - 1) * source_pitch + width;
    if (!copy_allowed(target, source, target_bytes, source_bytes, kind)) return cudaErrorInvalidValue;
    return submit(stream, [=] {
      if (cudaError_t error =
              still_allowed(copy_allowed(target, source, target_bytes, source_bytes, kind), "copy")) {
        return error;
      }
      for (size_t row = 0; row < height; ++row) {
        memmove(static_cast<char*>(target) + row * target_pitch,
                static_cast<const char*>(source) + row * source_pitch, width);
      }
      return cudaSuccess;
    });
  });
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (bytes == 0) return find_stream(stream) != nullptr ? cudaSuccess : cudaErrorInvalidResourceHandle;
    if (!accessible(target, bytes, 1)) return cudaErrorInvalidValue;
    return submit(stream, [=] {
      if (cudaError_t error = still_allowed(accessible(target, bytes, 1), "fill")) return error;
      memset(target, value, bytes);
      return cudaSuccess;
    });
  });
}

// Streams.

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = new CUstream_st{flags, nullptr};
    device().streams.insert(*stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    if (device().streams.erase(stream) == 0) return cudaErrorInvalidResourceHandle;
    if (stream->capture != nullptr) {
      stream->capture->valid = false;
      if (stream->capture->origin == stream) end_capture(stream->capture);
    }
    delete stream;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call(__func__, kPlain, [&] { return synchronize(find_stream(stream)); });
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (found->capture == nullptr) return cudaSuccess;
    found->capture->valid = false;
    return cudaErrorStreamCaptureUnsupported;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    CUstream_st* waiter = find_stream(stream);
    if (waiter == nullptr || device().events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    const std::shared_ptr<Capture> captured = event->capture.lock();
    if (captured == nullptr) {
      if (waiter->capture == nullptr || !event->recorded) return cudaSuccess;
      waiter->capture->valid = false;
      return cudaErrorStreamCaptureIsolation;
    }
    if (waiter == &device().legacy_stream) return cudaErrorStreamCaptureImplicit;
    if (waiter->capture == nullptr) {
      waiter->capture = captured;
      captured->unjoined.insert(waiter);
    } else if (waiter->capture != captured) {
      waiter->capture->valid = captured->valid = false;
      return cudaErrorStreamCaptureMerge;
    }
    if (event->stream != waiter) captured->unjoined.erase(event->stream);
    if (waiter != captured->origin) captured->unjoined.insert(waiter);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    CUstream_st* origin = find_stream(stream);
    if (origin == nullptr) return cudaErrorInvalidResourceHandle;
    if (origin == &device().legacy_stream) return cudaErrorStreamCaptureUnsupported;
    if (origin->capture != nullptr) return cudaErrorIllegalState;
    origin->capture = std::make_shared<Capture>();
    origin->capture->mode = mode;
    origin->capture->thread = std::this_thread::get_id();
    origin->capture->origin = origin;
    device().captures.insert(origin->capture);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    *graph = nullptr;
    CUstream_st* origin = find_stream(stream);
    if (origin == nullptr) return cudaErrorInvalidResourceHandle;
    if (origin->capture == nullptr) return cudaErrorIllegalState;
    const std::shared_ptr<Capture> capture = origin->capture;
    if (capture->origin != origin) {
      capture->valid = false;
      return cudaErrorStreamCaptureUnmatched;
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
      return cudaErrorStreamCaptureWrongThread;
    }
    end_capture(capture);
    if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
    if (!capture->unjoined.empty()) return cudaErrorStreamCaptureUnjoined;
    if (device().lost != cudaSuccess) return device().lost;
    *graph = new CUgraph_st{std::move(capture->operations)};
    device().graphs.insert(*graph);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    *status = found->capture == nullptr ? cudaStreamCaptureStatusNone
              : found->capture->valid   ? cudaStreamCaptureStatusActive
                                        : cudaStreamCaptureStatusInvalidated;
    return cudaSuccess;
  });
}

// Graphs.

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (device().graphs.count(graph) == 0) return cudaErrorInvalidValue;
    *executable = new CUgraphExec_st{graph->operations};
    device().executables.insert(*executable);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    if (device().executables.count(executable) == 0) return cudaErrorInvalidValue;
    return submit(stream, [operations = executable->operations] { return run_all(operations); });
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    if (device().graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    if (device().executables.erase(executable) == 0) return cudaErrorInvalidValue;
    delete executable;
    return cudaSuccess;
  });
}

// Events.

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call(__func__, kPlain, [&] {
    *event = new CUevent_st;
    (*event)->flags = flags;
    device().events.insert(*event);
    return cudaSuccess;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call(__func__, kReleases, [&]() -> cudaError_t {
    if (device().events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    delete event;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr || device().events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    if (found->capture != nullptr && !found->capture->valid) return cudaErrorStreamCaptureInvalidated;
    event->capture = found->capture;
    event->stream = found;
    if (found->capture == nullptr) {
      event->recorded = true;
      event->time = std::chrono::steady_clock::now();
    }
    return cudaSuccess;
  });
}

namespace {

cudaError_t wait_for(cudaEvent_t event) {
  if (device().events.count(event) == 0) return cudaErrorInvalidResourceHandle;
  if (const std::shared_ptr<Capture> capture = event->capture.lock()) {
    capture->valid = false;
    return cudaErrorCapturedEvent;
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call(__func__, kPlain, [&] { return wait_for(event); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call(__func__, kPlain, [&] {
    ++device().synchronizations;
    return wait_for(event);
  });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return call(__func__, kPlain, [&]() -> cudaError_t {
    for (cudaEvent_t event : {from, to}) {
      if (device().events.count(event) == 0 || !event->recorded ||
          (event->flags & cudaEventDisableTiming) != 0) {
        return cudaErrorInvalidResourceHandle;
      }
    }
    *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return cudaSuccess;
  });
}

#pragma GCC visibility pop

// Control.

void quern_emulation_set_seed(uint64_t seed) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  device().seed = seed;
  device().launches_under_seed = 0;
}

quern_status quern_emulation_inject(const char* function, int64_t nth, int32_t status, int32_t sticky) {
  if (function == nullptr || nth < 1 || status <= 0) return QUERN_INVALID_ARGUMENT;
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  device().faults.push_back({function, nth, static_cast<cudaError_t>(status), sticky != 0});
  return QUERN_OK;
}

int64_t quern_emulation_reset() {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  int64_t pending = 0;
  for (const Fault& fault : device().faults) pending += fault.calls_left > 0;
  device().faults.clear();
  device().lost = cudaSuccess;
  device().message[0] = '\0';
  last_error = cudaSuccess;
  return pending;
}

const char* quern_emulation_message() {
  return device().message;
}

int64_t quern_emulation_count(int32_t what) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  int64_t host_bytes = 0;
  int64_t host_allocations = 0;
  for (const auto& entry : device().memory) {
    if (entry.second.type == cudaMemoryTypeHost) {
      ++host_allocations;
      host_bytes += static_cast<int64_t>(entry.second.bytes);
    }
  }
  switch (what) {
    case QUERN_EMULATION_DEVICE_BYTES:
      return static_cast<int64_t>(device().device_bytes);
    case QUERN_EMULATION_DEVICE_ALLOCATIONS:
      return static_cast<int64_t>(device().memory.size()) - host_allocations;
    case QUERN_EMULATION_HOST_BYTES:
      return host_bytes;
    case QUERN_EMULATION_HOST_ALLOCATIONS:
      return host_allocations;
    case QUERN_EMULATION_STREAMS:
      return static_cast<int64_t>(device().streams.size());
    case QUERN_EMULATION_EVENTS:
      return static_cast<int64_t>(device().events.size());
    case QUERN_EMULATION_GRAPHS:
      return static_cast<int64_t>(device().graphs.size() + device().executables.size());
    case QUERN_EMULATION_LAUNCHES:
      return device().launches;
    case QUERN_EMULATION_SYNCHRONIZATIONS:
      return device().synchronizations;
    default:
      return -1;
  }
}

// For libraries beside this one.

int32_t quern_emulation_fault(const char* function) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  return injected(function);
}

int32_t quern_emulation_is_accessible(const void* address, int64_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  return bytes >= 0 && accessible(address, static_cast<size_t>(bytes), 1);
}

int32_t quern_emulation_queue(void* stream, int32_t (*kernel)(const void* arguments), const void* arguments,
                              int64_t bytes) {
  const char* begin = static_cast<const char*>(arguments);
  return call("launch", kPlain, [&] {
    return submit(static_cast<cudaStream_t>(stream), [kernel,
                                                      copy = std::vector<char>(begin, begin + bytes)] {
      ++device().launches;
      const cudaError_t error = static_cast<cudaError_t>(kernel(copy.data()));
      return error == cudaSuccess ? check_guards() : lose_device(error, "a kernel of another library failed");
    });
  });
}
