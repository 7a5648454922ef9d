#pragma once
/// A keyed permutation of [0, size): a Feistel network over just enough bits, and cycle walking for what falls outside.
/// The first B values are B draws without replacement, each in O(1) expected time and independent of the others'
/// computation. Round keys are Philox words of (seed, member, step).

#include <omar/core/rng.h>

#include <cstdint>

namespace omar {
inline namespace OMAR_LEVEL {
namespace shuffle {

struct Permutation {
  static constexpr int kMaxRounds = 48;
  std::uint64_t size;
  int low_bits;
  int rounds;
  std::uint32_t low_mask, high_mask;
  std::uint32_t keys[kMaxRounds];
};

/// size >= 1
OMAR_HD OMAR_INLINE Permutation make_permutation(std::uint64_t size, std::uint64_t seed, std::uint32_t member,
                                                 std::uint32_t step) {
  int bits = 0;
  while (bits < 63 && (std::uint64_t{1} << bits) < size) ++bits;
  Permutation p{};
  p.size = size;
  p.low_bits = (bits + 1) / 2;
  p.low_mask = static_cast<std::uint32_t>((std::uint64_t{1} << p.low_bits) - 1);
  p.high_mask = static_cast<std::uint32_t>((std::uint64_t{1} << (bits - p.low_bits)) - 1);
  // A pair of inputs keeps a trace of its difference for as long as its high halves agree after every second round:
  // 8 rounds push that below 2^-24 for high halves of 6 bits and more, shorter ones take more rounds.
  const int high_bits = bits - p.low_bits;
  p.rounds = high_bits == 0 || high_bits >= 6 ? 8 : 8 * ((5 + high_bits) / high_bits);
  for (int r = 0; r < p.rounds; r += 4) {
    const rng::Block words =
        rng::words(seed, static_cast<std::uint32_t>(Stream::replay), member, step, static_cast<std::uint32_t>(r / 4));
    p.keys[r] = words.x0;
    p.keys[r + 1] = words.x1;
    p.keys[r + 2] = words.x2;
    p.keys[r + 3] = words.x3;
  }
  return p;
}

/// Round function: the finaliser of MurmurHash3 (Appleby), in which every input bit flips every output bit with
/// probability near one half.
OMAR_HD OMAR_INLINE std::uint32_t mix(std::uint32_t x) {
  x ^= x >> 16;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13;
  x *= 0xC2B2AE35u;
  return x ^ (x >> 16);
}

/// Image of `x` under the permutation of [0, size); x < size.
OMAR_HD OMAR_INLINE std::uint64_t permute(const Permutation& p, std::uint64_t x) {
  do {
    std::uint32_t high = static_cast<std::uint32_t>(x >> p.low_bits);
    std::uint32_t low = static_cast<std::uint32_t>(x) & p.low_mask;
    for (int r = 0; r < p.rounds; r += 2) {
      high ^= mix(low ^ p.keys[r]) & p.high_mask;
      low ^= mix(high ^ p.keys[r + 1]) & p.low_mask;
    }
    x = (static_cast<std::uint64_t>(high) << p.low_bits) | low;
  } while (x >= p.size);
  return x;
}

}  // namespace shuffle
}  // namespace OMAR_LEVEL
}  // namespace omar
