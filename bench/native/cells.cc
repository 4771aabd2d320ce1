// Our side of the bench on machines without Node: one cell on a device, and matrix products, for
// whoever writes one line of words in and reads one line of JSON out (bench/device/run.py), so that
// peers can take turns with it.
//
//   cells cpu|cuda [THREADS]
//
//   device                                      -> {"device", "threads"}, on a GPU with "cublas":
//                                               its version, or why it is not used
//   open FILE CELL BATCH STEPS [KEY=VALUE...]   the cell, with numbers of its own, which go to FILE
//                                               -> {"tensors": [{"name", "shape", "offset"}],
//                                               "plan"}
//   forward COUNT                               -> {"ms"}   a pass for training; backward's needs
//   are kept step COUNT                                  -> {"ms"}   forward and backward, with the
//   gradients of
//                                               x and of the weights; no optimizer
//   compare FILE NAME:OFFSET...                 a peer's y and gradients -> {"difference",
//   "tensor"}
//   product M N K COUNT [own]                   C[M,N] = A'B over K rows, as weight gradients are,
//                                               own: by our kernel where cuBLAS is, too
//                                               -> {"ms"}
//
// COUNT passes are queued one behind the other and then waited for; "ms" is of one of them.
// Everything stays in the device's memory. Tensors in a file are float32, one behind the other, and
// offsets count numbers; x, y and their gradients are [batch, steps, features]. A failure is
// answered by {"error"}.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/rng.h"

namespace lookback {
namespace {

using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

/// How far apart two numbers are of which one is none.
constexpr double kNoNumber = std::numeric_limits<double>::infinity();

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Within JSON's quotes.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter == '\n' ? ' ' : letter;
  }
  return out + "\"";
}

Spec::Value value_of(const std::string& word) {
  if (word == "true" || word == "false") return word == "true";
  char* end = nullptr;
  const double number = std::strtod(word.c_str(), &end);
  if (!word.empty() && *end == 0) return number;
  return word;
}

int64_t count_of(const std::string& word, const char* what) {
  char* end = nullptr;
  const long long count = std::strtoll(word.c_str(), &end, 10);
  REQUIRE(!word.empty() && *end == 0 && count > 0 && count < (int64_t{1} << 31), kOption, what,
          " is '", word, "'; expected a whole number from 1");
  return count;
}

/// An array in the device's memory with its numbers on the host.
struct Array {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> numbers;
  Buffer<float> there;

  int64_t size() const { return static_cast<int64_t>(numbers.size()); }
};

/// Inputs in +-1, weights in +-1/sqrt(units), norm scales about 1, and what cells ask of theirs: A
/// skew-symmetric, d of signs, the bias of modReLU below 0, a window's weights positive.
void fill(Array& array, int units, bool modrelu, uint32_t stream) {
  const std::string& name = array.name;
  const bool plain = name == "x" || name == "dy";
  const double limit = plain ? 1 : 1 / std::sqrt(static_cast<double>(units));
  for (size_t i = 0; i < array.numbers.size(); ++i) {
    double u = limit * (2 * uniform_at(7, RandomUse::kCaller, stream, i) - 1);
    if (ends_with(name, ".gamma")) u += 1;
    if (name == "d") u = u < 0 ? -1 : 1;
    if (name == "b" && modrelu) u = -std::fabs(u) / 10;
    if (name == "W_a" && array.shape.size() == 1) u = 1 + u;
    array.numbers[i] = static_cast<float>(u);
  }
  if (name != "A") return;
  const auto n = static_cast<size_t>(array.shape[0]);
  for (size_t i = 0; i < n; ++i) {
    array.numbers[i * n + i] = 0;
    for (size_t j = 0; j < i; ++j) array.numbers[i * n + j] = -array.numbers[j * n + i];
  }
}

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

