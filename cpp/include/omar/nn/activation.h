#pragma once
/// What hidden layers apply to their sums.

namespace omar::nn {

enum class Activation {
  relu,  ///< max(0, x)
};

/// The same for every hidden layer of a network.
struct ActivationSpec {
  Activation kind = Activation::relu;
};

}  // namespace omar::nn
