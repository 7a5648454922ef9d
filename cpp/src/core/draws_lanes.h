#pragma once
/// Philox blocks side by side, and the numbers made of their words: for kernels that draw many at once.

#include <omar/core/rng.h>

#include "core/draws_kernels.h"
#include "core/word_lanes.h"

namespace omar::draws::OMAR_LEVEL {

/// In which word of the counter neighbouring blocks differ, by one.
enum class Along { draw, index };

/// N blocks, N a multiple of WordLanes::width: word j of block i is w[j][i].
template <int N>
struct BlockWords {
  std::uint32_t w[4][N];

  template <Along along>
  static OMAR_INLINE BlockWords at(std::uint64_t seed, const Counter<std::uint32_t>& first) {
    BlockWords words;
    for (int i = 0; i < N; i += WordLanes::width) {
      const auto lane = static_cast<std::uint32_t>(i);
      Counter<WordLanes> counter{WordLanes(first.draw), WordLanes(first.step), WordLanes(first.index),
                                 WordLanes(first.stream)};
      if constexpr (along == Along::draw) counter.draw = WordLanes::from(first.draw + lane);
      if constexpr (along == Along::index) counter.index = WordLanes::from(first.index + lane);
      const rng::BlockOf<WordLanes> x = rng::words(seed, counter);
      x.x0.store(words.w[0] + i);
      x.x1.store(words.w[1] + i);
      x.x2.store(words.w[2] + i);
      x.x3.store(words.w[3] + i);
    }
    return words;
  }
};

/// Number j of block i to z[j][i].
template <Distribution distribution, int N>
OMAR_INLINE void numbers(const BlockWords<N>& words, float (&z)[4][N]) {
  if constexpr (distribution == Distribution::normal) {
    for (int j = 0; j < 4; j += 2) {
      for (int i = 0; i < N; ++i) {
        const rng::NormalPair pair = rng::normal_pair(words.w[j][i], words.w[j + 1][i]);
        z[j][i] = pair.z0;
        z[j + 1][i] = pair.z1;
      }
    }
  } else {
    for (int j = 0; j < 4; ++j) {
      for (int i = 0; i < N; ++i) z[j][i] = rng::uniform(words.w[j][i], -1.0f, 1.0f);
    }
  }
}

}  // namespace omar::draws::OMAR_LEVEL
