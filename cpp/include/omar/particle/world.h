#pragma once
/// Layout of the worlds in memory and the constants of the physics; no torch header, so that kernels can include it.
///
/// Worlds are stored in blocks of `kBlock`. Inside a block every field is `kBlock` consecutive numbers, one per world:
/// state[block][field][world], with the fields
///   x, y of every agent (2A), x, y velocity of every agent (2A), x, y of every landmark (2L).

#include <cstdint>

namespace omar::particle {

/// Reward variants: `omar` is the paper's; `lowe` the one of the original simple_spread (simple_spread only).
enum class Reward { omar, lowe };

inline constexpr int kBlock = 16;          ///< worlds per block: one cache line of float32 per field
inline constexpr int kEpisodeLength = 25;  ///< steps until an episode is cut
inline constexpr int kActionSize = 2;
inline constexpr double kTimeStep = 0.1;
inline constexpr double kDamping = 0.25;
inline constexpr double kContactForce = 100.0;
inline constexpr double kContactMargin = 1e-3;

/// Blocks that hold `num_envs` worlds.
constexpr std::int64_t num_blocks(std::int64_t num_envs) { return (num_envs + kBlock - 1) / kBlock; }

/// What the host has to know about a scenario.
struct ScenarioInfo {
  const char* name;
  int agents;    ///< A
  int learners;  ///< agents that learn; they come first
  int landmarks;
  int max_obs_size;
  const int* obs_sizes;  ///< [A]

  constexpr int fields() const { return 4 * agents + 2 * landmarks; }
  constexpr int row() const { return agents * max_obs_size; }
};

/// Pointers of one call, in the environment's dtype. Kernels assume that they are valid.
struct WorldArgs {
  void* state = nullptr;              ///< [blocks, fields, kBlock]
  std::int32_t* steps = nullptr;      ///< [blocks * kBlock], steps since the episode began
  std::uint32_t* episodes = nullptr;  ///< [blocks * kBlock], number of the running episode: selects its start state
  std::uint64_t seed = 0;
  std::int64_t num_envs = 0;  ///< E
  Reward reward = Reward::omar;
  const void* actions = nullptr;       ///< [E, A, 2]
  void* observations = nullptr;        ///< [E, A, max obs size]
  void* rewards = nullptr;             ///< [E, A]
  bool* truncated = nullptr;           ///< [E]
  void* final_observations = nullptr;  ///< [E, A, max obs size]; written where truncated
};

}  // namespace omar::particle
