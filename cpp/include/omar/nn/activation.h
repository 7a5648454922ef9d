#pragma once
/// What hidden layers apply to their sums.

namespace omar::nn {

enum class Activation {
  relu,             ///< max(0, x)
  layer_norm_relu,  ///< layer norm over the layer's units (Ba et al. 2016), then max(0, x)
};

/// Added to the variance of a layer's units, which is the biased one, as torch.nn.LayerNorm has it.
inline constexpr double kLayerNormEpsilon = 1e-5;

/// The same for every hidden layer of a network.
struct ActivationSpec {
  Activation kind = Activation::relu;

  bool has_layer_norm() const { return kind == Activation::layer_norm_relu; }
};

}  // namespace omar::nn
