#pragma once
/// The kernels of a scenario as the host calls them. All assume valid arguments.

#include <omar/particle/detail/world_args.h>

#include <cstdint>

namespace omar::particle::detail {

/// One layer of one agent's policy.
struct Layer {
  const float* weights;  ///< [in, out]
  const float* biases;   ///< [out]
  int in;
  int out;
};

/// Layers with ReLU between them and tanh after the last; none: uniform actions.
struct Policy {
  const Layer* layers;
  int count;
  float noise;
};

/// Evaluates a policy in the kBlockWorlds worlds of a block. Number j of world i is at x[j * W + (i % W) + (i / W) *
/// group] with the vector width W of the level; the output likewise with `out_group`. `scratch` holds 2 * widest layer
/// * kBlockWorlds.
struct ForwardArgs {
  Policy policy;
  const float* x;
  std::int64_t group;
  float* out;
  std::int64_t out_group;
  float* scratch;
};
using Forward = void (*)(const ForwardArgs& args);

/// Four numbers of each world of a block: number k of world i is out[k][i]. They are drawn at the counter's words
/// `step` and `draw` for the worlds from `world` on.
using DrawNumbers = void (*)(std::uint64_t seed, std::uint32_t world, std::uint32_t step, std::uint32_t draw,
                             float (*out)[kBlockWorlds]);

/// Columns of a rollout for a group of agents; null: not written.
struct RolloutColumns {
  float* observations = nullptr;       ///< [E, T, agents of the group, observation size]
  float* actions = nullptr;            ///< [E, T, agents of the group, action size]
  float* rewards = nullptr;            ///< [E, T, agents of the group]
  float* next_observations = nullptr;  ///< as observations
};

struct RolloutArgs {
  std::int64_t steps = 0;
  std::uint64_t seed = 0;
  std::uint32_t first_step = 0;
  const Policy* policies = nullptr;  ///< [A]
  Forward forward = nullptr;
  DrawNumbers uniform = nullptr;  ///< of actions, in [-1, 1)
  DrawNumbers normal = nullptr;   ///< of exploration noise
  bool apart = false;             ///< `out` holds the learners alone
  RolloutColumns out;             ///< observations of the largest size
  RolloutColumns prey;            ///< if apart: the agents after the learners, with observations of their own size
};

/// Runs the worlds of blocks [begin, end). `scratch` as for ForwardArgs.
using Rollout = void (*)(const WorldArgs& args, const RolloutArgs& rollout, std::int64_t begin, std::int64_t end,
                         float* scratch);

/// CPU kernels of one scenario and dtype. Ranges are blocks of kBlockWorlds worlds.
struct Kernels {
  ScenarioInfo info;
  bool single;  ///< float32, else float64

  /// One step: physics, rewards, truncation, auto-reset, observations.
  void (*step)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  /// Start state of the running episode in every world, steps 0.
  void (*start)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  /// Observations of the current state.
  void (*observe)(const WorldArgs& args, std::int64_t begin, std::int64_t end);
  Rollout rollout;  ///< null in float64
};

}  // namespace omar::particle::detail
