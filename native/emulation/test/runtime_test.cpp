// The emulated CUDA runtime: what its callers rely on, and what it must refuse.
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "emulation/cuda.h"
#include "emulation/emulation.h"

namespace {

using quern::emulation::launch;

__global__ void add(int* values, int count, int amount) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] += amount;
}

cudaError_t launch_add(cudaStream_t stream, int* values, int count, int amount) {
  return static_cast<cudaError_t>(
      launch(add, static_cast<unsigned>((count + 63) / 64), 64, 0, stream, values, count, amount));
}

bool message_has(const char* part) {
  return std::string(quern_emulation_message()).find(part) != std::string::npos;
}

cudaStream_t new_stream() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  return stream;
}

template <typename T>
T* new_device(size_t count) {
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, count * sizeof(T)) == cudaSuccess);
  return static_cast<T*>(pointer);
}

std::vector<int> read(const int* values, size_t count) {
  std::vector<int> host(count);
  CHECK(cudaMemcpyAsync(host.data(), values, count * 4, cudaMemcpyDeviceToHost, nullptr) == cudaSuccess);
  return host;
}

void devices() {
  int value = 0;
  CHECK(cudaGetDeviceCount(&value) == cudaSuccess && value == 1);
  CHECK(cudaSetDevice(0) == cudaSuccess);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 0) == cudaSuccess && value == 32);
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMemoryPoolsSupported, 0) == cudaSuccess && value == 1);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(strcmp(properties.name, "Quern emulation") == 0);
  CHECK(strcmp(cudaGetErrorName(cudaErrorInsufficientDriver), "cudaErrorInsufficientDriver") == 0);
  CHECK(strcmp(cudaGetErrorName(cudaErrorSystemDriverMismatch), "cudaErrorSystemDriverMismatch") == 0);
  CHECK(strcmp(cudaGetErrorName(cudaSuccess), "cudaSuccess") == 0);
  CHECK(strcmp(cudaGetErrorName(static_cast<cudaError_t>(4711)), "unrecognized error code") == 0);
}

