// The layer that kernels run on: each primitive against a plain loop, each mistake against its message.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "check.h"
#include "emulation/cuda.h"
#include "emulation/emulation.h"

namespace {

using quern::dynamic_shared;
using quern::emulation::launch;

constexpr unsigned kFull = 0xffffffffu;
#if defined(__SANITIZE_THREAD__)
constexpr uint64_t kSeeds = 3;
constexpr unsigned kManyBlocks = 100;
#else
constexpr uint64_t kSeeds = 20;
constexpr unsigned kManyBlocks = 100000;
#endif

template <typename... P, typename... A>
cudaError_t run(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A... arguments) {
  return static_cast<cudaError_t>(launch(kernel, grid, block, shared, nullptr, arguments...));
}

// Expects the launch to fail like this, and the device to work again after a reset.
void expect_failure(cudaError_t expected, const char* part_of_message, cudaError_t actual) {
  const std::string message = quern_emulation_message();
  if (actual != expected || message.find(part_of_message) == std::string::npos) {
    ++failures;
    fprintf(stderr, "expected %s \"%s\", not %s \"%s\"\n", cudaGetErrorName(expected), part_of_message,
            cudaGetErrorName(actual), message.c_str());
  }
  CHECK(cudaDeviceSynchronize() == expected);
  quern_emulation_reset();
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

__global__ void write_indices(unsigned* out) {
  const dim3 grid = gridDim;
  const dim3 block = blockDim;
  const unsigned b = blockIdx.x + grid.x * (blockIdx.y + grid.y * blockIdx.z);
  const unsigned t = threadIdx.x + block.x * (threadIdx.y + block.y * threadIdx.z);
  out[b * block.x * block.y * block.z + t] = b * 10000 + t;
}

void indices() {
  const dim3 grid(3, 2, 2);
  const dim3 block(5, 3, 4);
  std::vector<unsigned> out(12 * 60);
  CHECK(run(write_indices, grid, block, 0, out.data()) == cudaSuccess);
  for (unsigned b = 0; b < 12; ++b) {
    for (unsigned t = 0; t < 60; ++t) CHECK(out[b * 60 + t] == b * 10000 + t);
  }
}

__global__ void reverse_block(int* values) {
  QUERN_SHARED(int[256], tile);
  int* dynamic = dynamic_shared<int>();
  tile[threadIdx.x] = values[blockIdx.x * 256 + threadIdx.x];
  dynamic[threadIdx.x] = 1;
  __syncthreads();
  values[blockIdx.x * 256 + threadIdx.x] = tile[255 - threadIdx.x] + dynamic[255 - threadIdx.x];
}

void barriers() {
  std::vector<int> values(4 * 256);
  std::iota(values.begin(), values.end(), 0);
  CHECK(run(reverse_block, 4, 256, 256 * sizeof(int), values.data()) == cudaSuccess);
  for (int i = 0; i < 4 * 256; ++i) CHECK(values[i] == i / 256 * 256 + 255 - i % 256 + 1);
}

__global__ void count_predicates(int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int some = __syncthreads_or(i == 40);
  const int none = __syncthreads_or(i == 999);
  const int every = __syncthreads_and(i < 999);
  const int not_every = __syncthreads_and(i != 7);
  out[i] = count * 10000 + (some != 0) * 1000 + (none != 0) * 100 + (every != 0) * 10 + (not_every != 0);
}

void barrier_predicates() {
  std::vector<int> out(50);
  CHECK(run(count_predicates, 1, 50, 0, out.data()) == cudaSuccess);
  for (int value : out) CHECK(value == 171010);
}

template <typename T>
__global__ void shuffle(T* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const T value = static_cast<T>(lane * 3 + 1);
  out[lane] = __shfl_sync(kFull, value, (lane + 5) % 32);
  out[32 + lane] = __shfl_up_sync(kFull, value, 3);
  out[64 + lane] = __shfl_down_sync(kFull, value, 7);
  out[96 + lane] = __shfl_xor_sync(kFull, value, 9);
  out[128 + lane] = __shfl_sync(kFull, value, lane + 1, 8);
  out[160 + lane] = __shfl_up_sync(kFull, value, 2, 8);
  out[192 + lane] = __shfl_down_sync(kFull, value, 2, 8);
  out[224 + lane] = __shfl_xor_sync(kFull, value, 16, 8);
}

template <typename T>
void check_shuffles() {
  std::vector<T> out(256);
  CHECK(run(shuffle<T>, 1, 32, 0, out.data()) == cudaSuccess);
  for (int lane = 0; lane < 32; ++lane) {
    const auto of = [](int source) { return static_cast<T>(source * 3 + 1); };
    CHECK(out[lane] == of((lane + 5) % 32));
    CHECK(out[32 + lane] == of(lane < 3 ? lane : lane - 3));
    CHECK(out[64 + lane] == of(lane + 7 > 31 ? lane : lane + 7));
    CHECK(out[96 + lane] == of(lane ^ 9));
    CHECK(out[128 + lane] == of(lane / 8 * 8 + (lane + 1) % 8));
    CHECK(out[160 + lane] == of(lane % 8 < 2 ? lane : lane - 2));
    CHECK(out[192 + lane] == of(lane % 8 > 5 ? lane : lane + 2));
    // Across segments only towards lower lanes.
    CHECK(out[224 + lane] == of(lane >= 16 ? lane - 16 : lane));
  }
}

void shuffles() {
  check_shuffles<int>();
  check_shuffles<float>();
  check_shuffles<unsigned long long>();
  check_shuffles<double>();
  check_shuffles<unsigned short>();
}

// Halves of a warp in different code, each with its own mask.
__global__ void half_warps(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 16) {
    int sum = lane;
    for (int step = 8; step > 0; step /= 2) sum += __shfl_xor_sync(0x0000ffffu, sum, step);
    out[lane] = sum;
  } else {
    __syncwarp(0xffff0000u);
    out[lane] = static_cast<int>(__reduce_max_sync(0xffff0000u, static_cast<unsigned>(lane)));
  }
  __syncwarp();
}

void partial_masks() {
  std::vector<int> out(32);
  CHECK(run(half_warps, 1, 32, 0, out.data()) == cudaSuccess);
  for (int lane = 0; lane < 32; ++lane) CHECK(out[lane] == (lane < 16 ? 120 : 31));
}

__global__ void vote(unsigned* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int same = -1;
  out[lane] = __ballot_sync(kFull, lane % 5 == 0);
  out[32 + lane] = static_cast<unsigned>(__any_sync(kFull, lane == 31)) * 8u +
                   static_cast<unsigned>(__any_sync(kFull, lane == 32)) * 4u +
                   static_cast<unsigned>(__all_sync(kFull, lane < 32)) * 2u +
                   static_cast<unsigned>(__all_sync(kFull, lane < 31));
  out[64 + lane] = __match_any_sync(kFull, lane % 4);
  out[96 + lane] = __match_all_sync(kFull, lane / 32, &same) + static_cast<unsigned>(same);
  out[128 + lane] = __match_all_sync(kFull, lane / 31, &same) + static_cast<unsigned>(same);
  out[160 + lane] = __activemask() >> lane & 1u;
}

void votes() {
  std::vector<unsigned> out(192);
  CHECK(run(vote, 1, 32, 0, out.data()) == cudaSuccess);
  for (unsigned lane = 0; lane < 32; ++lane) {
    CHECK(out[lane] == 0x42108421u);
    CHECK(out[32 + lane] == 10);
    CHECK(out[64 + lane] == 0x11111111u << lane % 4);
    CHECK(out[96 + lane] == 0u);  // the full mask plus one
    CHECK(out[128 + lane] == 0u);
    CHECK(out[160 + lane] == 1u);
  }
}

__global__ void reduce(int* out) {
  const int value = (static_cast<int>(threadIdx.x) * 7) % 32 - 20;
  const unsigned bits = static_cast<unsigned>(value);
  const int results[] = {__reduce_add_sync(kFull, value),
                         __reduce_min_sync(kFull, value),
                         __reduce_max_sync(kFull, value),
                         static_cast<int>(__reduce_min_sync(kFull, bits)),
                         static_cast<int>(__reduce_max_sync(kFull, bits)),
                         static_cast<int>(__reduce_and_sync(kFull, bits | 4u)),
                         static_cast<int>(__reduce_or_sync(kFull, bits & 0xffu)),
                         static_cast<int>(__reduce_xor_sync(kFull, bits))};
  for (int r = 0; r < 8; ++r) out[r * 32 + threadIdx.x] = results[r];
}

void reductions() {
  std::vector<int> out(256);
  CHECK(run(reduce, 1, 32, 0, out.data()) == cudaSuccess);
  // The values are -20 ... 11.
  const int expected[] = {-144, -20, 11, 0, -1, 4, 0xff, 0};
  for (int i = 0; i < 256; ++i) CHECK(out[i] == expected[i / 32]);
}

struct Cells {
  int add, least, greatest;
  unsigned bits_and, bits_or, bits_xor, subtracted;
  unsigned long long wide, wide_greatest;
  long long wide_least;
  float sum;
  double wide_sum;
  int lock, guarded, exchanged;
};

__global__ void update(Cells* cells) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const unsigned u = static_cast<unsigned>(i);
  atomicAdd(&cells->add, i);
  atomicMin(&cells->least, -i);
  atomicMax(&cells->greatest, i);
  atomicAnd(&cells->bits_and, ~(1u << u % 8));
  atomicOr(&cells->bits_or, 1u << u % 32);
  atomicXor(&cells->bits_xor, u);
  atomicSub(&cells->subtracted, 1);
  atomicAdd_system(&cells->wide, 1ULL << 33);
  atomicMax_block(&cells->wide_greatest, static_cast<unsigned long long>(u) << 32);
  atomicMin(&cells->wide_least, -static_cast<long long>(u) * 1000000007LL);
  atomicAdd(&cells->sum, 0.5f);
  atomicAdd(&cells->wide_sum, 0.25);
  // A lock that all threads want, held across a point where others run.
  while (atomicCAS(&cells->lock, 0, 1) != 0) {
  }
  const int seen = cells->guarded;
  __nanosleep(20);
  cells->guarded = seen + 1;
  atomicExch(&cells->lock, 0);
  atomicExch(&cells->exchanged, i);
}

