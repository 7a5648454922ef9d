#include <omar/cem/cem.h>
#include <omar/core/rng.h>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>

#include <cmath>
#include <limits>
#include <utility>

#include "cem/fused_search.h"
#include "cem/refit_kernels.h"
#include "core/check.h"
#include "core/cuda_stream.h"
#include "nn/draw.h"
#include "nn/fused_critic.h"

namespace omar::cem {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_pool(std::string_view op, const Pool& pool) {
  check::shape(op, "actions", pool.actions, {-1, -1, -1, -1}, "[M, B, K, A]");
  check::shape(op, "q", pool.q, pool.actions.sizes().slice(0, 3), "[M, B, K]");
  check::at_least(op, "K", pool.q.size(2), 1);
  check::dtype(op, "q", pool.q, pool.actions.scalar_type());
  check::device(op, "q", pool.q, pool.actions.device());
}

/// `count` of the pool's K candidates.
void check_count(std::string_view op, std::string_view name, int64_t count, const Pool& pool) {
  TORCH_CHECK_VALUE(count >= 1 && count <= pool.q.size(2), "[", op, "] `", name, "` must be in 1..K = 1..",
                    pool.q.size(2), ", got ", count);
}

void check_distribution(std::string_view op, const Distribution& distribution) {
  const at::Tensor& mu = distribution.mu;
  check::shape(op, "mu", mu, {-1, -1, -1}, "[M, B, A]");
  TORCH_CHECK_TYPE(mu.scalar_type() == at::kFloat || mu.scalar_type() == at::kDouble, "[", op,
                   "] `mu` must be float32 or float64, got ", mu.scalar_type());
  check::shape(op, "sigma", distribution.sigma, mu.sizes(), "[M, B, A]");
  check::dtype(op, "sigma", distribution.sigma, mu.scalar_type());
  check::device(op, "sigma", distribution.sigma, mu.device());
}

/// Scores with NaN and infinities at -infinity.
at::Tensor masked(const at::Tensor& q) { return at::where(at::isfinite(q), q, -kInfinity); }

/// Candidates `index` [M, B, k] of a pool.
at::Tensor pick(const at::Tensor& actions, const at::Tensor& index) {
  return actions.gather(2, index.unsqueeze(-1).expand({index.size(0), index.size(1), index.size(2), actions.size(3)}));
}

Distribution refit_softmax(const Distribution& previous, const Pool& pool, double beta) {
  const at::Tensor finite = at::isfinite(pool.q);
  const at::Tensor count = finite.sum(-1, /*keepdim=*/true).to(pool.q.scalar_type());  // [M, B, 1]
  const at::Tensor found = count > 0;
  // A row without any finite score gets equal weights here and is replaced below.
  const at::Tensor scores = at::where(found, at::where(finite, pool.q * beta, -kInfinity), 0.0);
  const at::Tensor mu = (at::softmax(scores, -1).unsqueeze(-1) * pool.actions).sum(2);
  const at::Tensor square = (pool.actions - mu.unsqueeze(2)).square();
  const at::Tensor sigma = (at::where(finite.unsqueeze(-1), square, 0.0).sum(2) / count.clamp_min(1)).sqrt();
  return {at::where(found, mu, previous.mu), at::where(found, sigma, previous.sigma)};
}

Distribution refit_elite(const Distribution& previous, const Pool& pool, int64_t count) {
  const Pool best = elites(pool, count);
  const at::Tensor finite = at::isfinite(best.q).unsqueeze(-1);  // [M, B, k, 1]
  const at::Tensor n = finite.sum(2).to(pool.q.scalar_type());   // [M, B, 1]
  const at::Tensor mu = at::where(finite, best.actions, 0.0).sum(2) / n.clamp_min(1);
  const at::Tensor square = at::where(finite, (best.actions - mu.unsqueeze(2)).square(), 0.0);
  const at::Tensor sigma = (square.sum(2) / (n - 1).clamp_min(1)).sqrt();
  return {at::where(n > 0, mu, previous.mu), at::where(n > 1, sigma, previous.sigma)};
}

template <class T>
Distribution refit_on_cuda(const Distribution& previous, const Pool& pool, const CemOptions& options) {
  const at::Tensor mu = previous.mu.contiguous(), sigma = previous.sigma.contiguous();
  const at::Tensor actions = pool.actions.contiguous(), q = pool.q.contiguous();
  Distribution next{at::empty_like(mu), at::empty_like(sigma)};
  const c10::DeviceGuard guard(mu.device());
  cuda::refit(RefitArgs<T>{mu.const_data_ptr<T>(), sigma.const_data_ptr<T>(), actions.const_data_ptr<T>(),
                           q.const_data_ptr<T>(), next.mu.mutable_data_ptr<T>(), next.sigma.mutable_data_ptr<T>(),
                           q.size(0) * q.size(1), q.size(2), mu.size(2), options.refit, options.elites,
                           static_cast<T>(options.beta)},
              current_cuda_stream(mu.device()));
  return next;
}

at::Tensor scored(const Scorer& scorer, const at::Tensor& actions) {
  at::Tensor q = scorer(actions);
  constexpr const char* op = "cem::maximize";
  check::shape(op, "scorer's result", q, actions.sizes().slice(0, 3), "[M, B, K]");
  check::dtype(op, "scorer's result", q, actions.scalar_type());
  check::device(op, "scorer's result", q, actions.device());
  return q;
}

}  // namespace

