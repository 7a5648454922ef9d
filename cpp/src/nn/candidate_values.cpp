#include <omar/nn/stacked_mlp.h>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/relu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>

#include "core/check.h"
#include "nn/fused_critic.h"

namespace omar::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rounded to bfloat16 where products are to be of that precision.
at::Tensor rounded(const at::Tensor& x, Precision precision) {
  return precision == Precision::bf16 ? x.to(at::kBFloat16).to(x.scalar_type()) : x;
}

void check_like(std::string_view op, std::string_view name, const at::Tensor& tensor, const at::Tensor& like) {
  check::dtype(op, name, tensor, like.scalar_type());
  check::device(op, name, tensor, like.device());
}

at::Tensor plain_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                        Precision precision) {
  const int64_t members = obs.size(0), batch = obs.size(1), samples = actions.size(2);
  const int64_t networks = critic.members();
  const int64_t twins = networks / members;
  const at::Tensor& weight = critic.weights.front();
  const int64_t hidden = weight.size(2);
  // The same inputs for each twin.
  const auto repeat = [&](const at::Tensor& x) {
    return x.unsqueeze(0)
        .expand({twins, members, batch, x.size(2), x.size(3)})
        .reshape({networks, batch * x.size(2), x.size(3)});
  };
  const at::Tensor base =
      at::baddbmm(critic.biases.front().unsqueeze(1), repeat(obs.unsqueeze(2)), weight.narrow(1, 0, obs.size(2)));
  const at::Tensor part = at::bmm(repeat(actions), weight.narrow(1, obs.size(2), actions.size(3)));
  at::Tensor x = (base.unsqueeze(2) + part.view({networks, batch, samples, hidden})).flatten(1, 2);
  const size_t layers = critic.weights.size();
  for (size_t i = 1; i < layers; ++i) {
    // As in the kernels: bf16 concerns the products between hidden layers.
    const Precision here = i + 1 < layers ? precision : Precision::float32;
    x = at::baddbmm(critic.biases[i].unsqueeze(1), rounded(at::relu(x), here), rounded(critic.weights[i], here));
  }
  return x.view({twins, members, batch, samples});
}

StackedMlp from_list(const variable_list& list, size_t first) {
  StackedMlp mlp;
  for (size_t i = first; i < first + 6; i += 2) {
    mlp.weights.push_back(list[i]);
    mlp.biases.push_back(list[i + 1]);
  }
  return mlp;
}

void check_once(std::string_view op) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "[", op,
              "] the fused path is differentiable once; take path=\"plain\" for create_graph=True");
}

/// Inputs: obs, actions, w1, b1, w2, b2, w3, b3.
struct CandidateValues : torch::autograd::Function<CandidateValues> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& obs, const at::Tensor& actions,
                            const at::Tensor& w1, const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2,
                            const at::Tensor& w3, const at::Tensor& b3, int64_t precision) {
    context->save_for_backward({obs, actions, w1, b1, w2, b2, w3, b3});
    context->saved_data["precision"] = precision;
    return fused_values({{w1, w2, w3}, {b1, b2, b3}}, obs, actions, static_cast<Precision>(precision));
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    check_once(saved[1].size(3) == 0 ? "nn::forward" : "nn::candidate_values");
    GradientRequest request{Wanted::inputs, context->needs_input_grad(0), context->needs_input_grad(1)};
    for (size_t i = 2; i < 8; ++i) {
      if (context->needs_input_grad(i)) request.wanted = Wanted::all;
    }
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const FusedGradients g = fused_gradients(from_list(saved, 2), saved[0], saved[1], upstream[0], precision, request);
    variable_list result{g.obs, g.actions};
    for (size_t i = 0; i < 3; ++i) {
      result.push_back(request.wanted == Wanted::all ? g.parameters.weights[i] : at::Tensor());
      result.push_back(request.wanted == Wanted::all ? g.parameters.biases[i] : at::Tensor());
    }
    result.emplace_back();
    return result;
  }
};

/// Inputs: obs, actions, log_density (no gradients), w1, b1, w2, b2, w3, b3. Each output depends on one network alone,
/// so the forward pass can compute its gradient.
struct MeanLogsumexp : torch::autograd::Function<MeanLogsumexp> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& obs, const at::Tensor& actions,
                            const at::Tensor& log_density, const at::Tensor& w1, const at::Tensor& b1,
                            const at::Tensor& w2, const at::Tensor& b2, const at::Tensor& w3, const at::Tensor& b3,
                            int64_t precision) {
    const auto [value, g] = fused_mean_logsumexp({{w1, w2, w3}, {b1, b2, b3}}, obs, {actions, log_density},
                                                 static_cast<Precision>(precision));
    context->save_for_backward({g.weights[0], g.biases[0], g.weights[1], g.biases[1], g.weights[2], g.biases[2]});
    return value;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    check_once("nn::mean_logsumexp");
    const at::Tensor factor = upstream[0].reshape({-1, 1});
    variable_list result(3);
    for (const at::Tensor& g : context->get_saved_variables()) {
      result.push_back(g * (g.dim() == 3 ? factor.unsqueeze(2) : factor));
    }
    result.emplace_back();
    return result;
  }
};

}  // namespace

