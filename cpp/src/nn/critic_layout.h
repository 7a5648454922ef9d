#pragma once
/// How the fused candidate critic lays out parameters, gradient sums and scratch memory.

#include "nn/critic_kernels.h"
#include "nn/factors.h"

namespace omar::nn::OMAR_LEVEL {

/// Hidden sizes rounded up to whole panels. Padded units have zero weights, so they stay zero.
template <class T>
struct Padded {
  std::int64_t h1, h2;
  explicit Padded(const CriticShape& shape)
      : h1(round_up(shape.hidden1, kPanel<T>)), h2(round_up(shape.hidden2, kPanel<T>)) {}
};

/// Where the parts of the gradient sums are: as the parameters, rows padded.
template <class T>
struct SumsLayout {
  Padded<T> padded;
  std::int64_t w1, b1, w2, b2, w3, b3, size;
  explicit SumsLayout(const CriticShape& s) : padded(s) {
    w1 = 0;
    b1 = w1 + (s.obs + s.actions) * padded.h1;
    w2 = b1 + padded.h1;
    b2 = w2 + padded.h1 * padded.h2;
    w3 = b2 + padded.h2;
    b3 = w3 + s.outputs * padded.h2;
    size = b3 + round_up(s.outputs, kPanel<T>);
  }
};

/// Where the parts of a packed network are: as the sums, but w2 in panels of h1 rows; then w2t, panels of h2 rows of
/// its transpose.
template <class T>
struct PackedCritic : SumsLayout<T> {
  std::int64_t w2t;
  explicit PackedCritic(const CriticShape& s) : SumsLayout<T>(s), w2t(this->size) {
    this->size += this->padded.h1 * this->padded.h2;
  }
};

/// States per block, chosen so that whole tiles are filled.
inline std::int64_t states_per_block(const CriticShape& shape) {
  const std::int64_t target = shape.hidden1 > 128 || shape.hidden2 > 128 ? 120 : 60;
  std::int64_t best = 1;
  double best_use = 0.0;
  for (std::int64_t s = 1; s == 1 || (s * shape.samples * 4 <= target * 5); ++s) {
    const std::int64_t rows = s * shape.samples;
    const double use = static_cast<double>(rows) / static_cast<double>(round_up(rows, kTileRows));
    // A block below half the target pays more for its passes than a ragged tile costs.
    if (rows * 2 < target || use >= best_use) {
      best = s;
      best_use = rows * 2 < target ? 0.0 : use;
    }
  }
  return best;
}

/// Actions of a block: number (state, sample, dimension) at state * by_state + sample * by_sample + dimension *
/// by_size.
template <class T>
struct ActionView {
  const T* data;
  std::int64_t by_state, by_sample, by_size;
};

/// Scratch memory of a block of states with `samples` candidates each, and of the first layer of `observed` states.
template <class T>
struct Scratch {
  std::int64_t states, rows;  ///< whole tiles
  T *obs, *base, *h1, *h2;
  T *partial, *q, *dq;               ///< of output o from o * rows on
  std::uint32_t *words1, *words2;    ///< bfloat16 factors of the hidden products, two in a word
  std::uint32_t *turned1, *turned2;  ///< the same, rows in pairs
  std::int64_t size;

  Scratch(const CriticShape& s, std::int64_t block, std::int64_t observed, T* memory)
      : states(round_up(observed, kTileRows)), rows(round_up(whole_tiles(block * s.samples), Lanes<T>::width)) {
    const Padded<T> padded(s);
    T* next = memory;
    const auto take = [&](std::int64_t n) {
      T* at = next;
      next += round_up(n, 64 / static_cast<std::int64_t>(sizeof(T)));
      return at;
    };
    obs = take(states * s.obs);
    base = take(states * padded.h1);
    h1 = take(rows * padded.h1);
    h2 = take(rows * padded.h2);
    partial = take(s.outputs * rows * Lanes<T>::width);
    q = take(s.outputs * rows);
    dq = take(s.outputs * rows);
    const std::int64_t pairs = sizeof(T) == sizeof(float) ? rows / 2 : 0;
    const auto take_words = [&](std::int64_t n) { return reinterpret_cast<std::uint32_t*>(take(n)); };
    words1 = take_words(pairs * padded.h1);
    words2 = take_words(pairs * padded.h2);
    turned1 = take_words(pairs * padded.h1);
    turned2 = take_words(pairs * padded.h2);
    size = next - memory;
  }
};

}  // namespace omar::nn::OMAR_LEVEL
