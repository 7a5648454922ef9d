#pragma once
/// The softmax refit of up to kSearchStates states, side by side.

#include <limits>

#include "cem/refit_state.h"
#include "cem/search_memory.h"
#include "nn/exp.h"

namespace omar::cem::OMAR_LEVEL {

using nn::OMAR_LEVEL::exp_;

/// The softmax refit of a block of states, in place.
template <class T>
struct SoftmaxRefit {
  const T* scores;      ///< [K]
  const T* candidates;  ///< [K, A]
  T* weights;           ///< scratch [K]
  T* means;             ///< [A]
  T* deviations;        ///< [A]
  std::int64_t count;   ///< of states
  std::int64_t samples, size;
  T beta;

  /// Scores that are NaN or infinite weigh nothing; a state that has no other keeps its distribution.
  void run() const {
    PerState<T> top, total, known;
    for (std::int64_t s = 0; s < count; ++s) {
      top[s] = std::numeric_limits<T>::lowest();
      total[s] = known[s] = T(0);
    }
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      for (std::int64_t s = 0; s < count; ++s) top[s] = finite(q[s]) && q[s] > top[s] ? q[s] : top[s];
    }
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      T* w = weights + k * kStride;
      for (std::int64_t s = 0; s < count; ++s) {
        const T weight = exp_(beta * below_top(q[s], top[s]));
        w[s] = finite(q[s]) ? weight : T(0);
        total[s] += w[s];
        known[s] += finite(q[s]) ? T(1) : T(0);
      }
    }
    for (std::int64_t d = 0; d < size; ++d) fit(d, total, known);
  }

 private:
  /// Weighted mean and root mean square distance to it, of one action dimension.
  void fit(std::int64_t d, const T* total, const T* known) const {
    PerState<T> mean, square;
    for (std::int64_t s = 0; s < count; ++s) mean[s] = square[s] = T(0);
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* w = weights + k * kStride;
      const T* a = candidates + (k * size + d) * kStride;
      for (std::int64_t s = 0; s < count; ++s) mean[s] += w[s] * a[s];
    }
    for (std::int64_t s = 0; s < count; ++s) mean[s] /= total[s];
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      const T* a = candidates + (k * size + d) * kStride;
      for (std::int64_t s = 0; s < count; ++s) {
        const T distance = a[s] - mean[s];
        square[s] += finite(q[s]) ? distance * distance : T(0);
      }
    }
    T* mu = means + d * kStride;
    T* sigma = deviations + d * kStride;
    for (std::int64_t s = 0; s < count; ++s) {
      const T deviation = sqrt_(square[s] / known[s]);
      mu[s] = known[s] > T(0) ? mean[s] : mu[s];
      sigma[s] = known[s] > T(0) ? deviation : sigma[s];
    }
  }
};

/// Rows [states, width] to [width, kStride], and back.
template <class T>
void to_columns(const T* rows, std::int64_t states, std::int64_t width, T* columns) {
  for (std::int64_t s = 0; s < states; ++s) {
    for (std::int64_t i = 0; i < width; ++i) columns[i * kStride + s] = rows[s * width + i];
  }
}
template <class T>
void to_rows(const T* columns, std::int64_t states, std::int64_t width, T* rows) {
  for (std::int64_t s = 0; s < states; ++s) {
    for (std::int64_t i = 0; i < width; ++i) rows[s * width + i] = columns[i * kStride + s];
  }
}

/// Numbers of scratch memory of refit_softmax.
inline std::int64_t refit_memory_size(std::int64_t samples, std::int64_t actions) {
  return (samples * (actions + 2) + 2 * actions) * kStride;
}

/// The softmax refit of states [first, first + count) of `args`, count <= kSearchStates.
template <class T>
void refit_softmax(const RefitArgs<T>& args, std::int64_t first, std::int64_t count, T* memory) {
  const std::int64_t samples = args.samples, size = args.size;
  T* const scores = memory;
  T* const weights = scores + samples * kStride;
  T* const candidates = weights + samples * kStride;
  T* const means = candidates + samples * size * kStride;
  T* const deviations = means + size * kStride;
  to_columns(args.q + first * samples, count, samples, scores);
  to_columns(args.actions + first * samples * size, count, samples * size, candidates);
  to_columns(args.mu + first * size, count, size, means);
  to_columns(args.sigma + first * size, count, size, deviations);
  SoftmaxRefit<T>{scores, candidates, weights, means, deviations, count, samples, size, args.beta}.run();
  to_rows(means, count, size, args.next_mu + first * size);
  to_rows(deviations, count, size, args.next_sigma + first * size);
}

}  // namespace omar::cem::OMAR_LEVEL
