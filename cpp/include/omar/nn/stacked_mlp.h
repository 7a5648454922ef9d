#pragma once
/// Stacked multilayer perceptrons: M networks of one shape, trained and evaluated as one batch.

#include <omar/core/draws.h>
#include <omar/core/host_device.h>
#include <omar/nn/precision.h>

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>

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

using omar::Draw;

/// How candidates are scored.
struct Scoring {
  Path path = Path::automatic;
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

/// Shapes, dtypes and devices of all layers agree. \throws c10::ValueError, c10::TypeError
OMAR_API void check(const StackedMlp& mlp);

/// New weights on the CPU, uniform in +-1/sqrt(in) for weights and biases alike. The n-th member of a seed gets the
/// same values in a stack of any size, whatever the other seeds are. \throws c10::ValueError, c10::TypeError
OMAR_API StackedMlp init(const InitOptions& options);

/// Members [0, count) as views. \throws c10::ValueError
OMAR_API StackedMlp first(const StackedMlp& mlp, int64_t count);

/// x [M, B, in] -> [M, B, out]. Differentiable: the kernels (CPU, two hidden layers) once, LibTorch ops always.
OMAR_API at::Tensor forward(const StackedMlp& mlp, const at::Tensor& x, Path path = Path::automatic);

/// Q of K candidate actions per state: obs [M, B, O], actions [M, B, K, A] -> [T, M, B, K], where the critic holds
/// T * M networks on (o, a) with one output each; network t * M + m belongs to member m (T = 2: twin critics).
/// The observation's part of the first layer is computed once per state. Differentiable, any device. The fused path
/// runs critics with two hidden layers on the CPU; its backward recomputes instead of storing and is differentiable
/// once.
/// \throws c10::ValueError wrong rank or size, or a path that cannot run; c10::TypeError wrong dtype
OMAR_API at::Tensor candidate_values(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
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

/// mean over b of log sum_k exp(Q(o_b, a_bk) - log density): [T, M]. The fused path computes value and gradient in one
/// pass; gradients flow to the weights, and on the plain path to obs and actions too.
OMAR_API at::Tensor mean_logsumexp(const StackedMlp& critic, const at::Tensor& obs, const Candidates& candidates,
                                   Scoring scoring = {});

/// Sampling of the CQL penalty.
struct CqlOptions {
  int64_t samples = 10;  ///< uniform candidates per state
  Draw draw;
  Scoring scoring;
};

/// The CQL penalty of each critic, [T, M]: mean_logsumexp over uniform candidates and `others`, minus the mean of the
/// data's values q_data [T, M, B].
OMAR_API at::Tensor cql_penalty(const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& q_data,
                                const CqlOptions& options, const std::vector<Candidates>& others = {});

}  // namespace omar::nn
