// The critic's and the search's kernels of every instruction level that this CPU has, not only those that cpu_level()
// picks: sanitizers see them all.

#include <omar/cem/cem.h>
#include <omar/core/cpu_level.h>
#include <omar/core/rng.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "cem/search_kernels.h"
#include "core/draws_kernels.h"
#include "nn/critic_kernels.h"

namespace omar {
namespace {

constexpr int64_t kObs = 9, kActions = 2, kBatch = 70;

struct Level {
  std::string name;
  nn::CriticKernels<float> critic;
  nn::CriticKernels<double> critic_of_double;
  cem::SearchKernels<float> search;

  template <class T>
  const nn::CriticKernels<T>& critic_of() const {
    if constexpr (std::is_same_v<T, float>) {
      return critic;
    } else {
      return critic_of_double;
    }
  }
};

std::vector<Level> all_levels() {
  std::vector<Level> all{
      {"base", nn::base::critic_kernels_float(), nn::base::critic_kernels_double(), cem::base::search_kernels_float()}};
#if defined(__x86_64__) && defined(__GNUC__)
  const CpuLevel best = available_cpu_levels().back();
  const auto add = [&](CpuLevel level, auto critic, auto critic_of_double, auto search) {
    if (best >= level) all.push_back({to_string(level), critic(), critic_of_double(), search()});
  };
  add(CpuLevel::avx2, nn::avx2::critic_kernels_float, nn::avx2::critic_kernels_double, cem::avx2::search_kernels_float);
  add(CpuLevel::avx512, nn::avx512::critic_kernels_float, nn::avx512::critic_kernels_double,
      cem::avx512::search_kernels_float);
  add(CpuLevel::bf16, nn::bf16::critic_kernels_float, nn::bf16::critic_kernels_double, cem::bf16::search_kernels_float);
  add(CpuLevel::amx, nn::amx::critic_kernels_float, nn::amx::critic_kernels_double, cem::amx::search_kernels_float);
#endif
  return all;
}

/// Pointers to parameters, as the kernels take them.
template <class T>
struct Pointers {
  std::vector<T*> weights, biases, scales, shifts;

  explicit Pointers(const nn::StackedMlp& mlp) {
    const auto take = [](const std::vector<at::Tensor>& tensors, std::vector<T*>& to) {
      for (const at::Tensor& tensor : tensors) to.push_back(static_cast<T*>(tensor.data_ptr()));
    };
    take(mlp.weights, weights);
    take(mlp.biases, biases);
    take(mlp.norm_scales, scales);
    take(mlp.norm_shifts, shifts);
  }
  operator nn::CriticWeights<T>() const { return {weights.data(), biases.data(), scales.data(), shifts.data()}; }
};

/// The parameters of a stack in one list.
std::vector<at::Tensor*> parameters(nn::StackedMlp& mlp) {
  std::vector<at::Tensor*> all;
  for (auto* group : {&mlp.weights, &mlp.biases, &mlp.norm_scales, &mlp.norm_shifts}) {
    for (at::Tensor& tensor : *group) all.push_back(&tensor);
  }
  return all;
}

/// What a network is like.
struct Kind {
  std::vector<int64_t> hidden;
  nn::Activation activation = nn::Activation::relu;
  int64_t samples = 6;

  std::string text() const {
    return std::to_string(hidden.size()) + " hidden layers, K = " + std::to_string(samples) +
           (activation == nn::Activation::relu ? "" : ", layer norm");
  }
};

/// One network with inputs, packed for a level.
template <class T>
struct Network {
  std::vector<int64_t> hidden;
  int64_t samples;
  nn::StackedMlp mlp;
  at::Tensor obs = cem::normals({1, kBatch, 1, kObs}, {1, 0}, 0).squeeze(2).to(dtype());
  at::Tensor actions = at::tanh(cem::normals({1, kBatch, samples, kActions}, {1, 1}, 0)).to(dtype());
  nn::ObservationPart<T> part{obs.const_data_ptr<T>(), kObs, kObs};