class OneCell {
 public:
  OneCell(Backend<float>& backend, const std::string& cell, int64_t batch, int64_t steps,
          const Spec& spec)
      : backend_(backend), batch_(batch), steps_(steps), cell_(backend.recurrence(cell, spec)) {
    const CellInfo& info = cell_->info();
    const bool modrelu = cell == "scornn" || cell == "enrnn";
    uint32_t stream = 0;
    const auto make = [&](const std::string& name, const std::vector<int64_t>& shape) {
      Array array;
      array.name = name;
      array.shape = shape;
      array.numbers.resize(static_cast<size_t>(element_count(shape, "a tensor")));
      fill(array, info.output_size, modrelu, ++stream);
      array.there.use(backend_.memory());
      array.there.ensure(array.size(), "a tensor");
      backend_.memory().copy_in(array.numbers.data(), array.size(), array.there.data());
      return array;
    };
    x_ = make("x", {batch, steps, info.input_size});
    dy_ = make("dy", {batch, steps, info.output_size});
    y_ = make("y", dy_.shape);
    dx_ = make("x", x_.shape);
    for (const ParamInfo& param : info.params) {
      weights_.push_back(make(param.name, param.shape));
      gradients_.push_back(make(param.name, param.shape));
    }
    for (const BufferInfo& buffer : info.buffers) {
      Array array = make(buffer.name, buffer.shape);
      std::fill(array.numbers.begin(), array.numbers.end(), static_cast<float>(buffer.initial));
      backend_.memory().copy_in(array.numbers.data(), array.size(), array.there.data());
      buffers_.push_back(std::move(array));
    }
    tape_ = cell_->make_tape(batch, steps, true);
    bind();
  }

  std::string plan() const {
    PlanCall call;
    call.batch = batch_;
    call.steps = steps_;
    std::string text;
    for (const LoopPlan& plan : cell_->explain(call))
      text += (text.empty() ? "" : " / ") + plan.text;
    return text;
  }

  /// Milliseconds of one pass.
  double run(int64_t count, bool backward) {
    wait();
    const auto begin = Clock::now();
    for (int64_t i = 0; i < count; ++i) pass(backward);
    wait();
    return milliseconds_since(begin) / static_cast<double>(count);
  }

  /// What the peer computes with: x, the gradient of y, the weights.
  std::vector<const Array*> given() const {
    std::vector<const Array*> all = {&x_, &dy_};
    for (const Array& weight : weights_) all.push_back(&weight);
    return all;
  }

  /// y, and the gradients of x and of the weights, of one step.
  std::vector<Array*> results() {
    for (Array& gradient : gradients_) gradient.there.zero();
    pass(true);
    std::vector<Array*> all = {&y_, &dx_};
    for (Array& gradient : gradients_) all.push_back(&gradient);
    for (Array* array : all)
      backend_.memory().copy_out(array->there.data(), array->size(), array->numbers.data());
    return all;
  }

 private:
  void bind() {
    forward_.batch = batch_;
    forward_.steps = steps_;
    forward_.training = true;
    forward_.inputs["x"] = {x_.there.data(), x_.shape};
    forward_.outputs["y"] = {y_.there.data(), y_.shape};
    for (Array& buffer : buffers_) {
      forward_.inputs[buffer.name] = {buffer.there.data(), buffer.shape};
      forward_.outputs[buffer.name] = {buffer.there.data(), buffer.shape};
    }
    backward_.upstream["y"] = {dy_.there.data(), dy_.shape};
    backward_.d_inputs["x"] = {dx_.there.data(), dx_.shape};
    const std::vector<ParamInfo>& params = cell_->info().params;
    for (size_t i = 0; i < weights_.size(); ++i) {
      forward_.params.push_back(weights_[i].there.data());
      backward_.d_params.push_back(params[i].fixed ? nullptr : gradients_[i].there.data());
    }
    backward_.params = forward_.params;
  }
  void pass(bool backward) {
    cell_->forward(forward_, *tape_);
    if (backward) cell_->backward(backward_, *tape_);
  }
  void wait() {
    float number = 0;
    backend_.memory().copy_out(y_.there.data(), 1, &number);
  }

  Backend<float>& backend_;
  int64_t batch_, steps_;
  std::unique_ptr<Recurrence<float>> cell_;
  Array x_, dy_, y_, dx_;
  std::vector<Array> weights_, gradients_, buffers_;
  std::unique_ptr<Tape> tape_;
  ForwardCall<float> forward_;
  BackwardCall<float> backward_;
};