void atomics() {
  Cells cells = {};
  cells.bits_and = kFull;
  CHECK(run(update, 4, 64, 0, &cells) == cudaSuccess);
  CHECK(cells.add == 255 * 128);
  CHECK(cells.least == -255);
  CHECK(cells.greatest == 255);
  CHECK(cells.bits_and == 0xffffff00u);
  CHECK(cells.bits_or == kFull);
  CHECK(cells.bits_xor == 0);
  CHECK(cells.subtracted == 0u - 256u);
  CHECK(cells.wide == 256ULL << 33);
  CHECK(cells.wide_greatest == 255ULL << 32);
  CHECK(cells.wide_least == -255 * 1000000007LL);
  CHECK(cells.sum == 128.0f);
  CHECK(cells.wide_sum == 64.0);
  CHECK(cells.lock == 0);
  CHECK(cells.guarded == 256);
  CHECK(cells.exchanged >= 0 && cells.exchanged < 256);
}

__global__ void copy_vectors(const float4* in, float4* out) {
  const int4 bits = __ldg(reinterpret_cast<const int4*>(in) + threadIdx.x);
  __stcs(out + threadIdx.x, make_float4(__int_as_float(bits.x), __int_as_float(bits.y),
                                        __int_as_float(bits.z), __ldcs(&in[threadIdx.x].w)));
}