  explicit Network(const Kind& kind) : hidden(kind.hidden), samples(kind.samples) {
    std::vector<int64_t> sizes{kObs + kActions};
    sizes.insert(sizes.end(), hidden.begin(), hidden.end());
    sizes.push_back(1);
    mlp = nn::init({.sizes = sizes, .seeds = {3}, .dtype = dtype()});
    mlp.activation = {kind.activation};
    for (size_t i = 0; mlp.activation.has_layer_norm() && i < hidden.size(); ++i) {
      const at::Tensor noise = cem::normals({1, hidden[i], 2, 1}, {1, 2}, 0).to(dtype());
      mlp.norm_scales.push_back((1 + 0.3 * noise.select(2, 0)).view({1, hidden[i]}).contiguous());
      mlp.norm_shifts.push_back((0.3 * noise.select(2, 1)).view({1, hidden[i]}).contiguous());
    }
  }

  static at::ScalarType dtype() { return c10::CppTypeToScalarType<T>::value; }

  nn::CriticShape shape() const {
    return {kObs, kActions, samples, 1, hidden.data(), static_cast<int64_t>(hidden.size()), mlp.activation};
  }
  nn::CriticStates<T> states() const { return {&part, 1, actions.const_data_ptr<T>(), kBatch}; }
  at::Tensor packed(const nn::CriticKernels<T>& kernels, nn::Precision precision) const {
    at::Tensor to = at::empty({kernels.packed_size(shape())}, dtype());
    kernels.pack(shape(), Pointers<const T>(mlp), precision, to.mutable_data_ptr<T>());
    return to;
  }
};

void expect_near(const at::Tensor& got, const at::Tensor& wanted, double share, const std::string& what) {
  EXPECT_LE((got - wanted).norm().item<double>(), share * wanted.norm().item<double>()) << what;
}

/// Values, and gradients of obs, actions and parameters of the sum of their squares.
template <class T>
std::vector<at::Tensor> by_kernels(const nn::CriticKernels<T>& kernels, const Network<T>& n, nn::Precision precision) {
  const at::Tensor packed = n.packed(kernels, precision);
  at::Tensor scratch = at::empty({kernels.scratch_size(n.shape())}, n.dtype());
  at::Tensor sums = at::zeros({kernels.sums_size(n.shape())}, n.dtype());
  const nn::CriticPass<T> pass{n.shape(), precision, packed.template const_data_ptr<T>(),
                               scratch.template mutable_data_ptr<T>()};
  std::vector<at::Tensor> result{at::empty({1, kBatch, n.samples}, n.dtype()), at::empty_like(n.obs),
                                 at::empty_like(n.actions)};
  kernels.values(pass, n.states(), result[0].template mutable_data_ptr<T>());
  const at::Tensor upstream = 2 * result[0];
  kernels.gradients(
      pass, n.states(), upstream.template const_data_ptr<T>(), sums.template mutable_data_ptr<T>(),
      {nn::Wanted::all, result[1].template mutable_data_ptr<T>(), result[2].template mutable_data_ptr<T>()});
  nn::StackedMlp gradients = n.mlp;
  for (at::Tensor* tensor : parameters(gradients)) result.push_back(*tensor = at::empty_like(*tensor));
  kernels.reduce_gradients(n.shape(), sums.template const_data_ptr<T>(), 1, Pointers<T>(gradients));
  return result;
}

template <class T>
std::vector<at::Tensor> by_torch(const Network<T>& n) {
  nn::StackedMlp mlp = n.mlp;
  const at::Tensor obs = n.obs.clone().requires_grad_(true), actions = n.actions.clone().requires_grad_(true);
  std::vector<at::Tensor> inputs{obs, actions};
  for (at::Tensor* tensor : parameters(mlp)) inputs.push_back(*tensor = tensor->clone().requires_grad_(true));
  const at::Tensor q = nn::candidate_values(mlp, obs, actions, {nn::Kernels::plain})[0];
  std::vector<at::Tensor> result{q.detach()};
  for (const at::Tensor& g : torch::autograd::grad({q.square().sum()}, inputs)) result.push_back(g);
  return result;
}

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const std::vector<int64_t>& hidden :
       {std::vector<int64_t>{24}, {64, 64}, {30, 19}, {40, 136, 9}, {17, 8, 33, 12}}) {
    for (const nn::Activation activation : {nn::Activation::relu, nn::Activation::layer_norm_relu}) {
      for (const int64_t samples : {1, 6}) all.push_back({hidden, activation, samples});
    }
  }
  return all;
}