class Server {
 public:
  Server(DeviceKind kind, int threads)
      : backend_(make_backend<float>(kind, threads)), kind_(kind) {}

  std::string answer(const Words& words) {
    REQUIRE(!words.empty(), kOption, "an empty line");
    const std::string& op = words[0];
    if (op == "device") return device();
    if (op == "open") return open(words);
    if (op == "product") return product(words);
    REQUIRE(cell_ != nullptr, kOption, "'", op, "' comes after 'open'");
    if (op == "compare") return compare(words);
    REQUIRE((op == "forward" || op == "step") && words.size() == 2, kOption, "unknown line '", op,
            "'");
    return milliseconds(cell_->run(count_of(words[1], "COUNT"), op == "step"));
  }

 private:
  static std::string milliseconds(double ms) {
    std::ostringstream out;
    out.precision(9);
    out << "{\"ms\": " << ms << "}";
    return out.str();
  }

  std::string device() const {
    std::string name = kind_ == DeviceKind::kCpu ? cpu_report().isa : "host threads";
    std::string cublas;
    if (kind_ == DeviceKind::kCuda) {
      name = cuda_report().devices.at(0).name;
      const CublasReport report = cublas_report();
      cublas = report.reason.empty() ? report.version : "not used: " + report.reason;
    }
    return text("{\"device\": ", quoted(name), ", \"threads\": ", backend_->threads(),
                cublas.empty() ? "" : ", \"cublas\": " + quoted(cublas), "}");
  }

  std::string open(const Words& words) {
    REQUIRE(words.size() >= 5, kOption, "open FILE CELL BATCH STEPS [KEY=VALUE...]");
    Spec spec;
    for (size_t i = 5; i < words.size(); ++i) {
      const size_t equals = words[i].find('=');
      REQUIRE(equals != std::string::npos, kOption, "'", words[i], "' is not KEY=VALUE");
      spec.set(words[i].substr(0, equals), value_of(words[i].substr(equals + 1)));
    }
    cell_.reset();  // two at a time could be more than the device has
    cell_ = std::make_unique<OneCell>(*backend_, words[2], count_of(words[3], "BATCH"),
                                      count_of(words[4], "STEPS"), spec);
    std::ofstream file(words[1], std::ios::binary);
    std::ostringstream out;
    int64_t offset = 0;
    for (const Array* array : cell_->given()) {
      out << (offset == 0 ? "" : ", ") << "{\"name\": " << quoted(array->name) << ", \"shape\": [";
      for (size_t i = 0; i < array->shape.size(); ++i)
        out << (i == 0 ? "" : ", ") << array->shape[i];
      out << "], \"offset\": " << offset << "}";
      offset += array->size();
      file.write(reinterpret_cast<const char*>(array->numbers.data()), array->size() * 4);
    }
    REQUIRE(file.flush().good(), kIo, words[1], " cannot be written");
    return text("{\"tensors\": [", out.str(), "], \"plan\": ", quoted(cell_->plan()), "}");
  }

