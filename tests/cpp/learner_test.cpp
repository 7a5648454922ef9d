// The fused kernels of critics and search against LibTorch ops, so that sanitizers see them: Python's tests go deeper.

#include <omar/cem/cem.h>
#include <omar/cql/penalty.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace omar {
namespace {

constexpr int64_t kMembers = 3, kActions = 2;

/// Sizes of a critic and its candidates.
struct Shape {
  int64_t obs;
  std::vector<int64_t> hidden;
  int64_t batch, samples;
  nn::Activation activation = nn::Activation::relu;

  std::vector<int64_t> sizes() const {
    std::vector<int64_t> all{obs + kActions};
    all.insert(all.end(), hidden.begin(), hidden.end());
    all.push_back(1);
    return all;
  }
};

constexpr nn::Activation kLayerNorm = nn::Activation::layer_norm_relu;
const std::vector<Shape> kShapes{{18, {64, 64}, 130, 10},
                                 {5, {30, 19}, 13, 7},
                                 {3, {8, 40}, 1, 1},
                                 {6, {256, 256}, 9, 20},
                                 {18, {64}, 130, 10},
                                 {5, {19}, 13, 7},
                                 {18, {64, 40, 72}, 130, 10},
                                 {5, {30, 19, 5, 33}, 13, 7},
                                 {58, {64, 64}, 130, 1, kLayerNorm},
                                 {5, {30, 19, 9}, 13, 7, kLayerNorm}};

/// Twin critics with their inputs.
struct Case {
  nn::StackedMlp critic;
  at::Tensor obs, actions;

  explicit Case(const Shape& s)
      : critic(nn::init({s.sizes(), {0, 1, 2, 3, 4, 5}})),
        obs(cem::normals({kMembers, s.batch, 1, s.obs}, {1, 0}, 0).squeeze(2)),
        actions(at::tanh(cem::normals({kMembers, s.batch, s.samples, kActions}, {1, 1}, 0))) {
    critic.activation = {s.activation};
    for (const int64_t size : s.hidden) {
      if (!critic.activation.has_layer_norm()) continue;
      const at::Tensor noise = cem::normals({critic.members(), size, 2, 1}, {1, 2}, 0).squeeze(3);
      critic.norm_scales.push_back((1 + 0.3 * noise.select(2, 0)).contiguous());
      critic.norm_shifts.push_back((0.3 * noise.select(2, 1)).contiguous());
    }
    for_parameters([](at::Tensor& tensor) { tensor.requires_grad_(true); });
  }

  template <class Body>
  void for_parameters(const Body& body) {
    for (auto* group : {&critic.weights, &critic.biases, &critic.norm_scales, &critic.norm_shifts}) {
      for (at::Tensor& tensor : *group) body(tensor);
    }
  }

  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto* group : {&critic.weights, &critic.biases, &critic.norm_scales, &critic.norm_shifts}) {
      all.insert(all.end(), group->begin(), group->end());
    }
    return all;
  }
};

void expect_near(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double distance = (got[i] - wanted[i]).norm().item<double>();
    EXPECT_LE(distance, share * wanted[i].norm().item<double>()) << "tensor " << i;
  }
}

/// Values and the gradients of a sum that weighs them differently.
std::vector<at::Tensor> values_and_gradients(const Case& c, nn::Scoring scoring) {
  const at::Tensor obs = c.obs.detach().clone().requires_grad_(true);
  const at::Tensor actions = c.actions.detach().clone().requires_grad_(true);
  const at::Tensor q = nn::candidate_values(c.critic, obs, actions, scoring);
  std::vector<at::Tensor> inputs = c.parameters();
  inputs.insert(inputs.end(), {obs, actions});
  std::vector<at::Tensor> result = torch::autograd::grad({(q * q.detach() + q).sum()}, inputs);
  result.push_back(q.detach());
  return result;
}

std::vector<at::Tensor> penalty_and_gradients(const Case& c, nn::Scoring scoring) {
  const nn::Candidates candidates{c.actions, c.actions.sum(-1)};
  const at::Tensor mean = cql::mean_logsumexp(c.critic, c.obs, candidates, scoring);
  std::vector<at::Tensor> result = torch::autograd::grad({mean.sum()}, c.parameters());
  result.push_back(mean.detach());
  return result;
}

class FusedLearner : public testing::TestWithParam<nn::Precision> {};

TEST(FusedCritic, IsLikeThePlainOne) {
  for (const Shape& shape : kShapes) {
    const Case c(shape);
    const nn::Scoring fused{nn::Kernels::fused}, plain{nn::Kernels::plain};
    expect_near(values_and_gradients(c, fused), values_and_gradients(c, plain), 1e-4);
    expect_near(penalty_and_gradients(c, fused), penalty_and_gradients(c, plain), 1e-4);
  }
}

/// What depends on the first member alone, with two threads or one.
std::vector<at::Tensor> of_first_member(const Case& whole, int64_t count, nn::Precision precision) {
  Case c = whole;
  std::vector<int64_t> networks;
  for (int64_t twin = 0; twin < 2; ++twin) {
    for (int64_t m = 0; m < count; ++m) networks.push_back(twin * kMembers + m);
  }
  const at::Tensor index = at::tensor(networks);
  c.for_parameters([&](at::Tensor& x) { x = x.detach().index_select(0, index).requires_grad_(true); });
  c.obs = c.obs.narrow(0, 0, count);
  c.actions = c.actions.narrow(0, 0, count);
  const nn::Scoring fused{nn::Kernels::fused, precision};
  std::vector<at::Tensor> result = values_and_gradients(c, fused);
  const std::vector<at::Tensor> penalty = penalty_and_gradients(c, fused);
  result.insert(result.end(), penalty.begin(), penalty.end());
  for (at::Tensor& x : result) {
    if (x.size(0) == 2 * count) x = x.view({2, count, -1});  // of every network
    x = (x.size(0) == 2 ? x.select(1, 0) : x[0]).flatten();
  }
  return result;
}

