#pragma once
/// What simple_tag and simple_world share: three predators (agents 0..2) chase one prey (agent 3).

#include <omar/particle/scenario_base.h>

namespace omar::particle::inline OMAR_LEVEL {

struct PredatorPrey : ScenarioBase {
  static constexpr int agents = 4;
  static constexpr int preys = 1;
  static constexpr int learners = 3;
  static constexpr int prey = 3;  ///< its index
  static constexpr double landmark_box = 0.9;

  OMAR_HD static constexpr double gain(int i) { return i == prey ? 16.0 : 9.0; }
  OMAR_HD static constexpr double max_speed(int i) { return i == prey ? 1.3 : 1.0; }
};

/// Sum over the predators of their distance to the prey, and number of predators that touch it.
template <class V>
struct Chase {
  V distance;
  V touches;
};

template <class S, class V>
OMAR_HD OMAR_INLINE Chase<V> chase(const World<S, V>& w) {
  using T = Scalar<V>;
  Chase<V> sum{V(T(0)), V(T(0))};
  OMAR_UNROLL
  for (int i = 0; i < S::learners; ++i) {
    const V d2 = squared(w.x[i] - w.x[S::prey], w.y[i] - w.y[S::prey]);
    sum.distance += sqrt_(d2);
    sum.touches += count<V>(closer(d2, S::size(i) + S::size(S::prey)));
  }
  return sum;
}

/// Cost of being at coordinate p: 0 if |p| < 0.9; 10 (|p| - 0.9) if |p| < 1; min(exp(2 |p| - 2), 10) otherwise.
template <class V>
OMAR_HD OMAR_INLINE V bound_cost(V p) {
  using T = Scalar<V>;
  constexpr bool single = sizeof(T) == 4;
  const V x = max_(p, -p);
  const V one = V(T(1));
  const V ten = V(T(10));
  V cost = max_(ten * (x - V(T(0.9))), V(T(0)));
  const auto outside = x >= one;
  if (any(outside)) {
    const V exponent = min_(x + x - V(T(2)), V(T(2.5)));  // exp(2.5) > 10: the cost is capped before that
    cost = select(outside, min_(exp_squaring<3, single ? 7 : 13>(exponent), ten), cost);
  }
  return cost;
}

/// Velocity of the prey, for everyone but the prey: 2 numbers or none.
template <class S, class V>
OMAR_HD OMAR_INLINE V* put_prey_velocity(const World<S, V>& w, int i, V* out) {
  if (i == S::prey) return out;
  out[0] = w.vx[S::prey];
  out[1] = w.vy[S::prey];
  return out + 2;
}

}  // namespace omar::particle::inline OMAR_LEVEL
