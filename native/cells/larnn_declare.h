/// LARNN's options, parameters and storage: what sections 2, 3, 5 and 7 of its document list.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "cells/larnn.h"

namespace lookback {
namespace larnn {

constexpr double kPi = 3.14159265358979323846;

/// Number of wavelengths 2, 4, ... of the position code: ceil(log2(4 k)), in integers.
inline int code_bits(int window) {
  int bits = 0;
  while ((int64_t{1} << bits) < int64_t{4} * window) ++bits;
  return bits;
}

/// cos(2 pi p / 2^i) for i = 1..bits, then sin(2 pi p / 2^i) for i = 2..bits+1.
inline std::vector<double> concat_code(int bits, int position) {
  std::vector<double> code;
  for (int i = 1; i <= bits; ++i) code.push_back(std::cos(2 * kPi * position / std::pow(2.0, i)));
  for (int i = 2; i <= bits + 1; ++i)
    code.push_back(std::sin(2 * kPi * position / std::pow(2.0, i)));
  return code;
}

/// sin and cos of p / 10000^(2 floor(j/2) / H), sine on even j.
inline std::vector<double> added_code(int units, int position) {
  std::vector<double> code;
  for (int j = 0; j < units; ++j) {
    const double angle = position / std::pow(10000.0, 2.0 * (j / 2) / units);
    code.push_back(j % 2 == 0 ? std::sin(angle) : std::cos(angle));
  }
  return code;
}

}  // namespace larnn

template <NormKind kNorm>
bool Larnn<kNorm>::accepts(const Spec& spec) {
  return spec.choice("normalization", {"batch", "layer", "none"}) == (kNorm == NormKind::kBatch ? 0
                                                                      : kNorm == NormKind::kLayer
                                                                          ? 1
                                                                          : 2);
}

/// Builds one Larnn; the steps share the declaration and the sizes.
template <NormKind kNorm>
class LarnnBuilder {
 public:
  LarnnBuilder(const Spec& spec, Declaration& d) : spec_(spec), d_(d) {}

  Larnn<kNorm> build() {
    read_options();
    declare_storage();
    declare_masks();
    declare_weights();
    declare_linears();
    declare_norms();
    d_.states = {{"h0", "h_n", cell_.h, cell_.dh, 1},
                 {"queue0", "queue_n", cell_.c, cell_.dc, cell_.window.length, true}};
    declare_starts(spec_, d_);
    name_slots();
    return cell_;
  }

 private:
  using Entries = typename LarnnWindow<kNorm>::Entries;

  void read_options() {
    I_ = spec_.integer("inputSize", 0, 1, kMaxUnits);
    H_ = cell_.units = cell_.window.units = spec_.integer("units", 0, 1, kMaxUnits);
    cell_.heads = spec_.integer("heads", 1, 1, H_);
    REQUIRE(H_ % cell_.heads == 0, kOption, "units ", H_, " is not divisible by heads ",
            cell_.heads);
    cell_.window.length = spec_.integer("window", 1, 1, kMaxUnits);
    candidate_ = spec_.choice("attentionTarget", {"all", "candidate"}) == 1;
    cell_.linear_candidate = candidate_ && spec_.choice("mode", {"residual", "layer"}) == 1;
    cell_.input_product = spec_.flag("inputProduct", false);
    REQUIRE(!cell_.input_product || I_ == H_, kOption,
            "inputProduct needs as many inputs as units; got ", I_, " and ", H_);
    cell_.elu_query = spec_.choice("queryActivation", {"elu", "none"}) == 0;
    cell_.window.bent = spec_.flag("keyValueActivation", true);
    cell_.elu_attention = spec_.choice("attentionActivation", {"elu", "none"}) == 0;
    cell_.drop_state = spec_.choice("hiddenDropoutScope", {"state", "output"}) == 0;
    cell_.window.shared_norm = spec_.choice("keyValueNorm", {"separate", "shared"}) == 1;
    positional_ = spec_.choice("positional", {"none", "concat", "add"});
    cell_.window.add_code = positional_ == 2;
    cell_.window.code = positional_ == 1 ? 2 * larnn::code_bits(cell_.window.length) : 0;
    entry_width_ = H_ + cell_.window.code;
    const int offset = spec_.integer("positionalOffset", 1, 0, 1);
    for (int i = 0; i < cell_.window.length && positional_ != 0; ++i) {
      codes_.push_back(positional_ == 1 ? larnn::concat_code(cell_.window.code / 2, offset + i)
                                        : larnn::added_code(H_, offset + i));
    }
    // Dropout on the window's inputs is drawn anew at every step and age: nothing of a projection
    // can be kept.
    const bool masked =
        spec_.flag("positionalMask", false) || spec_.number("positionalDropout", 0) > 0;
    cell_.window.entries = positional_ == 0 ? Entries::kProjected
                           : masked         ? Entries::kReprojected
                                            : Entries::kTabled;
    d_.batch_eps = spec_.number("bnEps", 1e-5);
    d_.batch_momentum = spec_.number("bnMomentum", 0.1);
    if (spec_.choice("bnStats", {"shared", "perStep"}) == 1) {
      d_.batch_rows = spec_.integer("bnMaxSteps", 1, 1, 1 << 24);
    }
  }

