/// The threads of an emulated block, or of a cluster of them, as fibers of one host thread: each
/// runs from barrier to barrier while the others wait, and a block as far as it can before another
/// gets its turn. That is a hundred times as fast as threads that wait for each other, and a
/// barrier left out gives wrong numbers, the same ones every time. To the sanitizers each fiber is
/// a thread of its own: ThreadSanitizer reports what two of them touch without a barrier in
/// between, although they never run at the same time.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace lookback {

/// Of functions that look at what all fibers share to find out who goes on, which is no race: one
/// runs at a time.
#if defined(__SANITIZE_THREAD__)
#define LOOKBACK_FIBER_SWITCH __attribute__((no_sanitize("thread"), noinline))
#else
#define LOOKBACK_FIBER_SWITCH
#endif

/// swapcontext asks the system for the signal mask at every switch, which took two thirds of a
/// test's time. Clang jumps on x86 alone, and ThreadSanitizer must see where the switch is.
#if !defined(__SANITIZE_THREAD__) && (!defined(__clang__) || defined(__x86_64__))
#define LOOKBACK_FIBER_JUMPS 1
#else
#define LOOKBACK_FIBER_JUMPS 0
#endif

/// Where some fibers wait for each other, time after time.
struct FiberMeeting {
  int size = 0;     ///< fibers that take part
  int arrived = 0;  ///< this time
  int times = 0;    ///< that all have come
#if defined(__SANITIZE_THREAD__)
  // Of two times in turn, so that what a fiber does after one is not taken for what the others have
  // waited for.
  char at[2] = {};
#endif

  /// Returns which time it is, for `over`.
  LOOKBACK_FIBER_SWITCH int arrive() {
    const int time = times;
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&at[time % 2]);
#endif
    if (++arrived == size) {
      arrived = 0;
      ++times;
    }
    return time;
  }
  LOOKBACK_FIBER_SWITCH bool over(int time) const { return times != time; }
};

/// One fiber, or the host thread that starts them.
struct Fiber {
  ucontext_t context = {};  ///< of its beginning
#if LOOKBACK_FIBER_JUMPS
  void* left[5] = {};  ///< where it gave way, once it has
  bool began = false;
#endif
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  FiberMeeting* waits = nullptr;  ///< where it does; null: nowhere
  int time = 0;                   ///< of that meeting
  int arrived = 0;                ///< time of the meeting of all that it came to last
  bool ended = false;
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
  /// `of_block`: fibers of one block, where there are several.
  explicit FiberTeam(int count, int of_block = 0)
      : fibers_(static_cast<size_t>(count)),
        of_block_(static_cast<size_t>(of_block > 0 ? of_block : count)),
        meetings_(fibers_.size() / of_block_) {
    for (FiberMeeting& meeting : meetings_) meeting.size = static_cast<int>(of_block_);
    all_.size = count;
  }
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
  /// A barrier: returns when all others of the block have come to it too.
  void wait(int member) {
    FiberMeeting& meeting = meetings_[place(member) / of_block_];
    wait_at(member, meeting, meeting.arrive());
  }
  /// A barrier of all blocks in two halves: a fiber that has arrived goes on until it waits.
  void arrive_at_all(int member) { fibers_[place(member)].arrived = all_.arrive(); }
  void wait_for_all(int member) { wait_at(member, all_, fibers_[place(member)].arrived); }
  /// Whether some have waited at different barriers, where a GPU would hang.
  bool stuck() const { return stuck_; }

 private:
  LOOKBACK_FIBER_SWITCH void wait_at(int member, FiberMeeting& meeting, int time) {
    const size_t own = place(member);
    Fiber& fiber = fibers_[own];
    fiber.waits = &meeting;
    fiber.time = time;
    Fiber& next = *next_after(own);
    if (&next != &fiber) switch_to(fiber, next);
    fiber.waits = nullptr;
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&meeting.at[time % 2]);
#endif
  }
  LOOKBACK_FIBER_SWITCH static bool can_run(const Fiber& fiber) {
    return !fiber.ended && (fiber.waits == nullptr || fiber.waits->over(fiber.time));
  }
  /// Who goes on after a fiber: the next one of its block that can, or of another block; null where
  /// all have ended.
  LOOKBACK_FIBER_SWITCH Fiber* next_after(size_t own) {
    const size_t block = own / of_block_ * of_block_;
    for (size_t i = 1; i <= of_block_; ++i) {
      Fiber& next = fibers_[block + (own - block + i) % of_block_];
      if (can_run(next)) return &next;
    }
    bool ended = true;
    for (Fiber& next : fibers_) {
      if (can_run(next)) return &next;
      ended = ended && next.ended;
    }
    if (ended) return nullptr;
    // A GPU would hang; here the first one to wait goes on.
    stuck_ = true;
    size_t waiting = 0;
    while (fibers_[waiting].ended) ++waiting;
    FiberMeeting& meeting = *fibers_[waiting].waits;
    meeting.arrived = 0;
    ++meeting.times;
    return &fibers_[waiting];
  }

  size_t place(int member) const {
    const auto i = static_cast<size_t>(member);
    return descending_ ? fibers_.size() - 1 - i : i;
  }

  void prepare(int i) {
    Fiber& fiber = fibers_[static_cast<size_t>(i)];
    getcontext(&fiber.context);
    FiberStacks::of_this_thread().lend(static_cast<size_t>(i), fiber);
    fiber.context.uc_link = nullptr;
    fiber.waits = nullptr;
    fiber.ended = false;
#if LOOKBACK_FIBER_JUMPS
    fiber.began = false;
#endif
    const auto self = reinterpret_cast<uintptr_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&FiberTeam::enter), 3,
                static_cast<unsigned>(self), static_cast<unsigned>(uint64_t{self} >> 32), i);
    // AddressSanitizer would go through all of it at every switch.
    fiber.context.uc_stack.ss_size = 0;
  }

  /// In one function, as ThreadSanitizer's count of calls needs it. AddressSanitizer would take the
  /// jump for the end of the stack, and ask the system about it every time.
  __attribute__((no_sanitize("address"))) static void switch_to(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to.thread, __tsan_switch_to_fiber_no_sync);
#endif
#if LOOKBACK_FIBER_JUMPS
    from.began = true;
    if (__builtin_setjmp(from.left) == 0) go_on(to);
#else
    swapcontext(&from.context, &to.context);
#endif
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
    go_on(*next);
  }
  /// Never returns; not marked so, since AddressSanitizer would forget what it knows of the stack
  /// that is left. Not in the function that it leaves, as the compiler has it.
  __attribute__((noinline, no_sanitize("address", "thread"))) static void go_on(Fiber& fiber) {
#if LOOKBACK_FIBER_JUMPS
    if (fiber.began) __builtin_longjmp(fiber.left, 1);
#endif
    setcontext(&fiber.context);
    std::abort();
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
    fibers_[own].ended = true;
    Fiber* const following = next_after(own);
    Fiber* const next = following != nullptr ? following : &caller_;
#if defined(__SANITIZE_THREAD__)
    __tsan_release(&end_);
#endif
    return next;
  }

  std::vector<Fiber> fibers_;
  size_t of_block_;
  std::vector<FiberMeeting> meetings_;  ///< of each block
  FiberMeeting all_;
  Fiber caller_;
  bool descending_ = false, stuck_ = false;
  const void* body_ = nullptr;
  void (*call_)(const void*, int) = nullptr;
#if defined(__SANITIZE_THREAD__)
  char begin_ = 0, end_ = 0;
#endif
};

}  // namespace lookback
