// The library in cuBLAS's place: its products, in stream order, and what it refuses.
#include <vector>

#include "check.h"
#include "emulation/emulation.h"

// As in cublas.cpp.
extern "C" {
int cudaMalloc(void** pointer, size_t bytes);
int cudaFree(void* pointer);
int cudaStreamCreateWithFlags(void** stream, unsigned flags);
int cudaStreamDestroy(void* stream);
int cudaStreamBeginCapture(void* stream, int mode);
int cudaStreamEndCapture(void* stream, void** graph);
int cudaGraphInstantiate(void** executable, void* graph, unsigned long long flags);
int cudaGraphLaunch(void* executable, void* stream);
int cudaGraphDestroy(void* graph);
int cudaGraphExecDestroy(void* executable);
#include "../../../bindings/jextract/quern_cublas.h"
}

namespace {

constexpr int kExecutionFailed = 13;
constexpr int kRelaxed = 2;           // cudaStreamCaptureModeRelaxed
constexpr unsigned kNonBlocking = 1;  // cudaStreamNonBlocking
constexpr size_t kWorkspace = 1024;

// out[j][i] = sum over k of a[i][k] * b[j][k]: 2 x 3, depth 4, rows of c 4 apart.
struct Problem {
  void* handle = nullptr;
  void* stream = nullptr;
  float* a = nullptr;
  float* b = nullptr;
  float* c = nullptr;
  void* workspace = nullptr;

  Problem() {
    CHECK(cublasCreate_v2(&handle) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaStreamCreateWithFlags(&stream, kNonBlocking) == 0);
    for (float** matrix : {&a, &b, &c}) {
      void* memory = nullptr;
      CHECK(cudaMalloc(&memory, 32 * sizeof(float)) == 0);
      *matrix = static_cast<float*>(memory);
      for (int i = 0; i < 32; ++i) (*matrix)[i] = static_cast<float>(i % 7);
    }
    CHECK(cudaMalloc(&workspace, kWorkspace) == 0);
  }
  ~Problem() {
    CHECK(cublasDestroy_v2(handle) == CUBLAS_STATUS_SUCCESS);
    for (void* memory : {static_cast<void*>(a), static_cast<void*>(b), static_cast<void*>(c), workspace}) {
      CHECK(cudaFree(memory) == 0);
    }
    CHECK(cudaStreamDestroy(stream) == 0);
    CHECK(quern_emulation_count(QUERN_EMULATION_DEVICE_ALLOCATIONS) == 0);
  }

  void bind() {
    CHECK(cublasSetStream_v2(handle, stream) == CUBLAS_STATUS_SUCCESS);
    CHECK(cublasSetWorkspace_v2(handle, workspace, kWorkspace) == CUBLAS_STATUS_SUCCESS);
  }

  int multiply(int compute, int m = 2, int lda = 4, const float* from = nullptr, int batches = 1) {
    const float one = 1;
    const float zero = 0;
    return cublasGemmStridedBatchedEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, m, 3, 4, &one,
                                      from == nullptr ? a : from, CUDA_R_32F, lda, 0, b, CUDA_R_32F, 4, 0,
                                      &zero, c, CUDA_R_32F, 4, 12, batches, compute, CUBLAS_GEMM_DEFAULT);
  }

  bool holds() const {
    bool equal = true;
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 2; ++i) {
        float sum = 0;
        for (int k = 0; k < 4; ++k) sum += a[4 * i + k] * b[4 * j + k];
        equal = equal && c[4 * j + i] == sum;
      }
    }
    return equal;
  }
};

void products() {
  Problem problem;
  problem.bind();
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.holds());
  problem.c[3] = 77;
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, 2, 4, nullptr, 2) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.c[3] == 77 && problem.holds());
  CHECK(memcmp(problem.c + 12, problem.c, 2 * sizeof(float)) == 0);
}

void tf32() {
  Problem problem;
  problem.bind();
  problem.a[0] = 1 + 0x1p-12f;
  problem.b[0] = 1;
  for (int k = 1; k < 4; ++k) problem.b[k] = 0;
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.c[0] == 1 + 0x1p-12f);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F_FAST_TF32) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.c[0] == 1);
}

void captured() {
  Problem problem;
  void* graph = nullptr;
  void* executable = nullptr;
  CHECK(cudaStreamBeginCapture(problem.stream, kRelaxed) == 0);
  problem.bind();
  problem.c[0] = -1;
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(cudaStreamEndCapture(problem.stream, &graph) == 0);
  CHECK(problem.c[0] == -1);
  CHECK(cudaGraphInstantiate(&executable, graph, 0) == 0);
  problem.a[1] = 5;
  CHECK(cudaGraphLaunch(executable, problem.stream) == 0);
  CHECK(problem.holds());
  CHECK(cudaGraphExecDestroy(executable) == 0);
  CHECK(cudaGraphDestroy(graph) == 0);
}

void refusals() {
  Problem problem;
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == 3);  // no workspace
  problem.bind();
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, -1) == 7);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, 5) == 7);                    // beyond ldc
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, 2, 3) == 7);                 // lda below k
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, 2, 4, problem.a + 1) == 7);  // alignment
  CHECK(problem.multiply(64) == 15);
  CHECK(cublasSetWorkspace_v2(problem.handle, static_cast<char*>(problem.workspace) + 16, 64) == 7);
  CHECK(cublasSetStream_v2(problem.handle, problem.stream) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == 3);  // which the stream took away
  CHECK(cublasSetStream_v2(nullptr, problem.stream) == 1);
  CHECK(cublasDestroy_v2(problem.stream) == 1);
}

void faults() {
  Problem problem;
  problem.bind();
  CHECK(quern_emulation_inject("cublasGemmStridedBatchedEx", 2, kExecutionFailed, 0) == QUERN_OK);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == kExecutionFailed);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  // Memory that is not the device's is found when the product runs, and loses the device.
  alignas(16) static const float host[32] = {};
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F, 2, 4, host) == kExecutionFailed);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == kExecutionFailed);
  CHECK(quern_emulation_reset() == 0);
  CHECK(problem.multiply(CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
}

}  // namespace

int main(int count, char** arguments) {
  return run_tests(count, arguments,
                   {{"products", products},
                    {"tf32", tf32},
                    {"captured", captured},
                    {"refusals", refusals},
                    {"faults", faults}});
}
