#pragma once
/// A task that omar does not have: two pursuers hunt two preys around a rock. An action has three numbers: the
/// direction (two) and a brake, 0 or less lets go and 1 stops the agent's own push. Episodes take 40 steps.

#include <omar/particle/scenario.h>

struct Pursuit : omar::particle::ScenarioBase {
  template <class V>
  using World = omar::particle::World<Pursuit, V>;
  template <class V>
  using Scalar = omar::particle::Scalar<V>;

  static constexpr int agents = 4;
  static constexpr int preys = 2;
  static constexpr int pursuers = agents - preys;
  static constexpr int landmarks = 1;
  static constexpr int obstacles = 1;
  static constexpr int action_size = 3;
  static constexpr int episode_length = 40;
  static constexpr double landmark_box = 0.5;

  static constexpr int obs_size(int i) { return i < pursuers ? 4 + 2 + 6 + 4 : 4 + 2 + 6; }
  static constexpr double size(int i) { return i < pursuers ? 0.075 : 0.05; }
  static constexpr double landmark_size(int) { return 0.2; }
  static constexpr double gain(int i) { return i < pursuers ? 6.0 : 8.0; }
  static constexpr double max_speed(int i) { return i < pursuers ? 1.0 : 1.3; }

  /// Gain times direction, less what the brake takes.
  template <class V>
  OMAR_INLINE static omar::particle::Force<V> force(const World<V>&, int i, const V* u) {
    using omar::max_, omar::min_;
    const V brake = min_(max_(u[2], V(Scalar<V>(0))), V(Scalar<V>(1)));
    const V push = V(Scalar<V>(gain(i))) * (V(Scalar<V>(1)) - brake);
    return {push * u[0], push * u[1]};
  }

  /// Itself, the rock, the others; a pursuer also sees the preys' velocities.
  template <class V>
  OMAR_INLINE static V* observe(const World<V>& w, int i, V* out) {
    out = put_others(w, i, put_landmarks(w, i, put_self(w, i, out)));
    for (int p = pursuers; i < pursuers && p < agents; ++p) {
      *out++ = w.vx[p];
      *out++ = w.vy[p];
    }
    return out;
  }

  /// Each prey costs the pursuers 0.1 of its distance from the nearest of them; a touch is worth 10 to the toucher, and
  /// costs its prey as much.
  template <class V>
  OMAR_INLINE static void rewards(const World<V>& w, V* out) {
    using namespace omar::particle;
    for (int i = 0; i < agents; ++i) out[i] = V(Scalar<V>(0));
    for (int p = pursuers; p < agents; ++p) {
      V nearest = squared(w.x[0] - w.x[p], w.y[0] - w.y[p]);
      for (int i = 0; i < pursuers; ++i) {
        const V d2 = squared(w.x[i] - w.x[p], w.y[i] - w.y[p]);
        nearest = min_(nearest, d2);
        const V caught = select(closer(d2, size(i) + size(p)), V(Scalar<V>(10)), V(Scalar<V>(0)));
        out[i] += caught;
        out[p] -= caught;
      }
      const V far = V(Scalar<V>(0.1)) * sqrt_(nearest);
      for (int i = 0; i < pursuers; ++i) out[i] -= far;
    }
  }
};
