#pragma once
/// exp and log of the kernels: branch-free in float, so that loops vectorise.
///
/// Both exponentials are softmax weights relative to the largest, which is 1. Weights too small to change such a sum
/// are set to 0: near the smallest normal number, they would make the gradients subnormal, and a product of subnormal
/// numbers takes a hundred cycles or more. Critics whose values spread over hundreds have many such weights.

#include <omar/core/host_device.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace omar::nn::OMAR_LEVEL {

/// e^x for x <= 0, relative error below 3e-7; 0 for x < -46 (1e-20); NaN stays NaN.
OMAR_INLINE float exp_(float x) {
  const float bounded = x < -46.0f ? -46.0f : x;
  // x = n log 2 + f, |f| <= log(2) / 2; adding 1.5 * 2^23 rounds to an integer held in the low bits.
  const float shifted = bounded * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float f = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  const float series =
      1.0f +
      f * (1.0f + f * (0.5f + f * (1.6666667e-1f + f * (4.1666667e-2f + f * (8.3333333e-3f + f * 1.3888889e-3f)))));
  const float power = series * std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) + 127u) << 23);
  return x < -46.0f ? 0.0f : power;
}
/// The same in double: 0 for x < -460 (1e-200).
OMAR_INLINE double exp_(double x) { return x < -460.0 ? 0.0 : ::exp(x); }

/// log x for x >= 1, and -inf for 0; NaN stays NaN.
OMAR_INLINE float log_(float x) { return ::logf(x); }
OMAR_INLINE double log_(double x) { return ::log(x); }

}  // namespace omar::nn::OMAR_LEVEL
