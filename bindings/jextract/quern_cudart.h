/* jextract input for io.quern.bindings.cudart.CudaRuntime; cudart.args picks the symbols. */
#include <cuda_runtime_api.h>
