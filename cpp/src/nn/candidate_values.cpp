#include <omar/nn/stacked_mlp.h>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/check.h"
#include "nn/fused_critic.h"
#include "nn/plain.h"
#include "nn/validate.h"

namespace omar::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// x w + b; bf16: both factors rounded to bfloat16, sums in float32.
at::Tensor affine(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b, Precision precision) {
  if (precision == Precision::float32) return at::baddbmm(b.unsqueeze(1), x, w);
  const at::Tensor x16 = x.to(at::kBFloat16), w16 = w.to(at::kBFloat16);
  const bool gradients = at::GradMode::is_enabled() && (x.requires_grad() || w.requires_grad());
  // The GPU's own bfloat16 products; LibTorch has no derivative of them.
  if (x.is_cuda() && x.scalar_type() == at::kFloat && !gradients) {
    return at::bmm(x16, w16, at::kFloat) + b.unsqueeze(1);
  }
  return at::baddbmm(b.unsqueeze(1), x16.to(x.scalar_type()), w16.to(w.scalar_type()));
}

/// Parts of observations as one tensor [M, B, O].
at::Tensor joined(at::TensorList parts, int64_t members) {
  if (parts.size() == 1) return parts[0];
  std::vector<at::Tensor> whole;
  for (const at::Tensor& part : parts) whole.push_back(part.repeat_interleave(members / part.size(0), 0));
  return at::cat(whole, 2);
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
    const at::Tensor& w = critic.weights[i];
    // The kernels round weights that lost their mean over the units, which layer norm takes off the sums anyway.
    const bool centred = here == Precision::bf16 && critic.activation.has_layer_norm();
    x = affine(activate(critic, i - 1, x), centred ? w - w.mean(2, /*keepdim=*/true) : w, critic.biases[i], here);
  }
  return x.view({twins, members, batch, samples});
}

/// Inputs: the parts of obs, then actions, then the parameters as to_list() has them.
struct CandidateValues : torch::autograd::Function<CandidateValues> {
  static at::Tensor forward(AutogradContext* context, at::TensorList obs, const at::Tensor& actions,
                            at::TensorList parameters, Precision precision, ActivationSpec activation) {
    variable_list saved(obs.begin(), obs.end());
    saved.push_back(actions);
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["parts"] = static_cast<int64_t>(obs.size());
    context->saved_data["precision"] = static_cast<int64_t>(precision);
    context->saved_data["activation"] = static_cast<int64_t>(activation.kind);
    return fused_values(from_list(parameters, activation), obs, actions, precision);
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    const variable_list saved = context->get_saved_variables();
    const size_t parts = static_cast<size_t>(context->saved_data["parts"].toInt());
    const at::TensorList obs = at::TensorList(saved).slice(0, parts),
                         parameters = at::TensorList(saved).slice(parts + 1);
    const at::Tensor& actions = saved[parts];
    check_once(actions.size(3) == 0 ? "nn::forward" : "nn::candidate_values");
    const auto any_wanted = [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        if (context->needs_input_grad(i)) return true;
      }
      return false;
    };
    const GradientRequest request{any_wanted(parts + 1, saved.size()) ? Wanted::all : Wanted::inputs,
                                  any_wanted(0, parts), context->needs_input_grad(parts)};
    const auto precision = static_cast<Precision>(context->saved_data["precision"].toInt());
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    const FusedGradients g =
        fused_gradients(from_list(parameters, {activation}), obs, actions, upstream[0], precision, request);
    variable_list result = request.obs ? g.obs : variable_list(parts);
    result.push_back(g.actions);
    const variable_list of_parameters =
        request.wanted == Wanted::all ? to_list(g.parameters) : variable_list(parameters.size());
    result.insert(result.end(), of_parameters.begin(), of_parameters.end());
    result.resize(result.size() + 2);  // precision and activation
    return result;
  }
};