void vectors() {
  std::vector<float4> in(8);
  std::vector<float4> out(8);
  for (int i = 0; i < 8; ++i) in[i] = make_float4(i, i + 0.25f, -i, 1.0f / (i + 1));
  CHECK(run(copy_vectors, 1, 8, 0, static_cast<const float4*>(in.data()), out.data()) == cudaSuccess);
  CHECK(memcmp(in.data(), out.data(), 8 * sizeof(float4)) == 0);
}

__global__ void compute(float* out) {
  const float a = 1.0f + 0x1p-12f;
  out[0] = __fmaf_rn(a, a, -1.0f);
  out[1] = __fadd_rn(__fmul_rn(a, a), -1.0f);
  out[2] = a * a - 1.0f;  // not contracted
  out[3] = __fdiv_rn(1.0f, 3.0f);
  out[4] = __fsqrt_rn(2.0f);
  out[5] = __half2float(__float2half_rn(65519.9f));
  out[6] = __half2float(__float2half_rn(0x1.002p0f));  // a tie: to even
  out[7] = __bfloat162float(__float2bfloat16_rn(0x1.81p0f));
  out[8] = static_cast<float>(__popc(0xf0f0u) + __ffs(8) * 100 + __clz(1) * 1000 + __clz(0) * 100000);
  out[9] = __uint_as_float(__brev(0x000001fcu));
  out[10] = static_cast<float>(__umulhi(0x80000000u, 6u)) + static_cast<float>(__umul64hi(1ULL << 63, 10ULL));
  out[11] = static_cast<float>(min(3, -2) + max(7u, 9u));
}

