#pragma once
/// Layout of the worlds in memory, and what the kernels get.
///
/// Worlds are stored in blocks of `kBlockWorlds`. Inside a block every field is `kBlockWorlds` consecutive numbers, one
/// per world: state[block][field][world], with the fields
///   x, y of every agent (2A), x, y velocity of every agent (2A), x, y of every landmark (2L).

#include <omar/particle/world.h>

#include <cstdint>

namespace omar::particle::detail {

inline constexpr int kBlockWorlds = 16;  ///< one cache line of float32 per field

/// Blocks that hold `num_envs` worlds.
constexpr std::int64_t num_blocks(std::int64_t num_envs) { return (num_envs + kBlockWorlds - 1) / kBlockWorlds; }

/// What the host has to know about a scenario.
struct ScenarioInfo {
  const char* name;
  int agents;    ///< A
  int learners;  ///< agents that learn; they come first
  int landmarks;
  int obstacles;  ///< landmarks that agents collide with; they come first
  int max_obs_size;
  const int* obs_sizes;          ///< [A]
  const double* agent_sizes;     ///< [A]
  const double* landmark_sizes;  ///< [L]
  int action_size;
  int episode_length;
  bool has_variants;  ///< of the reward

  constexpr int fields() const { return 4 * agents + 2 * landmarks; }
  constexpr int row() const { return agents * max_obs_size; }
};

/// Four uniform numbers in [0, 1) of each world of a vector, from `world` on: out [4, worlds] in the environment's
/// dtype, functions of (seed, world, its episode, draw).
using DrawUnits = void (*)(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episodes, std::uint32_t draw,
                           void* out);

/// Pointers of one call, in the environment's dtype. Kernels assume that they are valid.
struct WorldArgs {
  void* state = nullptr;              ///< [blocks, fields, kBlockWorlds]
  std::int32_t* steps = nullptr;      ///< [blocks * kBlockWorlds], steps since the episode began
  std::uint32_t* episodes = nullptr;  ///< [blocks * kBlockWorlds], number of the running episode: its start state
  std::uint64_t seed = 0;
  DrawUnits draw_units = nullptr;  ///< for vectors of this CPU's level; CUDA needs none
  std::int64_t num_envs = 0;       ///< E
  Reward reward = Reward::omar;
  const void* actions = nullptr;       ///< [E, A, action size]
  void* observations = nullptr;        ///< [E, A, max obs size]
  void* rewards = nullptr;             ///< [E, A]
  bool* truncated = nullptr;           ///< [E]
  void* final_observations = nullptr;  ///< [E, A, max obs size]; written where truncated
};

}  // namespace omar::particle::detail
