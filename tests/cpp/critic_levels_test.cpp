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
#include <vector>

#include "cem/search_kernels.h"
#include "core/draws_kernels.h"
#include "nn/critic_kernels.h"

namespace omar {
namespace {

constexpr int64_t kObs = 9, kActions = 2, kBatch = 70, kSamples = 6;

struct Level {
  std::string name;
  nn::CriticKernels<float> critic;
  cem::SearchKernels<float> search;
};

std::vector<Level> all_levels() {
  std::vector<Level> all{{"base", nn::base::critic_kernels_float(), cem::base::search_kernels_float()}};
#if defined(__x86_64__) && defined(__GNUC__)
  const CpuLevel best = available_cpu_levels().back();
  const auto add = [&](CpuLevel level, auto critic, auto search) {
    if (best >= level) all.push_back({to_string(level), critic(), search()});
  };
  add(CpuLevel::avx2, nn::avx2::critic_kernels_float, cem::avx2::search_kernels_float);
  add(CpuLevel::avx512, nn::avx512::critic_kernels_float, cem::avx512::search_kernels_float);
  add(CpuLevel::bf16, nn::bf16::critic_kernels_float, cem::bf16::search_kernels_float);
  add(CpuLevel::amx, nn::amx::critic_kernels_float, cem::amx::search_kernels_float);
#endif
  return all;
}

/// One network with inputs, packed for a level.
struct Network {
  nn::StackedMlp mlp;
  at::Tensor obs = cem::normals({1, kBatch, 1, kObs}, {1, 0}, 0).squeeze(2);
  at::Tensor actions = at::tanh(cem::normals({1, kBatch, kSamples, kActions}, {1, 1}, 0));
  std::vector<int64_t> hidden;
  std::vector<const float*> weights, biases;

  explicit Network(std::vector<int64_t> widths) : hidden(std::move(widths)) {
    std::vector<int64_t> sizes{kObs + kActions};
    sizes.insert(sizes.end(), hidden.begin(), hidden.end());
    sizes.push_back(1);
    mlp = nn::init({sizes, {3}});
    for (const at::Tensor& w : mlp.weights) weights.push_back(w.const_data_ptr<float>());
    for (const at::Tensor& b : mlp.biases) biases.push_back(b.const_data_ptr<float>());
  }

