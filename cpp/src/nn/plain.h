#pragma once
/// Hidden layers in LibTorch ops.

#include <omar/nn/stacked_mlp.h>

namespace omar::nn {

/// Outputs of hidden layer `layer` from its sums [M, rows, out].
at::Tensor activate(const StackedMlp& mlp, size_t layer, const at::Tensor& sums);

}  // namespace omar::nn