void arithmetic() {
  std::vector<float> out(12);
  CHECK(run(compute, 1, 1, 0, out.data()) == cudaSuccess);
  CHECK(out[0] == 0x1p-11f + 0x1p-24f);
  CHECK(out[1] == 0x1p-11f);
  CHECK(out[2] == 0x1p-11f);
  CHECK(out[3] == 0x1.555556p-2f);
  CHECK(out[4] == 0x1.6a09e6p0f);
  CHECK(out[5] == 65504.0f);
  CHECK(out[6] == 1.0f);
  CHECK(out[7] == 0x1.80p0f);
  CHECK(out[8] == 8 + 400 + 31000 + 3200000);
  CHECK(out[9] == __uint_as_float(0x3f800000u));
  CHECK(out[10] == 3.0f + 5.0f);
  CHECK(out[11] == 7.0f);
}

__global__ void read_unwritten(unsigned* out) {
  QUERN_SHARED(unsigned[32], tile);
  unsigned* dynamic = dynamic_shared<unsigned>();
  unsigned* words = out + 64 * blockIdx.x;
  words[threadIdx.x] = tile[threadIdx.x];
  words[32 + threadIdx.x] = dynamic[threadIdx.x];
  tile[threadIdx.x] = 0;
  dynamic[threadIdx.x] = 0;
}

void shared_memory_is_poisoned_in_every_block() {
  std::vector<unsigned> out(3 * 64);
  CHECK(run(read_unwritten, 3, 32, 128, out.data()) == cudaSuccess);
  for (unsigned word : out) CHECK(word == 0x7fa57fa5u);
  CHECK(isnan(__uint_as_float(0x7fa57fa5u)));
  CHECK(isnan(__half2float(__ushort_as_half(0x7fa5))));
  CHECK(isnan(__bfloat162float(__ushort_as_bfloat16(0x7fa5))));
}

// The order in which threads come by, block after block.
__global__ void sign_in(int* order, int* next) {
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> order_under(uint64_t seed) {
  quern_emulation_set_seed(seed);
  std::vector<int> order(7 * 40, -1);
  int next = 0;
  CHECK(run(sign_in, 7, 40, 0, order.data(), &next) == cudaSuccess);
  quern_emulation_set_seed(0);
  return order;
}

void seeds() {
  std::vector<int> ascending(7 * 40);
  std::iota(ascending.begin(), ascending.end(), 0);
  CHECK(order_under(0) == ascending);
  const std::vector<int> one = order_under(1);
  const std::vector<int> two = order_under(2);
  CHECK(one != ascending && two != ascending && one != two);
  CHECK(order_under(1) == one);
  std::vector<int> sorted = one;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == ascending);
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    quern_emulation_set_seed(seed);
    barriers();
    shuffles();
    partial_masks();
    votes();
    reductions();
    atomics();
  }
  quern_emulation_set_seed(0);
}

__global__ void leave_before_barrier() {
  if (threadIdx.x == 9) return;
  __syncthreads();
}

__global__ void leave_after_others_wait() {
  if (threadIdx.x == 63) return;
  __syncthreads();
}

__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_or_warp() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else if (threadIdx.x < 48) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

void divergent_barriers() {
  expect_failure(cudaErrorLaunchFailure, "divergent barrier: 1 of 64 threads have exited",
                 run(leave_before_barrier, 1, 64, 0));
  expect_failure(cudaErrorLaunchFailure, "thread (63,0,0) has exited",
                 run(leave_after_others_wait, 1, 64, 0));
  expect_failure(cudaErrorLaunchFailure, "divergent barrier", run(two_barriers, 1, 64, 0));
  expect_failure(cudaErrorLaunchFailure, "thread (32,0,0) waits in __syncwarp with mask ffffffff",
                 run(barrier_or_warp, 1, 64, 0));
}

__global__ void half_shuffles(int* out) {
  if (threadIdx.x % 32 < 16) out[threadIdx.x] = __shfl_xor_sync(kFull, 1, 1);
}

__global__ void leave_before_shuffle(int* out) {
  if (threadIdx.x == 0) return;
  out[threadIdx.x] = __shfl_xor_sync(kFull, 1, 1);
}

__global__ void not_in_mask() {
  __ballot_sync(0x7fffffffu, 1);
}

__global__ void reads_outside(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1, 20);
}

