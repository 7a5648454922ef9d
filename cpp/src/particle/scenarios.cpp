#include "particle/scenarios.h"

#include <omar/particle/scenario.h>

#include <algorithm>
#include <list>
#include <mutex>
#include <string_view>

#include "core/check.h"
#include "core/dispatch.h"

namespace omar::particle {

namespace cpu {
KernelTable kernels(CpuLevel level) { return OMAR_AT_LEVEL(level, kernels)(); }
Rollout rollout(CpuLevel level, int scenario) { return OMAR_AT_LEVEL(level, rollout)(scenario); }
Forward policy_forward(CpuLevel level) { return OMAR_AT_LEVEL(level, policy_forward)(); }
DrawNumbers uniform_actions(CpuLevel level) { return OMAR_AT_LEVEL(level, uniform_actions)(); }
DrawNumbers exploration_noise(CpuLevel level) { return OMAR_AT_LEVEL(level, exploration_noise)(); }
}  // namespace cpu

namespace {

/// A scenario that another repository brought.
struct Registered {
  std::string name;
  LevelKernels kernels;
};

std::mutex& registry_mutex() {
  static std::mutex mutex;
  return mutex;
}

/// A list: its entries never move, and environments point to them.
std::list<Registered>& registry() {
  static std::list<Registered> scenarios;
  return scenarios;
}

bool ships(std::string_view name) {
  const cpu::KernelTable all = cpu::base::kernels();
  return std::any_of(all.begin, all.end, [&](const Kernels& k) { return k.info.name == name; });
}

}  // namespace

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  const cpu::KernelTable all = cpu::base::kernels();
  for (const Kernels* k = all.begin; k != all.end; ++k) {
    if (std::find(names.begin(), names.end(), k->info.name) == names.end()) names.emplace_back(k->info.name);
  }
  const std::lock_guard lock(registry_mutex());
  for (const Registered& scenario : registry()) names.push_back(scenario.name);
  return names;
}

std::vector<FoundScenario> find_scenarios(const std::string& name, bool single) {
  std::vector<FoundScenario> found;
  const cpu::KernelTable all = cpu::kernels(cpu_level());
  for (const Kernels* k = all.begin; k != all.end; ++k) {
    if (k->info.name == name && k->single == single)
      found.push_back({k, static_cast<int>((k - all.begin) / 2), cpu_level()});
  }
  const std::lock_guard lock(registry_mutex());
  for (const Registered& scenario : registry()) {
    if (scenario.name != name) continue;
    const std::size_t level = std::min(static_cast<std::size_t>(cpu_level()), scenario.kernels.count - 1);
    found.push_back({&scenario.kernels.at[level][single ? 0 : 1], -1, static_cast<CpuLevel>(level)});
  }
  return found;
}

void detail::add_scenario(const std::string& name, const LevelKernels& kernels) {
  TORCH_CHECK_VALUE(!name.empty(), "[register_scenario] `name` must not be empty");
  const std::lock_guard lock(registry_mutex());
  const bool taken = ships(name) || std::any_of(registry().begin(), registry().end(),
                                                [&](const Registered& scenario) { return scenario.name == name; });
  TORCH_CHECK_VALUE(!taken, "[register_scenario] there is a scenario \"", name, "\" already");
  Registered& added = registry().emplace_back(Registered{name, kernels});
  for (auto& level : added.kernels.at) {
    for (Kernels& k : level) k.info.name = added.name.c_str();
  }
}

}  // namespace omar::particle