void memory() {
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_BYTES) == 0);
  int* values = new_device<int>(100);
  CHECK(reinterpret_cast<uintptr_t>(values) % 256 == 0);
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_BYTES) == 400);
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_ALLOCATIONS) == 1);
  for (int word : read(values, 100)) CHECK(word == 0x7fa57fa5);
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess && total_bytes - free_bytes == 400);

  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, values + 99) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeDevice && attributes.device == 0 &&
        attributes.hostPointer == nullptr);
  int local = 0;
  CHECK(cudaPointerGetAttributes(&attributes, &local) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeUnregistered && attributes.devicePointer == nullptr);

  // Copies stay inside of live memory and know which side is which.
  std::vector<int> host(101, 5);
  CHECK(cudaMemcpyAsync(values, host.data(), 400, cudaMemcpyHostToDevice, nullptr) == cudaSuccess);
  CHECK(cudaMemcpyAsync(values, host.data(), 404, cudaMemcpyHostToDevice, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(values + 1, host.data(), 400, cudaMemcpyHostToDevice, nullptr) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(host.data(), values, 4, cudaMemcpyHostToDevice, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(host.data(), values, 4, cudaMemcpyDefault, nullptr) == cudaSuccess);
  CHECK(cudaMemsetAsync(values, 0, 400, nullptr) == cudaSuccess);
  CHECK(cudaMemsetAsync(values, 0, 401, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(host.data(), 0, 4, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy2DAsync(values + 1, 40, host.data(), 20, 12, 10, cudaMemcpyHostToDevice, nullptr) ==
        cudaSuccess);
  const std::vector<int> now = read(values, 100);
  for (int i = 0; i < 100; ++i) CHECK(now[i] == (i % 10 >= 1 && i % 10 <= 3 ? 5 : 0));
  CHECK(cudaMemcpy2DAsync(values, 8, host.data(), 20, 12, 2, cudaMemcpyHostToDevice, nullptr) ==
        cudaErrorInvalidPitchValue);
  CHECK(cudaMemcpy2DAsync(values + 9, 40, host.data(), 8, 8, 10, cudaMemcpyHostToDevice, nullptr) ==
        cudaErrorInvalidValue);

  CHECK(cudaFree(values + 1) == cudaErrorInvalidValue);
  CHECK(cudaFreeAsync(values, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaFreeHost(values) == cudaErrorInvalidValue);
  CHECK(cudaFree(values) == cudaSuccess);
  CHECK(cudaFree(values) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.data(), values, 4, cudaMemcpyDeviceToHost, nullptr) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(host.data(), values, 4, cudaMemcpyDefault, nullptr) == cudaErrorInvalidValue);
  void* too_large = nullptr;
  CHECK(cudaMalloc(&too_large, SIZE_MAX / 2) == cudaErrorMemoryAllocation && too_large == nullptr);

  cudaStream_t stream = new_stream();
  void* ordered = nullptr;
  CHECK(cudaMallocAsync(&ordered, 64, stream) == cudaSuccess);
  CHECK(cudaFreeAsync(ordered, stream) == cudaSuccess);
  CHECK(cudaFreeAsync(ordered, stream) == cudaErrorInvalidValue);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaMallocAsync(&ordered, 64, stream) == cudaErrorInvalidResourceHandle);
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_BYTES) == 0);

  void* pinned = nullptr;
  CHECK(cudaHostAlloc(&pinned, 64, 0) == cudaSuccess);
  CHECK(cudaPointerGetAttributes(&attributes, pinned) == cudaSuccess &&
        attributes.type == cudaMemoryTypeHost);
  CHECK(cudaHostRegister(host.data(), 404, 0) == cudaSuccess);
  CHECK(cudaHostRegister(host.data() + 100, 8, 0) == cudaErrorHostMemoryAlreadyRegistered);
  CHECK(quern_emulation_count(QUERN_EMULATION_HOST_ALLOCATIONS) == 2);
  CHECK(quern_emulation_count(QUERN_EMULATION_HOST_BYTES) == 468);
  CHECK(cudaFreeHost(host.data()) == cudaErrorInvalidValue);
  CHECK(cudaHostUnregister(pinned) == cudaErrorHostMemoryNotRegistered);
  CHECK(cudaHostUnregister(host.data()) == cudaSuccess);
  CHECK(cudaHostUnregister(host.data()) == cudaErrorHostMemoryNotRegistered);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
  CHECK(quern_emulation_count(QUERN_EMULATION_HOST_BYTES) == 0);
  CHECK(quern_emulation_count(QUERN_EMULATION_HOST_BYTES + 100) == -1);
}

