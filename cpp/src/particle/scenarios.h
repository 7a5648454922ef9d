#pragma once
/// All scenarios of the process: those of scenarios.def and those that register_scenario added.

#include <string>
#include <vector>

#include "particle/kernels.h"

namespace omar::particle {

/// Kernels of one scenario and dtype for this CPU; they live as long as the process.
struct FoundScenario {
  const Kernels* kernels;
  int line;  ///< of scenarios.def, or -1 for a registered one
  CpuLevel level;
};

/// Those of a name in one dtype: a family (simple_spread) has several. Empty for an unknown name.
std::vector<FoundScenario> find_scenarios(const std::string& name, bool single);

}  // namespace omar::particle
