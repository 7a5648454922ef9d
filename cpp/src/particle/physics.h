#pragma once
/// Physics of the particle worlds, written once: V is Pack<T, W> (W worlds side by side) in a CPU kernel and plain
/// float or double in a CUDA thread.

#include <omar/core/host_device.h>
#include <omar/core/pack.h>
#include <omar/core/rng.h>

#include "particle/world_args.h"

// Loops over agents and landmarks are unrolled up to 5 (larger worlds stay loops, or they compile for ever); the
// coefficients of a polynomial always.
#if defined(__CUDACC__)
#define OMAR_UNROLL _Pragma("unroll 5")
#define OMAR_UNROLL_TERMS _Pragma("unroll")
#else
#define OMAR_UNROLL _Pragma("GCC unroll 5")
#define OMAR_UNROLL_TERMS _Pragma("GCC unroll 20")
#endif

namespace omar::particle::OMAR_LEVEL {

template <class V>
struct ScalarOf {
  using type = typename V::Scalar;
};
template <>
struct ScalarOf<float> {
  using type = float;
};
template <>
struct ScalarOf<double> {
  using type = double;
};
template <class V>
using Scalar = typename ScalarOf<V>::type;

template <class V>
OMAR_HD OMAR_INLINE V load(const Scalar<V>* from) {
  if constexpr (std::is_floating_point_v<V>) {
    return *from;
  } else {
    return V::load(from);
  }
}
template <class V>
OMAR_HD OMAR_INLINE void store(V v, Scalar<V>* to) {
  if constexpr (std::is_floating_point_v<V>) {
    *to = v;
  } else {
    v.store(to);
  }
}

/// State of one world (or of W worlds).
template <class S, class V>
struct World {
  V x[S::agents], y[S::agents];
  V vx[S::agents], vy[S::agents];
  V lx[S::landmarks], ly[S::landmarks];
};

/// First field of world `world`; field f is at [f * kBlockWorlds]. See world.h.
template <class S, class T>
OMAR_HD OMAR_INLINE T* fields_of(void* state, std::int64_t world) {
  constexpr int fields = 4 * S::agents + 2 * S::landmarks;
  return static_cast<T*>(state) + world / kBlockWorlds * (fields * kBlockWorlds) + world % kBlockWorlds;
}

template <class S, class V>
OMAR_HD OMAR_INLINE World<S, V> load_world(const Scalar<V>* field) {
  World<S, V> w;
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    w.x[i] = load<V>(field + (2 * i) * kBlockWorlds);
    w.y[i] = load<V>(field + (2 * i + 1) * kBlockWorlds);
    w.vx[i] = load<V>(field + (2 * (S::agents + i)) * kBlockWorlds);
    w.vy[i] = load<V>(field + (2 * (S::agents + i) + 1) * kBlockWorlds);
  }
  OMAR_UNROLL
  for (int l = 0; l < S::landmarks; ++l) {
    w.lx[l] = load<V>(field + (4 * S::agents + 2 * l) * kBlockWorlds);
    w.ly[l] = load<V>(field + (4 * S::agents + 2 * l + 1) * kBlockWorlds);
  }
  return w;
}

template <class S, class V>
OMAR_HD OMAR_INLINE void store_agents(const World<S, V>& w, Scalar<V>* field) {
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    store(w.x[i], field + (2 * i) * kBlockWorlds);
    store(w.y[i], field + (2 * i + 1) * kBlockWorlds);
    store(w.vx[i], field + (2 * (S::agents + i)) * kBlockWorlds);
    store(w.vy[i], field + (2 * (S::agents + i) + 1) * kBlockWorlds);
  }
}

template <class S, class V>
OMAR_HD OMAR_INLINE void store_world(const World<S, V>& w, Scalar<V>* field) {
  store_agents(w, field);
  OMAR_UNROLL
  for (int l = 0; l < S::landmarks; ++l) {
    store(w.lx[l], field + (4 * S::agents + 2 * l) * kBlockWorlds);
    store(w.ly[l], field + (4 * S::agents + 2 * l + 1) * kBlockWorlds);
  }
}

template <class V>
OMAR_HD OMAR_INLINE V squared(V x, V y) {
  return x * x + y * y;
}

/// 1 where the mask holds, else 0.
template <class V, class M>
OMAR_HD OMAR_INLINE V count(M mask) {
  return select(mask, V(Scalar<V>(1)), V(Scalar<V>(0)));
}

/// exp(x) for |x| <= 2^Squarings: a Taylor polynomial of x / 2^Squarings, squared back. Plain arithmetic only, so that
/// all instruction levels and CUDA agree.
template <int Squarings, int Degree, class V>
OMAR_HD OMAR_INLINE V exp_squaring(V x) {
  using T = Scalar<V>;
  const V z = x * V(T(1) / T(1 << Squarings));
  V sum = V(T(1));
  OMAR_UNROLL_TERMS
  for (int n = Degree; n >= 1; --n) sum = V(T(1)) + z * sum * V(T(1.0 / n));
  OMAR_UNROLL_TERMS
  for (int n = 0; n < Squarings; ++n) sum = sum * sum;
  return sum;
}

