#pragma once
/// Predator-prey: three predators, one faster prey, two obstacles.

#include "particle/scenarios/predator_prey.h"

namespace omar::particle::inline OMAR_LEVEL {

struct SimpleTag : PredatorPrey {
  static constexpr const char* name = "simple_tag";
  static constexpr int landmarks = 2;
  static constexpr int obstacles = 2;

  OMAR_HD static constexpr int obs_size(int i) { return i == prey ? 14 : 16; }
  OMAR_HD static constexpr double size(int i) { return i == prey ? 0.05 : 0.075; }
  OMAR_HD static constexpr double landmark_size(int) { return 0.2; }

  /// Own velocity, own position, obstacles, other agents, velocity of the prey.
  template <class V>
  OMAR_HD OMAR_INLINE static V* observe(const World<SimpleTag, V>& w, int i, V* out) {
    return put_prey_velocity(w, i, put_others(w, i, put_landmarks(w, i, put_self(w, i, out))));
  }

  template <class V>
  OMAR_HD OMAR_INLINE static void rewards(const World<SimpleTag, V>& w, V* out) {
    using T = Scalar<V>;
    const Chase<V> c = chase(w);
    const V catching = V(T(10)) * c.touches - V(T(0.1)) * c.distance;
    OMAR_UNROLL
    for (int i = 0; i < learners; ++i) out[i] = catching;
    out[prey] = -catching - (bound_cost(w.x[prey]) + bound_cost(w.y[prey]));
  }
};

}  // namespace omar::particle::inline OMAR_LEVEL
