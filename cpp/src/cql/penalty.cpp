#include <omar/cql/penalty.h>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <string>
#include <utility>

#include "core/check.h"
#include "nn/fused_critic.h"
#include "nn/validate.h"

namespace omar::cql {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Inputs: obs, actions, log_density (no gradients), and the parameters as nn::to_list() has them. Each output depends
/// on one network alone, so the forward pass can compute its gradient.
struct MeanLogsumexp : torch::autograd::Function<MeanLogsumexp> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& obs, const at::Tensor& actions,
                            const at::Tensor& log_density, at::TensorList parameters, nn::Precision precision,
                            nn::ActivationSpec activation) {
    const auto [value, gradients] =
        nn::fused_mean_logsumexp(nn::from_list(parameters, activation), obs, {actions, log_density}, precision);
    context->save_for_backward(nn::to_list(gradients));
    return value;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    nn::check_once("cql::mean_logsumexp");
    const at::Tensor factor = upstream[0].reshape({-1, 1});
    variable_list result(3);
    for (const at::Tensor& g : context->get_saved_variables()) {
      result.push_back(g * (g.dim() == 3 ? factor.unsqueeze(2) : factor));
    }
    result.resize(result.size() + 2);  // precision and activation
    return result;
  }
};

/// Of the last axis; -inf, without gradients, where all numbers are.
at::Tensor logsumexp(const at::Tensor& x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor none = x.detach().amax(-1) == -infinity;
  return at::where(none, -infinity, at::logsumexp(at::where(none.unsqueeze(-1), 0.0, x), -1));
}

}  // namespace

at::Tensor mean_logsumexp(const nn::StackedMlp& critic, const at::Tensor& obs, const Candidates& candidates,
                          Scoring scoring) {
  constexpr const char* op = "cql::mean_logsumexp";
  const auto& [actions, log_density] = candidates;
  nn::check_candidates(op, critic, obs, actions);
  check::at_least(op, "B", obs.size(1), 1);
  check::shape(op, "log_density", log_density, actions.sizes().slice(0, 3), "[M, B, K]");
  nn::check_like(op, "log_density", log_density, actions);
  const bool fused = nn::takes_fused(op, scoring.kernels, nn::fused_obstacle(critic, {obs, actions, log_density}));
  if (fused && at::GradMode::is_enabled()) {
    return MeanLogsumexp::apply(obs, actions, log_density, at::TensorList(nn::to_list(critic)), scoring.precision,
                                critic.activation);
  }
  return logsumexp(nn::candidate_values(critic, obs, actions, scoring) - log_density).mean(-1);
}

at::Tensor penalty(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& q_data,
                   const PenaltyOptions& options, const std::vector<Candidates>& others) {
  constexpr const char* op = "cql::penalty";
  nn::validate(critic);
  check::shape(op, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::at_least(op, "samples", options.samples, 1);
  const int64_t action_size = critic.in_features() - obs.size(2);
  TORCH_CHECK_VALUE(action_size > 0, "[", op, "] `critic` takes ", critic.in_features(),
                    " inputs, which leaves no action beside O = ", obs.size(2));
  const int64_t sizes[] = {obs.size(0), obs.size(1), options.samples, action_size};
  Candidates candidates = nn::uniform_candidates(sizes, options.draw, obs.options());
  for (const Candidates& other : others) candidates = nn::merge(candidates, other);
  const at::Tensor value = mean_logsumexp(critic, obs, candidates, options.scoring);
  check::shape(op, "q_data", q_data, {value.size(0), value.size(1), obs.size(1)}, "[T, M, B]");
  nn::check_like(op, "q_data", q_data, value);
  return value - q_data.mean(-1);
}

}  // namespace omar::cql