  /// Drawn masks go by their place in this list: what is new stands at its end.
  void declare_masks() {
    cell_.hidden_mask = d_.sequence("mask.hidden", H_, spec_.number("hiddenDropout", 0));
    cell_.attention_mask = d_.sequence("mask.attn", cell_.heads * cell_.window.length,
                                       spec_.number("attentionDropout", 0));
    cell_.window.entry_mask =
        d_.sequence("mask.pos", positional_ == 0 ? 1 : cell_.window.length * entry_width_,
                    positional_ == 0 ? 0 : spec_.number("positionalDropout", 0));
    cell_.recurrent = RecurrentInput::declare(spec_, d_, cell_.h, cell_.dh);
    declare_extensions(spec_, d_);  // of x; the states, which it knows by their names, come later
    cell_.zone_h = Zoneout::declare(spec_, d_, "zoneout", "mask.zoneout_h", H_);
    cell_.zone_c = Zoneout::declare(spec_, d_, "zoneoutCell", "mask.zoneout_c", H_);
    cell_.made = cell_.zone_c.on ? d_.tape(H_) : cell_.c;
  }

  /// The gates are kept where no norm stands before them; else what it normalises is.
  void name_slots() {
    d_.named("q", cell_.z, 0, H_);
    for (int gate = 0; gate < Larnn<kNorm>::kGates; ++gate) {
      const char name = "gfio"[gate];
      d_.named(norm_on("bnPre") ? std::string("pre_") + name : std::string(1, name), cell_.z,
               (1 + gate) * H_, H_);
    }
    d_.named("c", cell_.c);
    d_.named("h", cell_.h);
    d_.named("r", cell_.attended);
    d_.named(norm_on("bnAttention") ? "e" : "a", cell_.e);
    d_.named("lse", cell_.lse);
    if (cell_.window.entries == Entries::kProjected) {
      d_.named("k", cell_.window.projected, 0, H_);
      d_.named("v", cell_.window.projected, H_, H_);
    }
    if (!cell_.keep_attention) return;
    d_.named("attention", cell_.scores);
    d_.saved.back().shape = {cell_.heads, cell_.window.length};
  }

  bool norm_on(const char* option) const {
    return kNorm != NormKind::kNone && spec_.flag(option, true);
  }

  void declare_storage() {
    const int k = cell_.window.length, A = cell_.heads;
    const bool reprojected = cell_.window.entries == Entries::kReprojected;
    const bool entry_norm = kNorm != NormKind::kNone && cell_.window.bent;
    d_.x = cell_.input = d_.tape(I_);
    d_.dx = cell_.d_input = d_.scratch(I_);
    cell_.z = d_.tape(5 * H_);
    cell_.act = norm_on("bnPre") ? d_.scratch(4 * H_) : cell_.z;
    cell_.h = d_.tape(H_, 1);
    cell_.c = d_.tape(H_, k);
    cell_.dh = d_.carry(H_);
    cell_.dc = d_.carry(H_, reprojected ? k : 1);
    cell_.window.state = cell_.c;
    cell_.window.d_state = cell_.dc;
    cell_.attended = d_.tape(H_);
    cell_.e = d_.tape(H_);
    // With a norm behind it e is spent once its gradient is known, and a is made again from it;
    // without one a is e.
    cell_.a = norm_on("bnAttention") ? d_.remade(H_) : cell_.e;
    cell_.du = norm_on("bnAttention") ? cell_.e : d_.remade(H_);
    cell_.lse = d_.tape(A);
    cell_.keep_attention = spec_.flag("keepAttention", false);
    cell_.scores = cell_.keep_attention ? d_.tape(A * k) : d_.scratch(A * k);
    cell_.d_scores = d_.scratch(A * k);
    if (reprojected) {
      cell_.window.entry_values = d_.tape(k * 2 * H_);
      cell_.window.entry_inputs = d_.tape(k * entry_width_);
      cell_.window.d_entry_inputs = d_.scratch(k * entry_width_);
    } else {
      cell_.window.projected = d_.tape(2 * H_, k);
      cell_.window.d_projected = d_.carry(2 * H_, k);
      const bool tabled = cell_.window.entries == Entries::kTabled;
      if (tabled) cell_.window.entry_values = d_.scratch(k * 2 * H_);
      if (tabled && cell_.window.bent) cell_.window.exponentials = d_.ring(2 * H_, k);
    }
    if (entry_norm) {
      cell_.window.value_sum = d_.scratch(H_);
      cell_.window.kept = d_.scratch(A);
    }
    if (kNorm == NormKind::kLayer && entry_norm) cell_.window.entry_stats = d_.scratch(4 * k);
    cell_.d_out = d_.scratch(H_);
    cell_.d_cell = d_.scratch(H_);
    cell_.d_attention = d_.scratch(H_);
    cell_.d_attended = d_.scratch(H_);
    cell_.d_query = d_.scratch(H_);
    cell_.dy = d_.dy = d_.scratch(H_);
    cell_.y = cell_.drop_state ? cell_.h : d_.scratch(H_);
    d_.y = cell_.y;
  }

