#include <pybind11/pybind11.h>

#include "bounds.h"
#include "errors.h"

PYBIND11_MODULE(_bounds, m) {
  namespace py = pybind11;
  namespace bounds = omar::bounds;
  using Released = py::call_guard<py::gil_scoped_release>;
  m.doc() = "What this machine can do at most, measured over torch's threads: the bounds of omar.bench.";
  py::register_local_exception_translator(&omar::bindings::translate);
  m.def("fma_flops", &bounds::fma_flops, py::arg("seconds"), Released(),
        "Single-precision FLOP/s of fused multiply-adds in registers.");
  m.def("particle_steps", &bounds::particle_steps, py::arg("worlds"), py::arg("agents"), py::arg("outputs"),
        py::arg("seconds"), Released(),
        "World steps per second of a plain vectorised loop that writes `outputs` floats per world.");
  m.def("gather_rows", &bounds::gather_rows, py::arg("rows"), py::arg("row_bytes"), py::arg("batch"),
        py::arg("seconds"), Released(), "Rows per second of a prefetched random copy of rows.");
}
