// CUDA C++ as kernels see it, executed on the CPU: core/launch.cuh includes this header instead of
// <cuda_runtime.h> when QUERN_EMULATED is defined, and a host C++ compiler compiles the kernels unchanged.
//
// Every CUDA thread is a fiber. The threads of a block interleave only where they wait (barriers, warp
// intrinsics, a compare-and-swap that fails; under a seed also at every atomic), and blocks run one after the
// other. A mistake that a GPU would answer with a hang or with garbage ends the launch with an error and a
// message.
#ifndef QUERN_EMULATION_CUDA_H_
#define QUERN_EMULATION_CUDA_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#define __launch_bounds__(...)
#define __noinline__

// Declares `name`, an array (or object) of `type` in the block's shared memory: QUERN_SHARED(float[64],
// partial); Each block starts with it poisoned.
#define QUERN_SHARED(type, name)                                                                    \
  static char name##_declaration;                                                                   \
  auto& name = *static_cast<::quern::emulation::Identity<type>*>(::quern::emulation::shared_memory( \
      &name##_declaration, #name, sizeof(::quern::emulation::Identity<type>),                       \
      alignof(::quern::emulation::Identity<type>)))

namespace quern {
namespace emulation {

template <typename T>
struct IdentityOf {
  using type = T;
};
template <typename T>
using Identity = typename IdentityOf<T>::type;

// Where the kernel's source calls an intrinsic; a defaulted argument fills it in.
struct Site {
  const char* file;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

struct BlockPosition {
  uint3 index;
  dim3 block_dim;
  dim3 grid_dim;
  void* dynamic_shared;
};

struct ThreadPosition {
  uint3 index;
  unsigned lane;
  const BlockPosition* block;
};

// The CUDA thread that is running. The emulated device runs one grid at a time.
extern const ThreadPosition* position;

enum class Collective : uint8_t {
  kSyncWarp,
  kShuffle,
  kShuffleUp,
  kShuffleDown,
  kShuffleXor,
  kBallot,
  kAll,
  kAny,
  kMatchAny,
  kMatchAll,
  kAdd,
  kMinSigned,
  kMinUnsigned,
  kMaxSigned,
  kMaxUnsigned,
  kAnd,
  kOr,
  kXor
};

// Waits until every lane in `mask` has called the same intrinsic with the same mask; the answer for this
// lane.
uint64_t collective(Collective kind, unsigned mask, uint64_t value, unsigned source, Site site);

// Waits for all threads of the block; the number of them whose predicate holds.
int barrier(bool predicate, Site site);

// Lets other threads of the block run if the schedule says so.
void preemption_point();
// Called where a thread may be waiting for another one in a loop.
void spin();

// Ends the launch with `error`. Does not return to the kernel.
[[noreturn]] void fail(cudaError_t error, Site site, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

void* shared_memory(const void* declaration, const char* name, size_t bytes, size_t alignment,
                    Site site = Site::here());

// Executes `body` once per CUDA thread when the stream's turn comes: at once, or when its graph is launched.
// `kernel` is the key of cudaFuncSetAttribute.
int32_t enqueue(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, void* stream,
                std::function<void()> body);

template <typename... Parameters, typename... Arguments>
int32_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void* stream,
               Arguments&&... arguments) {
  std::tuple<std::decay_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  return enqueue(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream,
                 [kernel, values] { std::apply(kernel, values); });
}

template <typename T>
inline void require_aligned(const T* pointer, Site site) {
  if (reinterpret_cast<uintptr_t>(pointer) % alignof(T) != 0) {
    fail(cudaErrorMisalignedAddress, site, "address %p is not aligned to the %zu bytes of its type",
         static_cast<const void*>(pointer), alignof(T));
  }
}

template <typename T>
inline uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "warp intrinsics take scalars");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
inline T from_bits(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned segment_begin(int width, Site site) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fail(cudaErrorIllegalInstruction, site, "shuffle width %d is not a power of two up to 32", width);
  }
  return position->lane & ~static_cast<unsigned>(width - 1);
}

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer does not know fences; with ordered atomics it does not report what a __threadfence orders.
constexpr int kAtomicOrder = __ATOMIC_ACQ_REL;
constexpr int kAtomicFailureOrder = __ATOMIC_ACQUIRE;
inline void fence() {}
#else
constexpr int kAtomicOrder = __ATOMIC_RELAXED;
constexpr int kAtomicFailureOrder = __ATOMIC_RELAXED;
inline void fence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#endif

// Replaces *address by change(*address) as one step; the old value.
template <typename T, typename Change>
inline T atomic_update(T* address, Site site, Change change) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "atomics have 32 or 64 bits");
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  require_aligned(address, site);
  preemption_point();
  Bits* cell = reinterpret_cast<Bits*>(address);
  Bits old = __atomic_load_n(cell, kAtomicFailureOrder);
  while (!__atomic_compare_exchange_n(cell, &old, static_cast<Bits>(to_bits(change(from_bits<T>(old)))),
                                      false, kAtomicOrder, kAtomicFailureOrder)) {
  }
  return from_bits<T>(old);
}

}  // namespace emulation

