#pragma once
/// The state of worlds in memory, their observations, and their start states.

#include <omar/core/rng.h>
#include <omar/particle/detail/world_args.h>
#include <omar/particle/scenario_base.h>

#include <type_traits>

namespace omar::particle::detail::inline OMAR_LEVEL {

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

/// First field of world `world`; field f is at [f * kBlockWorlds]. See world_args.h.
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

/// Observations of all agents, each zero padded to max_obs: agents * max_obs numbers.
template <class S, class V>
OMAR_HD OMAR_INLINE void observe_all(const World<S, V>& w, V* out) {
  OMAR_UNROLL
  for (int i = 0; i < S::agents; ++i) {
    V* end = S::observe(w, i, out + i * kMaxObs<S>);
    while (end < out + (i + 1) * kMaxObs<S>) *end++ = V(Scalar<V>(0));
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

/// Start state of `episode`: entity e (agents, then landmarks) takes two of the four words of draw e / 2.
/// `draw` draws them for several worlds; one world does it itself.
template <class S, class V>
OMAR_HD OMAR_INLINE World<S, V> start(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episode,
                                      [[maybe_unused]] DrawUnits draw) {
  using T = Scalar<V>;
  World<S, V> w;
  for (int pair = 0; 2 * pair < S::agents + S::landmarks; ++pair) {
    V unit[4];
    if constexpr (std::is_floating_point_v<V>) {
      unit_draws(seed, world, episode, static_cast<std::uint32_t>(pair), unit);
    } else {
      T lanes[4 * kLanes<V>];
      draw(seed, world, episode, static_cast<std::uint32_t>(pair), lanes);
      for (int j = 0; j < 4; ++j) unit[j] = load<V>(lanes + j * kLanes<V>);
    }
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

}  // namespace omar::particle::detail::inline OMAR_LEVEL
