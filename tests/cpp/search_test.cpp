// The search as a host program calls it: with a StackedMlp, with an ensemble, with a scorer of its own.

#include <omar/cem/cem.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <tuple>

namespace omar::cem {
namespace {

constexpr int64_t kMembers = 2, kBatch = 37, kObs = 5, kSize = 2;
const Draw kDraw{.seed = 7, .step = 3};

struct Host {
  nn::StackedMlp critic = nn::init({{kObs + kSize, 16, 16, 1}, {1, 2, 3, 4, 5, 6}});  // T * M networks
  at::Tensor obs = normals({kMembers, kBatch, 1, kObs}, kDraw, 40).squeeze(2);
  at::Tensor policy = normals({kMembers, kBatch, 1, kSize}, kDraw, 41).squeeze(2).clamp(-1, 1);

  /// Scores [T, M, B, K].
  at::Tensor scores(const at::Tensor& actions) const { return nn::candidate_values(critic, obs, actions); }
};

TEST(Maximize, TakesTheFirstCriticOfAStack) {
  const Host host;
  const auto [actions, values] = maximize(host.critic, host.obs, host.policy, {}, kDraw);
  EXPECT_EQ(actions.sizes(), host.policy.sizes());
  EXPECT_TRUE(at::allclose(values, host.scores(actions.unsqueeze(2))[0].squeeze(-1), 1e-5, 1e-5));
  EXPECT_TRUE((values >= host.scores(host.policy.unsqueeze(2))[0].squeeze(-1) - 1e-5).all().item<bool>());
}

TEST(Maximize, TakesAnEnsembleAndAScorerAlike) {
  const Host host;
  CemOptions options;
  const Scorer scorers[] = {[&](const at::Tensor& a) { return host.scores(a)[0]; },
                            [&](const at::Tensor& a) { return host.scores(a).mean(0); },
                            [&](const at::Tensor& a) { return at::amin(host.scores(a), 0); }};
  for (const Reduction reduction : {Reduction::first, Reduction::mean, Reduction::min}) {
    const auto wanted = maximize(scorers[static_cast<int>(reduction)], host.policy, CemOptions{}, kDraw);
    options.reduction = reduction;
    for (const Kernels kernels : {Kernels::fused, Kernels::plain}) {
      const auto [actions, values] = maximize(host.critic, host.obs, host.policy, options, kDraw, kernels);
      EXPECT_TRUE(at::allclose(values, wanted.second, 1e-4, 1e-4));
    }
  }
}

TEST(Maximize, NormalizesEachRoundByItsOwnMoments) {
  const Host host;
  const nn::BatchNorm norm{normals({kMembers, 1, 1, kObs + kSize}, kDraw, 42).flatten(1) + 1.0,
                           normals({kMembers, 1, 1, kObs + kSize}, kDraw, 43).flatten(1)};
  const nn::Moments observed = nn::moments(host.obs);
  const Scorer scorer = [&](const at::Tensor& actions) {
    nn::StackedMlp critic = host.critic;
    std::tie(critic.weights[0], critic.biases[0]) =
        nn::fold(critic.weights[0], critic.biases[0], norm, {observed, nn::moments(actions)});
    return nn::candidate_values(critic, host.obs, actions)[0];
  };
  CemOptions options;
  for (const Refit refit : {Refit::softmax, Refit::elite}) {
    options.refit = refit;
    const auto wanted = maximize(scorer, host.policy, options, kDraw);
    const auto [actions, values] = maximize(host.critic, norm, host.obs, host.policy, options, kDraw);
    EXPECT_TRUE(at::allclose(actions, wanted.first, 1e-4, 1e-4));
    EXPECT_TRUE(at::allclose(values, wanted.second, 1e-4, 1e-4));
  }
}

TEST(Maximize, RefusesANormalisationOfOtherMembersOrColumns) {
  const Host host;
  const at::Tensor scale = at::zeros({kMembers, kObs + kSize}), other = at::zeros({kMembers + 1, kObs + kSize});
  EXPECT_THROW(maximize(host.critic, {other, other}, host.obs, host.policy, {}, kDraw), c10::ValueError);
  EXPECT_THROW(maximize(host.critic, {scale, other}, host.obs, host.policy, {}, kDraw), c10::ValueError);
  EXPECT_THROW(nn::fold(host.critic.weights[0], host.critic.biases[0], {scale, scale}, {nn::moments(host.obs)}),
               c10::ValueError);
}

TEST(Maximize, RefusesWhatIsTheScorersBusiness) {
  const Host host;
  const Scorer scorer = [](const at::Tensor& a) { return a.sum(-1); };
  EXPECT_THROW(maximize(scorer, host.policy, {.reduction = Reduction::min}, kDraw), c10::ValueError);
  EXPECT_THROW(maximize(scorer, host.policy, {.precision = Precision::bf16}, kDraw), c10::ValueError);
  EXPECT_THROW(maximize(scorer, at::zeros({kMembers, 0, kSize}), {}, kDraw), c10::ValueError);
}

}  // namespace
}  // namespace omar::cem
