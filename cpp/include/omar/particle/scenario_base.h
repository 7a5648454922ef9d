#pragma once
/// What a scenario of particle worlds is made of, and the defaults of what it leaves out. No torch header, so that
/// kernels can include it.

#include <omar/particle/physics.h>

namespace omar::particle::inline OMAR_LEVEL {

/// A scenario is a struct that derives from this one, hides what it wants otherwise, and adds
///
///   static constexpr int agents = ...;                  // A, the preys included: they come last
///   static constexpr int obs_size(int i);               // numbers that agent i observes
///   template <class V> static V* observe(const World<Self, V>& w, int i, V* out);
///                                                       // writes obs_size(i) numbers, returns the end
///   template <class V> static void rewards(const World<Self, V>& w, V* out);
///                                                       // [A], of the state that the actions led to
///
/// V is a vector of worlds or the number of one world, so there are no branches on it: `select(mask, yes, no)` chooses,
/// `any(mask)` skips what no world needs. Constants are written V(Scalar<V>(0.5)). There are omar::select, any, sqrt_,
/// min_ and max_; omar::particle has squared, closer, count, distance, put_self, put_others and put_landmarks
/// (physics.h).
struct ScenarioBase {
  static constexpr int preys = 0;      ///< agents that do not learn
  static constexpr int landmarks = 0;  ///< L
  static constexpr int obstacles = 0;  ///< landmarks that agents bump into; they come first
  static constexpr int action_size = 2;
  static constexpr int episode_length = 25;  ///< steps until an episode is cut
  static constexpr double agent_box = 1.0;   ///< episodes start uniformly in [-box, box]^2
  static constexpr double landmark_box = 1.0;

  OMAR_HD static constexpr double size(int) { return 0.05; }           ///< radius of an agent
  OMAR_HD static constexpr double landmark_size(int) { return 0.05; }  ///< radius of a landmark
  OMAR_HD static constexpr double gain(int) { return 5.0; }            ///< force of a unit action
  OMAR_HD static constexpr double max_speed(int) { return 0.0; }       ///< 0: no limit
  OMAR_HD static constexpr bool collides(int) { return true; }         ///< does agent i bump into others?

  /// Force of agent i's action u[0], ..., u[action_size - 1].
  template <class S, class V>
  OMAR_HD OMAR_INLINE static Force<V> force(const World<S, V>&, int i, const V* u) {
    static_assert(S::action_size >= 2, "a scenario whose actions have one number says what force they are");
    const V gain = V(Scalar<V>(S::gain(i)));
    return {gain * u[0], gain * u[1]};
  }
};

/// Largest observation size of a scenario's agents.
template <class S>
constexpr int max_obs_size() {
  int most = 0;
  for (int i = 0; i < S::agents; ++i) most = S::obs_size(i) > most ? S::obs_size(i) : most;
  return most;
}
template <class S>
constexpr int kMaxObs = max_obs_size<S>();

}  // namespace omar::particle::inline OMAR_LEVEL
