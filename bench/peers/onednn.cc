// oneDNN's LSTM primitive, one layer, with the bench's weights: the peer's end of the bench, as
// bench/peers/peer.py describes it. Weights are repacked into the library's own layouts inside the
// measured time, once for the forward and once for the backward pass, as they change with every
// update.
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <oneapi/dnnl/dnnl.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;
using Numbers = std::vector<float>;

/// From the bench's [b, t, f] to the library's [t, b, f] and back.
Numbers swap_axes(const Numbers& from, int64_t first, int64_t second, int64_t features) {
  Numbers to(from.size());
  for (int64_t i = 0; i < first; ++i)
    for (int64_t j = 0; j < second; ++j)
      for (int64_t k = 0; k < features; ++k)
        to[(j * first + i) * features + k] = from[(i * second + j) * features + k];
  return to;
}

/// From [rows, columns] to [columns, rows].
Numbers transpose(const Numbers& from, int64_t rows, int64_t columns) {
  return swap_axes(from, rows, columns, 1);
}

class Lstm {
 public:
  Lstm(int64_t batch, int64_t steps, int64_t inputs, int64_t units)
      : B(batch),
        T(steps),
        I(inputs),
        H(units),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {
    const dnnl::memory::desc x({T, B, I}, Type::f32, Tag::tnc), y({T, B, H}, Type::f32, Tag::tnc);
    const dnnl::memory::desc state({1, 1, B, H}, Type::f32, Tag::ldnc),
        bias({1, 1, 4, H}, Type::f32, Tag::ldgo);
    const dnnl::memory::desc any_x({1, 1, I, 4, H}, Type::f32, Tag::any),
        any_h({1, 1, H, 4, H}, Type::f32, Tag::any);
    const auto direction = dnnl::rnn_direction::unidirectional_left2right;
    const dnnl::lstm_forward::primitive_desc forward(
        {dnnl::prop_kind::forward_training, direction, x, state, state, any_x, any_h, bias, y,
         state, state},
        engine_);
    const dnnl::lstm_backward::primitive_desc backward({dnnl::prop_kind::backward,
                                                        direction,
                                                        x,
                                                        state,
                                                        state,
                                                        any_x,
                                                        any_h,
                                                        bias,
                                                        y,
                                                        state,
                                                        state,
                                                        x,
                                                        state,
                                                        state,
                                                        any_x,
                                                        any_h,
                                                        bias,
                                                        y,
                                                        state,
                                                        state},
                                                       engine_, forward);
    for (const char* name : {"x", "dx"}) memory_[name] = zeros(x);
    for (const char* name : {"y", "dy"}) memory_[name] = zeros(y);
    for (const char* name : {"h0", "c0", "h_n", "c_n", "dh0", "dc0", "dh_n", "dc_n"})
      memory_[name] = zeros(state);
    for (const char* name : {"b", "db"}) memory_[name] = zeros(bias);
    memory_["W_x"] = zeros({{1, 1, I, 4, H}, Type::f32, Tag::ldigo});
    memory_["W_h"] = zeros({{1, 1, H, 4, H}, Type::f32, Tag::ldigo});
    memory_["forward W_x"] = zeros(forward.weights_layer_desc());
    memory_["forward W_h"] = zeros(forward.weights_iter_desc());
    memory_["backward W_x"] = zeros(backward.weights_layer_desc());
    memory_["backward W_h"] = zeros(backward.weights_iter_desc());
    memory_["dW_x"] = zeros(backward.diff_weights_layer_desc());
    memory_["dW_h"] = zeros(backward.diff_weights_iter_desc());
    memory_["workspace"] = dnnl::memory(forward.workspace_desc(), engine_);
    forward_ = dnnl::lstm_forward(forward);
    backward_ = dnnl::lstm_backward(backward);
  }

  void set(const std::string& name, const Numbers& numbers) {
    std::copy(numbers.begin(), numbers.end(),
              static_cast<float*>(memory_.at(name).get_data_handle()));
  }