// The block's dynamic shared memory, whose size the launch gives.
template <typename T>
inline T* dynamic_shared() {
  return static_cast<T*>(emulation::position->block->dynamic_shared);
}

}  // namespace quern

#define threadIdx (::quern::emulation::position->index)
#define blockIdx (::quern::emulation::position->block->index)
#define blockDim (::quern::emulation::position->block->block_dim)
#define gridDim (::quern::emulation::position->block->grid_dim)
constexpr int warpSize = 32;

#define QUERN_EMULATION_SITE ::quern::emulation::Site site = ::quern::emulation::Site::here()

// Barriers and fences.

inline void __syncthreads(QUERN_EMULATION_SITE) {
  quern::emulation::barrier(false, site);
}
inline int __syncthreads_count(int predicate, QUERN_EMULATION_SITE) {
  return quern::emulation::barrier(predicate != 0, site);
}
inline int __syncthreads_or(int predicate, QUERN_EMULATION_SITE) {
  return quern::emulation::barrier(predicate != 0, site) != 0;
}
inline int __syncthreads_and(int predicate, QUERN_EMULATION_SITE) {
  return quern::emulation::barrier(predicate == 0, site) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, QUERN_EMULATION_SITE) {
  quern::emulation::collective(quern::emulation::Collective::kSyncWarp, mask, 0, 0, site);
}
inline void __threadfence() {
  quern::emulation::fence();
}
inline void __threadfence_block() {
  quern::emulation::fence();
}
inline void __threadfence_system() {
  quern::emulation::fence();
}
inline void __nanosleep(unsigned) {
  quern::emulation::spin();
}
[[noreturn]] inline void __trap(QUERN_EMULATION_SITE) {
  quern::emulation::fail(cudaErrorIllegalInstruction, site, "__trap");
}

// Warp shuffles.

template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  unsigned begin = segment_begin(width, site);
  return from_bits<T>(collective(Collective::kShuffle, mask, to_bits(value),
                                 begin | (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)),
                                 site));
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  unsigned begin = segment_begin(width, site);
  unsigned lane = position->lane;
  unsigned source = delta <= lane - begin ? lane - delta : lane;
  return from_bits<T>(collective(Collective::kShuffleUp, mask, to_bits(value), source, site));
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  unsigned last = segment_begin(width, site) + static_cast<unsigned>(width - 1);
  unsigned lane = position->lane;
  unsigned source = delta <= last - lane ? lane + delta : lane;
  return from_bits<T>(collective(Collective::kShuffleDown, mask, to_bits(value), source, site));
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  unsigned last = segment_begin(width, site) + static_cast<unsigned>(width - 1);
  unsigned lane = position->lane;
  unsigned source = lane ^ static_cast<unsigned>(lane_mask);
  return from_bits<T>(
      collective(Collective::kShuffleXor, mask, to_bits(value), source <= last ? source : lane, site));
}

// Warp votes, matches and integer reductions.

// Any subset with the caller in it is a legal answer; this one serves no code that hopes for convergence.
inline unsigned __activemask() {
  return 1u << quern::emulation::position->lane;
}

