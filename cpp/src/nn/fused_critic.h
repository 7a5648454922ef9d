#pragma once
/// Runs the fused kernels over whole tensors: splits the work over networks and ranges of states, and adds up
/// gradients in an order that depends on neither the number of threads nor the number of networks.

#include <omar/nn/stacked_mlp.h>

#include <string_view>
#include <utility>
#include <vector>

#include "nn/critic_kernels.h"

namespace omar::nn {

/// Whether to take the fused kernels; `obstacle` says what is in its way. \throws c10::ValueError
bool takes_fused(std::string_view op, Kernels kernels, const std::optional<std::string>& obstacle);

/// Widths of the hidden layers.
std::vector<int64_t> hidden_widths(const StackedMlp& mlp);

/// Sizes of a critic with K candidates [.., K, A]; `hidden` are its hidden_widths and must outlive the result.
CriticShape critic_shape(const StackedMlp& critic, int64_t samples, int64_t action_size,
                         const std::vector<int64_t>& hidden);

/// Each network's parameters as the kernels take them: [networks, packed size, rounded up to whole cache lines].
template <class T>
at::Tensor pack_networks(const CriticKernels<T>& kernels, const CriticShape& shape, const StackedMlp& critic,
                         Precision precision);

/// The kernels of cpu_level().
template <class T>
CriticKernels<T> chosen_critic_kernels();

/// [T, M, B, K * outputs] of actions [M, B, K, A]. The observations may come in parts, side by side, each [M, B,
/// columns] or [S, B, columns], of which M / S members in turn share one.
at::Tensor fused_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions, Precision precision);

/// The same with gradients for obs, actions and parameters.
at::Tensor differentiable_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions,
                                 Precision precision);

/// One output: [T, M, B, K], and each value's gradient for its own action [T, M, B, K, A], in one pass.
std::pair<at::Tensor, at::Tensor> fused_values_and_slopes(const StackedMlp& critic, at::TensorList obs,
                                                          const at::Tensor& actions, Precision precision);

/// Undefined where not asked for.
struct FusedGradients {
  StackedMlp parameters;
  std::vector<at::Tensor> obs;  ///< of each part
  at::Tensor actions;
};

struct GradientRequest {
  Wanted wanted = Wanted::all;
  bool obs = false;
  bool actions = false;
};

/// Gradients under upstream gradients dq [T, M, B, K * outputs].
FusedGradients fused_gradients(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions,
                               const at::Tensor& dq, Precision precision, GradientRequest request);

/// Mean over states of the log sum of exponentials [T, M], and each network's gradients of its own mean.
std::pair<at::Tensor, StackedMlp> fused_mean_logsumexp(const StackedMlp& critic, at::TensorList obs,
                                                       const Candidates& candidates, Precision precision);

/// A network's parameters as one list, and back: weight and bias of each layer in turn, then scale and shift of each
/// layer norm.
std::vector<at::Tensor> to_list(const StackedMlp& mlp);
StackedMlp from_list(at::TensorList list, ActivationSpec activation);

/// Backward functions call it: theirs is the only derivative. \throws c10::Error
void check_once(std::string_view op);

}  // namespace omar::nn