/// log(1 + exp(-a)) for 0 <= a <= 40, absolute error below 1e-8 in float and 1e-14 in double.
template <class V>
OMAR_HD OMAR_INLINE V log1p_exp_neg(V a) {
  using T = Scalar<V>;
  constexpr bool single = sizeof(T) == 4;
  const V e = exp_squaring<6, single ? 4 : 8>(-a);
  // log(1 + e) = 2 artanh(s), s = e / (2 + e) <= 1/3
  const V s = e / (V(T(2)) + e);
  const V t = s * s;
  V sum = V(T(0));
  OMAR_UNROLL_TERMS
  for (int n = single ? 7 : 16; n >= 0; --n) sum = V(T(1.0 / (2 * n + 1))) + t * sum;
  return (s + s) * sum;
}

/// Contact force on the first of two entities at offset (dx, dy) from the second, divided by the offset:
///   c pen / d,  pen = k softplus((m - d) / k) = max(m - d, 0) + k log(1 + exp(-|m - d| / k)),  m = sum of the sizes.
/// The logarithm counts only within `kReach` k of touching: beyond, it is below the rounding error of the dtype.
/// Entities at the same point exert no force.
template <class V>
OMAR_HD OMAR_INLINE V contact(V dx, V dy, double sizes) {
  using T = Scalar<V>;
  constexpr T k = T(kContactMargin);
  constexpr T reach = (sizeof(T) == 4 ? T(20) : T(40)) * k;
  const T m = T(sizes);
  const V zero = V(T(0));
  const V d2 = squared(dx, dy);
  const auto near = d2 < V((m + reach) * (m + reach));
  if (!any(near)) return zero;
  const V d = sqrt_(d2);
  const V gap = d - V(m);
  V pen = max_(-gap, zero);
  const V away = max_(gap, -gap);
  const auto edge = away < V(reach);
  if (any(edge)) pen += select(edge, V(k) * log1p_exp_neg(away * V(T(1) / k)), zero);
  return select(near & (d2 > zero), V(T(kContactForce)) * pen / d, zero);
}

/// One step of the physics; u[2i], u[2i + 1] is the action of agent i.
template <class S, class V>
OMAR_HD OMAR_INLINE void advance(World<S, V>& w, const V* u) {
  using T = Scalar<V>;
  constexpr T dt = T(kTimeStep);
  V fx[S::agents], fy[S::agents];
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    fx[i] = V(T(S::gain(i))) * u[2 * i];
    fy[i] = V(T(S::gain(i))) * u[2 * i + 1];
  }
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    OMAR_UNROLL
    for (int j = i + 1; j < S::agents; ++j) {
      const V dx = w.x[i] - w.x[j];
      const V dy = w.y[i] - w.y[j];
      const V f = contact(dx, dy, S::size(i) + S::size(j));
      fx[i] += f * dx;
      fy[i] += f * dy;
      fx[j] -= f * dx;
      fy[j] -= f * dy;
    }
    OMAR_UNROLL
    for (int l = 0; l < S::obstacles; ++l) {
      const V dx = w.x[i] - w.lx[l];
      const V dy = w.y[i] - w.ly[l];
      const V f = contact(dx, dy, S::size(i) + S::landmark_size(l));
      fx[i] += f * dx;
      fy[i] += f * dy;
    }
  }
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    V vx = V(T(1.0 - kDamping)) * w.vx[i] + V(dt) * fx[i];
    V vy = V(T(1.0 - kDamping)) * w.vy[i] + V(dt) * fy[i];
    if (S::max_speed(i) > 0.0) {
      const V top = V(T(S::max_speed(i)));
      const V speed = sqrt_(squared(vx, vy));
      const V scale = select(speed > top, top / speed, V(T(1)));
      vx *= scale;
      vy *= scale;
    }
    w.vx[i] = vx;
    w.vy[i] = vy;
    w.x[i] += V(dt) * vx;
    w.y[i] += V(dt) * vy;
  }
}

/// Distance of agents i and j.
template <class S, class V>
OMAR_HD OMAR_INLINE V distance(const World<S, V>& w, int i, int j) {
  return sqrt_(squared(w.x[i] - w.x[j], w.y[i] - w.y[j]));
}

/// Is `squared_distance` below `sizes`^2?
template <class V>
OMAR_HD OMAR_INLINE auto closer(V squared_distance, double sizes) {
  return squared_distance < V(Scalar<V>(sizes) * Scalar<V>(sizes));
}

// ---- observations --------------------------------------------------------------------------------------------------