  /// Xavier-uniform for every named matrix on its own, or the published code's uniform 1 / sqrt(H)
  /// for all.
  int weight(const char* name, int rows, int columns) {
    const double limit =
        published() ? 1 / std::sqrt(double(H_)) : std::sqrt(6.0 / (rows + columns));
    return d_.param(name, {rows, columns}, {Start::kUniform, limit});
  }
  int bias(const char* name, int rows, bool unit_forget = false) {
    Start start;
    if (published()) start = {Start::kUniform, 1 / std::sqrt(double(H_))};
    if (unit_forget) {
      start.constant_begin = Larnn<kNorm>::kF * H_;
      start.constant_end = start.constant_begin + H_;
      start.constant = 1;
    }
    return d_.param(name, {rows}, start);
  }
  bool published() const { return spec_.choice("init", {"default", "published"}) == 1; }

  void declare_weights() {
    W_x_ = weight("W_x", 4 * H_, I_);
    W_h_ = weight("W_h", 4 * H_, H_);
    W_a_ = weight("W_a", candidate_ ? H_ : 4 * H_, H_);
    b_ = bias("b", 4 * H_, spec_.flag("unitForgetBias", false));
    W_q_ = weight("W_q", H_, I_ + H_);
    b_q_ = bias("b_q", H_);
    W_k_ = weight("W_k", H_, entry_width_);
    b_k_ = bias("b_k", H_);
    W_v_ = weight("W_v", H_, entry_width_);
    b_v_ = bias("b_v", H_);
    W_o_ = weight("W_o", H_, H_);
    b_o_ = bias("b_o", H_);
  }

  void declare_linears() {
    LinearInfo first;
    first.out = first.d_out = cell_.z;
    first.rows = 5 * H_;
    first.sources = {{cell_.input, 0, cell_.d_input, cell_.input_product},
                     cell_.recurrent.source()};
    first.blocks = {{W_q_, 0, 0, H_, I_, 0, 0},
                    {W_q_, 0, I_, H_, H_, 0, 1},
                    {W_x_, 0, 0, 4 * H_, I_, H_, 0},
                    {W_h_, 0, 0, 4 * H_, H_, H_, 1}};
    first.biases = {{b_q_, 0, H_, 0}, {b_, 0, 4 * H_, H_}};
    cell_.query_and_gates = d_.linear(first);

    LinearInfo gates;
    gates.out = gates.d_out = cell_.z;
    gates.out_begin = gates.d_out_begin = H_;  // behind the query; the candidate is the first gate
    gates.rows = candidate_ ? H_ : 4 * H_;
    gates.accumulate = true;
    gates.sources = {{cell_.a, 0, cell_.d_attention, false}};
    gates.blocks = {{W_a_, 0, 0, gates.rows, H_, 0, 0}};
    cell_.attention_gates = d_.linear(gates);

    LinearInfo out;
    out.out = cell_.e;
    out.d_out = cell_.du;
    out.rows = H_;
    out.sources = {{cell_.attended, 0, cell_.d_attended, false}};
    out.blocks = {{W_o_, 0, 0, H_, H_, 0, 0}};
    out.biases = {{b_o_, 0, H_, 0}};
    cell_.attention_out = d_.linear(out);

    if (cell_.window.entries == Entries::kReprojected) {
      declare_reprojection();
    } else {
      declare_projection();
    }
  }

