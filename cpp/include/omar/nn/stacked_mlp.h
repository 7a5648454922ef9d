#pragma once
/// Stacked multilayer perceptrons: M networks of one shape, trained and evaluated as one batch.

#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>

#include <vector>

namespace omar::nn {

/// M networks with ReLU between layers and a linear output.
struct StackedMlp {
  std::vector<at::Tensor> weights;  ///< per layer [M, in, out]
  std::vector<at::Tensor> biases;   ///< per layer [M, out]

  int64_t members() const { return weights.empty() ? 0 : weights.front().size(0); }
  int64_t in_features() const { return weights.empty() ? 0 : weights.front().size(1); }
  int64_t out_features() const { return weights.empty() ? 0 : weights.back().size(2); }
};

/// Shapes, dtypes and devices of all layers agree. \throws c10::ValueError, c10::TypeError
OMAR_API void check(const StackedMlp& mlp);

/// x [M, B, in] -> [M, B, out]. Differentiable LibTorch ops, any device.
OMAR_API at::Tensor forward(const StackedMlp& mlp, const at::Tensor& x);

/// Q of K candidate actions per state: obs [M, B, O], actions [M, B, K, A] -> [T, M, B, K], where the critic holds
/// T * M networks on (o, a) with one output each; network t * M + m belongs to member m (T = 2: twin critics).
/// The observation's part of the first layer is computed once per state. Differentiable, any device.
/// \throws c10::ValueError wrong rank or size, c10::TypeError wrong dtype
OMAR_API at::Tensor candidate_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions);

}  // namespace omar::nn