void check(const CemOptions& options) {
  constexpr const char* op = "cem::CemOptions";
  TORCH_CHECK_VALUE(options.rounds >= 1 && options.rounds <= 48, "[", op, "] `rounds` must be in 1..48, got ",
                    options.rounds);
  TORCH_CHECK_VALUE(options.samples >= 1 && options.samples <= 1024, "[", op, "] `samples` must be in 1..1024, got ",
                    options.samples);
  TORCH_CHECK_VALUE(options.refit != Refit::elite || (options.elites >= 2 && options.elites <= options.samples), "[",
                    op, "] `elites` must be in 2..samples = 2..", options.samples, ", got ", options.elites);
  check::finite(op, "mu", options.mu);
  TORCH_CHECK_VALUE(std::isfinite(options.sigma) && options.sigma > 0, "[", op,
                    "] `sigma` must be positive and finite, got ", options.sigma);
  TORCH_CHECK_VALUE(std::isfinite(options.beta) && options.beta >= 0, "[", op,
                    "] `beta` must be finite and not negative, got ", options.beta);
}

at::Tensor normals(c10::IntArrayRef sizes, Draw draw, int64_t round, c10::Device device) {
  constexpr const char* op = "cem::normals";
  TORCH_CHECK_VALUE(round >= 0 && round < 48, "[", op, "] `round` must be in 0..47, got ", round);
  const std::uint32_t stream = static_cast<std::uint32_t>(Stream::cem) + static_cast<std::uint32_t>(round);
  return nn::draw_candidates(op, nn::Law::normal, sizes, draw, stream, device);
}

at::Tensor sample(const Distribution& distribution, int64_t samples, Draw draw, int64_t round) {
  constexpr const char* op = "cem::sample";
  check_distribution(op, distribution);
  check::at_least(op, "samples", samples, 1);
  const at::Tensor& mu = distribution.mu;
  const at::Tensor z =
      normals({mu.size(0), mu.size(1), samples, mu.size(2)}, draw, round, mu.device()).to(mu.options());
  return (mu.unsqueeze(2) + distribution.sigma.unsqueeze(2) * z).clamp(-1.0, 1.0);
}

Distribution refit(const Distribution& previous, const Pool& pool, const CemOptions& options) {
  constexpr const char* op = "cem::refit";
  check(options);
  check_distribution(op, previous);
  check_pool(op, pool);
  const at::Tensor& a = pool.actions;
  check::shape(op, "mu", previous.mu, {a.size(0), a.size(1), a.size(3)}, "[M, B, A]");
  check::dtype(op, "actions", a, previous.mu.scalar_type());
  check::device(op, "actions", a, previous.mu.device());
  const at::NoGradGuard no_grad;
  if (options.refit == Refit::elite) check_count(op, "elites", options.elites, pool);
  if (a.is_cuda() && cuda::built()) {
    return a.scalar_type() == at::kFloat ? refit_on_cuda<float>(previous, pool, options)
                                         : refit_on_cuda<double>(previous, pool, options);
  }
  if (options.refit == Refit::softmax) return refit_softmax(previous, pool, options.beta);
  return refit_elite(previous, pool, options.elites);
}