  /// Of y relative to its largest entry, of the gradients to the largest of them all: some are zero
  /// in exact arithmetic and only noise here.
  std::string compare(const Words& words) {
    REQUIRE(words.size() >= 3, kOption, "compare FILE NAME:OFFSET...");
    std::map<std::string, int64_t> offsets;
    for (size_t i = 2; i < words.size(); ++i) {
      const size_t colon = words[i].rfind(':');
      REQUIRE(colon != std::string::npos, kOption, "'", words[i], "' is not NAME:OFFSET");
      offsets[words[i].substr(0, colon)] = std::strtoll(words[i].c_str() + colon + 1, nullptr, 10);
    }
    std::ifstream file(words[1], std::ios::binary);
    double gradient_scale = 0, worst = 0;
    std::string where;
    std::map<std::string, double> apart, scale;
    size_t compared = 0;
    for (const Array* ours : cell_->results()) {
      const auto at = offsets.find(ours->name);
      if (at == offsets.end()) continue;
      ++compared;
      std::vector<float> theirs(ours->numbers.size());
      file.seekg(at->second * 4);
      file.read(reinterpret_cast<char*>(theirs.data()), ours->size() * 4);
      REQUIRE(file.good(), kIo, words[1], " has no ", ours->size(), " numbers of ", ours->name);
      double& most = scale[ours->name];
      double& far = apart[ours->name];
      for (size_t i = 0; i < theirs.size(); ++i) {
        most = std::max(most, std::fabs(static_cast<double>(theirs[i])));
        const double by =
            std::fabs(static_cast<double>(theirs[i]) - static_cast<double>(ours->numbers[i]));
        far = std::max(far, std::isnan(by) ? kNoNumber : by);
      }
      if (ours->name != "y") gradient_scale = std::max(gradient_scale, most);
    }
    REQUIRE(compared == offsets.size(), kShape, "the peer gives ", offsets.size(), " tensors, ",
            compared, " of which are ours");
    for (const auto& [name, by] : apart) {
      const double of = name == "y" ? scale.at(name) : gradient_scale;
      const double relative = by == 0 ? 0 : by / of;
      if (relative <= worst) continue;
      worst = relative;
      where = name;
    }
    // JSON has no NaN.
    return text("{\"difference\": ", std::isfinite(worst) ? text(worst) : "null",
                ", \"tensor\": ", quoted(where), "}");
  }

  std::string product(const Words& words) {
    const bool own = words.size() == 6 && words[5] == "own";
    REQUIRE(words.size() == 5 || own, kOption, "product M N K COUNT [own]");
    const int64_t m = count_of(words[1], "M"), n = count_of(words[2], "N"),
                  k = count_of(words[3], "K"), count = count_of(words[4], "COUNT");
    MemorySpace& memory = backend_->memory();
    Buffer<float> a(memory), b(memory), c(memory);
    a.ensure(checked_mul(m, k, "a matrix"), "a matrix");
    b.ensure(checked_mul(k, n, "a matrix"), "a matrix");
    c.ensure(checked_mul(m, n, "a matrix"), "a matrix");
    backend_->fill(a.size(), 0.5f, a.data());
    backend_->fill(b.size(), 0.25f, b.data());
    Gemm<float> g;
    g.m = m, g.n = n, g.k = k;
    g.a = a.data(), g.a_row = 1, g.a_col = m;
    g.b = b.data(), g.b_row = n, g.b_col = 1;
    g.c = c.data(), g.c_row = n;
    g.any_order = !own;
    float number = 0;
    backend_->gemm(g);
    memory.copy_out(c.data(), 1, &number);
    const auto begin = Clock::now();
    for (int64_t i = 0; i < count; ++i) backend_->gemm(g);
    memory.copy_out(c.data(), 1, &number);
    return milliseconds(milliseconds_since(begin) / static_cast<double>(count));
  }

  std::unique_ptr<Backend<float>> backend_;
  DeviceKind kind_;
  std::unique_ptr<OneCell> cell_;
};

int serve(const std::string& device, int threads) {
  const std::map<std::string, DeviceKind> kinds = {
      {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}, {"emulated", DeviceKind::kEmulated}};
  std::unique_ptr<Server> server;
  try {
    server = std::make_unique<Server>(kinds.at(device), threads);
  } catch (const Error& error) {
    std::fprintf(stderr, "cells: %s\n", error.message().c_str());
    return 1;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    try {
      std::cout << server->answer(words) << std::endl;
    } catch (const Error& error) {
      std::cout << "{\"error\": " << quoted(error.message()) << "}" << std::endl;
    }
  }
  return 0;
}

}  // namespace
}  // namespace lookback

int main(int argc, char** argv) {
  const std::string device = argc > 1 ? argv[1] : "";
  const int threads = argc > 2 ? std::atoi(argv[2]) : 0;
  const bool known = device == "cpu" || device == "cuda" || device == "emulated";
  if (!known || argc > 3 || threads < 0 || threads > 1024) {
    std::fprintf(stderr, "usage: cells cpu|cuda [THREADS]\n");
    return 2;
  }
  return lookback::serve(device, threads);
}
