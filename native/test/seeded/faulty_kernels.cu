// One fault a kernel, each of which a check of the PTX or of the resource table must name. Never linked or
// launched.

extern "C" __global__ void narrow_accesses(const float* in, float* out, int n) {
  for (int i = threadIdx.x; i < n; i += 32) {
    out[i] = in[i];
  }
}

// The expected 16-byte load, without the store.
extern "C" __global__ void narrow_stores(const float4* in, float* out) {
  const float4 value = in[threadIdx.x];
  out[threadIdx.x] = value.x;
  out[threadIdx.x + 32] = value.w;
}

extern "C" __global__ void plain_sum(const float* in, float* out) {
  out[0] = in[0] + in[1];
}

extern "C" __global__ void plain_difference(const float* in, float* out) {
  out[0] = in[0] - in[1];
}

extern "C" __global__ void plain_product(const float* in, float* out) {
  out[0] = in[0] * in[1];
}

extern "C" __global__ void truncating_fma(const float* in, float* out) {
  out[0] = __fmaf_rz(in[0], in[1], in[2]);
}

extern "C" __global__ void approximate_quotient(const float* in, float* out) {
  out[0] = __fdividef(in[0], in[1]);
}

extern "C" __global__ void full_range_quotient(const float* in, float* out) {
  asm("div.full.f32 %0, %1, %2;" : "=f"(out[0]) : "f"(in[0]), "f"(in[1]));
}

extern "C" __global__ void approximate_root(const float* in, float* out) {
  asm("sqrt.approx.f32 %0, %1;" : "=f"(out[0]) : "f"(in[0]));
}

extern "C" __global__ void flushed_sum(const float* in, float* out) {
  asm("add.rn.ftz.f32 %0, %1, %2;" : "=f"(out[0]) : "f"(in[0]), "f"(in[1]));
}

// Overflows where a table has 2^31 elements.
extern "C" __global__ void narrow_offsets(const float* table, const int* ids, float* out, int stride,
                                          int dim) {
  const int row = ids[blockIdx.x] * stride;
  for (int d = threadIdx.x; d < dim; d += 32) {
    out[static_cast<long long>(blockIdx.x) * dim + d] = table[row + d];
  }
}

// More live values than two blocks of 1024 threads have registers for.
extern "C" __global__ void __launch_bounds__(1024, 2) spilling(const float* in, float* out) {
  float values[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    values[i] = in[i * 1024 + threadIdx.x];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    out[i * 1024 + threadIdx.x] = __fmul_rn(values[i], values[63 - i]);
  }
}
