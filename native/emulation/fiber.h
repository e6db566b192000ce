// Stacks that one operating system thread switches between.
#ifndef QUERN_EMULATION_FIBER_H_
#define QUERN_EMULATION_FIBER_H_

#include <stddef.h>

#ifdef QUERN_EMULATION_UCONTEXT
#include <ucontext.h>
#endif

namespace quern {
namespace emulation {

// Zeroed pages, on which ThreadSanitizer has seen no access yet.
void* map_pages(size_t bytes);
void unmap_pages(void* pages, size_t bytes);

class Fiber {
 public:
  // The stack of the operating system thread itself.
  Fiber() = default;
  // A stack of its own, on which `entry` starts at the first switch. `entry` never returns.
  explicit Fiber(void (*entry)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Forgets what was running: the next switch starts at the entry again.
  void restart();

  // Suspends `from`, which is running, and resumes `to`.
  static void switch_to(Fiber& from, Fiber& to);

 private:
  static void start();

  void (*entry_)() = nullptr;
  char* mapping_ = nullptr;
  // Bounds of the stack; of the operating system thread's own stack only AddressSanitizer knows them.
  const void* bottom_ = nullptr;
  size_t size_ = 0;
  Fiber* resumed_by_ = nullptr;
  void* sanitizer_stack_ = nullptr;
#ifdef QUERN_EMULATION_UCONTEXT
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace emulation
}  // namespace quern

#endif  // QUERN_EMULATION_FIBER_H_
