#pragma once
/// Random numbers of candidate actions as tensors.

#include <omar/nn/stacked_mlp.h>

#include <string_view>

#include "nn/random.h"

namespace omar::nn {

/// The kernels of cpu_level().
RandomKernels chosen_random_kernels();

enum class Law { normal, uniform };

/// Numbers of a whole tensor [M, B, K, A], float32 on the CPU. \throws c10::ValueError
at::Tensor draw_candidates(std::string_view op, Law law, c10::IntArrayRef sizes, Draw draw, std::uint32_t stream);

}  // namespace omar::nn
