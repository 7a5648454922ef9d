#pragma once
/// Stacked multilayer perceptrons: M networks of one shape, trained and evaluated as one batch.

#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
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

/// How the first weights are drawn.
struct InitOptions {
  std::vector<int64_t> sizes;        ///< in, hidden..., out: at least two
  std::vector<std::uint64_t> seeds;  ///< one per member
  std::int64_t network = 0;          ///< tells apart networks of one seed (such as actor and critic), 0..65535
  double last_layer_scale = 1.0;     ///< factor on the last layer's weights and biases
  at::ScalarType dtype = at::kFloat;
};

/// Shapes, dtypes and devices of all layers agree. \throws c10::ValueError, c10::TypeError
OMAR_API void check(const StackedMlp& mlp);

/// New weights on the CPU, uniform in +-1/sqrt(in) for weights and biases alike. The n-th member of a seed gets the
/// same values in a stack of any size, whatever the other seeds are. \throws c10::ValueError, c10::TypeError
OMAR_API StackedMlp init(const InitOptions& options);

/// Members [0, count) as views. \throws c10::ValueError
OMAR_API StackedMlp first(const StackedMlp& mlp, int64_t count);

/// x [M, B, in] -> [M, B, out]. Differentiable LibTorch ops, any device.
OMAR_API at::Tensor forward(const StackedMlp& mlp, const at::Tensor& x);

/// Q of K candidate actions per state: obs [M, B, O], actions [M, B, K, A] -> [T, M, B, K], where the critic holds
/// T * M networks on (o, a) with one output each; network t * M + m belongs to member m (T = 2: twin critics).
/// The observation's part of the first layer is computed once per state. Differentiable, any device.
/// \throws c10::ValueError wrong rank or size, c10::TypeError wrong dtype
OMAR_API at::Tensor candidate_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions);

}  // namespace omar::nn