/// Own velocity and position: 4 numbers.
template <class S, class V>
OMAR_HD OMAR_INLINE V* put_self(const World<S, V>& w, int i, V* out) {
  out[0] = w.vx[i];
  out[1] = w.vy[i];
  out[2] = w.x[i];
  out[3] = w.y[i];
  return out + 4;
}

/// Landmarks relative to agent i: 2L numbers.
template <class S, class V>
OMAR_HD OMAR_INLINE V* put_landmarks(const World<S, V>& w, int i, V* out) {
  OMAR_UNROLL
  for (int l = 0; l < S::landmarks; ++l) {
    *out++ = w.lx[l] - w.x[i];
    *out++ = w.ly[l] - w.y[i];
  }
  return out;
}

/// The other agents relative to agent i, in index order: 2(A-1) numbers.
template <class S, class V>
OMAR_HD OMAR_INLINE V* put_others(const World<S, V>& w, int i, V* out) {
  OMAR_UNROLL
  for (int j = 0; j < S::agents; ++j) {
    if (j == i) continue;
    *out++ = w.x[j] - w.x[i];
    *out++ = w.y[j] - w.y[i];
  }
  return out;
}

/// Observations of all agents, each zero padded to max_obs: agents * max_obs numbers.
template <class S, class V>
OMAR_HD OMAR_INLINE void observe_all(const World<S, V>& w, V* out) {
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    V* end = S::observe(w, i, out + i * S::max_obs);
    while (end < out + (i + 1) * S::max_obs) *end++ = V(Scalar<V>(0));
  }
}

// ---- start states --------------------------------------------------------------------------------------------------

/// Four uniform numbers in [0, 1) of (world, episode, draw).
template <class T>
OMAR_HD OMAR_INLINE void unit_draws(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episode,
                                    std::uint32_t draw, T (&out)[4]) {
  const rng::Block b = rng::words(seed, static_cast<std::uint32_t>(Stream::world_reset), world, *episode, draw);
  out[0] = static_cast<T>(rng::uniform(b.x0));
  out[1] = static_cast<T>(rng::uniform(b.x1));
  out[2] = static_cast<T>(rng::uniform(b.x2));
  out[3] = static_cast<T>(rng::uniform(b.x3));
}

#if !defined(__CUDACC__)
/// The same for worlds world, world + 1, ... of W lanes.
template <class T, int W>
OMAR_INLINE void unit_draws(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episodes, std::uint32_t draw,
                            Pack<T, W> (&out)[4]) {
  T lanes[4][W];
  for (int i = 0; i < W; ++i) {
    T one[4];
    unit_draws(seed, world + static_cast<std::uint32_t>(i), episodes + i, draw, one);
    for (int j = 0; j < 4; ++j) lanes[j][i] = one[j];
  }
  for (int j = 0; j < 4; ++j) out[j] = Pack<T, W>::load(lanes[j]);
}
#endif

/// Start state of `episode`: entity e (agents, then landmarks) takes two of the four words of draw e / 2.
template <class S, class V>
OMAR_HD OMAR_INLINE World<S, V> start(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episode) {
  using T = Scalar<V>;
  World<S, V> w;
  for (int pair = 0; 2 * pair < S::agents + S::landmarks; ++pair) {
    V unit[4];
    unit_draws(seed, world, episode, static_cast<std::uint32_t>(pair), unit);
    for (int half = 0; half < 2; ++half) {
      const int entity = 2 * pair + half;
      if (entity >= S::agents + S::landmarks) break;
      const T box = T(entity < S::agents ? S::agent_box : S::landmark_box);
      const V px = V(-box) + V(box - -box) * unit[2 * half];
      const V py = V(-box) + V(box - -box) * unit[2 * half + 1];
      if (entity < S::agents) {
        w.x[entity] = px;
        w.y[entity] = py;
        w.vx[entity] = V(T(0));
        w.vy[entity] = V(T(0));
      } else {
        w.lx[entity - S::agents] = px;
        w.ly[entity - S::agents] = py;
      }
    }
  }
  return w;
}

/// Takes over the worlds of `fresh` where the mask holds.
template <class S, class V, class M>
OMAR_HD OMAR_INLINE void replace(World<S, V>& w, const World<S, V>& fresh, M mask) {
  for (int i = 0; i < S::agents; ++i) {
    w.x[i] = select(mask, fresh.x[i], w.x[i]);
    w.y[i] = select(mask, fresh.y[i], w.y[i]);
    w.vx[i] = select(mask, fresh.vx[i], w.vx[i]);
    w.vy[i] = select(mask, fresh.vy[i], w.vy[i]);
  }
  for (int l = 0; l < S::landmarks; ++l) {
    w.lx[l] = select(mask, fresh.lx[l], w.lx[l]);
    w.ly[l] = select(mask, fresh.ly[l], w.ly[l]);
  }
}

}  // namespace omar::particle::OMAR_LEVEL
