/*
 * jextract input for io.quern.bindings.cublas.Cublas; cublas.args lists the same symbols. The part of the cuBLAS C
 * ABI that Quern calls, in declarations of its own: toolkits may come without cuBLAS headers. Enumerations, which
 * cross the ABI as int, are anonymous ones with the interface's values. Checked against the header of 13.0.
 */
#include <stddef.h>

enum { CUBLAS_STATUS_SUCCESS = 0 };
enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum { CUBLAS_GEMM_DEFAULT = -1 };
enum { CUDA_R_32F = 0, CUDA_R_16F = 2, CUDA_R_16BF = 14 };

int cublasCreate_v2(void **handle);
int cublasDestroy_v2(void *handle);
int cublasGetVersion_v2(void *handle, int *version);
const char *cublasGetStatusName(int status);
const char *cublasGetStatusString(int status);
int cublasSetStream_v2(void *handle, void *stream);
int cublasSetWorkspace_v2(void *handle, void *workspace, size_t bytes);
int cublasGemmStridedBatchedEx(void *handle, int transa, int transb, int m, int n, int k, const void *alpha,
                               const void *a, int aType, int lda, long long strideA, const void *b, int bType,
                               int ldb, long long strideB, const void *beta, void *c, int cType, int ldc,
                               long long strideC, int batchCount, int computeType, int algo);
