// The refit of states, on the CPU and as a CUDA thread runs it, against one made of LibTorch ops.

#include <omar/cem/cem.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace omar::cem {
namespace {

constexpr int64_t kStates = 40, kSize = 3;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

struct Case {
  Distribution previous;
  Pool pool;
};

// ---- the oracle ----------------------------------------------------------------------------------------------------

/// The largest finite score is taken off before anything is multiplied.
Distribution softmax_oracle(const Case& c, double beta) {
  const auto& [actions, q] = c.pool;
  const at::Tensor finite = at::isfinite(q);
  const at::Tensor count = finite.sum(-1, /*keepdim=*/true).to(q.scalar_type());  // [M, B, 1]
  const at::Tensor found = count > 0;
  // In double, where differences of float scores are finite; those of double ones are cut off.
  const at::Tensor top = at::where(finite, q, -kInf).amax(-1, /*keepdim=*/true);
  const at::Tensor below = at::where(
      finite, (q.to(at::kDouble) - top.to(at::kDouble)).clamp_min(std::numeric_limits<double>::lowest()), -1.0);
  const at::Tensor scores = at::where(found, at::where(finite, below * beta, -kInf), 0.0);
  const at::Tensor weights = at::softmax(scores, -1).to(q.scalar_type());
  const at::Tensor mu = (weights.unsqueeze(-1) * actions).sum(2);
  const at::Tensor square = (actions - mu.unsqueeze(2)).square();
  const at::Tensor sigma = (at::where(finite.unsqueeze(-1), square, 0.0).sum(2) / count.clamp_min(1)).sqrt();
  return {at::where(found, mu, c.previous.mu), at::where(found, sigma, c.previous.sigma)};
}

Distribution elite_oracle(const Case& c, int64_t count) {
  const Pool best = elites(c.pool, count);
  const at::Tensor finite = at::isfinite(best.q).unsqueeze(-1);  // [M, B, k, 1]
  const at::Tensor n = finite.sum(2).to(best.q.scalar_type());   // [M, B, 1]
  const at::Tensor mu = at::where(finite, best.actions, 0.0).sum(2) / n.clamp_min(1);
  const at::Tensor square = at::where(finite, (best.actions - mu.unsqueeze(2)).square(), 0.0);
  const at::Tensor sigma = (square.sum(2) / (n - 1).clamp_min(1)).sqrt();
  return {at::where(n > 0, mu, c.previous.mu), at::where(n > 1, sigma, c.previous.sigma)};
}

Distribution oracle(const Case& c, const CemOptions& options) {
  return options.refit == Refit::softmax ? softmax_oracle(c, options.beta) : elite_oracle(c, options.elites);
}

// ---- cases ---------------------------------------------------------------------------------------------------------

/// Scores with NaN, infinities and equal ones; the last states have none, one or two that are finite.
Case make_case(int64_t samples, at::ScalarType dtype) {
  const auto draw = [&](c10::IntArrayRef sizes, int64_t step) {
    return normals(sizes, Draw{7, step}, 0).to(dtype).contiguous();
  };
  Case c{
      {draw({1, kStates, 1, kSize}, 1).squeeze(2), draw({1, kStates, 1, kSize}, 2).squeeze(2).abs() + 0.1},
      {draw({1, kStates, samples, kSize}, 3).clamp(-1, 1), (draw({1, kStates, samples, 1}, 4) * 4).round().squeeze(3)}};
  at::Tensor& q = c.pool.q;
  for (int64_t state = 0; state < kStates / 2; ++state) {
    q.select(1, state).select(1, state % samples).fill_(state % 3 == 0 ? kNan : state % 3 == 1 ? kInf : -kInf);
  }
  for (int64_t finite = 0; finite < 3; ++finite) {
    if (finite < samples) q.select(1, kStates - 1 - finite).narrow(1, finite, samples - finite).fill_(kNan);
  }
  return c;
}

void compare(const Case& c, const CemOptions& options, double tolerance) {
  const Distribution expected = oracle(c, options), got = refit(c.previous, c.pool, options);
  EXPECT_TRUE(at::allclose(got.mu, expected.mu, tolerance, tolerance)) << options.samples << " " << options.beta;
  EXPECT_TRUE(at::allclose(got.sigma, expected.sigma, tolerance, tolerance)) << options.samples << " " << options.beta;
}

void compare(Refit kind, at::ScalarType dtype, double tolerance) {
  for (const int64_t samples : {2, 10, 25, 200}) {
    for (const double beta : {0.0, 1.0, 8.0, 1e30}) {
      CemOptions options;
      options.samples = samples;
      options.refit = kind;
      options.elites = samples == 2 ? 2 : samples == 200 ? 100 : 5;  // 100: more than nth takes passes
      options.beta = beta;
      compare(make_case(samples, dtype), options, tolerance);
    }
  }
}

TEST(Refit, SoftmaxIsTheOneOfTensors) {
  compare(Refit::softmax, at::kFloat, 2e-6);
  compare(Refit::softmax, at::kDouble, 1e-12);
}

TEST(Refit, EliteIsTheOneOfTensors) {
  compare(Refit::elite, at::kFloat, 2e-6);
  compare(Refit::elite, at::kDouble, 1e-12);
}

TEST(Refit, OfOneSampleIsThatSample) {
  Case c = make_case(1, at::kDouble);
  CemOptions options;
  options.samples = 1;
  compare(c, options, 1e-12);
  c.pool.q.fill_(3.0);
  const Distribution got = refit(c.previous, c.pool, options);
  EXPECT_TRUE(got.mu.equal(c.pool.actions.squeeze(2)));
  EXPECT_TRUE(got.sigma.equal(at::zeros({1, kStates, kSize}, at::kDouble)));
}

TEST(Refit, KeepsTheDistributionOfAStateWithoutFiniteScores) {
  Case c = make_case(10, at::kDouble);
  c.pool.q.fill_(kNan);
  for (const Refit kind : {Refit::softmax, Refit::elite}) {
    CemOptions options;
    options.refit = kind;
    const Distribution got = refit(c.previous, c.pool, options);
    EXPECT_TRUE(got.mu.equal(c.previous.mu));
    EXPECT_TRUE(got.sigma.equal(c.previous.sigma));
  }
}

/// Scores whose products with beta, and whose differences, leave the range of their type.
TEST(Refit, OfFiniteScoresIsFinite) {
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const double most = dtype == at::kFloat ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    const std::vector<std::vector<double>> rows = {{1, 2, 1}, {-3, 3, 3},   {-3, -3, 3},
                                                   {3, 3, 3}, {-3, -3, -3}, {0, 0, 3}};
    for (const std::vector<double>& row : rows) {
      Case c = make_case(3, dtype);
      c.pool.q.copy_(at::tensor(row, at::kDouble) / 3 * most);
      for (const double beta : {0.0, 1e-30, 8.0, 3e38}) {
        for (const Refit kind : {Refit::softmax, Refit::elite}) {
          CemOptions options;
          options.samples = 3;
          options.refit = kind;
          options.elites = 2;
          options.beta = beta;
          const Distribution got = refit(c.previous, c.pool, options);
          EXPECT_TRUE(at::isfinite(got.mu).all().item<bool>()) << row << " " << beta;
          EXPECT_TRUE(at::isfinite(got.sigma).all().item<bool>()) << row << " " << beta;
          compare(c, options, dtype == at::kFloat ? 2e-6 : 1e-12);
        }
      }
    }
  }
}

}  // namespace
}  // namespace omar::cem
