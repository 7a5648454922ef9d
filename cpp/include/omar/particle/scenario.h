#pragma once
/// Scenarios of other repositories: one struct of inline functions becomes a batched, vectorised environment.
///
///   struct Rendezvous : omar::particle::ScenarioBase {
///     static constexpr int agents = 3;
///     static constexpr int obs_size(int) { return 8; }
///     template <class V>
///     OMAR_INLINE static V* observe(const omar::particle::World<Rendezvous, V>& w, int i, V* out) {
///       return omar::particle::put_others(w, i, omar::particle::put_self(w, i, out));
///     }
///     template <class V>
///     OMAR_INLINE static void rewards(const omar::particle::World<Rendezvous, V>& w, V* out) { ... }
///   };
///
///   omar::particle::register_scenario<Rendezvous>("rendezvous");
///   omar::particle::ParticleEnv env({.scenario = "rendezvous", .num_envs = 1024});
///
/// The kernels are compiled with the file that registers it: with optimisation in vectors of 16, 32 and 64 bytes, of
/// which the CPU chooses; else in vectors of 16. They run on the CPU.

#include <omar/particle/detail/levels.h>
#include <omar/particle/particle_env.h>
#include <omar/particle/scenario_base.h>

#include <string>
#include <type_traits>

namespace omar::particle {

namespace detail {
/// Takes copies of the kernels; `name` is theirs from now on. \throws as register_scenario
OMAR_API void add_scenario(const std::string& name, const LevelKernels& kernels);
}  // namespace detail

/// Makes scenario S known to ParticleEnv under `name`, in the whole process. Threads may call it.
/// \throws c10::ValueError an empty name, or one that is taken
template <class S>
void register_scenario(const std::string& name) {
  static_assert(std::is_base_of_v<ScenarioBase, S>, "a scenario derives from omar::particle::ScenarioBase");
  static_assert(S::agents >= 1 && S::preys >= 0 && S::preys < S::agents, "a scenario needs an agent that learns");
  static_assert(S::landmarks >= 0 && S::obstacles >= 0 && S::obstacles <= S::landmarks,
                "the obstacles of a scenario are among its landmarks");
  static_assert(S::action_size >= 1 && S::episode_length >= 1 && kMaxObs<S> >= 1,
                "actions, episodes and observations of a scenario have at least one number");
  detail::add_scenario(name, detail::all_levels<S>());
}

}  // namespace omar::particle
