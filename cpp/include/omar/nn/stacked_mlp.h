#pragma once
/// Stacked multilayer perceptrons: M networks of one shape, trained and evaluated as one batch.

#include <omar/core/draws.h>
#include <omar/core/host_device.h>
#include <omar/nn/activation.h>
#include <omar/nn/precision.h>

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace omar::nn {

/// M networks with an activation after every hidden layer and a linear output.
struct StackedMlp {
  std::vector<at::Tensor> weights;  ///< per layer [M, in, out]
  std::vector<at::Tensor> biases;   ///< per layer [M, out]
  ActivationSpec activation = {};
  /// Learned factors and summands of layer norm: per hidden layer [M, out]. None where the activation has none.
  std::vector<at::Tensor> norm_scales = {}, norm_shifts = {};

  int64_t members() const { return weights.empty() ? 0 : weights.front().size(0); }
  int64_t in_features() const { return weights.empty() ? 0 : weights.front().size(1); }
  int64_t out_features() const { return weights.empty() ? 0 : weights.back().size(2); }
};

using omar::Draw;

/// How candidates are scored.
struct Scoring {
  Kernels kernels = Kernels::automatic;
  Precision precision = Precision::float32;
};

/// How the first weights are drawn.
struct InitOptions {
  std::vector<int64_t> sizes;        ///< in, hidden..., out: at least two
  std::vector<std::uint64_t> seeds;  ///< one per member
  std::int64_t network = 0;          ///< tells apart networks of one seed (such as actor and critic), 0..65535
  double last_layer_scale = 1.0;     ///< factor on the last layer's weights and biases
  at::ScalarType dtype = at::kFloat;
};

/// Shapes, dtypes and devices of all layers agree, and all sizes are at least 1; layer norm has a scale and a shift for
/// every hidden layer. \throws c10::ValueError or
/// c10::TypeError
OMAR_API void validate(const StackedMlp& mlp);

/// Why the fused kernels cannot run for this network, in one sentence; nullopt where they can. `constants` are those
/// inputs that they take as constants (cql::mean_logsumexp says which): none of them may require gradients.
/// \throws c10::ValueError or c10::TypeError for an invalid network
OMAR_API std::optional<std::string> fused_obstacle(const StackedMlp& mlp, at::TensorList constants = {});

/// New weights on the CPU, uniform in +-1/sqrt(in) for weights and biases alike. The n-th member of a seed gets the
/// same values in a stack of any size, whatever the other seeds are. \throws c10::ValueError or
/// c10::TypeError
OMAR_API StackedMlp init(const InitOptions& options);

/// Members [0, count) as views. \throws c10::ValueError
OMAR_API StackedMlp first(const StackedMlp& mlp, int64_t count);

/// x [M, B, in] -> [M, B, out], B >= 0. Differentiable: the fused kernels once, LibTorch ops always.
/// \throws c10::ValueError wrong rank or size, or kernels that cannot run; c10::TypeError wrong dtype
OMAR_API at::Tensor forward(const StackedMlp& mlp, const at::Tensor& x, Kernels kernels = Kernels::automatic);

/// Q of K candidate actions per state: obs [M, B, O], actions [M, B, K, A] -> [T, M, B, K], where the critic holds
/// T * M networks on (o, a) with one output each; network t * M + m belongs to member m (T = 2: twin critics).
/// M, O, K, A >= 1, B >= 0. The observation's part of the first layer is computed once per state. `obs` may come in
/// parts, side by side, each [M, B, columns] or [S, B, columns], whose row s serves members s M / S to (s + 1) M / S -
/// 1: the fused kernels copy none of them. Differentiable: the fused kernels once, and they recompute in the backward
/// pass instead of storing; LibTorch ops always. A network's values and gradients from the fused kernels depend on
/// neither the stack around it nor the number of threads.
/// \throws c10::ValueError wrong rank or size, or kernels that cannot run; c10::TypeError wrong dtype
OMAR_API at::Tensor candidate_values(const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions,
                                     Scoring scoring = {});

/// Candidates of the CQL penalty.
struct Candidates {
  at::Tensor actions;      ///< [M, B, K, A]
  at::Tensor log_density;  ///< [M, B, K]: log of the density they were drawn from
};

/// Uniform in [-1, 1)^A with log density -A log 2, a function of (seed, step, m, b, k, d) alone (the layout of
/// cem::normals, stream Stream::candidates). sizes = [M, B, K, A]
OMAR_API Candidates uniform_candidates(c10::IntArrayRef sizes, Draw draw, const at::TensorOptions& options);

/// Normal around `mean` [M, B, A] with deviation `sigma`, not clamped; `set` in 1..15 tells apart several sets of one
/// update (stream Stream::candidates + set). No gradient flows to `mean`.
OMAR_API Candidates normal_candidates(const at::Tensor& mean, double sigma, int64_t samples, Draw draw, int64_t set);

/// Both sets together.
OMAR_API Candidates merge(const Candidates& a, const Candidates& b);

}  // namespace omar::nn
