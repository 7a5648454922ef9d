#pragma once
/// The refits of one state, as a CUDA thread runs them; a test runs them on the host against the LibTorch version.

#include <cmath>
#include <cstdint>

#include "cem/refit_kernels.h"
#include "core/pack.h"

namespace omar::cem::OMAR_LEVEL {

OMAR_HD OMAR_INLINE float exponential(float x) { return ::expf(x); }
OMAR_HD OMAR_INLINE double exponential(double x) { return ::exp(x); }

/// Candidate `i` with score `q`. The better one comes first, the first of equals.
template <class T>
struct Rank {
  T q;
  std::int64_t i;

  OMAR_HD OMAR_INLINE bool before(const Rank& other) const { return q > other.q || (q == other.q && i < other.i); }
};

/// One state's part of the arrays.
template <class T>
struct RefitState {
  const RefitArgs<T>& args;
  const T* q;        ///< [K]
  const T* actions;  ///< [K, A]

  OMAR_HD OMAR_INLINE RefitState(const RefitArgs<T>& all, std::int64_t state)
      : args(all), q(all.q + state * all.samples), actions(all.actions + state * all.samples * all.size) {}

  /// Weighted mean and the root of the sum of squares over `divisor`, of number `d` of the candidates that `weight`
  /// (0 for those that do not count) and `counts` admit.
  template <class Weight, class Counts>
  OMAR_HD OMAR_INLINE void moments(std::int64_t d, const Weight& weight, const Counts& counts, T divisor, T& mean,
                                   T& deviation) const {
    T total = T(0), sum = T(0), squares = T(0);
    for (std::int64_t k = 0; k < args.samples; ++k) {
      if (!counts(k)) continue;
      const T w = weight(k);
      total += w;
      sum += w * actions[k * args.size + d];
    }
    mean = sum / total;
    for (std::int64_t k = 0; k < args.samples; ++k) {
      if (!counts(k)) continue;
      const T distance = actions[k * args.size + d] - mean;
      squares += distance * distance;
    }
    deviation = sqrt_(squares / divisor);
  }
};

/// The next distribution of state `state`, as cem::refit describes it.
template <class T>
OMAR_HD OMAR_INLINE void refit_state(const RefitArgs<T>& args, std::int64_t state) {
  const RefitState<T> s(args, state);
  std::int64_t found = 0;
  Rank<T> top{T(0), -1};
  for (std::int64_t k = 0; k < args.samples; ++k) {
    if (!finite(s.q[k])) continue;
    ++found;
    const Rank<T> candidate{s.q[k], k};
    if (top.i < 0 || candidate.before(top)) top = candidate;
  }
  const bool softmax = args.refit == Refit::softmax;
  std::int64_t used = found;
  Rank<T> last = top;  // of the elites
  if (!softmax && used > args.elites) used = args.elites;
  for (std::int64_t n = 1; !softmax && n < used; ++n) {
    Rank<T> next{T(0), -1};
    for (std::int64_t k = 0; k < args.samples; ++k) {
      const Rank<T> candidate{s.q[k], k};
      if (finite(s.q[k]) && last.before(candidate) && (next.i < 0 || candidate.before(next))) next = candidate;
    }
    last = next;
  }
  const auto counts = [&](std::int64_t k) { return finite(s.q[k]) && (softmax || !last.before(Rank<T>{s.q[k], k})); };
  const auto weight = [&](std::int64_t k) { return softmax ? exponential(args.beta * (s.q[k] - top.q)) : T(1); };
  const std::int64_t freedom = softmax || used < 2 ? used : used - 1;
  const std::int64_t least = softmax ? 1 : 2;  // a single elite has no deviation
  for (std::int64_t d = 0; d < args.size; ++d) {
    const std::int64_t at = state * args.size + d;
    T mean = args.mu[at], deviation = args.sigma[at];
    if (used > 0) {
      T fresh = T(0);
      s.moments(d, weight, counts, static_cast<T>(freedom), mean, fresh);
      if (used >= least) deviation = fresh;
    }
    args.next_mu[at] = mean;
    args.next_sigma[at] = deviation;
  }
}

}  // namespace omar::cem::OMAR_LEVEL
