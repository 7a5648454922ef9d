#pragma once
/// T steps of all worlds with policies, without leaving C++: how datasets are collected.

#include <omar/nn/stacked_mlp.h>
#include <omar/particle/particle_env.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace omar::particle {

/// Who acts, and how. An agent without a policy acts uniformly in [-1, 1]^(action size).
struct RolloutOptions {
  int64_t steps = 25;  ///< T >= 1
  /// Learners: one member each, obs size -> action size; the action is tanh of the output.
  std::optional<nn::StackedMlp> policy;
  std::optional<nn::StackedMlp> prey;  ///< agents after the learners, likewise; acts without noise
  double noise = 0.0;                  ///< sigma of the learners' Gaussian exploration noise; clipped to [-1, 1]
  std::uint64_t seed = 0;              ///< key of the noise and of uniform actions
  /// Counter of the first step: chunks of one long rollout go on where the last one ended. It and the steps after it
  /// are in 0 .. 2^32 - 1.
  int64_t first_step = 0;
};

/// What happened, world after world, each in order of time. Every `episode_length` rows of a world that starts at a
/// reset are one episode.
struct Transitions {
  at::Tensor observations;       ///< [E, T, A, max obs size]
  at::Tensor actions;            ///< [E, T, A, action size]
  at::Tensor rewards;            ///< [E, T, A]
  at::Tensor next_observations;  ///< [E, T, A, max obs size], before auto-reset
};

/// Tensors of the right shapes for rollout_into.
OMAR_API Transitions make_transitions(const ParticleEnv& env, int64_t steps);

/// Steps `env` from its current state; float32 on the CPU only. `out` holds contiguous tensors as in Transitions; an
/// undefined one is not written. With `prey_out` the columns of the N learners and of the prey lie apart: `out` is
/// [E, T, N, ...], `prey_out` is [E, T, A - N, ...] with observations of the prey's own size. The result is a function
/// of the state, the policies and (seed, first_step) alone.
/// \throws c10::ValueError wrong sizes, another device, `prey_out` without a prey, or a policy that is not finite;
///         c10::TypeError wrong dtype
OMAR_API void rollout_into(ParticleEnv& env, const RolloutOptions& options, Transitions& out,
                           const std::optional<Transitions>& prey_out = std::nullopt);

}  // namespace omar::particle
