#include <omar/cem/cem.h>

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>

#include <limits>
#include <utility>

#include "cem/checks.h"
#include "cem/fused_search.h"
#include "core/check.h"
#include "core/draws.h"
#include "nn/fused_critic.h"
#include "nn/validate.h"

namespace omar::cem {
namespace {

constexpr const char* kMaximize = "cem::maximize";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Scores with NaN and infinities at -infinity.
at::Tensor masked(const at::Tensor& q) { return at::nan_to_num(q, -kInfinity, -kInfinity, -kInfinity); }

/// Candidates `index` [M, B, k] of a pool.
at::Tensor pick(const at::Tensor& actions, const at::Tensor& index) {
  return actions.gather(2, index.unsqueeze(-1).expand({index.size(0), index.size(1), index.size(2), actions.size(3)}));
}

at::Tensor draw_normals(std::string_view op, c10::IntArrayRef sizes, const Draw& draw, int64_t round,
                        c10::Device device) {
  TORCH_CHECK_VALUE(round >= 0 && round < counter::kRounds, "[", op, "] `round` must be in 0..", counter::kRounds - 1,
                    ", got ", round);
  for (const int64_t size : sizes) check::at_least(op, "sizes", size, 1);
  const std::uint32_t stream = static_cast<std::uint32_t>(Stream::cem) + static_cast<std::uint32_t>(round);
  return draws::candidates(op, draws::Distribution::normal, sizes, draw, stream, device);
}

/// mu + sigma z, clamped: contiguous normals z [N, K, A] become candidates. LibTorch's operations broadcast over K in
/// loops of A numbers, which takes three times as long.
template <class T>
void become_candidates(const at::Tensor& z, const at::Tensor& mu, const at::Tensor& sigma) {
  const int64_t states = mu.size(0) * mu.size(1), samples = z.size(2), size = mu.size(2);
  T* const numbers = z.mutable_data_ptr<T>();
  const T *const means = mu.const_data_ptr<T>(), *const deviations = sigma.const_data_ptr<T>();
  at::parallel_for(0, states, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T* const row = numbers + i * samples * size;
      for (int64_t k = 0; k < samples; ++k) {
        for (int64_t d = 0; d < size; ++d) {
          const T x = means[i * size + d] + deviations[i * size + d] * row[k * size + d];
          row[k * size + d] = x < T(-1) ? T(-1) : (x > T(1) ? T(1) : x);
        }
      }
    }
  });
}

at::Tensor scored(const Scorer& scorer, const at::Tensor& actions) {
  at::Tensor q = scorer(actions);
  check::shape(kMaximize, "scorer's result", q, actions.sizes().slice(0, 3), "[M, B, K]");
  check::dtype(kMaximize, "scorer's result", q, actions.scalar_type());
  check::device(kMaximize, "scorer's result", q, actions.device());
  return q;
}

/// One score [M, B, K] of those of T critics [T, M, B, K]; NaN stays NaN.
at::Tensor reduced(const at::Tensor& q, Reduction reduction) {
  switch (reduction) {
    case Reduction::first: return q.select(0, 0);
    case Reduction::mean: return (q / q.size(0)).sum(0);  // divided first: finite scores have a finite mean
    case Reduction::min: return at::amin(q, 0);
  }
  TORCH_CHECK(false, "[cem::maximize] unknown reduction");
}

void check_policy_actions(const at::Tensor& policy_actions, const CemOptions& options) {
  check::shape(kMaximize, "policy_actions", policy_actions, {-1, -1, -1}, "[M, B, A]");
  draws::check_floating(kMaximize, "policy_actions", policy_actions.scalar_type());
  const int64_t members = policy_actions.size(0), batch = policy_actions.size(1), size = policy_actions.size(2);
  check::at_least(kMaximize, "M", members, 1);
  check::at_least(kMaximize, "B", batch, 1);
  check::at_least(kMaximize, "A", size, 1);
  draws::check_candidate_sizes(kMaximize, {members, batch, options.samples, size});
}