__global__ void different_intrinsics() {
  if (threadIdx.x % 2 == 0) {
    __any_sync(kFull, 1);
  } else {
    __all_sync(kFull, 1);
  }
}

__global__ void odd_width(int* out) {
  out[threadIdx.x] = __shfl_sync(kFull, 1, 0, 12);
}

void wrong_masks() {
  std::vector<int> out(64);
  expect_failure(cudaErrorLaunchFailure, "mask ffffffff at", run(half_shuffles, 1, 64, 0, out.data()));
  expect_failure(cudaErrorLaunchFailure, "names lanes that have exited (00000001)",
                 run(leave_before_shuffle, 1, 64, 0, out.data()));
  quern_emulation_set_seed(5);
  expect_failure(cudaErrorLaunchFailure, "__shfl_xor_sync", run(half_shuffles, 1, 64, 0, out.data()));
  quern_emulation_set_seed(0);
  expect_failure(cudaErrorLaunchFailure,
                 "lane 31 calls __ballot_sync with mask 7fffffff, which does not name it",
                 run(not_in_mask, 1, 32, 0));
  expect_failure(cudaErrorLaunchFailure, "lane 0 reads lane 20", run(reads_outside, 1, 32, 0, out.data()));
  expect_failure(cudaErrorLaunchFailure, "a lane of the mask does not arrive",
                 run(different_intrinsics, 1, 32, 0));
  expect_failure(cudaErrorLaunchFailure, "names lanes that the block does not have",
                 run(shuffle<int>, 1, 20, 0, out.data()));
  expect_failure(cudaErrorIllegalInstruction, "width 12", run(odd_width, 1, 32, 0, out.data()));
}

__global__ void wait_forever(int* flag) {
  while (atomicCAS(flag, 1, 0) != 1) {
  }
}

__global__ void give_up() {
  __trap();
}

__global__ void load_float4(const float* in, float* out) {
  *out = __ldg(reinterpret_cast<const float4*>(in + 1)).x;
}

__global__ void add_misaligned(char* bytes) {
  atomicAdd(reinterpret_cast<int*>(bytes + 2), 1);
}

void other_mistakes() {
  alignas(16) float values[8] = {};
  int flag = 0;
  float out = 0;
  expect_failure(cudaErrorLaunchTimeout, "wait in a loop", run(wait_forever, 1, 2, 0, &flag));
  expect_failure(cudaErrorIllegalInstruction, "__trap", run(give_up, 1, 1, 0));
  expect_failure(cudaErrorMisalignedAddress, "not aligned to the 16 bytes",
                 run(load_float4, 1, 1, 0, static_cast<const float*>(values), &out));
  expect_failure(cudaErrorMisalignedAddress, "not aligned to the 4 bytes",
                 run(add_misaligned, 1, 1, 0, reinterpret_cast<char*>(values)));
}

__global__ void nothing() {}

__global__ void too_much_shared() {
  QUERN_SHARED(char[40 * 1024], first);
  QUERN_SHARED(char[9 * 1024], second);
  first[0] = second[0] = 0;
}

void configurations() {
  CHECK(run(nothing, 1, 1025, 0) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing, 0, 32, 0) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing, 1, dim3(1, 1, 65), 0) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing, dim3(1, 65536), 1, 0) == cudaErrorInvalidConfiguration);
  CHECK(run(nothing, 1, 1, 48 * 1024 + 1) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(&nothing),
                             cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024) == cudaSuccess);
  CHECK(run(nothing, 1, 1, 100 * 1024) == cudaSuccess);
  CHECK(run(nothing, kManyBlocks, 64, 0) == cudaSuccess);
  expect_failure(cudaErrorLaunchOutOfResources, "'second'", run(too_much_shared, 1, 1, 0));
}

}  // namespace

int main(int count, char** arguments) {
  return run_tests(count, arguments,
                   {{"indices", indices},
                    {"barriers", barriers},
                    {"barrier_predicates", barrier_predicates},
                    {"shuffles", shuffles},
                    {"partial_masks", partial_masks},
                    {"votes", votes},
                    {"reductions", reductions},
                    {"atomics", atomics},
                    {"vectors", vectors},
                    {"arithmetic", arithmetic},
                    {"shared_memory_is_poisoned_in_every_block", shared_memory_is_poisoned_in_every_block},
                    {"seeds", seeds},
                    {"divergent_barriers", divergent_barriers},
                    {"wrong_masks", wrong_masks},
                    {"other_mistakes", other_mistakes},
                    {"configurations", configurations}});
}
