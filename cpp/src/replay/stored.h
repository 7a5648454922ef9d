#pragma once
/// Numbers of a stored row and float32.

#include <omar/core/rng.h>

#include <cstdint>

#include "core/bfloat16.h"

namespace omar::replay::OMAR_LEVEL {

struct Bfloat16 {
  std::uint16_t bits;
};

OMAR_HD OMAR_INLINE float widen(float x) { return x; }
OMAR_HD OMAR_INLINE float widen(Bfloat16 x) { return rng::bits_float(static_cast<std::uint32_t>(x.bits) << 16); }

OMAR_HD OMAR_INLINE void narrow(float x, float& stored) { stored = x; }
/// To the nearest, ties to even; a NaN stays one.
OMAR_HD OMAR_INLINE void narrow(float x, Bfloat16& stored) {
  stored.bits = static_cast<std::uint16_t>(bfloat16_bits(x) >> 16);
}

}  // namespace omar::replay::OMAR_LEVEL