/// The networks whose scores count. \throws c10::ValueError, c10::TypeError
nn::StackedMlp check_critic(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& policy_actions,
                            const CemOptions& options) {
  check(options);
  nn::validate(critic);
  check::shape(kMaximize, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::shape(kMaximize, "policy_actions", policy_actions, {obs.size(0), obs.size(1), -1}, "[M, B, A]");
  check_policy_actions(policy_actions, options);
  nn::check_candidates(kMaximize, critic, obs, policy_actions.unsqueeze(2));
  return options.reduction == Reduction::first ? nn::first(critic, obs.size(0)) : critic;
}

/// The search in LibTorch ops, for valid arguments.
std::pair<at::Tensor, at::Tensor> search(const Scorer& scorer, const at::Tensor& policy_actions,
                                         const CemOptions& options, const Draw& counter) {
  const at::NoGradGuard no_grad;
  const Draw draw = policy_actions.device().is_cpu() ? draws::on_host(kMaximize, counter) : counter;
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

}  // namespace

at::Tensor normals(c10::IntArrayRef sizes, Draw draw, int64_t round, c10::Device device) {
  return draw_normals("cem::normals", sizes, draw, round, device);
}

at::Tensor sample(const Distribution& distribution, int64_t samples, Draw draw, int64_t round) {
  constexpr const char* op = "cem::sample";
  check_distribution(op, distribution);
  check::at_least(op, "samples", samples, 1);
  const at::Tensor& mu = distribution.mu;
  const at::Tensor z =
      draw_normals(op, {mu.size(0), mu.size(1), samples, mu.size(2)}, draw, round, mu.device()).to(mu.options());
  if (mu.is_cpu()) {
    const at::Tensor means = mu.contiguous(), deviations = distribution.sigma.contiguous();
    AT_DISPATCH_FLOATING_TYPES(mu.scalar_type(), op, [&] { become_candidates<scalar_t>(z, means, deviations); });
    return z;
  }
  return (mu.unsqueeze(2) + distribution.sigma.unsqueeze(2) * z).clamp(-1.0, 1.0);
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
  check(options);
  check_policy_actions(policy_actions, options);
  TORCH_CHECK_VALUE(options.precision == Precision::float32, "[", kMaximize,
                    "] `precision` is that of a StackedMlp critic: with a scorer it must be float32");
  TORCH_CHECK_VALUE(options.reduction == Reduction::first, "[", kMaximize,
                    "] `reduction` is that of a StackedMlp critic: with a scorer it must be first");
  return search(scorer, policy_actions, options, draw);
}

std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const at::Tensor& obs,
                                           const at::Tensor& policy_actions, const CemOptions& options, Draw draw,
                                           Kernels kernels) {
  const nn::StackedMlp scoring = check_critic(critic, obs, policy_actions, options);
  if (nn::takes_fused(kMaximize, kernels, nn::fused_obstacle(scoring))) {
    return fused_search(scoring, nullptr, obs, policy_actions, options, draws::on_host(kMaximize, draw));
  }
  const Scorer scorer = [&](const at::Tensor& actions) {
    return reduced(nn::candidate_values(scoring, obs, actions, {Kernels::plain, options.precision}), options.reduction);
  };
  return search(scorer, policy_actions, options, draw);
}

std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const nn::BatchNorm& norm,
                                           const at::Tensor& obs, const at::Tensor& policy_actions,
                                           const CemOptions& options, Draw draw) {
  const nn::StackedMlp scoring = check_critic(critic, obs, policy_actions, options);
  check::shape(kMaximize, "scale", norm.scale, {obs.size(0), critic.in_features()}, "[M, in]");
  nn::takes_fused(kMaximize, Kernels::fused, nn::fused_obstacle(scoring));
  return fused_search(scoring, &norm, obs, policy_actions, options, draws::on_host(kMaximize, draw));
}

}  // namespace omar::cem
