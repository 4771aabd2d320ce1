/// What a step of a stream costs in memory: nothing after the first ones.
#include <atomic>
#include <cstdlib>
#include <new>

#include "native/check.h"
#include "native/models.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace lookback {
namespace {

int64_t allocations_of_steps(const std::vector<LayerSpec>& layers) {
  const auto made = engine(layers, 3, DType::kFloat32, 1);
  const int64_t stream = made->add_stream(2);
  const Engine::StreamSize size = made->stream_size(stream);
  const std::vector<float> x(static_cast<size_t>(size.x), 0.5f);
  std::vector<float> y(static_cast<size_t>(size.y));
  for (int i = 0; i < 12; ++i) made->step_stream(stream, x.data(), y.data());
  const int64_t before = allocations;
  for (int i = 0; i < 10; ++i) made->step_stream(stream, x.data(), y.data());
  return allocations - before;
}

/// LARNN is not among them: its stack of layers puts the calls of its layers together anew.
TEST(a_step_after_the_first_ones_allocates_nothing) {
  for (const char* kind : {"lstm", "gru", "rnn", "rra", "scornn", "exprnn", "scurnn"}) {
    const Spec cell = spec({{"kind", std::string(kind)}, {"units", 4.0}});
    CHECK_EQUAL(allocations_of_steps({cell, dense(2)}), int64_t{0});
  }
}

TEST(what_is_allocated_is_counted) {
  const int64_t before = allocations;
  const std::vector<int> some(100);
  CHECK(!some.empty());
  CHECK_EQUAL(allocations - before, int64_t{1});
}

}  // namespace
}  // namespace lookback