Pool elites(const Pool& pool, int64_t count) {
  constexpr const char* op = "cem::elites";
  check_pool(op, pool);
  check_count(op, "count", count, pool);
  const at::Tensor order = std::get<1>(at::sort(masked(pool.q), /*stable=*/true, /*dim=*/-1, /*descending=*/true));
  const at::Tensor index = order.narrow(-1, 0, count);
  return {pick(pool.actions, index), pool.q.gather(2, index)};
}

Pool merge(const Pool& fresh, const Pool& carried) {
  constexpr const char* op = "cem::merge";
  check_pool(op, fresh);
  check_pool(op, carried);
  const at::Tensor& a = fresh.actions;
  check::shape(op, "carried actions", carried.actions, {a.size(0), a.size(1), -1, a.size(3)}, "[M, B, K, A]");
  check::dtype(op, "carried actions", carried.actions, a.scalar_type());
  check::device(op, "carried actions", carried.actions, a.device());
  return {at::cat({fresh.actions, carried.actions}, 2), at::cat({fresh.q, carried.q}, 2)};
}

std::pair<at::Tensor, at::Tensor> best(const Pool& pool) {
  check_pool("cem::best", pool);
  const at::Tensor index = at::argmax(masked(pool.q), -1, /*keepdim=*/true);
  return {pick(pool.actions, index).squeeze(2), pool.q.gather(2, index).squeeze(2)};
}

std::pair<at::Tensor, at::Tensor> maximize(const Scorer& scorer, const at::Tensor& policy_actions,
                                           const CemOptions& options, Draw draw) {
  const at::NoGradGuard no_grad;
  constexpr const char* op = "cem::maximize";
  check(options);
  check::shape(op, "policy_actions", policy_actions, {-1, -1, -1}, "[M, B, A]");
  TORCH_CHECK_TYPE(policy_actions.scalar_type() == at::kFloat || policy_actions.scalar_type() == at::kDouble, "[", op,
                   "] `policy_actions` must be float32 or float64, got ", policy_actions.scalar_type());
  Distribution distribution{at::full_like(policy_actions, options.mu), at::full_like(policy_actions, options.sigma)};
  Pool pool;
  for (int64_t round = 0; round < options.rounds; ++round) {
    const at::Tensor actions = sample(distribution, options.samples, draw, round);
    const Pool fresh{actions, scored(scorer, actions)};
    const bool carries = options.refit == Refit::elite && round > 0;
    pool = carries ? merge(fresh, elites(pool, options.elites)) : fresh;
    if (round + 1 < options.rounds) distribution = refit(distribution, pool, options);
  }
  const auto [actions, values] = best(pool);
  const at::Tensor policy_values = scored(scorer, policy_actions.unsqueeze(2)).squeeze(2);
  const at::Tensor wins = masked(values) > masked(policy_values);
  return {at::where(wins.unsqueeze(-1), actions, policy_actions), at::where(wins, values, policy_values)};
}

std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const at::Tensor& obs,
                                           const at::Tensor& policy_actions, const CemOptions& options, Draw draw,
                                           Path path) {
  constexpr const char* op = "cem::maximize";
  check(options);
  nn::check(critic);
  check::shape(op, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::shape(op, "policy_actions", policy_actions, {obs.size(0), obs.size(1), -1}, "[M, B, A]");
  nn::check_candidates(op, critic, obs, policy_actions.unsqueeze(2));
  TORCH_CHECK_VALUE(obs.size(1) <= (1 << 24), "[", op, "] B must be at most 2^24, got ", obs.size(1));
  const nn::StackedMlp q1 = nn::first(critic, obs.size(0));
  if (nn::takes_fused(op, path, nn::fused_obstacle(q1))) {
    return fused_search(q1, obs, policy_actions, options, nn::on_host(op, draw));
  }
  const Scorer scorer = [&](const at::Tensor& actions) {
    return nn::candidate_values(q1, obs, actions, {Path::plain, options.precision}).squeeze(0);
  };
  return maximize(scorer, policy_actions, options, draw);
}

}  // namespace omar::cem
