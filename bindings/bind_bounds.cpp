#include <omar/core/bounds.h>
#include <omar/core/cpu_level.h>

#include "bindings.h"

namespace omar::bindings {

void bind_bounds(py::module_& m) {
  using Released = py::call_guard<py::gil_scoped_release>;
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
  py::module_ b = m.def_submodule("bounds", "What this machine can do at most, measured over torch's threads.");
  b.def("fma_flops", &bounds::fma_flops, py::arg("seconds"), Released(),
        "Single-precision FLOP/s of fused multiply-adds in registers.");
  b.def("particle_steps", &bounds::particle_steps, py::arg("worlds"), py::arg("agents"), py::arg("outputs"),
        py::arg("seconds"), Released(),
        "World steps per second of a plain vectorised loop that writes `outputs` floats per world.");
  b.def("gather_rows", &bounds::gather_rows, py::arg("rows"), py::arg("row_bytes"), py::arg("batch"),
        py::arg("seconds"), Released(), "Rows per second of a prefetched random copy of rows.");
}

}  // namespace omar::bindings