inline unsigned __ballot_sync(unsigned mask, int predicate, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  return static_cast<unsigned>(collective(Collective::kBallot, mask, predicate != 0, 0, site));
}
inline int __all_sync(unsigned mask, int predicate, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  return static_cast<int>(collective(Collective::kAll, mask, predicate != 0, 0, site));
}
inline int __any_sync(unsigned mask, int predicate, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  return static_cast<int>(collective(Collective::kAny, mask, predicate != 0, 0, site));
}
template <typename T>
inline unsigned __match_any_sync(unsigned mask, T value, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  return static_cast<unsigned>(collective(Collective::kMatchAny, mask, to_bits(value), 0, site));
}
template <typename T>
inline unsigned __match_all_sync(unsigned mask, T value, int* predicate, QUERN_EMULATION_SITE) {
  using namespace quern::emulation;
  unsigned same = static_cast<unsigned>(collective(Collective::kMatchAll, mask, to_bits(value), 0, site));
  *predicate = same != 0;
  return same;
}

#define QUERN_EMULATION_REDUCE(type, name, kind)                                                           \
  inline type __reduce_##name##_sync(unsigned mask, type value, QUERN_EMULATION_SITE) {                    \
    using namespace quern::emulation;                                                                      \
    return static_cast<type>(                                                                              \
        static_cast<unsigned>(collective(Collective::kind, mask, static_cast<unsigned>(value), 0, site))); \
  }
QUERN_EMULATION_REDUCE(int, add, kAdd)
QUERN_EMULATION_REDUCE(unsigned, add, kAdd)
QUERN_EMULATION_REDUCE(int, min, kMinSigned)
QUERN_EMULATION_REDUCE(unsigned, min, kMinUnsigned)
QUERN_EMULATION_REDUCE(int, max, kMaxSigned)
QUERN_EMULATION_REDUCE(unsigned, max, kMaxUnsigned)
QUERN_EMULATION_REDUCE(unsigned, and, kAnd)
QUERN_EMULATION_REDUCE(unsigned, or, kOr)
QUERN_EMULATION_REDUCE(unsigned, xor, kXor)
#undef QUERN_EMULATION_REDUCE

// Atomics on 32 and 64 bits; _block and _system differ from these in scope only, which one grid at a time
// cannot show.

#define QUERN_EMULATION_ATOMIC(name, expression)                                                       \
  template <typename T>                                                                                \
  inline T name(T* address, quern::emulation::Identity<T> value, QUERN_EMULATION_SITE) {               \
    return quern::emulation::atomic_update(address, site, [value](T old) -> T { return expression; }); \
  }
