#include "emulation/fiber.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace quern {
namespace emulation {

namespace {

// Room for a sanitizer's report, which is written on the stack of the fiber at fault. Pages are committed on
// touch.
constexpr size_t kStackBytes = 256 * 1024;

Fiber* entering = nullptr;

}  // namespace

#ifndef QUERN_EMULATION_UCONTEXT
#if !defined(__x86_64__)
#error "build with QUERN_EMULATION_SWITCH=ucontext on this architecture"
#endif

// Saves the registers that a called function must preserve, then the stack pointer in *save, and resumes
// `load`.
extern "C" void quern_emulation_switch_stack(void** save, void* load);
asm(R"(
.text
.p2align 4
.globl quern_emulation_switch_stack
.hidden quern_emulation_switch_stack
.type quern_emulation_switch_stack, @function
quern_emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size quern_emulation_switch_stack, .-quern_emulation_switch_stack
)");
#endif

void* map_pages(size_t bytes) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef QUERN_EMULATION_TSAN
  // Its own mmap marks every byte as written, which takes longer than most blocks run; its munmap clears the
  // marks.
  void* pages = reinterpret_cast<void*>(syscall(SYS_mmap, nullptr, bytes, kProtection, kFlags, -1, 0));
#else
  void* pages = mmap(nullptr, bytes, kProtection, kFlags, -1, 0);
#endif
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}

void unmap_pages(void* pages, size_t bytes) {
  munmap(pages, bytes);
}

Fiber::Fiber(void (*entry)()) : entry_(entry) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* mapping = map_pages(page + kStackBytes);
  if (mprotect(mapping, page, PROT_NONE) != 0) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  bottom_ = mapping_ + page;
  size_ = kStackBytes;
  restart();
}

Fiber::~Fiber() {
  if (mapping_ != nullptr) {
    unmap_pages(mapping_, static_cast<size_t>(static_cast<const char*>(bottom_) - mapping_) + size_);
  }
}

void Fiber::restart() {
#if defined(__SANITIZE_ADDRESS__)
  // The frames that were abandoned left their red zones.
  __asan_unpoison_memory_region(bottom_, size_);
#endif
#ifdef QUERN_EMULATION_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = const_cast<void*>(bottom_);
  context_.uc_stack.ss_size = size_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::start, 0);
#else
  // What quern_emulation_switch_stack pops: six registers and the return address; above it the zero that ends
  // a back trace where start()'s own return address would be.
  void** top =
      static_cast<void**>(static_cast<void*>(static_cast<char*>(const_cast<void*>(bottom_)) + size_));
  for (int i = 1; i <= 8; ++i) top[-i] = nullptr;
  top[-2] = reinterpret_cast<void*>(&Fiber::start);
  stack_pointer_ = top - 8;
#endif
}

void Fiber::start() {
  Fiber* self = entering;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->resumed_by_->bottom_, &self->resumed_by_->size_);
#endif
  self->entry_();
  __builtin_unreachable();
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
  entering = &to;
  to.resumed_by_ = &from;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.sanitizer_stack_, to.bottom_, to.size_);
#endif
#ifdef QUERN_EMULATION_UCONTEXT
  swapcontext(&from.context_, &to.context_);
#else
  quern_emulation_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.sanitizer_stack_, &from.resumed_by_->bottom_,
                                  &from.resumed_by_->size_);
#endif
}

}  // namespace emulation
}  // namespace quern
