#pragma once
/// Runs the fused kernels over whole tensors: splits the work over networks and ranges of states, and adds up
/// gradients in an order that does not depend on the number of threads.

#include <omar/nn/stacked_mlp.h>

#include <string>
#include <string_view>
#include <utility>

#include "nn/critic_kernels.h"

namespace omar::nn {

/// Why the fused path cannot score with this critic; empty when it can. Shapes and dtypes agree already.
std::string fused_obstacle(const StackedMlp& critic);

/// Whether to take the fused path; `obstacle` says what is in its way. \throws c10::ValueError
bool takes_fused(std::string_view op, Path path, const std::string& obstacle);

/// Critic, observations and candidates agree. \throws c10::ValueError, c10::TypeError
void check_candidates(std::string_view op, const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions);

/// Each network's parameters as the kernels take them: [networks, packed size, rounded up to whole cache lines].
template <class T>
at::Tensor pack_networks(const CriticKernels<T>& kernels, const CriticShape& shape, const StackedMlp& critic,
                         Precision precision);

/// The kernels of cpu_level().
template <class T>
CriticKernels<T> chosen_critic_kernels();

/// [T, M, B, K * outputs]
at::Tensor fused_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                        Precision precision);

/// The same with gradients for obs, actions and parameters.
at::Tensor differentiable_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                                 Precision precision);

/// Undefined where not asked for.
struct FusedGradients {
  StackedMlp parameters;
  at::Tensor obs;
  at::Tensor actions;
};

struct GradientRequest {
  Wanted wanted = Wanted::all;
  bool obs = false;
  bool actions = false;
};

/// Gradients under upstream gradients dq [T, M, B, K * outputs].
FusedGradients fused_gradients(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                               const at::Tensor& dq, Precision precision, GradientRequest request);

/// Mean over states of the log sum of exponentials [T, M], and each network's gradients of its own mean.
std::pair<at::Tensor, StackedMlp> fused_mean_logsumexp(const StackedMlp& critic, const at::Tensor& obs,
                                                       const Candidates& candidates, Precision precision);

}  // namespace omar::nn