  void declare_projection() {
    LinearInfo project;
    project.out = project.d_out = cell_.window.projected;
    project.rows = 2 * H_;
    project.sources = {{cell_.c, 0, cell_.dc, true}};
    project.blocks = {{W_k_, 0, 0, H_, H_, 0, 0}, {W_v_, 0, 0, H_, H_, H_, 0}};
    project.from_initial = true;
    if (cell_.window.entries == Entries::kProjected)
      project.biases = {{b_k_, 0, H_, 0}, {b_v_, 0, H_, H_}};
    cell_.window.project = d_.linear(project);
    if (cell_.window.entries != Entries::kTabled) return;
    cell_.window.table = d_.vector(-1, cell_.window.length * 2 * H_);
    const int column = cell_.window.add_code ? 0 : H_;
    d_.tables.push_back({cell_.window.table,
                         cell_.window.length,
                         2 * H_,
                         codes_,
                         {{W_k_, column, H_, 0, b_k_}, {W_v_, column, H_, H_, b_v_}},
                         cell_.window.bent});
    // Kept for every row a large table leaves the second-level cache; a small one is faster so.
    constexpr int kLarge = 4096;
    cell_.window.total_table = cell_.window.length * 2 * H_ >= kLarge;
    cell_.window.d_table =
        cell_.window.total_table ? d_.total(cell_.window.table) : d_.sum(cell_.window.table);
  }

  void declare_reprojection() {
    LinearInfo reproject;
    reproject.out = reproject.d_out = cell_.window.entry_values;
    reproject.rows = 2 * H_;
    reproject.repeat = cell_.window.length;
    reproject.sources = {{cell_.window.entry_inputs, 0, cell_.window.d_entry_inputs, false}};
    reproject.blocks = {{W_k_, 0, 0, H_, entry_width_, 0, 0},
                        {W_v_, 0, 0, H_, entry_width_, H_, 0}};
    reproject.biases = {{b_k_, 0, H_, 0}, {b_v_, 0, H_, H_}};
    cell_.window.reproject = d_.linear(reproject);
    std::vector<double> flat;
    for (const auto& code : codes_) flat.insert(flat.end(), code.begin(), code.end());
    cell_.window.codes = d_.constants(flat);
  }

  void declare_norms() {
    if (kNorm == NormKind::kNone) return;
    if (cell_.window.bent && cell_.window.shared_norm) {
      cell_.window.norm_key = norm("bn_kv", H_, false);
      cell_.window.norm_value = cell_.window.norm_key;
      if (kNorm == NormKind::kBatch) {
        cell_.window.norm_value.batch = d_.batch_site("bn_kv", H_);
        d_.sites.back().entries = cell_.window.length;
      }
    } else if (cell_.window.bent) {
      cell_.window.norm_key = norm("bn_k", H_, false);
      cell_.window.norm_value = norm("bn_v", H_, false);
    }
    if (norm_on("bnAttention")) cell_.norm_attention = norm("bn_att", H_, true);
    if (norm_on("bnPre"))
      cell_.norm_gates = norm("bn_pre", cell_.linear_candidate ? 3 * H_ : 4 * H_, true);
    if (norm_on("bnCell")) cell_.norm_cell = norm("bn_cell", H_, true);
    if (norm_on("bnHidden")) cell_.norm_hidden = norm("bn_hid", H_, true);
  }

  /// `row_stats`: the entries' statistics are per age and live in their own slot.
  NormSite<kNorm> norm(const std::string& name, int features, bool row_stats) {
    Start one{Start::kConstant, 1}, zero;
    const bool entries = !row_stats;
    if (published() && !entries) one = zero = {Start::kUniform, 1 / std::sqrt(double(H_))};
    NormSite<kNorm> site;
    site.on = true;
    site.features = features;
    site.eps = d_.batch_eps;
    site.gamma = d_.vector(d_.param(name + ".gamma", {features}, one), features);
    site.beta = d_.vector(d_.param(name + ".beta", {features}, zero), features);
    site.d_gamma = d_.sum(site.gamma);
    site.d_beta = d_.sum(site.beta);
    if (kNorm == NormKind::kLayer && row_stats) site.row_stats = d_.tape(2);
    if (kNorm == NormKind::kBatch) {
      site.batch = d_.batch_site(name, features);
      if (entries) d_.sites.back().entries = cell_.window.length;
    }
    return site;
  }

  const Spec& spec_;
  Declaration& d_;
  Larnn<kNorm> cell_;
  int I_ = 0, H_ = 0, positional_ = 0, entry_width_ = 0;
  bool candidate_ = false;
  std::vector<std::vector<double>> codes_;
  int W_x_ = 0, W_h_ = 0, W_a_ = 0, b_ = 0, W_q_ = 0, b_q_ = 0, W_k_ = 0, b_k_ = 0, W_v_ = 0,
      b_v_ = 0, W_o_ = 0, b_o_ = 0;
};

template <NormKind kNorm>
Larnn<kNorm> Larnn<kNorm>::declare(const Spec& spec, Declaration& d) {
  return LarnnBuilder<kNorm>(spec, d).build();
}

}  // namespace lookback
