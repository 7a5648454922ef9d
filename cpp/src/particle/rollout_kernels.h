#pragma once
/// The kernels behind rollout_into. All assume valid arguments.

#include <omar/particle/world.h>

#include <cstdint>

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

/// Evaluates a policy in the kBlock worlds of a block. Number j of world i is at x[j * W + (i % W) + (i / W) * group]
/// with the vector width W of the level; the output likewise with `out_group`. `scratch` holds 2 * widest layer *
/// kBlock.
struct ForwardArgs {
  Policy policy;
  const float* x;
  std::int64_t group;
  float* out;
  std::int64_t out_group;
  float* scratch;
};
using Forward = void (*)(const ForwardArgs& args);

struct RolloutArgs {
  std::int64_t steps = 0;
  std::uint64_t seed = 0;
  std::uint32_t first_step = 0;
  const Policy* policies = nullptr;  ///< [A]
  Forward forward = nullptr;
  float* observations = nullptr;       ///< [E, T, A, max obs size], or null
  float* actions = nullptr;            ///< [E, T, A, 2], or null
  float* rewards = nullptr;            ///< [E, T, A], or null
  float* next_observations = nullptr;  ///< [E, T, A, max obs size], or null
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
