#pragma once
/// 32-bit words side by side, for Philox: compilers turn the wide products of a plain loop into many shuffles.

#include <omar/core/rng.h>

#include <cstring>

#include "core/vector_bytes.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace omar {
inline namespace OMAR_LEVEL {

struct WordLanes {
  typedef std::uint32_t Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr int width = kVectorBytes / 4;

  Vector v;

  explicit OMAR_INLINE WordLanes(std::uint32_t word) : v(word - Vector{}) {}
  explicit OMAR_INLINE WordLanes(Vector x) : v(x) {}

  /// first, first + 1, ...
  static OMAR_INLINE WordLanes from(std::uint32_t first) {
    Vector x;
    for (int i = 0; i < width; ++i) x[i] = first + static_cast<std::uint32_t>(i);
    return WordLanes(x);
  }
  OMAR_INLINE void store(std::uint32_t* p) const { std::memcpy(p, &v, sizeof(v)); }

  friend OMAR_INLINE WordLanes operator^(WordLanes a, WordLanes b) { return WordLanes(a.v ^ b.v); }
  friend OMAR_INLINE WordLanes operator^(WordLanes a, std::uint32_t b) { return WordLanes(a.v ^ b); }

  friend OMAR_INLINE rng::Product<WordLanes> product(std::uint32_t factor, WordLanes word) {
    typedef std::uint64_t Wide __attribute__((vector_size(kVectorBytes)));
#if defined(__AVX512F__)
    // _mm512_mul_epu32 without GCC 12's false warning of an uninitialised operand; the same instruction.
    const auto multiply = [](Wide a, Wide b) { return (Wide)_mm512_maskz_mul_epu32(0xFF, (__m512i)a, (__m512i)b); };
#elif defined(__AVX2__)
    const auto multiply = [](Wide a, Wide b) { return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b); };
#elif defined(__SSE2__)
    const auto multiply = [](Wide a, Wide b) { return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b); };
#else
    const auto multiply = [](Wide a, Wide b) { return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu); };
#endif
    const Wide words = (Wide)word.v, factors = factor - Wide{};
    const Wide even = multiply(words, factors), odd = multiply(words >> 32, factors);
    constexpr std::uint64_t upper = 0xFFFFFFFF00000000u;
    return {WordLanes((Vector)((even >> 32) | (odd & upper))), WordLanes((Vector)((even & ~upper) | (odd << 32)))};
  }
};

}  // namespace OMAR_LEVEL
}  // namespace omar