TEST_P(FusedLearner, AMemberDependsOnNeitherTheStackNorTheThreads) {
  const int threads = at::get_num_threads();
  for (const Shape& shape : {Shape{18, {64, 64}, 1030, 10}, Shape{5, {19}, 700, 1}, Shape{5, {30, 40, 9}, 260, 3},
                             Shape{18, {64, 64}, 1030, 1, kLayerNorm}}) {
    const Case c(shape);
    std::vector<std::vector<at::Tensor>> results;
    for (const int64_t count : {int64_t{1}, kMembers}) {
      for (const int n : {1, 2}) {
        at::set_num_threads(n);
        results.push_back(of_first_member(c, count, GetParam()));
      }
    }
    for (const std::vector<at::Tensor>& result : results) {
      for (size_t i = 0; i < result.size(); ++i) EXPECT_TRUE(at::equal(result[i], results[0][i])) << "tensor " << i;
    }
  }
  at::set_num_threads(threads);
}

TEST_P(FusedLearner, SearchFindsWhatItsValuesSay) {
  for (const Shape& shape : kShapes) {
    for (const cem::Refit refit : {cem::Refit::softmax, cem::Refit::elite}) {
      if (refit == cem::Refit::elite && shape.samples < 2) continue;
      const Case c(shape);
      cem::CemOptions options{.samples = shape.samples, .refit = refit, .precision = GetParam()};
      options.elites = std::clamp<int64_t>(shape.samples / 3, 2, 5);
      const at::Tensor policy = c.actions.select(2, 0);
      const auto [actions, values] = cem::maximize(c.critic, c.obs, policy, options, {3, 4}, nn::Kernels::fused);
      const nn::Scoring scoring{nn::Kernels::fused, GetParam()};
      const auto score = [&](const at::Tensor& a) {
        return nn::candidate_values(nn::first(c.critic, kMembers), c.obs, a.unsqueeze(2), scoring).detach()[0];
      };
      expect_near({score(actions).squeeze(-1)}, {values}, 1e-4);
      if (shape.samples > 1) {
        EXPECT_TRUE((values > score(policy).squeeze(-1) + 1e-5).any().item<bool>());
      }
      EXPECT_TRUE((values >= score(policy).squeeze(-1) - 1e-5).all().item<bool>());
      EXPECT_LE(actions.abs().max().item<double>(), 1.0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, FusedLearner, testing::Values(nn::Precision::float32, nn::Precision::bf16),
                         [](const auto& tested) {
                           return std::string(tested.param == nn::Precision::bf16 ? "bf16" : "float32");
                         });

TEST(FusedPenalty, HasNoSubnormalWeights) {
  // h1 = h2 = (relu(a), relu(-a)), Q = 99 relu(a): of the candidates 1 and -1 only the first has any weight.
  const at::TensorOptions options = at::kFloat;
  const auto identity = [&] { return at::eye(2, options).unsqueeze(0); };
  nn::StackedMlp critic{{at::tensor({0.0, 0.0, 1.0, -1.0}, options).view({1, 2, 2}), identity(),
                         at::tensor({99.0, 1.0}, options).view({1, 2, 1})},
                        {at::zeros({1, 2}, options), at::zeros({1, 2}, options), at::zeros({1, 1}, options)}};
  critic.biases[0].requires_grad_(true);
  const nn::Candidates candidates{at::tensor({1.0, -1.0}, options).view({1, 1, 2, 1}), at::zeros({1, 1, 2}, options)};
  const at::Tensor mean = cql::mean_logsumexp(critic, at::zeros({1, 1, 1}, options), candidates, {nn::Kernels::fused});
  const at::Tensor gradient = torch::autograd::grad({mean.sum()}, {critic.biases[0]})[0];
  EXPECT_FLOAT_EQ(mean.item<float>(), 99.0f);
  EXPECT_FLOAT_EQ(gradient[0][0].item<float>(), 99.0f);
  EXPECT_EQ(gradient[0][1].item<float>(), 0.0f);
}

TEST(FusedForward, IsLikeThePlainOne) {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{7, 33, 5}, {7, 33, 64, 5}, {7, 33, 64, 20, 9, 5}}) {
    const nn::StackedMlp mlp = nn::init({sizes, {0, 1, 2}});
    const at::Tensor x = cem::normals({3, 50, 1, 7}, {5, 0}, 0).squeeze(2);
    expect_near({nn::forward(mlp, x, nn::Kernels::fused)}, {nn::forward(mlp, x, nn::Kernels::plain)}, 1e-5);
  }
}

TEST(FusedObstacle, NamesTheReason) {
  EXPECT_EQ(nn::fused_obstacle(nn::init({{7, 4, 1}, {0}})), std::nullopt);
  EXPECT_EQ(nn::fused_obstacle(nn::init({{7, 1}, {0}})), "the network has no hidden layer");
  const at::Tensor wanted = at::zeros({1}).requires_grad_(true);
  EXPECT_EQ(nn::fused_obstacle(nn::init({{7, 4, 1}, {0}}), wanted),
            "gradients of observations, actions or densities are wanted");
}

}  // namespace
}  // namespace omar
