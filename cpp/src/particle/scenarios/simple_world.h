#pragma once
/// World: predator-prey with one obstacle, two pieces of food for the prey and two forests.

#include "particle/scenarios/predator_prey.h"

namespace omar::particle::inline OMAR_LEVEL {

struct SimpleWorld : PredatorPrey {
  static constexpr const char* name = "simple_world";
  static constexpr int landmarks = 5;  // obstacle, food 1, food 2, forest 1, forest 2
  static constexpr int obstacles = 1;
  static constexpr int food = 1;
  static constexpr int forest = 3;

  OMAR_HD static constexpr int obs_size(int i) { return i == prey ? 22 : 24; }
  OMAR_HD static constexpr double size(int i) { return i == prey ? 0.045 : 0.075; }
  OMAR_HD static constexpr double landmark_size(int l) { return l < food ? 0.2 : l < forest ? 0.03 : 0.3; }

  /// Own velocity, own position, landmarks, other agents, velocity of the prey, in forest 1, in forest 2 (+1 or -1).
  template <class V>
  OMAR_HD OMAR_INLINE static V* observe(const World<SimpleWorld, V>& w, int i, V* out) {
    using T = Scalar<V>;
    out = put_prey_velocity(w, i, put_others(w, i, put_landmarks(w, i, put_self(w, i, out))));
    OMAR_UNROLL
    for (int l = forest; l < forest + 2; ++l) {
      const V d2 = squared(w.x[i] - w.lx[l], w.y[i] - w.ly[l]);
      *out++ = select(closer(d2, size(i) + landmark_size(l)), V(T(1)), V(T(-1)));
    }
    return out;
  }

  template <class V>
  OMAR_HD OMAR_INLINE static void rewards(const World<SimpleWorld, V>& w, V* out) {
    using T = Scalar<V>;
    const Chase<V> c = chase(w);
    const V catching = V(T(5)) * c.touches - V(T(0.1)) * c.distance;
    OMAR_UNROLL
    for (int i = 0; i < learners; ++i) out[i] = catching;
    const V food1 = squared(w.x[prey] - w.lx[food], w.y[prey] - w.ly[food]);
    const V food2 = squared(w.x[prey] - w.lx[food + 1], w.y[prey] - w.ly[food + 1]);
    const double eating = size(prey) + landmark_size(food);
    const V eaten = count<V>(closer(food1, eating)) + count<V>(closer(food2, eating));
    out[prey] = -catching - V(T(2)) * (bound_cost(w.x[prey]) + bound_cost(w.y[prey])) + V(T(2)) * eaten +
                V(T(0.05)) * sqrt_(min_(food1, food2));
  }
};

}  // namespace omar::particle::inline OMAR_LEVEL
