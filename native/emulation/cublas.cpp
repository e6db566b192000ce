// The functions of cuBLAS that Quern calls, for the emulated device: libquern_emulated_cublas.so takes the
// place of libcublas.so.13 in tests. A product has TF32's error where that is asked for and adds up in no
// canonical order, so that nobody relies on more. Stricter than cuBLAS: operands are aligned to 16 bytes, and
// a product without a workspace of its caller's fails, since it would share one with other streams.
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <vector>

#include "emulation/emulation.h"

// Declared here and not by CUDA's headers, whose names are those of the declarations below.
#pragma GCC visibility push(default)
extern "C" {
int cudaMalloc(void** pointer, size_t bytes);
int cudaFree(void* pointer);
#include "../../bindings/jextract/quern_cublas.h"
}

namespace {

enum Status {
  kNotInitialized = 1,
  kAllocFailed = 3,
  kInvalidValue = 7,
  kExecutionFailed = 13,
  kNotSupported = 15
};
constexpr int kIllegalAddress = 700;  // cudaErrorIllegalAddress
constexpr int64_t kAlignment = 16;
constexpr uintptr_t kWorkspaceAlignment = 256;
constexpr size_t kOwnBytes = 1024;  // so that a handle which nobody destroys is seen

struct Handle {
  void* memory = nullptr;
  void* stream = nullptr;
  char* workspace = nullptr;
  int64_t workspace_bytes = 0;
};

std::mutex mutex;
std::set<void*> handles;

// Null where it is none.
Handle* known(void* handle) {
  std::lock_guard<std::mutex> lock(mutex);
  return handles.count(handle) != 0 ? static_cast<Handle*>(handle) : nullptr;
}

float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

uint32_t to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float from_half(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = bits >> 10 & 31;
  const uint32_t mantissa = bits & 1023;
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return from_bits(sign | (exponent == 31 ? 255u : exponent + 112) << 23 | mantissa << 13);
}

// Cut off, the larger of the two errors that a tensor core may make.
float to_tf32(float value) {
  return value == value ? from_bits(to_bits(value) & 0xffffe000u) : value;
}

struct Matrix {
  const char* data;
  int type;
  int64_t rows;  // of op(matrix), k of them adjoin where `adjoins`
  int64_t leading;
  int64_t stride;
  bool adjoins;
};

struct Product {
  Matrix a;
  Matrix b;
  float* c;
  int64_t k;
  int64_t leading;
  int64_t stride;
  int64_t batches;
  bool tf32;
  float alpha;
  float beta;
  char* workspace;
  int64_t workspace_bytes;
};

int64_t element_bytes(int type) {
  return type == CUDA_R_32F ? 4 : 2;
}

int64_t elements(int64_t batches, int64_t stride, int64_t columns, int64_t leading, int64_t column) {
  return (batches - 1) * stride + (columns - 1) * leading + column;
}

bool alive(const Matrix& matrix, const Product& product) {
  const int64_t columns = matrix.adjoins ? matrix.rows : product.k;
  const int64_t column = matrix.adjoins ? product.k : matrix.rows;
  return quern_emulation_is_accessible(
             matrix.data, element_bytes(matrix.type) *
                              elements(product.batches, matrix.stride, columns, matrix.leading, column)) != 0;
}

// Its rows as they enter the product, one after the other.
std::vector<float> operands(const Matrix& matrix, int64_t batch, int64_t k, bool tf32) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(matrix.rows * k));
  for (int64_t row = 0; row < matrix.rows; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      const int64_t at =
          batch * matrix.stride + (matrix.adjoins ? row * matrix.leading + i : i * matrix.leading + row);
      const char* address = matrix.data + at * element_bytes(matrix.type);
      if (matrix.type == CUDA_R_32F) {
        float value;
        memcpy(&value, address, sizeof(value));
        values.push_back(tf32 ? to_tf32(value) : value);
      } else {
        uint16_t bits;
        memcpy(&bits, address, sizeof(bits));
        values.push_back(matrix.type == CUDA_R_16F ? from_half(bits)
                                                   : from_bits(static_cast<uint32_t>(bits) << 16));
      }
    }
  }
  return values;
}

float dot(const float* a, const float* b, int64_t k) {
  constexpr int kSums = 8;
  float sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= k; i += kSums) {
    for (int s = 0; s < kSums; ++s) sums[s] += a[i + s] * b[i + s];
  }
  for (; i < k; ++i) sums[0] += a[i] * b[i];
  for (int half = kSums / 2; half > 0; half /= 2) {
    for (int s = 0; s < half; ++s) sums[s] += sums[s + half];
  }
  return sums[0];
}

int32_t multiply(const void* arguments) {
  Product product;
  memcpy(&product, arguments, sizeof(product));
  const int64_t c_elements =
      elements(product.batches, product.stride, product.b.rows, product.leading, product.a.rows);
  if (!alive(product.a, product) || !alive(product.b, product) ||
      quern_emulation_is_accessible(product.c, 4 * c_elements) == 0 ||
      quern_emulation_is_accessible(product.workspace, product.workspace_bytes) == 0) {
    return kIllegalAddress;
  }
  // Whoever has something of his own in there shall notice.
  const size_t touched = static_cast<size_t>(std::min<int64_t>(product.workspace_bytes, 1 << 16));
  memset(product.workspace, 0x7f, touched);
  memset(product.workspace + product.workspace_bytes - touched, 0x7f, touched);
  for (int64_t batch = 0; batch < product.batches; ++batch) {
    const std::vector<float> a = operands(product.a, batch, product.k, product.tf32);
    const std::vector<float> b = operands(product.b, batch, product.k, product.tf32);
    for (int64_t j = 0; j < product.b.rows; ++j) {
      float* column = product.c + batch * product.stride + j * product.leading;
      for (int64_t i = 0; i < product.a.rows; ++i) {
        const float value =
            product.alpha * dot(a.data() + i * product.k, b.data() + j * product.k, product.k);
        column[i] = product.beta == 0 ? value : value + product.beta * column[i];
      }
    }
  }
  return 0;
}