template <class T>
void expect_like_torch(double share) {
  for (const Kind& kind : kinds()) {
    const Network<T> network(kind);
    const std::vector<at::Tensor> wanted = by_torch(network);
    for (const Level& level : all_levels()) {
      const auto got = by_kernels(level.critic_of<T>(), network, nn::Precision::float32);
      for (size_t i = 0; i < got.size(); ++i) {
        expect_near(got[i], wanted[i], share, level.name + ", " + kind.text() + ", tensor " + std::to_string(i));
      }
    }
  }
}

TEST(CriticKernels, AreLikeLibTorchAtEveryLevel) {
  expect_like_torch<float>(1e-4);
  expect_like_torch<double>(1e-12);
}

/// Every level rounds the same operands; test_nn_fused.py has the oracle of one of them.
TEST(CriticKernels, AgreeInBfloat16AtEveryLevel) {
  for (const Kind& kind : kinds()) {
    const Network<float> network(kind);
    std::vector<at::Tensor> first;
    for (const Level& level : all_levels()) {
      const auto got = by_kernels(level.critic, network, nn::Precision::bf16);
      if (first.empty()) first = got;
      for (size_t i = 0; i < got.size(); ++i) {
        expect_near(got[i], first[i], 2e-3, level.name + ", " + kind.text() + ", tensor " + std::to_string(i));
      }
    }
  }
}

/// The search of one member at a level, on normals drawn here.
at::Tensor search(const Level& level, const Network<float>& network, const cem::CemOptions& options) {
  const nn::CriticShape shape = network.shape();
  const int64_t elites = options.refit == cem::Refit::elite ? options.elites : 0;
  const at::Tensor packed = network.packed(level.critic, options.precision);
  at::Tensor memory = at::empty({level.search.memory_size(shape)});
  at::Tensor kept = at::empty({level.search.kept_size(shape, elites)});
  const at::Tensor policy = network.actions.select(2, 0).contiguous();
  at::Tensor actions = at::empty_like(policy), values = at::empty({1, kBatch});
  const cem::SearchPass<float> pass{
      {shape, options.precision, packed.const_data_ptr<float>(), memory.mutable_data_ptr<float>()},
      kept.mutable_data_ptr<float>(),
      1,
      0,
      options,
      draws::base::kernels(),
      {3, 4, static_cast<std::uint32_t>(Stream::cem), 0, 0, kBatch, network.samples, kActions}};
  level.search.search(pass, {network.obs.const_data_ptr<float>(), policy.const_data_ptr<float>(),
                             actions.mutable_data_ptr<float>(), values.mutable_data_ptr<float>(), kBatch});
  expect_near(
      nn::candidate_values(network.mlp, network.obs, actions.unsqueeze(2), {nn::Kernels::plain, options.precision})
          .view({1, kBatch}),
      values, options.precision == nn::Precision::bf16 ? 1e-2 : 1e-4, level.name);
  return values;
}

TEST(SearchKernels, FindTheSameAtEveryLevel) {
  for (const Kind& kind : kinds()) {
    if (kind.samples < 3) continue;  // fewer than the elites
    for (const cem::Refit refit : {cem::Refit::softmax, cem::Refit::elite}) {
      for (const nn::Precision precision : {nn::Precision::float32, nn::Precision::bf16}) {
        const Network<float> network(kind);
        const cem::CemOptions options{.samples = kind.samples, .refit = refit, .elites = 3, .precision = precision};
        at::Tensor first;
        for (const Level& level : all_levels()) {
          const at::Tensor values = search(level, network, options);
          if (!first.defined()) first = values;
          expect_near(values, first, 2e-2, level.name);
        }
      }
    }
  }
}

}  // namespace
}  // namespace omar
