#include <omar/core/draws.h>

#include "bindings.h"

namespace omar::bindings {
namespace {

at::Tensor uniform(const std::vector<int64_t>& sizes, const Draw& draw, const at::Tensor& like) {
  return draws::uniform(sizes, draw, Stream::uniform_actions, like.options());
}

at::Tensor normal(const std::vector<int64_t>& sizes, const Draw& draw, const at::Tensor& like) {
  return draws::normal(sizes, draw, Stream::exploration, like.options());
}

}  // namespace

void bind_draws(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> unlocked;
  // The tensor first: an integer's caster would take one too, and read it now.
  py::class_<Draw>(m, "Draw", "Counter of random numbers.")
      .def(py::init([](std::uint64_t seed, at::Tensor step_at) { return Draw{seed, 0, std::move(step_at)}; }),
           py::arg("seed"), py::arg("step_at"), "Seed, and an int64 scalar that holds the step at each draw.")
      .def(py::init([](std::uint64_t seed, std::int64_t step) { return Draw{seed, step}; }), py::arg("seed"),
           py::arg("step"), "Seed and step, 0 <= step < 2^32.");
  m.def(
      "draws_uniform", &uniform, py::arg("sizes"), py::arg("draw"), py::arg("like"), unlocked,
      "Uniform numbers in [-1, 1) of shape `sizes`, of the dtype and device of `like`: number j of row n follows from "
      "(seed, step, n, j) alone (stream uniform_actions).");
  m.def("draws_normal", &normal, py::arg("sizes"), py::arg("draw"), py::arg("like"), unlocked,
        "Standard normal numbers of shape `sizes`, of the dtype and device of `like`: number j of row n follows from "
        "(seed, step, n, j) alone (stream exploration).");
}

}  // namespace omar::bindings