/// Where nothing but actions wants gradients: a value depends on one of them alone, so that the forward pass can
/// compute its gradient, and the backward pass has nothing to recompute.
struct ValuesOfActions : torch::autograd::Function<ValuesOfActions> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& actions, const StackedMlp& critic,
                            const std::vector<at::Tensor>& obs, Precision precision) {
    const auto [values, slopes] = fused_values_and_slopes(critic, obs, actions, precision);
    context->save_for_backward({slopes});
    return values;
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    check_once("nn::candidate_values");
    const at::Tensor slopes = context->get_saved_variables()[0];
    const at::Tensor factor = upstream[0].unsqueeze(-1);
    at::Tensor total = slopes[0] * factor[0];
    for (int64_t t = 1; t < slopes.size(0); ++t) total = total + slopes[t] * factor[t];
    return {total, at::Tensor(), at::Tensor(), at::Tensor()};  // critic, obs and precision
  }
};

bool any_requires_grad(at::TensorList tensors) {
  return std::any_of(tensors.begin(), tensors.end(), [](const at::Tensor& x) { return x.requires_grad(); });
}

}  // namespace

std::vector<at::Tensor> to_list(const StackedMlp& mlp) {
  std::vector<at::Tensor> list;
  for (size_t i = 0; i < mlp.weights.size(); ++i) list.insert(list.end(), {mlp.weights[i], mlp.biases[i]});
  for (size_t i = 0; i < mlp.norm_scales.size(); ++i) {
    list.insert(list.end(), {mlp.norm_scales[i], mlp.norm_shifts[i]});
  }
  return list;
}

StackedMlp from_list(at::TensorList list, ActivationSpec activation) {
  StackedMlp mlp;
  mlp.activation = activation;
  // L layers have L - 1 layer norms.
  const size_t layers = activation.has_layer_norm() ? (list.size() + 2) / 4 : list.size() / 2;
  for (size_t i = 0; i < list.size(); i += 2) {
    (i < 2 * layers ? mlp.weights : mlp.norm_scales).push_back(list[i]);
    (i < 2 * layers ? mlp.biases : mlp.norm_shifts).push_back(list[i + 1]);
  }
  return mlp;
}

void check_once(std::string_view op) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "[", op,
              "] the fused kernels are differentiable once; take kernels=\"plain\" for create_graph=True");
}

at::Tensor differentiable_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions,
                                 Precision precision) {
  const std::vector<at::Tensor> parameters = to_list(critic);
  const bool actions_alone = at::GradMode::is_enabled() && actions.requires_grad() && !any_requires_grad(obs) &&
                             !any_requires_grad(parameters) && critic.out_features() == 1;
  if (actions_alone) return ValuesOfActions::apply(actions, critic, obs.vec(), precision);
  return CandidateValues::apply(obs, actions, at::TensorList(parameters), precision, critic.activation);
}

std::optional<std::string> fused_obstacle(const StackedMlp& mlp, at::TensorList constants) {
  validate(mlp);
  const at::Device device = mlp.weights.front().device();
  if (!device.is_cpu()) return "the tensors are on " + device.str() + ", and the kernels are the CPU's";
  if (mlp.weights.size() < 2) return "the network has no hidden layer";
  if (at::GradMode::is_enabled() && any_requires_grad(constants)) {
    return "gradients of observations, actions or densities are wanted";
  }
  return std::nullopt;
}

bool takes_fused(std::string_view op, Kernels kernels, const std::optional<std::string>& obstacle) {
  TORCH_CHECK_VALUE(kernels != Kernels::fused || !obstacle, "[", op,
                    "] the fused kernels cannot run: ", obstacle.value_or(""));
  return kernels != Kernels::plain && !obstacle;
}

at::Tensor candidate_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions, Scoring scoring) {
  constexpr const char* op = "nn::candidate_values";
  check_parts(op, critic, obs, actions);
  if (takes_fused(op, scoring.kernels, fused_obstacle(critic))) {
    return differentiable_values(critic, obs, actions, scoring.precision);
  }
  return plain_values(critic, joined(obs, actions.size(0)), actions, scoring.precision);
}

}  // namespace omar::nn
