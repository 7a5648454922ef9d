#pragma once
/// Physics of the particle worlds and what scenarios are written with, once for every device: V is Pack<T, W> (W worlds
/// side by side) in a CPU kernel and plain float or double in a CUDA thread.

#include <omar/core/host_device.h>
#include <omar/core/pack.h>
#include <omar/particle/world.h>

// Loops over agents and landmarks are unrolled up to 5 (unrolled further, larger worlds take minutes to compile); the
// coefficients of a polynomial always.
#if defined(__CUDACC__)
#define OMAR_UNROLL _Pragma("unroll 5")
#define OMAR_UNROLL_TERMS _Pragma("unroll")
#else
#define OMAR_UNROLL _Pragma("GCC unroll 5")
#define OMAR_UNROLL_TERMS _Pragma("GCC unroll 20")
#endif

namespace omar::particle::inline OMAR_LEVEL {

/// V is a vector of worlds, or the number of one world.
template <class V>
struct VectorTraits {
  using Scalar = typename V::Scalar;
  static constexpr int lanes = V::width;
};
template <>
struct VectorTraits<float> {
  using Scalar = float;
  static constexpr int lanes = 1;
};
template <>
struct VectorTraits<double> {
  using Scalar = double;
  static constexpr int lanes = 1;
};
template <class V>
using Scalar = typename VectorTraits<V>::Scalar;
template <class V>
constexpr int kLanes = VectorTraits<V>::lanes;

/// State of one world (or of W worlds) of scenario S: positions and velocities of its agents, positions of its
/// landmarks.
template <class S, class V>
struct World {
  static constexpr int landmarks = S::landmarks > 0 ? S::landmarks : 1;  ///< room for them

  V x[S::agents], y[S::agents];
  V vx[S::agents], vy[S::agents];
  V lx[landmarks], ly[landmarks];
};

/// What pushes an agent.
template <class V>
struct Force {
  V x, y;
};

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

/// log(1 + exp(-a)), for 0 <= a <= 20 with an absolute error below 1e-8 in float and for a <= 40 below 1e-14 in double.
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

/// One step of the physics; the action of agent i begins at u[i * action size].
template <class S, class V>
OMAR_HD OMAR_INLINE void advance(World<S, V>& w, const V* u) {
  using T = Scalar<V>;
  constexpr T dt = T(kTimeStep);
  V fx[S::agents], fy[S::agents];
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    const Force<V> own = S::force(w, i, u + i * S::action_size);
    fx[i] = own.x;
    fy[i] = own.y;
  }
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    OMAR_UNROLL
    for (int j = i + 1; j < S::agents; ++j) {
      if (!S::collides(i) || !S::collides(j)) continue;
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
      if (!S::collides(i)) continue;
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

}  // namespace omar::particle::inline OMAR_LEVEL
