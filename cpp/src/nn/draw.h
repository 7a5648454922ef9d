#pragma once
/// Random numbers of candidate actions as tensors.

#include <omar/nn/stacked_mlp.h>

#include <c10/core/Device.h>

#include <string_view>

#include "nn/draw_kernels.h"
#include "nn/random.h"

namespace omar::nn {

/// The kernels of cpu_level().
RandomKernels chosen_random_kernels();

/// The draw with its step read from where `step_at` says. \throws c10::ValueError, c10::TypeError
Draw on_host(std::string_view op, const Draw& draw);

/// Numbers of a whole tensor [M, B, K, A], float32 on `device`: drawn there where that is the CPU or a CUDA device that
/// this build has kernels for, and copied there otherwise. \throws c10::ValueError, c10::TypeError
at::Tensor draw_candidates(std::string_view op, Law law, c10::IntArrayRef sizes, const Draw& draw, std::uint32_t stream,
                           c10::Device device = at::kCPU);

}  // namespace omar::nn
