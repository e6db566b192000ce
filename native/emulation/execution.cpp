// The scheduler of one block's threads. ThreadSanitizer does not look into this file (its build passes
// -fno-sanitize=thread here): what orders CUDA threads for it is said by the calls to __tsan_ below and by
// nothing else.
#include "emulation/execution.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "emulation/fiber.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#ifdef QUERN_EMULATION_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace quern {
namespace emulation {

const ThreadPosition* position = nullptr;

namespace {

constexpr unsigned kWarp = 32;
// Between and around shared arrays: checked at the end of a block, out of bounds for AddressSanitizer.
constexpr size_t kGuardBytes = 128;
constexpr size_t kMaxSharedArrays = 64;
constexpr size_t kArenaBytes = kMaxSharedBytes + (kMaxSharedArrays + 1) * 2 * kGuardBytes;
constexpr uint32_t kGuard = 0xdeadbe57;
// Turns given away in a row, without any thread of the block getting on, before waiting threads count as
// hung.
#ifdef QUERN_EMULATION_TSAN
constexpr uint64_t kMaxIdleSpins = 1 << 16;
// How many threads ThreadSanitizer tells apart at least; its clocks, and the time they take, grow with them.
constexpr unsigned kSanitizerThreads = 512;
#else
constexpr uint64_t kMaxIdleSpins = 1 << 22;
#endif

enum class State : uint8_t { kReady, kAtBarrier, kInWarp, kExited };

struct Thread : ThreadPosition {
  State state;
  bool predicate;
  Collective kind;
  unsigned mask;
  unsigned source;
  uint64_t value;  // given, then the answer
  Site site;
  Fiber* fiber;
  void* sanitizer_fiber;
};

struct SharedArray {
  const void* declaration;
  const char* name;
  char* begin;
  size_t bytes;
};

// One block's state. Plain arrays: the code of containers may be an instrumented copy from another file.
struct Executor {
  BlockPosition block;
  unsigned thread_count;
  Thread threads[kMaxThreadsPerBlock];
  unsigned waiting_in_warp[kMaxThreadsPerBlock / kWarp];  // masks of lanes
  unsigned exited_in_warp[kMaxThreadsPerBlock / kWarp];
  unsigned at_barrier;
  unsigned exited;
  uint64_t idle_spins;

  // Threads that can run, in order: a ring.
  unsigned short ready[kMaxThreadsPerBlock];
  unsigned ready_head;
  unsigned ready_count;

  uint64_t random;  // 0: order is fixed

  Fiber host;
  Fiber* running;
  Fiber* pool[2 * kMaxThreadsPerBlock];  // all that exist
  unsigned pool_count;
  Fiber* idle[kMaxThreadsPerBlock];
  unsigned idle_count;

  char* arena;
  size_t arena_used;
  size_t static_shared_bytes;
  SharedArray arrays[kMaxSharedArrays];
  unsigned array_count;

  cudaError_t error;
  char message[1024];

