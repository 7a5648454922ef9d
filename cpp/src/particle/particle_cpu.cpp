/// CPU kernels of the particle worlds: W worlds side by side in vector registers. Compiled once per instruction level.

#include <bit>
#include <limits>

#include "core/vector_bytes.h"
#include "particle/kernels.h"
#include "particle/scenarios/scenarios.h"
#include "particle/step_world.h"
#include "particle/transpose.h"

namespace omar::particle::OMAR_LEVEL {
namespace {

/// W worlds inside a block, and where their rows lie in the tensors.
template <class S, class T>
struct Group {
  static constexpr int width = kVectorBytes / static_cast<int>(sizeof(T));
  using V = Pack<T, width>;
  static constexpr int row = S::agents * S::max_obs;

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
    actions = static_cast<const T*>(args.actions) + first * (2 * S::agents);
    observations = static_cast<T*>(args.observations) + first * row;
    rewards = static_cast<T*>(args.rewards) + first * S::agents;
    truncated = args.truncated + first;
    final_observations = static_cast<T*>(args.final_observations) + first * row;
  }
};

template <class S, class T>
OMAR_INLINE void store_observations(const World<S, typename Group<S, T>::V>& w, T* rows) {
  using G = Group<S, T>;
  typename G::V columns[G::row];
  observe_all(w, columns);
  store_rows<G::row>(columns, rows, G::row);
}

/// Last observations of the worlds at the end of their episode.
template <class S, class T>
__attribute__((noinline)) void store_final_observations(const Group<S, T>& g,
                                                        const World<S, typename Group<S, T>::V>& w) {
  using G = Group<S, T>;
  T rows[G::width * G::row];
  store_observations<S, T>(w, rows);
  for (int i = 0; i < G::width; ++i) {
    if (!ends(g.steps[i])) continue;
    std::memcpy(g.final_observations + i * G::row, rows + i * G::row, sizeof(T) * G::row);
  }
}

/// A step into the tensors of a group.
template <class S, class T>
struct GroupSink {
  using V = typename Group<S, T>::V;
  const Group<S, T>& g;

  OMAR_INLINE void rewards(const V* rewards) const { store_rows<S::agents>(rewards, g.rewards, S::agents); }
  OMAR_INLINE void truncated(int lane, bool over) const { g.truncated[lane] = over; }
  OMAR_INLINE void before_reset(const World<S, V>& w, bool any_end) const {
    if (any_end) store_final_observations<S, T>(g, w);
  }
  OMAR_INLINE void after_reset(const World<S, V>& w, bool any_end) const {
    if (any_end) {
      store_world(w, g.state);
    } else {
      store_agents(w, g.state);
    }
    store_observations<S, T>(w, g.observations);
  }
};

template <class S, class T>
OMAR_INLINE void step_group(const Group<S, T>& g, const WorldArgs& args) {
  using V = typename Group<S, T>::V;
  World<S, V> w = load_world<S, V>(g.state);
  V u[2 * S::agents];
  load_columns<2 * S::agents>(g.actions, 2 * S::agents, u);
  step_world(w, u, args.reward, Clock{g.steps, g.episodes, args.seed, g.world}, GroupSink<S, T>{g});
}

/// Runs `body(group)` on every group of the blocks. The last group may hold fewer worlds than lanes: then it
/// works on rows of its own, and only those of real worlds are copied.
template <class S, class T, class Body>
OMAR_INLINE void for_groups(const WorldArgs& args, std::int64_t begin, std::int64_t end, Body&& body) {
  using G = Group<S, T>;
  const std::int64_t last = end * kBlockWorlds < args.num_envs ? end * kBlockWorlds : args.num_envs;
  std::int64_t first = begin * kBlockWorlds;
  for (; first + G::width <= last; first += G::width) body(G(args, first));
  if (first >= last) return;

  const G real(args, first);
  const auto n = static_cast<std::size_t>(last - first);
  T actions[G::width * 2 * S::agents] = {};
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
  if (args.actions != nullptr) std::memcpy(actions, real.actions, n * sizeof(T) * 2 * S::agents);
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

template <class S, class T>
void step_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T>(args, begin, end, [&](const Group<S, T>& g) { step_group<S, T>(g, args); });
}

template <class S, class T>
void start_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T>(args, begin, end, [&](const Group<S, T>& g) {
    for (int i = 0; i < Group<S, T>::width; ++i) g.steps[i] = 0;
    store_world(start<S, typename Group<S, T>::V>(args.seed, g.world, g.episodes), g.state);
  });
}

template <class S, class T>
void observe_blocks(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  for_groups<S, T>(args, begin, end, [&](const Group<S, T>& g) {
    store_observations<S, T>(load_world<S, typename Group<S, T>::V>(g.state), g.observations);
  });
}

/// Compares bits: the magnitudes of floating-point numbers are ordered as integers, infinity and NaN above all others.
template <class T>
bool all_within(const void* numbers, std::int64_t count, double limit) {
  using V = Pack<T, kVectorBytes / static_cast<int>(sizeof(T))>;
  using Bits = typename V::Bits;
  using BitVector = typename V::BitVector;
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max();
  const T* x = static_cast<const T*>(numbers);
  const T most = static_cast<T>(limit);
  BitVector largest[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * V::width <= count; i += 4 * V::width) {
    for (int j = 0; j < 4; ++j) {
      const BitVector bits = (BitVector)V::load(x + i + j * V::width).v & kMagnitude;
      largest[j] = bits > largest[j] ? bits : largest[j];
    }
  }
  Bits top = 0;
  for (const BitVector& bits : largest) {
    for (int lane = 0; lane < V::width; ++lane) top = bits[lane] > top ? bits[lane] : top;
  }
  for (; i < count; ++i) {
    const Bits bits = std::bit_cast<Bits>(x[i]) & kMagnitude;
    top = bits > top ? bits : top;
  }
  return top <= std::bit_cast<Bits>(most);
}

template <class S>
struct Sizes {
  int observations[S::agents];
  double agents[S::agents];
  double landmarks[S::landmarks];
  constexpr Sizes() : observations(), agents(), landmarks() {
    for (int i = 0; i < S::agents; ++i) observations[i] = S::obs_size(i);
    for (int i = 0; i < S::agents; ++i) agents[i] = S::size(i);
    for (int l = 0; l < S::landmarks; ++l) landmarks[l] = S::landmark_size(l);
  }
};
template <class S>
constexpr Sizes<S> kSizes;

template <class S, class T>
constexpr Kernels make_kernels() {
  return {{S::name, S::agents, S::learners, S::landmarks, S::obstacles, S::max_obs, kSizes<S>.observations,
           kSizes<S>.agents, kSizes<S>.landmarks},
          sizeof(T) == 4,
          step_blocks<S, T>,
          start_blocks<S, T>,
          observe_blocks<S, T>,
          all_within<T>};
}

constexpr Kernels kKernels[] = {
#define OMAR_SCENARIO(...) make_kernels<__VA_ARGS__, float>(), make_kernels<__VA_ARGS__, double>(),
#include "particle/scenarios/scenarios.def"
#undef OMAR_SCENARIO
};

}  // namespace
KernelTable kernels() { return {kKernels, kKernels + sizeof(kKernels) / sizeof(kKernels[0])}; }

}  // namespace omar::particle::OMAR_LEVEL