  /// In the layouts of the memory that is asked for, or of `plain` where the library chose its own.
  Numbers get(const std::string& name, const dnnl::memory::desc* plain = nullptr) {
    dnnl::memory from = memory_.at(name);
    if (plain != nullptr) {
      dnnl::memory to(*plain, engine_);
      dnnl::reorder(from, to).execute(stream_, from, to);
      stream_.wait();
      from = to;
    }
    const auto* data = static_cast<const float*>(from.get_data_handle());
    return Numbers(data, data + from.get_desc().get_size() / sizeof(float));
  }
  /// A gradient of weights as [4 units, inputs].
  Numbers weight_gradient(const std::string& name, int64_t inputs) {
    const dnnl::memory::desc plain({1, 1, inputs, 4, H}, Type::f32, Tag::ldigo);
    return transpose(get(name, &plain), inputs, 4 * H);
  }

  void forward() {
    repack("W_x", "forward W_x");
    repack("W_h", "forward W_h");
    auto arguments = shared("forward");
    forward_.execute(stream_, arguments);
    stream_.wait();
  }

  void backward() {
    repack("W_x", "backward W_x");
    repack("W_h", "backward W_h");
    // The library adds to the gradients of the weights.
    for (const char* name : {"dW_x", "dW_h", "db"}) {
      dnnl::memory& memory = memory_.at(name);
      std::fill_n(static_cast<float*>(memory.get_data_handle()),
                  memory.get_desc().get_size() / sizeof(float), 0.0f);
    }
    auto arguments = shared("backward");
    const std::pair<int, const char*> gradients[] = {
        {DNNL_ARG_DIFF_SRC_LAYER, "dx"},      {DNNL_ARG_DIFF_SRC_ITER, "dh0"},
        {DNNL_ARG_DIFF_SRC_ITER_C, "dc0"},    {DNNL_ARG_DIFF_WEIGHTS_LAYER, "dW_x"},
        {DNNL_ARG_DIFF_WEIGHTS_ITER, "dW_h"}, {DNNL_ARG_DIFF_BIAS, "db"},
        {DNNL_ARG_DIFF_DST_LAYER, "dy"},      {DNNL_ARG_DIFF_DST_ITER, "dh_n"},
        {DNNL_ARG_DIFF_DST_ITER_C, "dc_n"}};
    for (const auto& [argument, name] : gradients) arguments[argument] = memory_.at(name);
    backward_.execute(stream_, arguments);
    stream_.wait();
  }

  const int64_t B, T, I, H;

