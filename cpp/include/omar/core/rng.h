#pragma once
/// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
///
/// A draw is a pure function of (seed, counter), see counter.h: no state, so results do not depend on thread count,
/// batch split or device. All functions are branch-free and compile for host and device; a plain
/// loop over lanes that calls them is vectorised by the compiler.

#include <omar/core/counter.h>
#include <omar/core/host_device.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace omar {

inline namespace OMAR_LEVEL {
namespace rng {

/// Both halves of a product of 32-bit words.
template <class Word>
struct Product {
  Word high, low;
};

OMAR_HD OMAR_INLINE Product<std::uint32_t> product(std::uint32_t factor, std::uint32_t word) {
  const std::uint64_t p = static_cast<std::uint64_t>(factor) * word;
  return {static_cast<std::uint32_t>(p >> 32), static_cast<std::uint32_t>(p)};
}

/// Four 32-bit words (or lanes of words): the counter or the output of a Philox block.
template <class Word>
struct BlockOf {
  Word x0, x1, x2, x3;
};
using Block = BlockOf<std::uint32_t>;

/// Philox4x32-10 of `counter` under the 64-bit `key`. Word is std::uint32_t or a pack of such words with `product`.
template <class Word>
OMAR_HD OMAR_INLINE BlockOf<Word> philox(BlockOf<Word> counter, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  BlockOf<Word> c = counter;
  for (int round = 0; round < 10; ++round) {
    const Product<Word> p0 = product(0xD2511F53u, c.x0);
    const Product<Word> p1 = product(0xCD9E8D57u, c.x2);
    c = BlockOf<Word>{p1.high ^ c.x1 ^ k0, p1.low, p0.high ^ c.x3 ^ k1, p0.low};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

OMAR_HD OMAR_INLINE Block philox(Block counter, std::uint64_t key) { return philox<std::uint32_t>(counter, key); }

/// The four words at `counter` of generator `seed`.
template <class Word>
OMAR_HD OMAR_INLINE BlockOf<Word> words(std::uint64_t seed, const Counter<Word>& counter) {
  return philox(BlockOf<Word>{counter.draw, counter.step, counter.index, counter.stream}, seed);
}

OMAR_HD OMAR_INLINE Block words(std::uint64_t seed, std::uint32_t stream, std::uint32_t index, std::uint32_t step,
                                std::uint32_t draw) {
  return words(seed, Counter<std::uint32_t>{draw, step, index, stream});
}

/// Uniform in [0, 1) with 24 bits, exact in float32 and float64 alike.
OMAR_HD OMAR_INLINE float uniform(std::uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

/// Uniform in [low, high).
template <class T>
OMAR_HD OMAR_INLINE T uniform(std::uint32_t word, T low, T high) {
  return low + (high - low) * static_cast<T>(uniform(word));
}

struct NormalPair {
  float z0, z1;
};

OMAR_HD OMAR_INLINE std::uint32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return std::bit_cast<std::uint32_t>(x);
#endif
}

OMAR_HD OMAR_INLINE float bits_float(std::uint32_t x) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(x);
#else
  return std::bit_cast<float>(x);
#endif
}

/// Natural logarithm of a normal positive float, relative error below 1e-6; branch-free so that loops vectorise.
OMAR_HD OMAR_INLINE float log_positive(float x) {
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m by the odd series in s = (m - 1) / (m + 1).
  const std::uint32_t bits = float_bits(x) - 0x3F3504F3u;
  const float e = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
  const float m = bits_float((bits & 0x007FFFFFu) + 0x3F3504F3u);
  const float s = (m - 1.0f) / (m + 1.0f);
  const float t = s * s;
  const float series = 2.0f + t * (0.66666667f + t * (0.4f + t * (0.28571429f + t * 0.22222222f)));
  return e * 0.69314718f + s * series;
}

/// Two independent standard normals from two words (Box and Muller 1958). |z| <= 5.77.
OMAR_HD OMAR_INLINE NormalPair normal_pair(std::uint32_t word0, std::uint32_t word1) {
  const float u = static_cast<float>((word0 >> 8) + 1u) * 0x1p-24f;  // in (0, 1]
  const float r = ::sqrtf(-2.0f * log_positive(u));
  // Angle 2 pi v: the two top bits of the word choose the quadrant, the rest an angle in [-pi/4, pi/4).
  const std::uint32_t quadrant = word1 >> 30;
  const float f = static_cast<float>(static_cast<std::int32_t>((word1 << 2) >> 9) - (1 << 22)) * 0x1p-23f;
  const float a = f * 1.57079633f;
  const float q = a * a;
  const float sine = a * (1.0f + q * (-1.6666667e-1f + q * (8.3333333e-3f + q * (-1.9841270e-4f + q * 2.7557319e-6f))));
  const float cosine =
      1.0f + q * (-0.5f + q * (4.1666667e-2f + q * (-1.3888889e-3f + q * (2.4801587e-5f + q * -2.7557319e-7f))));
  const bool swap = (quadrant & 1u) != 0u;
  const float c = swap ? sine : cosine;
  const float s = swap ? cosine : sine;
  const float sign_c = (quadrant == 1u || quadrant == 2u) ? -r : r;
  const float sign_s = (quadrant & 2u) != 0u ? -r : r;
  return NormalPair{sign_c * c, sign_s * s};
}

}  // namespace rng
}  // namespace OMAR_LEVEL
}  // namespace omar
