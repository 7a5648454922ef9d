#pragma once
/// Batch normalisation of the inputs of stacked networks, folded into their first layer: CPU kernels.
///
/// M members, T networks of each; network t * M + m belongs to member m. Tensors are float32 or float64 on the CPU, of
/// one dtype in a call. No number depends on how many members or threads there are.

#include <omar/core/host_device.h>

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace omar::nn {

constexpr double kBatchNormEpsilon = 1e-5;  ///< added to variances

/// Of the columns of each member's rows.
struct Moments {
  at::Tensor mean;      ///< [M, columns]
  at::Tensor variance;  ///< [M, columns], biased
};

/// scale (x - mean) / sqrt(variance + 1e-5) + shift of each input x, for all T networks of a member.
struct BatchNorm {
  at::Tensor scale;  ///< [M, in]
  at::Tensor shift;  ///< [M, in]
};

/// Of the rows of x [M, ..., columns], at least one. Not differentiable. \throws c10::ValueError, c10::TypeError
OMAR_API Moments moments(const at::Tensor& x);

/// Weight [T M, in, out] and bias [T M, out] of the first layer as functions of raw inputs whose columns have these
/// moments, in parts side by side. Differentiable once with respect to weight, bias, scale and shift; gradients through
/// the moments are the inputs' business, see `attach_moments`. \throws c10::ValueError, c10::TypeError
OMAR_API std::pair<at::Tensor, at::Tensor> fold(const at::Tensor& weight, const at::Tensor& bias, const BatchNorm& norm,
                                                const std::vector<Moments>& parts);

/// x [M, ..., columns] itself, as input of networks that were folded for its `moments`: gradients to it include, beside
/// those of the folded networks, those through its moments. Differentiable once. \throws c10::ValueError,
/// c10::TypeError
OMAR_API at::Tensor attach_moments(const at::Tensor& x, const Moments& moments);

}  // namespace omar::nn