 private:
  dnnl::memory zeros(const dnnl::memory::desc& layout) {
    dnnl::memory memory(layout, engine_);
    std::fill_n(static_cast<char*>(memory.get_data_handle()), layout.get_size(), '\0');
    return memory;
  }
  void repack(const char* from, const char* to) {
    dnnl::reorder(memory_.at(from), memory_.at(to))
        .execute(stream_, memory_.at(from), memory_.at(to));
  }
  std::unordered_map<int, dnnl::memory> shared(const std::string& pass) {
    return {{DNNL_ARG_SRC_LAYER, memory_.at("x")},
            {DNNL_ARG_SRC_ITER, memory_.at("h0")},
            {DNNL_ARG_SRC_ITER_C, memory_.at("c0")},
            {DNNL_ARG_WEIGHTS_LAYER, memory_.at(pass + " W_x")},
            {DNNL_ARG_WEIGHTS_ITER, memory_.at(pass + " W_h")},
            {DNNL_ARG_BIAS, memory_.at("b")},
            {DNNL_ARG_DST_LAYER, memory_.at("y")},
            {DNNL_ARG_DST_ITER, memory_.at("h_n")},
            {DNNL_ARG_DST_ITER_C, memory_.at("c_n")},
            {DNNL_ARG_WORKSPACE, memory_.at("workspace")}};
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<std::string, dnnl::memory> memory_;
  dnnl::lstm_forward forward_;
  dnnl::lstm_backward backward_;
};

std::map<std::string, Numbers> read_tensors(const std::string& path, const json& entries) {
  std::ifstream file(path, std::ios::binary);
  std::map<std::string, Numbers> tensors;
  for (const json& entry : entries) {
    int64_t size = 1;
    for (const json& extent : entry.at("shape")) size *= extent.get<int64_t>();
    Numbers numbers(static_cast<size_t>(size));
    file.seekg(entry.at("offset").get<int64_t>() * static_cast<int64_t>(sizeof(float)));
    file.read(reinterpret_cast<char*>(numbers.data()), size * static_cast<int64_t>(sizeof(float)));
    if (!file)
      throw std::runtime_error(path + " ends before " + entry.at("name").get<std::string>());
    tensors[entry.at("name")] = std::move(numbers);
  }
  return tensors;
}

std::unique_ptr<Lstm> open(const json& request) {
  const json& shape = request.at("shape");
  auto lstm = std::make_unique<Lstm>(shape.at("batch"), shape.at("steps"), shape.at("inputSize"),
                                     shape.at("units"));
  const auto tensors = read_tensors(request.at("path"), request.at("tensors"));
  lstm->set("x", swap_axes(tensors.at("x"), lstm->B, lstm->T, lstm->I));
  lstm->set("dy", swap_axes(tensors.at("dy"), lstm->B, lstm->T, lstm->H));
  // Its gates are i, f, c, o, as the bench's i, f, g, o, and it has one bias.
  lstm->set("W_x", transpose(tensors.at("W_x"), 4 * lstm->H, lstm->I));
  lstm->set("W_h", transpose(tensors.at("W_h"), 4 * lstm->H, lstm->H));
  Numbers bias = tensors.at("b_x");
  for (size_t i = 0; i < bias.size(); ++i) bias[i] += tensors.at("b_h")[i];
  lstm->set("b", bias);
  return lstm;
}

json write_results(Lstm& lstm, const std::string& path) {
  lstm.forward();
  lstm.backward();
  const int64_t B = lstm.B, T = lstm.T, I = lstm.I, H = lstm.H;
  const Numbers bias = lstm.get("db");
  const std::vector<std::tuple<const char*, std::vector<int64_t>, Numbers>> results = {
      {"y", {B, T, H}, swap_axes(lstm.get("y"), T, B, H)},
      {"x", {B, T, I}, swap_axes(lstm.get("dx"), T, B, I)},
      {"W_x", {4 * H, I}, lstm.weight_gradient("dW_x", I)},
      {"W_h", {4 * H, H}, lstm.weight_gradient("dW_h", H)},
      {"b_x", {4 * H}, bias},
      {"b_h", {4 * H}, bias}};
  std::ofstream file(path, std::ios::binary);
  json entries = json::array();
  int64_t offset = 0;
  for (const auto& [name, shape, numbers] : results) {
    file.write(reinterpret_cast<const char*>(numbers.data()),
               static_cast<std::streamsize>(numbers.size() * sizeof(float)));
    entries.push_back({{"name", name}, {"shape", shape}, {"offset", offset}});
    offset += static_cast<int64_t>(numbers.size());
  }
  if (!file) throw std::runtime_error("could not write " + path);
  return entries;
}

double timed(Lstm& lstm, bool backward) {
  const auto start = Clock::now();
  lstm.forward();
  if (backward) lstm.backward();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

json answer(const json& request, std::unique_ptr<Lstm>& lstm) {
  const std::string op = request.at("op");
  if (op == "open") {
    lstm = open(request);
    const dnnl_version_t* version = dnnl_version();
    const std::string number = std::to_string(version->major) + "." +
                               std::to_string(version->minor) + "." +
                               std::to_string(version->patch);
    return {{"version", number}, {"detail", "time-major, weights repacked in every pass"}};
  }
  if (op == "results") return {{"tensors", write_results(*lstm, request.at("path"))}};
  return {{"ms", timed(*lstm, op == "step")}};
}

}  // namespace

int main() {
  std::unique_ptr<Lstm> lstm;
  for (std::string line; std::getline(std::cin, line);) {
    json reply;
    try {
      reply = answer(json::parse(line), lstm);
    } catch (const std::exception& error) {
      reply = {{"error", error.what()}};
    }
    std::cout << reply.dump() << std::endl;
  }
}
