#pragma once
/// The whole search in the fused kernels.

#include <omar/cem/cem.h>

#include <utility>

namespace omar::cem {

/// Arguments are valid, and nn::fused_obstacle(critic) is empty; all of the critic's networks count. `norm`, where not
/// null, normalises each round's inputs, and then the policy's, by their own moments.
std::pair<at::Tensor, at::Tensor> fused_search(const nn::StackedMlp& critic, const nn::BatchNorm* norm,
                                               const at::Tensor& obs, const at::Tensor& policy_actions,
                                               const CemOptions& options, Draw draw);

}  // namespace omar::cem