  nn::CriticShape shape() const {
    return {kObs, kActions, kSamples, 1, hidden.data(), static_cast<int64_t>(hidden.size()), {}};
  }
  nn::CriticStates<float> states() const {
    return {obs.const_data_ptr<float>(), actions.const_data_ptr<float>(), kBatch};
  }
  at::Tensor packed(const nn::CriticKernels<float>& kernels, nn::Precision precision) const {
    at::Tensor to = at::empty({kernels.packed_size(shape())});
    kernels.pack(shape(), {weights.data(), biases.data()}, precision, to.mutable_data_ptr<float>());
    return to;
  }
};

void expect_near(const at::Tensor& got, const at::Tensor& wanted, double share, const std::string& what) {
  EXPECT_LE((got - wanted).norm().item<double>(), share * wanted.norm().item<double>()) << what;
}

/// Values, and gradients of obs, actions, weights and biases of the sum of their squares.
std::vector<at::Tensor> by_kernels(const nn::CriticKernels<float>& kernels, const Network& n, nn::Precision precision) {
  const at::Tensor packed = n.packed(kernels, precision);
  at::Tensor scratch = at::empty({kernels.scratch_size(n.shape())});
  at::Tensor sums = at::zeros({kernels.sums_size(n.shape())});
  const nn::CriticPass<float> pass{n.shape(), precision, packed.const_data_ptr<float>(),
                                   scratch.mutable_data_ptr<float>()};
  std::vector<at::Tensor> result{at::empty({1, kBatch, kSamples}), at::empty_like(n.obs), at::empty_like(n.actions)};
  kernels.values(pass, n.states(), result[0].mutable_data_ptr<float>());
  const at::Tensor upstream = 2 * result[0];
  kernels.gradients(pass, n.states(), upstream.const_data_ptr<float>(), sums.mutable_data_ptr<float>(),
                    {nn::Wanted::all, result[1].mutable_data_ptr<float>(), result[2].mutable_data_ptr<float>()});
  std::vector<float*> weights, biases;
  for (const at::Tensor& w : n.mlp.weights) {
    result.push_back(at::empty_like(w));
    weights.push_back(result.back().mutable_data_ptr<float>());
  }
  for (const at::Tensor& b : n.mlp.biases) {
    result.push_back(at::empty_like(b));
    biases.push_back(result.back().mutable_data_ptr<float>());
  }
  kernels.reduce_gradients(n.shape(), sums.const_data_ptr<float>(), 1, {weights.data(), biases.data()});
  return result;
}

std::vector<at::Tensor> by_torch(const Network& n) {
  nn::StackedMlp mlp = n.mlp;
  const at::Tensor obs = n.obs.clone().requires_grad_(true), actions = n.actions.clone().requires_grad_(true);
  std::vector<at::Tensor> inputs{obs, actions};
  for (at::Tensor& w : mlp.weights) inputs.push_back(w = w.clone().requires_grad_(true));
  for (at::Tensor& b : mlp.biases) inputs.push_back(b = b.clone().requires_grad_(true));
  const at::Tensor q = nn::candidate_values(mlp, obs, actions, {nn::Path::plain})[0];
  std::vector<at::Tensor> result{q.detach()};
  for (const at::Tensor& g : torch::autograd::grad({q.square().sum()}, inputs)) result.push_back(g);
  return result;
}

TEST(CriticKernels, AreLikeLibTorchAtEveryLevel) {
  for (const std::vector<int64_t>& hidden :
       {std::vector<int64_t>{24}, {64, 64}, {30, 19}, {40, 136, 9}, {17, 8, 33, 12}}) {
    const Network network(hidden);
    const std::vector<at::Tensor> wanted = by_torch(network);
    std::vector<at::Tensor> rounded;
    for (const Level& level : all_levels()) {
      const std::string what = level.name + ", " + std::to_string(hidden.size()) + " hidden layers, tensor ";
      const auto got = by_kernels(level.critic, network, nn::Precision::float32);
      for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], wanted[i], 1e-4, what + std::to_string(i));
      // Every level rounds the same operands; test_nn_fused.py has the oracle of one of them.
      const auto half = by_kernels(level.critic, network, nn::Precision::bf16);
      if (rounded.empty()) rounded = half;
      for (size_t i = 0; i < half.size(); ++i) {
        expect_near(half[i], rounded[i], 2e-3, what + std::to_string(i) + " in bf16");
      }
    }
  }
}

/// The search of one member at a level, on normals drawn here.
at::Tensor search(const Level& level, const Network& network, const cem::CemOptions& options) {
  const nn::CriticShape shape = network.shape();
  const int64_t elites = options.refit == cem::Refit::elite ? options.elites : 0;
  const at::Tensor packed = network.packed(level.critic, options.precision);
  at::Tensor memory = at::empty({level.search.memory_size(shape, elites)});
  const at::Tensor policy = network.actions.select(2, 0).contiguous();
  at::Tensor actions = at::empty_like(policy), values = at::empty({1, kBatch});
  const cem::SearchPass<float> pass{
      {shape, options.precision, packed.const_data_ptr<float>(), memory.mutable_data_ptr<float>()},
      1,
      0,
      options,
      draws::base::kernels(),
      {3, 4, static_cast<std::uint32_t>(Stream::cem), 0, 0, kBatch, kSamples, kActions}};
  level.search.search(pass, {network.obs.const_data_ptr<float>(), policy.const_data_ptr<float>(),
                             actions.mutable_data_ptr<float>(), values.mutable_data_ptr<float>(), kBatch});
  expect_near(nn::candidate_values(network.mlp, network.obs, actions.unsqueeze(2), {nn::Path::plain, options.precision})
                  .view({1, kBatch}),
              values, options.precision == nn::Precision::bf16 ? 1e-2 : 1e-4, level.name);
  return values;
}

TEST(SearchKernels, FindTheSameAtEveryLevel) {
  for (const std::vector<int64_t>& hidden : {std::vector<int64_t>{24}, {64, 64}, {40, 136, 9}}) {
    for (const cem::Refit refit : {cem::Refit::softmax, cem::Refit::elite}) {
      for (const nn::Precision precision : {nn::Precision::float32, nn::Precision::bf16}) {
        const Network network(hidden);
        const cem::CemOptions options{.samples = kSamples, .refit = refit, .elites = 3, .precision = precision};
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
