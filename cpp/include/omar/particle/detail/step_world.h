#pragma once
/// One step with auto-reset, for W worlds side by side (V is Pack<T, W>) and for one (V is T).

#include <omar/particle/detail/state.h>

// What happens at the end of an episode is kept out of the way of the other steps; but in the scenarios of a program
// everything is inlined into the functions that have a target (levels.h).
#if defined(__CUDACC__)
#define OMAR_NOINLINE __noinline__
#elif defined(OMAR_BUILDING)
#define OMAR_NOINLINE __attribute__((noinline))
#else
#define OMAR_NOINLINE OMAR_INLINE
#endif

namespace omar::particle::detail::inline OMAR_LEVEL {

/// Where W worlds are in their episodes, and what their start states are made of.
struct Clock {
  std::int32_t* steps;      ///< [W], since the episode began
  std::uint32_t* episodes;  ///< [W], numbers of the running episodes
  std::uint64_t seed;
  std::uint32_t world;  ///< index of the first world
  DrawUnits draw_units = nullptr;
};

/// Is the world that has taken `steps` steps at the end of its episode?
template <class S>
OMAR_HD OMAR_INLINE bool ends(std::int32_t steps) {
  return steps >= S::episode_length;
}

/// Does the scenario have more than one reward?
template <class S>
constexpr bool kHasVariants = requires(const World<S, float>& w, float* out) { S::rewards(w, Reward::omar, out); };

/// Worlds at the end of their episode begin the next one.
template <class S, class V>
OMAR_HD OMAR_NOINLINE void restart(World<S, V>& w, const Clock& clock) {
  using T = Scalar<V>;
  T ended[kLanes<V>];
  for (int i = 0; i < kLanes<V>; ++i) {
    const bool over = ends<S>(clock.steps[i]);
    ended[i] = T(over ? 1 : 0);
    clock.steps[i] = over ? 0 : clock.steps[i];
    clock.episodes[i] += over ? 1u : 0u;
  }
  replace(w, start<S, V>(clock.seed, clock.world, clock.episodes, clock.draw_units), load<V>(ended) > V(T(0)));
}

/// Physics, rewards, and the next episode where one is over. What happens goes to `sink`, in this order:
///   rewards(const V* [A])                of the state that the actions led to
///   truncated(lane, bool)                for every world: is its episode over?
///   before_reset(const World&, any_end)  the same state; clock.steps still tells which worlds are at their end
///   after_reset(const World&, any_end)   the state that the next step starts from
template <class S, class V, class Sink>
OMAR_HD OMAR_INLINE void step_world(World<S, V>& w, const V* u, [[maybe_unused]] Reward variant, const Clock& clock,
                                    Sink&& sink) {
  advance(w, u);
  V rewards[S::agents];
  if constexpr (kHasVariants<S>) {
    S::rewards(w, variant, rewards);
  } else {
    S::rewards(w, rewards);
  }
  sink.rewards(rewards);
  bool any_end = false;
  for (int i = 0; i < kLanes<V>; ++i) {
    clock.steps[i] += 1;
    const bool over = ends<S>(clock.steps[i]);
    sink.truncated(i, over);
    any_end |= over;
  }
  sink.before_reset(w, any_end);
  if (any_end) restart(w, clock);
  sink.after_reset(w, any_end);
}

}  // namespace omar::particle::detail::inline OMAR_LEVEL
