#include <omar/core/cpu_level.h>

#include "bindings.h"

namespace omar::bindings {

void bind_core(py::module_& m) {
  m.def(
      "cpu_level", [] { return to_string(cpu_level()); },
      "Instruction level of the CPU kernels: base, avx2, avx512, bf16 or amx. OMAR_CPU_LEVEL forces one.");
  m.def(
      "available_cpu_levels",
      [] {
        std::vector<std::string> names;
        for (const CpuLevel level : available_cpu_levels()) names.push_back(to_string(level));
        return names;
      },
      "Instruction levels that this CPU and this build offer, in rising order.");
}

}  // namespace omar::bindings
