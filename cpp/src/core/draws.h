#pragma once
/// Random numbers of candidate actions as tensors.

#include <omar/core/draws.h>

#include <c10/core/Device.h>

#include <string_view>

#include "core/draws_kernels.h"

namespace omar::draws {

/// The kernels of cpu_level().
Kernels chosen_kernels();

/// The draw with its step read from where `step_at` says, and in range. \throws c10::ValueError, c10::TypeError
Draw on_host(std::string_view op, const Draw& draw);

/// \throws c10::ValueError sizes [M, B, K, A] that the counter does not reach, or that overflow
void check_candidate_sizes(std::string_view op, c10::IntArrayRef sizes);

/// Numbers of a whole array of candidates [M, B, K, A], float32 on `device`: drawn there where that is the CPU or a
/// CUDA device that this build has kernels for, and copied there otherwise. Number (m, b, k, d) is made of word k % 4
/// of the block (candidate_draw(b, k / 4), step, m, candidate_stream(stream, d)). \throws c10::ValueError,
/// c10::TypeError
at::Tensor candidates(std::string_view op, Distribution distribution, c10::IntArrayRef sizes, const Draw& draw,
                      std::uint32_t stream, c10::Device device = at::kCPU);

/// \throws c10::TypeError a dtype that is neither float32 nor float64
void check_floating(std::string_view op, std::string_view name, at::ScalarType dtype);

}  // namespace omar::draws
