#pragma once
/// bfloat16 numbers: the upper half of a float32.

#include <omar/core/rng.h>

#include <cstdint>

namespace omar {
inline namespace OMAR_LEVEL {

/// Bits of the bfloat16 nearest to x, ties to even, in the upper half of a word whose lower half is zero; NaN stays
/// NaN.
OMAR_HD OMAR_INLINE std::uint32_t bfloat16_bits(float x) {
  const std::uint32_t bits = rng::float_bits(x);
  const std::uint32_t nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
  return (x == x ? nearest : bits | 0x00400000u) & 0xFFFF0000u;
}

}  // namespace OMAR_LEVEL
}  // namespace omar