void streams_and_events() {
  cudaStream_t stream = new_stream();
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  CHECK(cudaEventCreateWithFlags(&begin, cudaEventDefault) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&end, cudaEventDefault) == cudaSuccess);
  CHECK(quern_emulation_count(QUERN_EMULATION_STREAMS) == 1 &&
        quern_emulation_count(QUERN_EMULATION_EVENTS) == 2);
  float milliseconds = -1;
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventQuery(begin) == cudaSuccess);
  CHECK(cudaEventRecord(begin, stream) == cudaSuccess);
  int* values = new_device<int>(1000);
  CHECK(cudaMemsetAsync(values, 0, 4000, stream) == cudaSuccess);
  const int64_t launches = quern_emulation_count(QUERN_EMULATION_LAUNCHES);
  CHECK(launch_add(stream, values, 1000, 3) == cudaSuccess);
  CHECK(quern_emulation_count(QUERN_EMULATION_LAUNCHES) == launches + 1);
  CHECK(cudaEventRecord(end, stream) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream, end, 0) == cudaSuccess);
  CHECK(cudaStreamQuery(stream) == cudaSuccess && cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaSuccess && milliseconds > 0);
  for (int value : read(values, 1000)) CHECK(value == 3);
  CHECK(cudaEventDestroy(begin) == cudaSuccess && cudaEventDestroy(begin) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(begin, stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(end) == cudaSuccess && cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  CHECK(launch_add(stream, values, 1000, 3) == cudaErrorInvalidResourceHandle);
  CHECK(cudaFree(values) == cudaSuccess);
}

void graphs() {
  cudaStream_t stream = new_stream();
  int* values = new_device<int>(100);
  CHECK(cudaMemsetAsync(values, 0, 400, stream) == cudaSuccess);
  cudaStreamCaptureStatus status;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorIllegalState);
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaErrorIllegalState);
  CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess && status == cudaStreamCaptureStatusActive);
  CHECK(launch_add(stream, values, 100, 1) == cudaSuccess);
  CHECK(launch_add(stream, values, 50, 10) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(read(values, 100)[0] == 0);  // recorded, not run
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess && cudaGraphDestroy(graph) == cudaErrorInvalidValue);
  CHECK(quern_emulation_count(QUERN_EMULATION_GRAPHS) == 1);
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK(read(values, 100)[49] == 33 && read(values, 100)[50] == 3);

  // A second stream takes part through events and has to come back.
  cudaStream_t other = new_stream();
  cudaEvent_t fork = nullptr;
  cudaEvent_t join = nullptr;
  CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming) == cudaSuccess);
  const auto fork_capture = [&] {
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(cudaEventRecord(fork, stream) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(other, fork, 0) == cudaSuccess);
    CHECK(launch_add(other, values, 100, 100) == cudaSuccess);
  };
  fork_capture();
  CHECK(cudaEventRecord(join, other) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream, join, 0) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, other) == cudaSuccess);
  CHECK(read(values, 100)[99] == 103);
  fork_capture();
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureUnjoined);
  CHECK(cudaStreamIsCapturing(other, &status) == cudaSuccess && status == cudaStreamCaptureStatusNone);
  fork_capture();
  CHECK(cudaStreamEndCapture(other, &graph) == cudaErrorStreamCaptureUnmatched);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaEventRecord(fork, stream) == cudaSuccess);
  CHECK(cudaEventSynchronize(fork) == cudaErrorCapturedEvent);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && graph == nullptr);

  // What may not happen during a capture, and ends it.
  void* pointer = nullptr;
  const auto refuses = [&](cudaStreamCaptureMode mode, auto action) {
    CHECK(cudaStreamBeginCapture(stream, mode) == cudaSuccess);
    const cudaError_t error = action();
    CHECK(cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
          status == cudaStreamCaptureStatusInvalidated);
    CHECK(launch_add(stream, values, 100, 1) == cudaErrorStreamCaptureInvalidated);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    return error;
  };
  CHECK(refuses(cudaStreamCaptureModeRelaxed, [&] { return cudaStreamSynchronize(stream); }) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(refuses(cudaStreamCaptureModeRelaxed, [&] { return cudaStreamQuery(stream); }) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(refuses(cudaStreamCaptureModeThreadLocal, [&] { return cudaMalloc(&pointer, 4); }) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(refuses(cudaStreamCaptureModeGlobal, [&] { return cudaDeviceSynchronize(); }) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(refuses(cudaStreamCaptureModeGlobal, [&] {
          cudaError_t error = cudaSuccess;
          std::thread([&] { error = cudaMalloc(&pointer, 4); }).join();
          return error;
        }) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  std::thread([&] {
    CHECK(cudaMalloc(&pointer, 4) == cudaSuccess && cudaFree(pointer) == cudaSuccess);
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureWrongThread);
  }).join();
  CHECK(cudaMallocAsync(&pointer, 4, stream) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaMemcpyAsync(values + 50, values, 200, cudaMemcpyDeviceToDevice, stream) == cudaSuccess);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);

  // A graph that outlives its memory.
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess && cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaFree(values) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorIllegalAddress);
  CHECK(message_has("copy outside of live memory"));
  quern_emulation_reset();
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorInvalidValue);
  CHECK(cudaEventDestroy(fork) == cudaSuccess && cudaEventDestroy(join) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess && cudaStreamDestroy(other) == cudaSuccess);
  CHECK(quern_emulation_count(QUERN_EMULATION_GRAPHS) == 0);
  CHECK(quern_emulation_count(QUERN_EMULATION_STREAMS) == 0);
}