#define QUERN_EMULATION_ATOMICS(suffix)                                                        \
  QUERN_EMULATION_ATOMIC(atomicAdd##suffix, old + value)                                       \
  QUERN_EMULATION_ATOMIC(atomicSub##suffix, old - value)                                       \
  QUERN_EMULATION_ATOMIC(atomicMin##suffix, value < old ? value : old)                         \
  QUERN_EMULATION_ATOMIC(atomicMax##suffix, value > old ? value : old)                         \
  QUERN_EMULATION_ATOMIC(atomicAnd##suffix, old& value)                                        \
  QUERN_EMULATION_ATOMIC(atomicOr##suffix, old | value)                                        \
  QUERN_EMULATION_ATOMIC(atomicXor##suffix, old ^ value)                                       \
  QUERN_EMULATION_ATOMIC(atomicExch##suffix, (static_cast<void>(old), value))                  \
  template <typename T>                                                                        \
  inline T atomicCAS##suffix(T* address, quern::emulation::Identity<T> compare,                \
                             quern::emulation::Identity<T> value, QUERN_EMULATION_SITE) {      \
    T found = quern::emulation::atomic_update(                                                 \
        address, site, [compare, value](T old) -> T { return old == compare ? value : old; }); \
    if (found != compare) quern::emulation::spin();                                            \
    return found;                                                                              \
  }
QUERN_EMULATION_ATOMICS()
QUERN_EMULATION_ATOMICS(_block)
QUERN_EMULATION_ATOMICS(_system)
#undef QUERN_EMULATION_ATOMICS
#undef QUERN_EMULATION_ATOMIC

// Loads and stores with cache hints, which keep nothing but their demand for alignment.

#define QUERN_EMULATION_LOAD(name)                        \
  template <typename T>                                   \
  inline T name(const T* address, QUERN_EMULATION_SITE) { \
    quern::emulation::require_aligned(address, site);     \
    return *address;                                      \
  }
QUERN_EMULATION_LOAD(__ldg)
QUERN_EMULATION_LOAD(__ldca)
QUERN_EMULATION_LOAD(__ldcg)
QUERN_EMULATION_LOAD(__ldcs)
QUERN_EMULATION_LOAD(__ldlu)
QUERN_EMULATION_LOAD(__ldcv)
#undef QUERN_EMULATION_LOAD

#define QUERN_EMULATION_STORE(name)                                                         \
  template <typename T>                                                                     \
  inline void name(T* address, quern::emulation::Identity<T> value, QUERN_EMULATION_SITE) { \
    quern::emulation::require_aligned(address, site);                                       \
    *address = value;                                                                       \
  }
QUERN_EMULATION_STORE(__stwb)
QUERN_EMULATION_STORE(__stcg)
QUERN_EMULATION_STORE(__stcs)
QUERN_EMULATION_STORE(__stwt)
#undef QUERN_EMULATION_STORE

// Arithmetic that names its rounding. The compiler must not contract (-ffp-contract=off).

inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return __builtin_sqrtf(a);
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}
inline double __fma_rn(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline double __ddiv_rn(double a, double b) {
  return a / b;
}
inline float __int2float_rn(int a) {
  return static_cast<float>(a);
}
inline float __uint2float_rn(unsigned a) {
  return static_cast<float>(a);
}
inline float __ll2float_rn(long long a) {
  return static_cast<float>(a);
}
inline float __ull2float_rn(unsigned long long a) {
  return static_cast<float>(a);
}
inline float __double2float_rn(double a) {
  return static_cast<float>(a);
}

inline unsigned __float_as_uint(float a) {
  return quern::emulation::from_bits<unsigned>(quern::emulation::to_bits(a));
}
inline int __float_as_int(float a) {
  return quern::emulation::from_bits<int>(quern::emulation::to_bits(a));
}
inline float __uint_as_float(unsigned a) {
  return quern::emulation::from_bits<float>(a);
}
inline float __int_as_float(int a) {
  return quern::emulation::from_bits<float>(static_cast<unsigned>(a));
}
inline long long __double_as_longlong(double a) {
  return quern::emulation::from_bits<long long>(quern::emulation::to_bits(a));
}
inline double __longlong_as_double(long long a) {
  return quern::emulation::from_bits<double>(quern::emulation::to_bits(a));
}

// Integers.

inline int __popc(unsigned a) {
  return __builtin_popcount(a);
}
inline int __popcll(unsigned long long a) {
  return __builtin_popcountll(a);
}
inline int __ffs(int a) {
  return __builtin_ffs(a);
}
inline int __ffsll(long long a) {
  return __builtin_ffsll(a);
}
inline int __clz(int a) {
  return a == 0 ? 32 : __builtin_clz(static_cast<unsigned>(a));
}
inline int __clzll(long long a) {
  return a == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(a));
}
inline unsigned __brev(unsigned a) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (a >> bit & 1u) << (31 - bit);
  return reversed;
}
inline unsigned long long __brevll(unsigned long long a) {
  return static_cast<unsigned long long>(__brev(static_cast<unsigned>(a))) << 32 |
         __brev(static_cast<unsigned>(a >> 32));
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}

#define QUERN_EMULATION_MINMAX(type) \
  inline type min(type a, type b) {  \
    return b < a ? b : a;            \
  }                                  \
  inline type max(type a, type b) {  \
    return a < b ? b : a;            \
  }
QUERN_EMULATION_MINMAX(int)
QUERN_EMULATION_MINMAX(unsigned)
QUERN_EMULATION_MINMAX(long)
QUERN_EMULATION_MINMAX(unsigned long)
QUERN_EMULATION_MINMAX(long long)
QUERN_EMULATION_MINMAX(unsigned long long)
#undef QUERN_EMULATION_MINMAX
inline float min(float a, float b) {
  return fminf(a, b);
}
inline float max(float a, float b) {
  return fmaxf(a, b);
}

#undef QUERN_EMULATION_SITE

#endif  // QUERN_EMULATION_CUDA_H_
