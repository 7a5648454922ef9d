#pragma once
/// CPU kernels of the particle worlds: worlds side by side in vectors of `Bytes` bytes. All assume valid arguments.

#include <omar/particle/detail/kernel_table.h>
#include <omar/particle/detail/step_world.h>
#include <omar/particle/detail/transpose.h>

namespace omar::particle::detail::inline OMAR_LEVEL {

/// W worlds inside a block, and where their rows lie in the tensors.
template <class S, class T, int Bytes>
struct Group {
  static constexpr int width = Bytes / static_cast<int>(sizeof(T));
  using V = Pack<T, width>;
  static constexpr int row = S::agents * kMaxObs<S>;

  T* state;  ///< field f at state[f * kBlockWorlds]
  std::int32_t* steps;
  std::uint32_t* episodes;
  std::uint32_t world;  ///< index of the first world
  const T* actions;
  T* observations;
  T* rewards;
  bool* truncated;
  T* final_observations;

  OMAR_INLINE Group(const WorldArgs& args, std::int64_t first) {
    state = fields_of<S, T>(args.state, first);
    steps = args.steps + first;
    episodes = args.episodes + first;
    world = static_cast<std::uint32_t>(first);
    actions = static_cast<const T*>(args.actions) + first * (S::agents * S::action_size);
    observations = static_cast<T*>(args.observations) + first * row;
    rewards = static_cast<T*>(args.rewards) + first * S::agents;
    truncated = args.truncated + first;
    final_observations = static_cast<T*>(args.final_observations) + first * row;
  }
};

template <class S, class T, int Bytes>
OMAR_INLINE void store_observations(const World<S, typename Group<S, T, Bytes>::V>& w, T* rows) {
  using G = Group<S, T, Bytes>;
  typename G::V columns[G::row];
  observe_all(w, columns);
  store_rows<G::row>(columns, rows, G::row);
}

/// Last observations of the worlds at the end of their episode.
template <class S, class T, int Bytes>
OMAR_NOINLINE void store_final_observations(const Group<S, T, Bytes>& g,
                                            const World<S, typename Group<S, T, Bytes>::V>& w) {
  using G = Group<S, T, Bytes>;
  T rows[G::width * G::row];
  store_observations<S, T, Bytes>(w, rows);
  for (int i = 0; i < G::width; ++i) {
    if (!ends<S>(g.steps[i])) continue;
    std::memcpy(g.final_observations + i * G::row, rows + i * G::row, sizeof(T) * G::row);
  }
}

/// A step into the tensors of a group.
template <class S, class T, int Bytes>
struct GroupSink {
  using V = typename Group<S, T, Bytes>::V;
  const Group<S, T, Bytes>& g;