  const std::function<void()>* body;
  // ThreadSanitizer's idea of threads, one for each fiber of the pool. To make one takes it half a
  // millisecond, so a block takes over those of an earlier block, which it then seems to follow; never those
  // of the block just before.
  void* sanitizer_host;
  void* sanitizer_fibers[2 * kMaxThreadsPerBlock];
  unsigned sanitizer_fiber_next;
  char grid_begun;  // addresses by which the host comes before a grid and after it
  char grid_ended;
};

Executor executor;

Thread* current() {
  return static_cast<Thread*>(const_cast<ThreadPosition*>(position));
}

uint64_t next_random() {
  executor.random ^= executor.random << 13;
  executor.random ^= executor.random >> 7;
  executor.random ^= executor.random << 17;
  return executor.random;
}

void set_current(Thread* thread) {
  position = thread;
#ifdef QUERN_EMULATION_TSAN
  __tsan_switch_to_fiber(thread->sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

// Everything that any of the threads has done happens before what any of them does next.
template <typename Includes>
void order_memory(Includes includes) {
#ifdef QUERN_EMULATION_TSAN
  void* here = __tsan_get_current_fiber();
  void* clock = malloc(1);  // a fresh address: one that nobody else is ordered by
  for (int pass = 0; pass < 2; ++pass) {
    for (unsigned t = 0; t < executor.thread_count; ++t) {
      if (!includes(t)) continue;
      __tsan_switch_to_fiber(executor.threads[t].sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
      if (pass == 0) {
        __tsan_release(clock);
      } else {
        __tsan_acquire(clock);
      }
    }
  }
  __tsan_switch_to_fiber(here, __tsan_switch_to_fiber_no_sync);
  free(clock);
#else
  (void)includes;
#endif
}

void make_ready(unsigned thread) {
  executor.threads[thread].state = State::kReady;
  executor.ready[(executor.ready_head + executor.ready_count++) % kMaxThreadsPerBlock] =
      static_cast<unsigned short>(thread);
}

// The thread whose turn it is, or null if none can run.
Thread* take_ready() {
  if (executor.ready_count == 0) return nullptr;
  unsigned head = executor.ready_head;
  if (executor.random != 0) {
    unsigned chosen =
        (head + static_cast<unsigned>(next_random() % executor.ready_count)) % kMaxThreadsPerBlock;
    unsigned short thread = executor.ready[chosen];
    executor.ready[chosen] = executor.ready[head];
    executor.ready[head] = thread;
  }
  executor.ready_head = (head + 1) % kMaxThreadsPerBlock;
  --executor.ready_count;
  return &executor.threads[executor.ready[head]];
}

void resume(Fiber* fiber) {
  Fiber* from = executor.running;
  executor.running = fiber;
  Fiber::switch_to(*from, *fiber);
}

[[noreturn]] void leave_block() {
  resume(&executor.host);
  __builtin_unreachable();
}

void run_threads();

Fiber* idle_fiber() {
  if (executor.idle_count > 0) return executor.idle[--executor.idle_count];
  return executor.pool[executor.pool_count++] = new Fiber(&run_threads);
}

const char* name_of(Collective kind) {
  static const char* const kNames[] = {
      "__syncwarp",        "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync",  "__shfl_xor_sync",
      "__ballot_sync",     "__all_sync",        "__any_sync",        "__match_any_sync",  "__match_all_sync",
      "__reduce_add_sync", "__reduce_min_sync", "__reduce_min_sync", "__reduce_max_sync", "__reduce_max_sync",
      "__reduce_and_sync", "__reduce_or_sync",  "__reduce_xor_sync"};
  return kNames[static_cast<int>(kind)];
}

// "thread (3,0,0) waits in __shfl_sync with mask 0000ffff at bag.cuh:12"
void describe(const Thread& thread, char* text, size_t size) {
  int used = snprintf(text, size, "thread (%u,%u,%u) ", thread.index.x, thread.index.y, thread.index.z);
  char* rest = text + used;
  size_t room = size - static_cast<size_t>(used);
  switch (thread.state) {
    case State::kReady:
      snprintf(rest, room, "runs");
      break;
    case State::kAtBarrier:
      snprintf(rest, room, "waits in __syncthreads at %s:%d", thread.site.file, thread.site.line);
      break;
    case State::kInWarp:
      snprintf(rest, room, "waits in %s with mask %08x at %s:%d", name_of(thread.kind), thread.mask,
               thread.site.file, thread.site.line);
      break;
    case State::kExited:
      snprintf(rest, room, "has exited");
      break;
  }
}

// No thread can run, but not all have exited.
[[noreturn]] void fail_stuck() {
  unsigned waiting = 0;
  while (executor.threads[waiting].state == State::kExited) ++waiting;
  const Thread& first = executor.threads[waiting];
  unsigned other = waiting;
  for (unsigned t = 0; t < executor.thread_count && other == waiting; ++t) {
    const Thread& thread = executor.threads[t];
    if (first.state == State::kAtBarrier) {
      if (thread.state != State::kAtBarrier) other = t;
    } else if (t / kWarp == waiting / kWarp && (first.mask >> (t % kWarp) & 1u) != 0) {
      if (thread.state != State::kInWarp || thread.kind != first.kind || thread.mask != first.mask) other = t;
    }
  }
  char these[256];
  char those[256];
  describe(first, these, sizeof(these));
  describe(executor.threads[other], those, sizeof(those));
  position = &first;
  fail(cudaErrorLaunchFailure, first.site, "%s: %s, but %s",
       first.state == State::kAtBarrier ? "divergent barrier" : "a lane of the mask does not arrive", these,
       those);
}

// Runs the next thread and comes back when the calling one is resumed.
void give_way() {
  Thread* self = current();
  Thread* next = take_ready();
  if (next == nullptr) fail_stuck();
  if (next == self) return;
  if (next->fiber == nullptr) next->fiber = idle_fiber();
  set_current(next);
  resume(next->fiber);
}

// A fiber's life: it runs the current thread and then, as long as the next one has not begun either, that one
// too. Threads that never wait therefore share one fiber and cost no switch.
void run_threads() {
  for (;;) {
    Thread* self = current();
    (*executor.body)();
    executor.idle_spins = 0;
    self->state = State::kExited;
    ++executor.exited;
    unsigned number = static_cast<unsigned>(self - executor.threads);
    executor.exited_in_warp[number / kWarp] |= 1u << (number % kWarp);

    Thread* next = take_ready();
    if (next == nullptr) {
      if (executor.exited != executor.thread_count) fail_stuck();
      resume(&executor.host);
      continue;  // in a later block
    }
    set_current(next);
    if (next->fiber == nullptr) {
      next->fiber = self->fiber;
      continue;
    }
    executor.idle[executor.idle_count++] = self->fiber;
    resume(next->fiber);
  }
}

void poison(char* begin, size_t bytes, uint32_t pattern) {
  for (size_t i = 0; i < bytes; ++i) begin[i] = static_cast<char>(pattern >> (8 * (i % 4)));
}

// Shared memory of the block, between guards.
char* allocate_shared(const void* declaration, const char* name, size_t bytes, Site site) {
  size_t rounded = (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes;
  if (executor.array_count == kMaxSharedArrays || executor.arena_used + rounded + kGuardBytes > kArenaBytes) {
    fail(cudaErrorLaunchOutOfResources, site, "shared memory exceeds %zu bytes", kMaxSharedBytes);
  }
  char* begin = executor.arena + executor.arena_used;
  executor.arena_used += rounded + kGuardBytes;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(begin, bytes);
#else
  poison(begin + bytes, rounded - bytes + kGuardBytes, kGuard);
#endif
  poison(begin, bytes, kPoison);
  executor.arrays[executor.array_count++] = {declaration, name, begin, bytes};
  return begin;
}

void check_guards() {
#if !defined(__SANITIZE_ADDRESS__)
  for (unsigned a = 0; a < executor.array_count; ++a) {
    const SharedArray& array = executor.arrays[a];
    const char* end =
        a + 1 < executor.array_count ? executor.arrays[a + 1].begin : executor.arena + executor.arena_used;
    const size_t guard_bytes = static_cast<size_t>(end - array.begin) - array.bytes;
    for (size_t i = 0; i < guard_bytes; ++i) {
      if (array.begin[array.bytes + i] != static_cast<char>(kGuard >> (8 * (i % 4)))) {
        executor.error = cudaErrorIllegalAddress;
        snprintf(executor.message, sizeof(executor.message),
                 "block (%u,%u,%u) wrote %zu bytes behind shared memory '%s' of %zu bytes",
                 executor.block.index.x, executor.block.index.y, executor.block.index.z, i, array.name,
                 array.bytes);
        return;
      }
    }
  }
#endif
}

#ifdef QUERN_EMULATION_TSAN
void assign_sanitizer_fiber(Thread& thread) {
  const unsigned blocks =
      executor.thread_count * 2 > kSanitizerThreads ? 2 : kSanitizerThreads / executor.thread_count;
  if (executor.sanitizer_fiber_next >= blocks * executor.thread_count) executor.sanitizer_fiber_next = 0;
  const unsigned number = executor.sanitizer_fiber_next++;
  if (number == executor.pool_count) executor.pool[executor.pool_count++] = new Fiber(&run_threads);
  void*& fiber = executor.sanitizer_fibers[number];
  if (fiber == nullptr) fiber = __tsan_create_fiber(0);
  thread.fiber = executor.pool[number];
  thread.sanitizer_fiber = fiber;
  __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync);
  __tsan_acquire(&executor.grid_begun);
  __tsan_switch_to_fiber(executor.sanitizer_host, __tsan_switch_to_fiber_no_sync);
}
#endif

void begin_block() {
  executor.at_barrier = 0;
  executor.exited = 0;
  executor.idle_spins = 0;
  executor.ready_head = 0;
  executor.ready_count = 0;
  for (unsigned w = 0; w < (executor.thread_count + kWarp - 1) / kWarp; ++w) {
    executor.waiting_in_warp[w] = 0;
    executor.exited_in_warp[w] = 0;
  }
  for (unsigned t = 0; t < executor.thread_count; ++t) {
    executor.threads[t].fiber = nullptr;
    make_ready(t);
#ifdef QUERN_EMULATION_TSAN
    assign_sanitizer_fiber(executor.threads[t]);
#endif
  }
}

// All stacks are free again.
void end_block() {
  if (executor.error != cudaSuccess) {
    for (unsigned f = 0; f < executor.pool_count; ++f) executor.pool[f]->restart();
  }
#ifdef QUERN_EMULATION_TSAN
  for (unsigned t = 0; t < executor.thread_count; ++t) {
    __tsan_switch_to_fiber(executor.threads[t].sanitizer_fiber, __tsan_switch_to_fiber_no_sync);
    __tsan_release(&executor.grid_ended);
    __tsan_switch_to_fiber(executor.sanitizer_host, __tsan_switch_to_fiber_no_sync);
    if (executor.threads[t].state != State::kExited) {
      // It believes to be in the functions that were left.
      for (void*& fiber : executor.sanitizer_fibers) {
        if (fiber == executor.threads[t].sanitizer_fiber) fiber = nullptr;
      }
      __tsan_destroy_fiber(executor.threads[t].sanitizer_fiber);
    }
  }
  // The next block must not seem to share this one's memory.
  unmap_pages(executor.arena, kArenaBytes);
  executor.arena = nullptr;
  executor.idle_count = 0;
#else
  for (unsigned f = 0; f < executor.pool_count; ++f) executor.idle[f] = executor.pool[f];
  executor.idle_count = executor.pool_count;
#endif
}

void run_block(size_t shared_bytes) {
  if (executor.arena == nullptr) {
    executor.arena = static_cast<char*>(map_pages(kArenaBytes));
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(executor.arena, kArenaBytes);
#endif
  begin_block();
  executor.arena_used = kGuardBytes;
  executor.array_count = 0;
  executor.static_shared_bytes = 0;
  executor.block.dynamic_shared = allocate_shared(&executor, "dynamic", shared_bytes, Site::here());
  Thread* first = take_ready();
  if (first->fiber == nullptr) first->fiber = idle_fiber();
  executor.running = &executor.host;
  set_current(first);
  resume(first->fiber);
  position = nullptr;
#ifdef QUERN_EMULATION_TSAN
  __tsan_switch_to_fiber(executor.sanitizer_host, __tsan_switch_to_fiber_no_sync);
#endif
  if (executor.error == cudaSuccess) check_guards();
  end_block();
}

uint64_t greatest_common_divisor(uint64_t a, uint64_t b) {
  while (b != 0) {
    uint64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

}  // namespace

void fail(cudaError_t error, Site site, const char* format, ...) {
  const BlockPosition& block = executor.block;
  int used =
      snprintf(executor.message, sizeof(executor.message),
               "block (%u,%u,%u) thread (%u,%u,%u) at %s:%d: ", block.index.x, block.index.y, block.index.z,
               position->index.x, position->index.y, position->index.z, site.file, site.line);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(executor.message + used, sizeof(executor.message) - static_cast<size_t>(used), format, arguments);
  va_end(arguments);
  executor.error = error;
  leave_block();
}

int barrier(bool predicate, Site site) {
  Thread* self = current();
  self->site = site;
  self->predicate = predicate;
  self->state = State::kAtBarrier;
  if (executor.exited > 0) {
    fail(cudaErrorLaunchFailure, site, "divergent barrier: %u of %u threads have exited", executor.exited,
         executor.thread_count);
  }
  if (++executor.at_barrier == executor.thread_count) {
    int count = 0;
    for (unsigned t = 0; t < executor.thread_count; ++t) {
      const Thread& thread = executor.threads[t];
      if (thread.site.line != site.line ||
          (thread.site.file != site.file && strcmp(thread.site.file, site.file) != 0)) {
        char other[256];
        describe(thread, other, sizeof(other));
        fail(cudaErrorLaunchFailure, site, "divergent barrier: %s", other);
      }
      count += thread.predicate;
    }
    order_memory([](unsigned) { return true; });
    executor.at_barrier = 0;
    executor.idle_spins = 0;
    for (unsigned t = 0; t < executor.thread_count; ++t) {
      executor.threads[t].value = static_cast<uint64_t>(count);
      make_ready(t);
    }
  }
  give_way();
  return static_cast<int>(self->value);
}

namespace {

// All lanes of `mask` wait in the same intrinsic: gives each its answer.
void complete(Thread* warp, Collective kind, unsigned mask, Site site) {
  uint64_t values[kWarp] = {};
  unsigned votes = 0;
  uint64_t folded = 0;
  bool first = true;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
    const uint64_t value = values[lane] = warp[lane].value;
    const unsigned word = static_cast<unsigned>(value);
    votes |= static_cast<unsigned>(value != 0) << lane;
    switch (kind) {
      case Collective::kAdd:
        folded = static_cast<unsigned>(folded) + word;
        break;
      case Collective::kMinSigned:
        if (first || static_cast<int>(word) < static_cast<int>(folded)) folded = word;
        break;
      case Collective::kMinUnsigned:
        if (first || word < folded) folded = word;
        break;
      case Collective::kMaxSigned:
        if (first || static_cast<int>(word) > static_cast<int>(folded)) folded = word;
        break;
      case Collective::kMaxUnsigned:
        if (first || word > folded) folded = word;
        break;
      case Collective::kAnd:
        folded = first ? word : folded & word;
        break;
      case Collective::kOr:
        folded |= word;
        break;
      case Collective::kXor:
        folded ^= word;
        break;
      default:
        break;
    }
    first = false;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
    Thread& thread = warp[lane];
    switch (kind) {
      case Collective::kSyncWarp:
        break;
      case Collective::kShuffle:
      case Collective::kShuffleUp:
      case Collective::kShuffleDown:
      case Collective::kShuffleXor:
        if ((mask >> thread.source & 1u) == 0) {
          fail(cudaErrorLaunchFailure, site, "lane %u reads lane %u in %s, which mask %08x does not name",
               lane, thread.source, name_of(kind), mask);
        }
        thread.value = values[thread.source];
        break;
      case Collective::kBallot:
        thread.value = votes;
        break;
      case Collective::kAll:
        thread.value = votes == mask;
        break;
      case Collective::kAny:
        thread.value = votes != 0;
        break;
      case Collective::kMatchAny:
      case Collective::kMatchAll: {
        unsigned same = 0;
        for (unsigned others = mask; others != 0; others &= others - 1) {
          const unsigned other = static_cast<unsigned>(__builtin_ctz(others));
          same |= static_cast<unsigned>(values[other] == values[lane]) << other;
        }
        thread.value = kind == Collective::kMatchAny || same == mask ? same : 0;
        break;
      }
      default:
        thread.value = folded;
        break;
    }
  }
}

}  // namespace

uint64_t collective(Collective kind, unsigned mask, uint64_t value, unsigned source, Site site) {
  Thread* self = current();
  const unsigned number = static_cast<unsigned>(self - executor.threads);
  const unsigned base = number / kWarp * kWarp;
  const unsigned lane = number % kWarp;
  Thread* warp = executor.threads + base;
  const unsigned lanes =
      executor.thread_count - base < kWarp ? (1u << (executor.thread_count - base)) - 1 : ~0u;
  self->state = State::kInWarp;
  self->kind = kind;
  self->mask = mask;
  self->value = value;
  self->source = source;
  self->site = site;
  if ((mask >> lane & 1u) == 0) {
    fail(cudaErrorLaunchFailure, site, "lane %u calls %s with mask %08x, which does not name it", lane,
         name_of(kind), mask);
  }
  if ((mask & ~lanes) != 0) {
    fail(cudaErrorLaunchFailure, site, "mask %08x of %s names lanes that the block does not have (%08x)",
         mask, name_of(kind), lanes);
  }
  if ((mask & executor.exited_in_warp[base / kWarp]) != 0) {
    fail(cudaErrorLaunchFailure, site, "mask %08x of %s names lanes that have exited (%08x)", mask,
         name_of(kind), executor.exited_in_warp[base / kWarp]);
  }
  unsigned& waiting = executor.waiting_in_warp[base / kWarp];
  waiting |= 1u << lane;
  bool all = (waiting & mask) == mask;
  for (unsigned rest = all ? mask : 0; rest != 0; rest &= rest - 1) {
    const Thread& other = warp[__builtin_ctz(rest)];
    all = all && other.kind == kind && other.mask == mask;
  }
  if (all) {
    complete(warp, kind, mask, site);
    // Of the warp intrinsics only this one orders memory.
    if (kind == Collective::kSyncWarp) {
      order_memory([base, mask](unsigned t) { return t - base < kWarp && (mask >> (t - base) & 1u) != 0; });
    }
    waiting &= ~mask;
    executor.idle_spins = 0;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      make_ready(base + static_cast<unsigned>(__builtin_ctz(rest)));
    }
  }
  give_way();
  return self->value;
}

void preemption_point() {
  if (executor.random != 0 && next_random() % 4 == 0) {
    make_ready(static_cast<unsigned>(current() - executor.threads));
    give_way();
  }
}

void spin() {
  if (++executor.idle_spins == kMaxIdleSpins) {
    fail(cudaErrorLaunchTimeout, Site::here(), "threads wait in a loop for something that no thread does");
  }
  make_ready(static_cast<unsigned>(current() - executor.threads));
  give_way();
}

void* shared_memory(const void* declaration, const char* name, size_t bytes, size_t alignment, Site site) {
  for (unsigned a = 1; a < executor.array_count; ++a) {
    if (executor.arrays[a].declaration == declaration) return executor.arrays[a].begin;
  }
  if (alignment > kGuardBytes) {
    fail(cudaErrorMisalignedAddress, site, "shared memory '%s' wants an alignment of %zu", name, alignment);
  }
  executor.static_shared_bytes += bytes;
  if (executor.static_shared_bytes > kMaxStaticSharedBytes) {
    fail(cudaErrorLaunchOutOfResources, site, "static shared memory exceeds %zu bytes at '%s'",
         kMaxStaticSharedBytes, name);
  }
  return allocate_shared(declaration, name, bytes, site);
}

Failure execute(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed,
                const std::function<void()>& body) {
  executor.body = &body;
  executor.error = cudaSuccess;
  executor.block.block_dim = block;
  executor.block.grid_dim = grid;
  executor.thread_count = block.x * block.y * block.z;
  for (unsigned t = 0; t < executor.thread_count; ++t) {
    executor.threads[t].index = {t % block.x, t / block.x % block.y, t / block.x / block.y};
    executor.threads[t].lane = t % kWarp;
    executor.threads[t].block = &executor.block;
  }
  const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
  // Blocks in the order first, first + step, ... modulo their number; every one comes up once.
  uint64_t first = 0;
  uint64_t step = 1;
  executor.random = seed == 0 ? 0 : seed * 0x9e3779b97f4a7c15u | 1u;
  if (seed != 0) {
    first = next_random() % blocks;
    do {
      step = next_random() % blocks;
    } while (greatest_common_divisor(step, blocks) != 1);
  }
#ifdef QUERN_EMULATION_TSAN
  executor.sanitizer_host = __tsan_get_current_fiber();
  executor.sanitizer_fiber_next = 0;
  __tsan_release(&executor.grid_begun);
#endif
  for (uint64_t i = 0; i < blocks && executor.error == cudaSuccess; ++i) {
    __extension__ using Wide = unsigned __int128;
    const uint64_t b = static_cast<uint64_t>((static_cast<Wide>(i) * step + first) % blocks);
    executor.block.index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                            static_cast<unsigned>(b / grid.x / grid.y)};
    run_block(shared_bytes);
  }
#ifdef QUERN_EMULATION_TSAN
  __tsan_acquire(&executor.grid_ended);
#endif
  Failure failure;
  failure.error = executor.error;
  if (executor.error != cudaSuccess) failure.message = executor.message;
  return failure;
}

}  // namespace emulation
}  // namespace quern