bool is_aligned(const void* address) {
  return address != nullptr && reinterpret_cast<uintptr_t>(address) % kAlignment == 0;
}

}  // namespace

int cublasCreate_v2(void** handle) {
  if (const int status = quern_emulation_fault(__func__)) return status;
  if (handle == nullptr) return kInvalidValue;
  Handle* created = new Handle;
  if (cudaMalloc(&created->memory, kOwnBytes) != 0) {
    delete created;
    return kAllocFailed;
  }
  std::lock_guard<std::mutex> lock(mutex);
  handles.insert(created);
  *handle = created;
  return CUBLAS_STATUS_SUCCESS;
}

int cublasDestroy_v2(void* handle) {
  Handle* found = known(handle);
  if (found == nullptr) return kNotInitialized;
  std::lock_guard<std::mutex> lock(mutex);
  handles.erase(handle);
  cudaFree(found->memory);
  delete found;
  return quern_emulation_fault(__func__);
}

int cublasGetVersion_v2(void*, int* version) {
  if (const int status = quern_emulation_fault(__func__)) return status;
  *version = 130000;
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(int status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case kNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case kAllocFailed:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case kExecutionFailed:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_UNKNOWN";
  }
}

const char* cublasGetStatusString(int) {
  return "as the emulation says";
}

int cublasSetStream_v2(void* handle, void* stream) {
  Handle* found = known(handle);
  if (const int status = quern_emulation_fault(__func__)) return status;
  if (found == nullptr) return kNotInitialized;
  *found = {found->memory, stream, nullptr, 0};  // which takes the workspace away
  return CUBLAS_STATUS_SUCCESS;
}

int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
  Handle* found = known(handle);
  if (const int status = quern_emulation_fault(__func__)) return status;
  if (found == nullptr) return kNotInitialized;
  if (reinterpret_cast<uintptr_t>(workspace) % kWorkspaceAlignment != 0) return kInvalidValue;
  found->workspace = static_cast<char*>(workspace);
  found->workspace_bytes = static_cast<int64_t>(bytes);
  return CUBLAS_STATUS_SUCCESS;
}

int cublasGemmStridedBatchedEx(void* handle, int transa, int transb, int m, int n, int k, const void* alpha,
                               const void* a, int aType, int lda, long long strideA, const void* b, int bType,
                               int ldb, long long strideB, const void* beta, void* c, int cType, int ldc,
                               long long strideC, int batchCount, int computeType, int algo) {
  const Handle* found = known(handle);
  if (const int status = quern_emulation_fault(__func__)) return status;
  if (found == nullptr) return kNotInitialized;
  if (transa < CUBLAS_OP_N || transa > CUBLAS_OP_T || transb < CUBLAS_OP_N || transb > CUBLAS_OP_T || m < 0 ||
      n < 0 || k < 0 || batchCount < 0 || alpha == nullptr || beta == nullptr ||
      lda < std::max(1, transa == CUBLAS_OP_N ? m : k) || ldb < std::max(1, transb == CUBLAS_OP_N ? k : n) ||
      ldc < std::max(1, m) || !is_aligned(a) || !is_aligned(b) || !is_aligned(c) ||
      (batchCount > 1 && strideC < static_cast<long long>(n) * ldc)) {
    return kInvalidValue;
  }
  const bool half = aType == CUDA_R_16F || aType == CUDA_R_16BF;
  if ((aType != CUDA_R_32F && !half) || aType != bType || cType != CUDA_R_32F ||
      algo != CUBLAS_GEMM_DEFAULT ||
      (computeType != CUBLAS_COMPUTE_32F && (half || computeType != CUBLAS_COMPUTE_32F_FAST_TF32))) {
    return kNotSupported;
  }
  if (found->workspace == nullptr) return kAllocFailed;
  if (m == 0 || n == 0 || batchCount == 0) return CUBLAS_STATUS_SUCCESS;
  Product product = {};
  product.a = {static_cast<const char*>(a), aType, m, lda, strideA, transa == CUBLAS_OP_T};
  product.b = {static_cast<const char*>(b), bType, n, ldb, strideB, transb == CUBLAS_OP_N};
  product.c = static_cast<float*>(c);
  product.k = k;
  product.leading = ldc;
  product.stride = strideC;
  product.batches = batchCount;
  product.tf32 = computeType == CUBLAS_COMPUTE_32F_FAST_TF32;
  memcpy(&product.alpha, alpha, sizeof(float));
  memcpy(&product.beta, beta, sizeof(float));
  product.workspace = found->workspace;
  product.workspace_bytes = found->workspace_bytes;
  if (quern_emulation_queue(found->stream, multiply, &product, sizeof(product)) != 0) return kExecutionFailed;
  return CUBLAS_STATUS_SUCCESS;
}
#pragma GCC visibility pop