  OMAR_INLINE void rewards(const V* rewards) const { store_rows<S::agents>(rewards, g.rewards, S::agents); }
  OMAR_INLINE void truncated(int lane, bool over) const { g.truncated[lane] = over; }
  OMAR_INLINE void before_reset(const World<S, V>& w, bool any_end) const {
    if (any_end) store_final_observations<S, T, Bytes>(g, w);
  }
  OMAR_INLINE void after_reset(const World<S, V>& w, bool any_end) const {
    if (any_end) {
      store_world(w, g.state);
    } else {
      store_agents(w, g.state);
    }
    store_observations<S, T, Bytes>(w, g.observations);
  }
};

template <class S, class T, int Bytes>
OMAR_INLINE void step_group(const Group<S, T, Bytes>& g, const WorldArgs& args) {
  using V = typename Group<S, T, Bytes>::V;
  World<S, V> w = load_world<S, V>(g.state);
  V u[S::agents * S::action_size];
  load_columns<S::agents * S::action_size>(g.actions, S::agents * S::action_size, u);
  step_world(w, u, args.reward, Clock{g.steps, g.episodes, args.seed, g.world, args.draw_units},
             GroupSink<S, T, Bytes>{g});
}

/// Runs `body(group)` on every group of the blocks. The last group may hold fewer worlds than lanes: then it
/// works on rows of its own, and only those of real worlds are copied.
template <class S, class T, int Bytes, class Body>
OMAR_INLINE void for_groups(const WorldArgs& args, std::int64_t begin, std::int64_t end, Body&& body) {
  using G = Group<S, T, Bytes>;
  const std::int64_t last = end * kBlockWorlds < args.num_envs ? end * kBlockWorlds : args.num_envs;
  std::int64_t first = begin * kBlockWorlds;
  for (; first + G::width <= last; first += G::width) body(G(args, first));
  if (first >= last) return;

  const G real(args, first);
  const auto n = static_cast<std::size_t>(last - first);
  T actions[G::width * S::agents * S::action_size] = {};
  T observations[G::width * G::row];
  T rewards[G::width * S::agents];
  bool truncated[G::width] = {};
  T final_observations[G::width * G::row];
  G copy = real;
  copy.actions = actions;
  copy.observations = observations;
  copy.rewards = rewards;
  copy.truncated = truncated;
  copy.final_observations = final_observations;
  if (args.actions != nullptr) std::memcpy(actions, real.actions, n * sizeof(T) * S::agents * S::action_size);
  body(copy);
  if (args.observations != nullptr) std::memcpy(real.observations, observations, n * sizeof(T) * G::row);
  if (args.actions == nullptr) return;
  std::memcpy(real.rewards, rewards, n * sizeof(T) * S::agents);
  std::memcpy(real.truncated, truncated, n);
  for (std::size_t i = 0; i < n; ++i) {
    if (!truncated[i]) continue;
    std::memcpy(real.final_observations + i * G::row, final_observations + i * G::row, sizeof(T) * G::row);
  }
}

template <class S, class T, int Bytes>
OMAR_INLINE void step_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T, Bytes>(args, begin, end, [&](const Group<S, T, Bytes>& g) __attribute__((always_inline)) {
    step_group<S, T, Bytes>(g, args);
  });
}

template <class S, class T, int Bytes>
OMAR_INLINE void start_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T, Bytes>(args, begin, end, [&](const Group<S, T, Bytes>& g) __attribute__((always_inline)) {
    for (int i = 0; i < Group<S, T, Bytes>::width; ++i) g.steps[i] = 0;
    store_world(start<S, typename Group<S, T, Bytes>::V>(args.seed, g.world, g.episodes, args.draw_units), g.state);
  });
}

template <class S, class T, int Bytes>
OMAR_INLINE void observe_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T, Bytes>(args, begin, end, [&](const Group<S, T, Bytes>& g) __attribute__((always_inline)) {
    store_observations<S, T, Bytes>(load_world<S, typename Group<S, T, Bytes>::V>(g.state), g.observations);
  });
}

template <class S>
struct Sizes {
  int observations[S::agents];
  double agents[S::agents];
  double landmarks[S::landmarks > 0 ? S::landmarks : 1];
  constexpr Sizes() : observations(), agents(), landmarks() {
    for (int i = 0; i < S::agents; ++i) observations[i] = S::obs_size(i);
    for (int i = 0; i < S::agents; ++i) agents[i] = S::size(i);
    for (int l = 0; l < S::landmarks; ++l) landmarks[l] = S::landmark_size(l);
  }
};
template <class S>
constexpr Sizes<S> kSizes;

template <class S>
constexpr ScenarioInfo scenario_info(const char* name) {
  ScenarioInfo info{};
  info.name = name;
  info.agents = S::agents;
  info.learners = S::agents - S::preys;
  info.landmarks = S::landmarks;
  info.obstacles = S::obstacles;
  info.max_obs_size = kMaxObs<S>;
  info.obs_sizes = kSizes<S>.observations;
  info.agent_sizes = kSizes<S>.agents;
  info.landmark_sizes = kSizes<S>.landmarks;
  info.action_size = S::action_size;
  info.episode_length = S::episode_length;
  info.has_variants = kHasVariants<S>;
  return info;
}

}  // namespace omar::particle::detail::inline OMAR_LEVEL
