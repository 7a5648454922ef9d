#pragma once
/// Cooperative navigation: N agents spread over N targets.

#include <omar/particle/scenario_base.h>

namespace omar::particle::inline OMAR_LEVEL {

template <int N>
struct SimpleSpread : ScenarioBase {
  static constexpr const char* name = "simple_spread";
  static constexpr int agents = N;
  static constexpr int landmarks = N;
  static constexpr double agent_box = N <= 3 ? 1.0 : 2.0;
  static constexpr double landmark_box = agent_box;

  OMAR_HD static constexpr int obs_size(int) { return 4 + 2 * N + 4 * (N - 1); }
  OMAR_HD static constexpr double size(int) { return 0.15; }

  /// Own velocity, own position, targets, other agents, and the silent agents' messages: zeros.
  template <class V>
  OMAR_HD OMAR_INLINE static V* observe(const World<SimpleSpread, V>& w, int i, V* out) {
    return put_others(w, i, put_landmarks(w, i, put_self(w, i, out)));
  }

  template <class V>
  OMAR_HD OMAR_INLINE static void rewards(const World<SimpleSpread, V>& w, Reward variant, V* out) {
    using T = Scalar<V>;
    const bool lowe = variant == Reward::lowe;
    V team = V(T(0));
    OMAR_UNROLL
    for (int l = 0; l < landmarks; ++l) {
      V nearest = squared(w.x[0] - w.lx[l], w.y[0] - w.ly[l]);
      OMAR_UNROLL
      for (int i = 1; i < agents; ++i) nearest = min_(nearest, squared(w.x[i] - w.lx[l], w.y[i] - w.ly[l]));
      const V d = sqrt_(nearest);
      team += lowe ? -d : min_(V(T(1)) / d, V(T(10)));
    }
    const V penalty = V(lowe ? T(1) : T(5));
    OMAR_UNROLL
    for (int i = 0; i < agents; ++i) out[i] = team;
    OMAR_UNROLL
    for (int i = 0; i < agents; ++i) {
      OMAR_UNROLL
      for (int j = i + 1; j < agents; ++j) {
        const auto touch = closer(squared(w.x[i] - w.x[j], w.y[i] - w.y[j]), size(i) + size(j));
        const V cost = select(touch, penalty, V(T(0)));
        out[i] -= cost;
        out[j] -= cost;
      }
    }
  }
};

}  // namespace omar::particle::inline OMAR_LEVEL
