#pragma once
/// Batched multi-agent particle environments: simple_spread, simple_tag and simple_world as changed by the authors of
/// OMAR (Pan et al. 2022) from Lowe et al. 2017. E worlds of A agents are stepped together.

#include <omar/core/host_device.h>
#include <omar/particle/world.h>

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace omar::particle {

class ParticleEnv;
struct RolloutOptions;
struct Transitions;
OMAR_API void rollout_into(ParticleEnv& env, const RolloutOptions& options, Transitions& out,
                           const std::optional<Transitions>& prey_out);

struct ParticleEnvOptions {
  std::string scenario = "simple_spread";  ///< a name of scenario_names()
  int64_t num_envs = 1;                    ///< E >= 1
  std::uint64_t seed = 0;                  ///< key of the start states
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;  ///< float32 or float64
  Reward reward = Reward::omar;
  int64_t num_agents = 3;  ///< simple_spread only: agents and targets, 1..10
};

/// What one step of all worlds gives.
struct Step {
  at::Tensor observations;        ///< [E, A, max obs size], zero padded on the right; after auto-reset
  at::Tensor rewards;             ///< [E, A]
  at::Tensor truncated;           ///< [E], bool: the episode was cut at its last step and a new one began
  at::Tensor final_observations;  ///< like observations, before auto-reset; only rows where `truncated` are written
};

/// The full state of all worlds.
struct State {
  at::Tensor positions;   ///< [E, A, 2]
  at::Tensor velocities;  ///< [E, A, 2]
  at::Tensor landmarks;   ///< [E, L, 2]
  at::Tensor steps;       ///< [E], int64: steps since the episode began
};

/// The discs of a world, as one draws them.
struct Bodies {
  std::vector<double> agents;     ///< [A], radii
  std::vector<double> landmarks;  ///< [L], radii; 0: a point
  int64_t obstacles;              ///< landmarks that agents collide with; they come first
};

/// Names of all scenarios, those that ship and those that register_scenario added (scenario.h).
OMAR_API std::vector<std::string> scenario_names();

/// E worlds of one scenario. The state lives in structure-of-arrays storage inside; a world's start states are a
/// function of (seed, world, episode number), so results do not depend on E, on threads or on the device. Threads may
/// share an environment: its calls run one after another.
class OMAR_API ParticleEnv {
 public:
  /// \throws c10::ValueError unknown scenario, E < 1, dtype or device that is not supported
  explicit ParticleEnv(const ParticleEnvOptions& options);
  ~ParticleEnv();
  ParticleEnv(ParticleEnv&&) noexcept;
  ParticleEnv& operator=(ParticleEnv&&) noexcept;

  const ParticleEnvOptions& options() const;
  int64_t num_envs() const;
  int64_t num_agents() const;    ///< A, the prey included
  int64_t num_learners() const;  ///< agents that learn; they come first
  int64_t num_landmarks() const;
  int64_t episode_length() const;                 ///< steps until an episode is cut
  int64_t action_size() const;                    ///< numbers of an action
  const std::vector<int64_t>& obs_sizes() const;  ///< observation size per agent
  Bodies bodies() const;

  /// Starts new episodes in all worlds; a seed restarts the random streams, so that reset(s) on any environment equals
  /// the first reset() of one constructed with seed s. \return observations [E, A, max obs size]
  at::Tensor reset(std::optional<std::uint64_t> seed = std::nullopt);

  /// One step of all worlds; `actions` [E, A, action size] in the environment's dtype, |u| > 1 gives more force. On a
  /// GPU the call waits until the actions are computed, to check them.
  /// \throws c10::ValueError wrong shape, device, or an action that is not finite or above kMostAction in magnitude
  /// (the state is then unchanged)
  /// \throws c10::TypeError wrong dtype
  Step step(const at::Tensor& actions);

  /// The same into tensors of the caller (contiguous, from `make_step` or alike): no allocation.
  void step_into(const at::Tensor& actions, Step& out);

  /// Tensors of the right shapes, dtype and device for step_into.
  Step make_step() const;

  /// Observations of the current state, [E, A, max obs size].
  at::Tensor observe() const;

  State state() const;

  /// Replaces the state; tensors as in State, at most kMostState in magnitude; `steps` defaults to zeros. \throws like
  /// step; also steps outside 0 .. episode length - 1
  void set_state(const at::Tensor& positions, const at::Tensor& velocities, const at::Tensor& landmarks,
                 const std::optional<at::Tensor>& steps = std::nullopt);

 private:
  friend void rollout_into(ParticleEnv& env, const RolloutOptions& options, Transitions& out,
                           const std::optional<Transitions>& prey_out);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace omar::particle
