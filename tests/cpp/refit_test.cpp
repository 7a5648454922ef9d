// The refit of a CUDA thread, run on the host, against the one made of LibTorch ops.

#include <omar/cem/cem.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty_like.h>
#include <gtest/gtest.h>

#include <limits>

#include "cem/refit_state.h"

namespace omar::cem {
namespace {

constexpr int64_t kStates = 40, kSize = 3;

struct Case {
  Distribution previous;
  Pool pool;
};

/// Scores with NaN, infinities and equal ones; the last states have none, one or two that are finite.
Case make_case(int64_t samples, at::ScalarType dtype) {
  const auto draw = [&](c10::IntArrayRef sizes, int64_t step) {
    return normals(sizes, Draw{7, step}, 0).to(dtype).contiguous();
  };
  Case c{
      {draw({1, kStates, 1, kSize}, 1).squeeze(2), draw({1, kStates, 1, kSize}, 2).squeeze(2).abs() + 0.1},
      {draw({1, kStates, samples, kSize}, 3).clamp(-1, 1), (draw({1, kStates, samples, 1}, 4) * 4).round().squeeze(3)}};
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
  at::Tensor& q = c.pool.q;
  for (int64_t state = 0; state < kStates / 2; ++state) {
    q.select(1, state).select(1, state % samples).fill_(state % 3 == 0 ? kNan : state % 3 == 1 ? kInf : -kInf);
  }
  for (int64_t finite = 0; finite < 3; ++finite) {
    if (finite < samples) q.select(1, kStates - 1 - finite).narrow(1, finite, samples - finite).fill_(kNan);
  }
  return c;
}

template <class T>
Distribution refit_on_host(const Case& c, const CemOptions& options) {
  const at::Tensor mu = c.previous.mu.contiguous(), sigma = c.previous.sigma.contiguous();
  const at::Tensor actions = c.pool.actions.contiguous(), q = c.pool.q.contiguous();
  Distribution next{at::empty_like(mu), at::empty_like(sigma)};
  const RefitArgs<T> args{mu.const_data_ptr<T>(),
                          sigma.const_data_ptr<T>(),
                          actions.const_data_ptr<T>(),
                          q.const_data_ptr<T>(),
                          next.mu.mutable_data_ptr<T>(),
                          next.sigma.mutable_data_ptr<T>(),
                          kStates,
                          q.size(2),
                          kSize,
                          options.refit,
                          options.elites,
                          static_cast<T>(options.beta)};
  for (int64_t state = 0; state < kStates; ++state) OMAR_LEVEL::refit_state(args, state);
  return next;
}

template <class T>
void compare(Refit refit_kind, at::ScalarType dtype, double tolerance) {
  for (const int64_t samples : {2, 10, 25}) {
    for (const double beta : {0.0, 1.0, 8.0}) {
      CemOptions options;
      options.samples = samples;
      options.refit = refit_kind;
      options.elites = samples == 2 ? 2 : 5;
      options.beta = beta;
      const Case c = make_case(samples, dtype);
      const Distribution expected = refit(c.previous, c.pool, options);
      const Distribution got = refit_on_host<T>(c, options);
      EXPECT_TRUE(at::allclose(got.mu, expected.mu, tolerance, tolerance)) << samples << " " << beta;
      EXPECT_TRUE(at::allclose(got.sigma, expected.sigma, tolerance, tolerance)) << samples << " " << beta;
    }
  }
}

TEST(RefitState, SoftmaxIsTheOneOfTensors) {
  compare<float>(Refit::softmax, at::kFloat, 2e-6);
  compare<double>(Refit::softmax, at::kDouble, 1e-12);
}

TEST(RefitState, EliteIsTheOneOfTensors) {
  compare<float>(Refit::elite, at::kFloat, 2e-6);
  compare<double>(Refit::elite, at::kDouble, 1e-12);
}

TEST(RefitState, KeepsTheDistributionOfAStateWithoutFiniteScores) {
  Case c = make_case(10, at::kDouble);
  c.pool.q.fill_(std::numeric_limits<double>::quiet_NaN());
  for (const Refit kind : {Refit::softmax, Refit::elite}) {
    CemOptions options;
    options.refit = kind;
    const Distribution got = refit_on_host<double>(c, options);
    EXPECT_TRUE(got.mu.equal(c.previous.mu));
    EXPECT_TRUE(got.sigma.equal(c.previous.sigma));
  }
}

}  // namespace
}  // namespace omar::cem
