#pragma once
/// Checks that the front ends of networks share; validate(mlp) is public, in stacked_mlp.h.

#include <omar/nn/stacked_mlp.h>

#include <string_view>

namespace omar::nn {

/// Same dtype and device. \throws c10::TypeError, c10::ValueError
void check_like(std::string_view op, std::string_view name, const at::Tensor& tensor, const at::Tensor& like);

/// A stack that is valid, with `rows` inputs to each network, is no larger than memory could ever be: no product of
/// sizes overflows in what follows. \throws c10::ValueError
void check_work(std::string_view op, const StackedMlp& mlp, c10::IntArrayRef rows);

/// Critic, observations and candidates agree. \throws c10::ValueError, c10::TypeError
void check_candidates(std::string_view op, const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions);

/// The same for observations in parts, as nn::candidate_values takes them. \throws c10::ValueError, c10::TypeError
void check_parts(std::string_view op, const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions);

}  // namespace omar::nn
