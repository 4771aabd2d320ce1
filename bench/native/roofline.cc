// What this machine can do at most, for the bench to measure itself against: multiply-adds in 32
// bits per second and bytes read from memory per second, with the number of threads that is given.
// Built at its first use by bench/roofline.ts, for the machine that it runs on (-march=native), on
// purpose: the widest instructions are the roof. The best of the repeats counts, which is what a
// roof is.
#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

#if defined(__AVX512F__)
constexpr std::size_t kVectorBytes = 64;
#elif defined(__AVX__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif
using Vector = float __attribute__((vector_size(kVectorBytes)));
constexpr std::size_t kLanes = kVectorBytes / sizeof(float);

/// Enough independent chains to hide the latency of a multiply-add, few enough for 16 registers.
constexpr int kChains = 12;
constexpr long kRounds = 4'000'000;
constexpr int kFmaRepeats = 9;

/// Floats of each array and of all threads together: beyond every cache that this is likely to
/// meet.
constexpr std::size_t kFloats = std::size_t{1} << 24;
constexpr int kMemoryRepeats = 7;

/// The result reaches this, so that no work is left out.
volatile float sink;

Vector splat(float value) {
  Vector all;
  for (std::size_t lane = 0; lane < kLanes; ++lane) all[lane] = value;
  return all;
}

void multiply_and_add() {
  // Read at run time: the compiler does not know that the sums hardly change.
  const volatile float factor = 0.999999f, summand = 1e-6f;
  const Vector a = splat(factor), b = splat(summand);
  Vector sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = splat(1.0f + static_cast<float>(i));
  for (long round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * a + b;
  }
  float total = 0;
  for (const Vector& sum : sums)
    for (std::size_t lane = 0; lane < kLanes; ++lane) total += sum[lane];
  sink = total;
}

/// One thread's part of three arrays, which it has touched first.
struct Arrays {
  explicit Arrays(std::size_t floats)
      : size(floats / kLanes),
        a(new Vector[floats / kLanes]),
        b(new Vector[floats / kLanes]),
        c(new Vector[floats / kLanes]) {
    std::fill_n(a.get(), size, splat(0.0f));
    std::fill_n(b.get(), size, splat(1.0f));
    std::fill_n(c.get(), size, splat(2.0f));
  }
  std::size_t size;
  std::unique_ptr<Vector[]> a, b, c;
};

void triad(Arrays& arrays) {
  const volatile float factor = 0.5f;
  const Vector scale = splat(factor);
  Vector* a = arrays.a.get();
  const Vector *b = arrays.b.get(), *c = arrays.c.get();
  for (std::size_t i = 0; i < arrays.size; ++i) a[i] = b[i] + scale * c[i];
  sink = a[arrays.size / 2][0];
}

void read(const Arrays& arrays) {
  Vector sums[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
  for (const Vector* from : {arrays.a.get(), arrays.b.get(), arrays.c.get()})
    for (std::size_t i = 0; i + 4 <= arrays.size; i += 4)
      for (std::size_t j = 0; j < 4; ++j) sums[j] += from[i + j];
  sink = (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

/// The shortest time, in seconds, in which all threads did `work(thread)`, from the first one's
/// start to the last one's end.
double shortest(unsigned threads, int repeats, const std::function<void(unsigned)>& work) {
  std::barrier together(static_cast<std::ptrdiff_t>(threads));
  double best = 1e30;
  const auto run = [&](unsigned thread) {
    for (int repeat = 0; repeat < repeats; ++repeat) {
      together.arrive_and_wait();
      const auto start = Clock::now();
      work(thread);
      together.arrive_and_wait();
      const std::chrono::duration<double> spent = Clock::now() - start;
      if (thread == 0) best = std::min(best, spent.count());
    }
  };
  std::vector<std::thread> others;
  for (unsigned thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  for (std::thread& other : others) other.join();
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int asked = argc > 1 ? std::atoi(argv[1]) : 1;
  if (asked < 1 || asked > 1024) {
    std::fprintf(stderr, "usage: roofline THREADS, from 1 to 1024\n");
    return 2;
  }
  const auto threads = static_cast<unsigned>(asked);
  const double fma = shortest(threads, kFmaRepeats, [](unsigned) { multiply_and_add(); });
  const double operations = 2.0 * kChains * static_cast<double>(kLanes) * kRounds * threads;

  std::vector<std::unique_ptr<Arrays>> arrays(threads);
  shortest(threads, 1,
           [&](unsigned thread) { arrays[thread] = std::make_unique<Arrays>(kFloats / threads); });
  const double reading =
      shortest(threads, kMemoryRepeats, [&](unsigned thread) { read(*arrays[thread]); });
  const double streaming =
      shortest(threads, kMemoryRepeats, [&](unsigned thread) { triad(*arrays[thread]); });
  const double bytes = 3.0 * static_cast<double>(kFloats) * sizeof(float);
  std::printf(
      "{\"threads\": %u, \"vectorBits\": %zu, \"fmaGflops\": %.1f, \"readGBs\": %.1f, "
      "\"triadGBs\": %.1f}\n",
      threads, 8 * kVectorBytes, operations / fma / 1e9, bytes / reading / 1e9,
      bytes / streaming / 1e9);
  return 0;
}
