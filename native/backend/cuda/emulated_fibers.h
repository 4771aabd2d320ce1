/// The threads of an emulated block as fibers of one host thread: each runs from barrier to barrier
/// while the others wait. That is a hundred times as fast as threads that wait for each other, and
/// a barrier left out gives wrong numbers, the same ones every time. To the sanitizers each fiber
/// is a thread of its own: ThreadSanitizer reports what two of them touch without a barrier in
/// between, although they never run at the same time.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace lookback {

/// One fiber, or the host thread that starts them.
struct Fiber {
  ucontext_t context = {};
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  int meetings = 0;  ///< barriers that it has come to
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
#endif
#if defined(__SANITIZE_THREAD__)
  void* thread = nullptr;
#endif
};

/// Stacks, which cost too much to make them for every launch.
class FiberStacks {
 public:
  static constexpr size_t kBytes = 512 << 10;
  FiberStacks() = default;
  ~FiberStacks() {
#if defined(__SANITIZE_THREAD__)
    for (void* const thread : threads_) __tsan_destroy_fiber(thread);
#endif
  }
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  static FiberStacks& of_this_thread() {
    static thread_local FiberStacks stacks;
    return stacks;
  }
  void lend(size_t i, Fiber& fiber) {
    while (stacks_.size() <= i) {
      stacks_.emplace_back(new char[kBytes]);  // not zeroed
#if defined(__SANITIZE_THREAD__)
      threads_.push_back(__tsan_create_fiber(0));
#endif
    }
    fiber.stack = stacks_[i].get();
    fiber.stack_bytes = kBytes;
    fiber.context.uc_stack.ss_sp = stacks_[i].get();
    fiber.context.uc_stack.ss_size = kBytes;
#if defined(__SANITIZE_THREAD__)
    fiber.thread = threads_[i];
#endif
  }

 private:
  std::vector<std::unique_ptr<char[]>> stacks_;
#if defined(__SANITIZE_THREAD__)
  std::vector<void*> threads_;
#endif
};

/// A block's threads. All of them must meet equally often.
class FiberTeam {
 public:
  explicit FiberTeam(int count) : fibers_(static_cast<size_t>(count)) {}
  FiberTeam(const FiberTeam&) = delete;
  FiberTeam& operator=(const FiberTeam&) = delete;

  /// Calls body(i) for every fiber, and returns when all have ended. `descending`: the last goes
  /// first, between any two barriers.
  template <class Body>
  void run(const Body& body, bool descending = false) {
    descending_ = descending;
    body_ = &body;
    call_ = [](const void* what, int i) { (*static_cast<const Body*>(what))(i); };
    for (size_t i = 0; i < fibers_.size(); ++i) prepare(static_cast<int>(i));
#if defined(__SANITIZE_THREAD__)
    caller_.thread = __tsan_get_current_fiber();
    __tsan_release(&begin_);
#endif
    switch_to(caller_, fibers_.front());
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&end_);
#endif
  }
  /// A barrier: returns when all others have come to it too.
  void wait(int member) {
    const size_t own = place(member);
    Fiber& fiber = fibers_[own];
    ++fiber.meetings;
#if defined(__SANITIZE_THREAD__)
    // Of two barriers in turn, so that what a fiber does after one is not taken for what the
    // others have waited for.
    char* const meeting = &meeting_[fiber.meetings % 2];
    __tsan_release(meeting);
#endif
    switch_to(fiber, fibers_[(own + 1) % fibers_.size()]);
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(meeting);
#endif
  }

 private:
  size_t place(int member) const {
    const auto i = static_cast<size_t>(member);
    return descending_ ? fibers_.size() - 1 - i : i;
  }

  void prepare(int i) {
    Fiber& fiber = fibers_[static_cast<size_t>(i)];
    getcontext(&fiber.context);
    FiberStacks::of_this_thread().lend(static_cast<size_t>(i), fiber);
    fiber.context.uc_link = nullptr;
    fiber.meetings = 0;
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&FiberTeam::enter), 3,
                static_cast<unsigned>(self), static_cast<unsigned>(uint64_t{self} >> 32), i);
    // AddressSanitizer would go through all of it at every switch.
    fiber.context.uc_stack.ss_size = 0;
  }

  /// In one function, as ThreadSanitizer's count of calls needs it.
  static void switch_to(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.thread, __tsan_switch_to_fiber_no_sync);
#endif
    swapcontext(&from.context, &to.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
  }

  /// Where a fiber begins and ends. ThreadSanitizer must not count it as a call, since it returns
  /// to nobody.
#if defined(__SANITIZE_THREAD__)
  __attribute__((no_sanitize("thread")))
#endif
  static void
  enter(unsigned low, unsigned high, int own) {
    auto* const team =
        reinterpret_cast<FiberTeam*>(static_cast<uintptr_t>(low | uint64_t{high} << 32));
    Fiber* const next = team->work(static_cast<size_t>(own));
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(nullptr, next->stack, next->stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(next->thread, __tsan_switch_to_fiber_no_sync);
#endif
    setcontext(&next->context);
  }
  /// What goes on when this fiber has ended.
  __attribute__((noinline)) Fiber* work(size_t own) {
#if defined(__SANITIZE_ADDRESS__)
    // The first one learns where the host thread's stack is.
    const bool first = own == 0;
    __sanitizer_finish_switch_fiber(nullptr, first ? &caller_.stack : nullptr,
                                    first ? &caller_.stack_bytes : nullptr);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&begin_);
#endif
    call_(body_, static_cast<int>(descending_ ? fibers_.size() - 1 - own : own));
    Fiber* const next = own + 1 < fibers_.size() ? &fibers_[own + 1] : &caller_;
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&end_);
#endif
    return next;
  }

  std::vector<Fiber> fibers_;
  Fiber caller_;
  bool descending_ = false;
  const void* body_ = nullptr;
  void (*call_)(const void*, int) = nullptr;
#if defined(__SANITIZE_THREAD__)
  char begin_ = 0, end_ = 0, meeting_[2] = {};
#endif
};

}  // namespace lookback