void injected_faults() {
  int count = 0;
  void* pointer = nullptr;
  for (const cudaError_t status :
       {cudaErrorInsufficientDriver, cudaErrorNoDevice, cudaErrorSystemDriverMismatch}) {
    CHECK(quern_emulation_inject("cudaGetDeviceCount", 2, status, 0) == QUERN_OK);
    CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
    CHECK(cudaGetDeviceCount(&count) == status);
    CHECK(cudaGetLastError() == status);
    CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  }
  cudaStream_t stream = new_stream();
  CHECK(quern_emulation_inject("allocation", 3, cudaErrorMemoryAllocation, 0) == QUERN_OK);
  CHECK(cudaMalloc(&pointer, 4) == cudaSuccess && cudaFree(pointer) == cudaSuccess);
  CHECK(cudaHostAlloc(&pointer, 4, 0) == cudaSuccess && cudaFreeHost(pointer) == cudaSuccess);
  CHECK(cudaMallocAsync(&pointer, 4, stream) == cudaErrorMemoryAllocation);
  CHECK(cudaMallocAsync(&pointer, 4, stream) == cudaSuccess && cudaFreeAsync(pointer, stream) == cudaSuccess);

  int* values = new_device<int>(10);
  CHECK(quern_emulation_inject("launch", 2, cudaErrorLaunchOutOfResources, 0) == QUERN_OK);
  CHECK(launch_add(stream, values, 10, 1) == cudaSuccess);
  CHECK(launch_add(stream, values, 10, 1) == cudaErrorLaunchOutOfResources);
  CHECK(launch_add(stream, values, 10, 1) == cudaSuccess);

  // A lost device answers everything but what only gives back with its first cause.
  CHECK(quern_emulation_inject("cudaStreamSynchronize", 1, cudaErrorECCUncorrectable, 1) == QUERN_OK);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorECCUncorrectable);
  CHECK(cudaGetLastError() == cudaErrorECCUncorrectable && cudaGetLastError() == cudaErrorECCUncorrectable);
  CHECK(cudaMalloc(&pointer, 4) == cudaErrorECCUncorrectable);
  CHECK(launch_add(stream, values, 10, 1) == cudaErrorECCUncorrectable);
  CHECK(cudaFree(values) == cudaErrorECCUncorrectable);
  CHECK(cudaStreamDestroy(stream) == cudaErrorECCUncorrectable);
  CHECK(quern_emulation_inject("launch", 5, cudaErrorUnknown, 0) == QUERN_OK);
  CHECK(quern_emulation_reset() == 1);
  CHECK(quern_emulation_reset() == 0);
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_BYTES) == 0);
  CHECK(quern_emulation_inject(nullptr, 1, 1, 0) == QUERN_INVALID_ARGUMENT);
  CHECK(quern_emulation_inject("launch", 0, 1, 0) == QUERN_INVALID_ARGUMENT);
  CHECK(quern_emulation_inject("launch", 1, 0, 0) == QUERN_INVALID_ARGUMENT);
}

// AddressSanitizer reports these writes itself.
#if !defined(__SANITIZE_ADDRESS__)
__global__ void store(int* address, int index) {
  address[index] = 1;
}

void guards() {
  int* values = new_device<int>(10);
  for (const int index : {10, 40, -1}) {
    CHECK(launch(store, 1, 1, 0, nullptr, values, index) == cudaErrorIllegalAddress);
    CHECK(message_has(index < 0 ? "before an allocation of 40 bytes" : "behind an allocation of 40 bytes"));
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK(cudaFree(values) == cudaErrorIllegalAddress);
    quern_emulation_reset();
    values = new_device<int>(10);
  }
  CHECK(cudaFree(values) == cudaSuccess);
}
#endif

// Many threads share the device; what each of them does is whole.
void threads() {
  std::vector<std::thread> all;
  for (int t = 0; t < 8; ++t) {
    all.emplace_back([t] {
      cudaStream_t stream = new_stream();
      int* values = new_device<int>(100);
      CHECK(cudaMemsetAsync(values, 0, 400, stream) == cudaSuccess);
      for (int i = 0; i < 50; ++i) CHECK(launch_add(stream, values, 100, t) == cudaSuccess);
      CHECK(read(values, 100)[99] == 50 * t);
      CHECK(cudaFree(values) == cudaSuccess && cudaStreamDestroy(stream) == cudaSuccess);
    });
  }
  for (std::thread& thread : all) thread.join();
  CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_ALLOCATIONS) == 0);
}

}  // namespace

int main(int count, char** arguments) {
  return run_tests(count, arguments, {
    {"devices", devices}, {"memory", memory}, {"streams_and_events", streams_and_events}, {"graphs", graphs},
        {"injected_faults", injected_faults},
#if !defined(__SANITIZE_ADDRESS__)
        {"guards", guards},
#endif
    {
      "threads", threads
    }
  });
}
