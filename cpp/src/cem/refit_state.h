#pragma once
/// The refits of one state, for CPU tensors and in a CUDA thread.

#include <omar/core/pack.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cem/refit_kernels.h"

namespace omar::cem::OMAR_LEVEL {

OMAR_HD OMAR_INLINE float exponential(float x) { return ::expf(x); }
OMAR_HD OMAR_INLINE double exponential(double x) { return ::exp(x); }

/// A variable: nvcc calls no function of the host in a kernel.
template <class T>
inline constexpr T kLowest = std::numeric_limits<T>::lowest();

/// exp(beta (q - top)) is made of this, for finite q <= top: a difference that overflows would make beta = 0 a NaN.
template <class T>
OMAR_HD OMAR_INLINE T below_top(T q, T top) {
  return max_(q - top, kLowest<T>);
}

/// Bits that rise with the scores; those of -0 and 0 are equal.
OMAR_HD OMAR_INLINE std::uint32_t ordered_bits(float q) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t bits = __float_as_uint(q + 0.0f);
#else
  const auto bits = std::bit_cast<std::uint32_t>(q + 0.0f);
#endif
  return bits >> 31 != 0 ? ~bits : bits | (std::uint32_t{1} << 31);
}
OMAR_HD OMAR_INLINE std::uint64_t ordered_bits(double q) {
#if defined(__CUDA_ARCH__)
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(q + 0.0));
#else
  const auto bits = std::bit_cast<std::uint64_t>(q + 0.0);
#endif
  return bits >> 63 != 0 ? ~bits : bits | (std::uint64_t{1} << 63);
}

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

  /// The first finite candidate after `last` in order of rank, or i = -1.
  OMAR_HD OMAR_INLINE Rank<T> next(const Rank<T>& last) const {
    Rank<T> found{T(0), -1};
    for (std::int64_t k = 0; k < args.samples; ++k) {
      const Rank<T> candidate{q[k], k};
      const bool follows = last.i < 0 || last.before(candidate);
      if (finite(q[k]) && follows && (found.i < 0 || candidate.before(found))) found = candidate;
    }
    return found;
  }

  /// The last of the first `n` finite candidates in order of rank, n >= 1: bit by bit, so in as many passes for any n.
  OMAR_HD OMAR_INLINE Rank<T> nth(std::int64_t n) const {
    using Bits = decltype(ordered_bits(T(0)));
    const auto count = [&](Bits least) {
      std::int64_t found = 0;
      for (std::int64_t k = 0; k < args.samples; ++k) found += finite(q[k]) && ordered_bits(q[k]) >= least ? 1 : 0;
      return found;
    };
    Bits score = 0;  // the largest one that n candidates reach
    for (Bits bit = Bits{1} << (8 * sizeof(Bits) - 1); bit != 0; bit >>= 1) {
      if (count(score | bit) >= n) score |= bit;
    }
    std::int64_t left = n - count(score + 1);
    Rank<T> found{T(0), -1};
    for (std::int64_t k = 0; left > 0; ++k) {
      if (!finite(q[k]) || ordered_bits(q[k]) != score) continue;
      found = Rank<T>{q[k], k};
      --left;
    }
    return found;
  }

  /// Of number `d` of the candidates that `counts` admits: the mean under `weight`, and the root of the sum of squared
  /// distances to it over `divisor`.
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
  const bool softmax = args.refit == Refit::softmax;
  const Rank<T> top = s.next(Rank<T>{T(0), -1});
  std::int64_t used = 0;
  for (std::int64_t k = 0; k < args.samples; ++k) used += finite(s.q[k]) ? 1 : 0;
  Rank<T> last = top;  // of the elites
  if (!softmax) {
    if (used > args.elites) used = args.elites;
    constexpr std::int64_t passes = 8 * sizeof(T);  // of nth
    if (used > passes) {
      last = s.nth(used);
    } else {
      for (std::int64_t n = 1; n < used; ++n) last = s.next(last);
    }
  }
  const auto counts = [&](std::int64_t k) { return finite(s.q[k]) && (softmax || !last.before(Rank<T>{s.q[k], k})); };
  const auto weight = [&](std::int64_t k) {
    return softmax ? exponential(args.beta * below_top(s.q[k], top.q)) : T(1);
  };
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
