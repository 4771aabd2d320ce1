/// The team of threads, the barrier inside a parallel region, and what runs on them.
#include "backend/cpu/threads.h"

#include <atomic>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "backend/backend.h"
#include "backend/barrier.h"
#include "base/rng.h"
#include "native/check.h"

namespace lookback {
namespace {

TEST(thread_pool_calls_every_worker_once) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK_EQUAL(pool.threads(), threads);
    std::vector<int> calls(static_cast<size_t>(threads));
    for (int round = 1; round <= 500; ++round) {
      pool.run([&](int worker) { ++calls[static_cast<size_t>(worker)]; });
      for (const int count : calls) CHECK_EQUAL(count, round);
    }
  }
}

/// Workers go to sleep between runs that are far apart, and must be woken.
TEST(thread_pool_wakes_sleeping_workers) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    CHECK_EQUAL(calls.load(), 3);
  }
}

TEST(thread_pool_worker_zero_is_the_caller) {
  ThreadPool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  pool.run([&](int worker) { CHECK_EQUAL(std::this_thread::get_id() == caller, worker == 0); });
}

TEST(thread_pool_rethrows_and_goes_on) {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    const int failing = round % 3;
    std::atomic<int> others{0};
    std::string caught;
    try {
      pool.run([&](int worker) {
        if (worker == failing) throw std::runtime_error("worker " + std::to_string(worker));
        ++others;
      });
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    CHECK_EQUAL(caught, "worker " + std::to_string(failing));
    CHECK_EQUAL(others.load(), 2);
  }
  CHECK_THROWS(kNumeric, "of everyone",
               pool.run([](int) { fail(ErrorCode::kNumeric, "of everyone"); }));
  int calls = 0;
  pool.run([&](int worker) {
    if (worker == 0) ++calls;
  });
  CHECK_EQUAL(calls, 1);
}

#if defined(__SSE2__) || defined(__aarch64__)
TEST(thread_pool_flushes_denormals_and_restores) {
  const volatile double smallest = std::numeric_limits<double>::min();
  const volatile double half = 0.5;
  ThreadPool pool(2);
  std::vector<double> products(2, -1);
  pool.run([&](int worker) { products[static_cast<size_t>(worker)] = smallest * half; });
  CHECK_EQUAL(products[0], 0.0);
  CHECK_EQUAL(products[1], 0.0);
  CHECK(smallest * half > 0);
}
#endif

/// A counter that no lock protects: only the barrier keeps the rounds of it apart.
template <class Wait>
void check_rounds(int members, const Wait& wait) {
  constexpr int kRounds = 300;
  std::vector<int> steps(static_cast<size_t>(members));
  ThreadPool pool(members);
  pool.run([&](int worker) {
    for (int round = 1; round <= kRounds; ++round) {
      steps[static_cast<size_t>(worker)] = round;
      CHECK(wait(worker));
      for (const int step : steps) CHECK_EQUAL(step, round);
      CHECK(wait(worker));
    }
  });
}

TEST(barrier_separates_rounds) {
  for (const int members : {1, 3}) {
    Barrier barrier(members);
    check_rounds(members, [&](int) { return barrier.wait(); });
  }
  for (const int members : {1, 2, 5, TeamBarrier::kMost}) {
    TeamBarrier barrier;
    check_rounds(members, [&](int worker) { return barrier.wait(worker, members); });
  }
}

template <class Any, class Wait>
void check_abandoned(Any& barrier, const Wait& wait) {
  ThreadPool pool(3);
  std::atomic<int> released{0};
  pool.run([&](int worker) {
    if (worker == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      barrier.abandon();
      return;
    }
    if (!wait(worker)) ++released;
  });
  CHECK_EQUAL(released.load(), 2);
  CHECK(barrier.abandoned());
  CHECK(!wait(0));
}

TEST(barrier_abandoned_releases_everyone) {
  Barrier barrier(3);
  check_abandoned(barrier, [&](int) { return barrier.wait(); });
  TeamBarrier team;
  check_abandoned(team, [&](int worker) { return team.wait(worker, 3); });
}

#if defined(__linux__)
/// Processors that each of a team may be on.
std::vector<int> allowed_processors(int threads) {
  ThreadPool pool(threads);
  std::vector<int> counts(static_cast<size_t>(threads));
  pool.run([&](int worker) {
    cpu_set_t own;
    const bool read = sched_getaffinity(0, sizeof own, &own) == 0;
    counts[static_cast<size_t>(worker)] = read ? CPU_COUNT(&own) : -1;
  });
  return counts;
}

TEST(workers_keep_off_the_callers_processor_where_there_is_one_for_each) {
  cpu_set_t own;
  CHECK(sched_getaffinity(0, sizeof own, &own) == 0);
  const int all = CPU_COUNT(&own);
  if (all > 1) {
    const std::vector<int> two = allowed_processors(2);
    CHECK_EQUAL(two[0], all);
    CHECK_EQUAL(two[1], all - 1);
  }
  for (const int count : allowed_processors(all + 1)) CHECK_EQUAL(count, all);
}
#endif

TEST(default_threads_are_told_with_a_reason) {
  const char* reason = nullptr;
  CHECK(default_threads(&reason) >= 1);
  CHECK(reason != nullptr && *reason != '\0');
}

/// Large enough to be cut up; an odd size, so that the cuts fall in odd places.
template <class S>
std::vector<S> product_on(int threads, int64_t m, int64_t n) {
  constexpr int64_t kDepth = 61;
  std::vector<S> a, b, c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m * kDepth; ++i) {
    a.push_back(
        static_cast<S>(uniform_at(1, RandomUse::kCaller, 1, static_cast<uint64_t>(i)) - 0.5));
  }
  for (int64_t i = 0; i < n * kDepth; ++i) {
    b.push_back(
        static_cast<S>(uniform_at(1, RandomUse::kCaller, 2, static_cast<uint64_t>(i)) - 0.5));
  }
  const auto backend = make_backend<S>(DeviceKind::kCpu, threads);
  backend->gemm({m, n, kDepth, a.data(), kDepth, 1, b.data(), 1, kDepth, S(0), c.data(), n});
  return c;
}

TEST(thread_count_does_not_show_in_a_dense_product) {
  for (const int64_t m : {3, 200}) {
    for (const int64_t n : {5, 131, 300}) {
      const std::vector<float> floats = product_on<float>(1, m, n);
      const std::vector<double> doubles = product_on<double>(1, m, n);
      for (const int threads : {2, 3, 5}) {
        CHECK(product_on<float>(threads, m, n) == floats);
        CHECK(product_on<double>(threads, m, n) == doubles);
      }
    }
  }
}

}  // namespace
}  // namespace lookback
