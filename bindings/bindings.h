#pragma once
/// One function per module of the core; each def is a name, a pointer, arguments, a GIL release and a docstring.

#include <torch/csrc/utils/pybind.h>

#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace omar::bindings {

namespace py = pybind11;

void bind_bounds(py::module_& m);
void bind_draws(py::module_& m);
void bind_particle(py::module_& m);
void bind_replay(py::module_& m);
void bind_nn(py::module_& m);
void bind_cql(py::module_& m);
void bind_cem(py::module_& m);

}  // namespace omar::bindings
