#pragma once
/// The kernels behind rollout_into. All assume valid arguments.

#include <cstdint>

#include "particle/world_args.h"

namespace omar::particle {

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

/// Columns of a rollout for a group of agents; null: not written.
struct RolloutColumns {
  float* observations = nullptr;       ///< [E, T, agents of the group, observation size]
  float* actions = nullptr;            ///< [E, T, agents of the group, 2]
  float* rewards = nullptr;            ///< [E, T, agents of the group]
  float* next_observations = nullptr;  ///< as observations
};

struct RolloutArgs {
  std::int64_t steps = 0;
  std::uint64_t seed = 0;
  std::uint32_t first_step = 0;
  const Policy* policies = nullptr;  ///< [A]
  Forward forward = nullptr;
  bool apart = false;   ///< `out` holds the learners alone
  RolloutColumns out;   ///< observations of the largest size
  RolloutColumns prey;  ///< if apart: the agents after the learners, with observations of their own size
};

/// Runs the worlds of blocks [begin, end). `scratch` as for ForwardArgs.
using Rollout = void (*)(const WorldArgs& args, const RolloutArgs& rollout, std::int64_t begin, std::int64_t end,
                         float* scratch);

namespace base {
/// The float32 kernel for a line of scenarios.def.
Rollout rollout(int scenario);
Forward policy_forward();
}  // namespace base
namespace avx2 {
Rollout rollout(int scenario);
Forward policy_forward();
}  // namespace avx2
namespace avx512 {
Rollout rollout(int scenario);
Forward policy_forward();
}  // namespace avx512

}  // namespace omar::particle