void check_candidates(std::string_view op, const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions) {
  check(critic);
  check::shape(op, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::shape(op, "actions", actions, {obs.size(0), obs.size(1), -1, -1}, "[M, B, K, A]");
  TORCH_CHECK_VALUE(obs.size(2) + actions.size(3) == critic.in_features(), "[", op, "] `critic` takes ",
                    critic.in_features(), " inputs, but O + A = ", obs.size(2), " + ", actions.size(3));
  TORCH_CHECK_VALUE(critic.out_features() == 1, "[", op, "] `critic` must have one output, got ",
                    critic.out_features());
  TORCH_CHECK_VALUE(obs.size(0) > 0 && critic.members() % obs.size(0) == 0, "[", op, "] `critic` has ",
                    critic.members(), " networks, which is no multiple of M = ", obs.size(0));
  check_like(op, "obs", obs, critic.weights.front());
  check_like(op, "actions", actions, critic.weights.front());
}

at::Tensor differentiable_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                                 Precision precision) {
  const auto& [w, b] = critic;
  return CandidateValues::apply(obs, actions, w[0], b[0], w[1], b[1], w[2], b[2], static_cast<int64_t>(precision));
}

bool takes_fused(std::string_view op, Path path, const std::string& obstacle) {
  TORCH_CHECK_VALUE(path != Path::fused || obstacle.empty(), "[", op, "] the fused path cannot run: ", obstacle);
  return path != Path::plain && obstacle.empty();
}

at::Tensor candidate_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                            Scoring scoring) {
  constexpr const char* op = "nn::candidate_values";
  check_candidates(op, critic, obs, actions);
  if (takes_fused(op, scoring.path, fused_obstacle(critic))) {
    return differentiable_values(critic, obs, actions, scoring.precision);
  }
  return plain_values(critic, obs, actions, scoring.precision);
}

at::Tensor mean_logsumexp(const StackedMlp& critic, const at::Tensor& obs, const Candidates& candidates,
                          Scoring scoring) {
  constexpr const char* op = "nn::mean_logsumexp";
  const auto& [actions, log_density] = candidates;
  check_candidates(op, critic, obs, actions);
  check::shape(op, "log_density", log_density, actions.sizes().slice(0, 3), "[M, B, K]");
  check_like(op, "log_density", log_density, actions);
  check::at_least(op, "K", actions.size(2), 1);
  std::string obstacle = fused_obstacle(critic);
  const bool inputs = obs.requires_grad() || actions.requires_grad() || log_density.requires_grad();
  if (obstacle.empty() && at::GradMode::is_enabled() && inputs) {
    obstacle = "gradients of observations, actions or densities are wanted";
  }
  const auto& [w, b] = critic;
  const bool differentiable = at::GradMode::is_enabled();
  if (takes_fused(op, scoring.path, obstacle) && differentiable) {
    return MeanLogsumexp::apply(obs, actions, log_density, w[0], b[0], w[1], b[1], w[2], b[2],
                                static_cast<int64_t>(scoring.precision));
  }
  return at::logsumexp(candidate_values(critic, obs, actions, scoring) - log_density, -1).mean(-1);
}

at::Tensor cql_penalty(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& q_data,
                       const CqlOptions& options, const std::vector<Candidates>& others) {
  constexpr const char* op = "nn::cql_penalty";
  check(critic);
  check::shape(op, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::at_least(op, "samples", options.samples, 1);
  const int64_t action_size = critic.in_features() - obs.size(2);
  TORCH_CHECK_VALUE(action_size > 0, "[", op, "] `critic` takes ", critic.in_features(),
                    " inputs, which leaves no action beside O = ", obs.size(2));
  const int64_t sizes[] = {obs.size(0), obs.size(1), options.samples, action_size};
  Candidates candidates = uniform_candidates(sizes, options.draw, obs.options());
  for (const Candidates& other : others) candidates = merge(candidates, other);
  const at::Tensor value = mean_logsumexp(critic, obs, candidates, options.scoring);
  check::shape(op, "q_data", q_data, {value.size(0), value.size(1), obs.size(1)}, "[T, M, B]");
  check_like(op, "q_data", q_data, value);
  return value - q_data.mean(-1);
}

}  // namespace omar::nn
