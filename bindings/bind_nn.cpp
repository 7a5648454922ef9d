#include <omar/nn/stacked_mlp.h>

#include "bindings.h"

namespace omar::bindings {
namespace {

using Tensors = std::vector<at::Tensor>;

std::pair<Tensors, Tensors> init(std::vector<int64_t> sizes, std::vector<std::uint64_t> seeds, int64_t network,
                                 double last_layer_scale, at::ScalarType dtype) {
  nn::StackedMlp mlp = nn::init({std::move(sizes), std::move(seeds), network, last_layer_scale, dtype});
  return {std::move(mlp.weights), std::move(mlp.biases)};
}

at::Tensor forward(Tensors weights, Tensors biases, const at::Tensor& x) {
  return nn::forward({std::move(weights), std::move(biases)}, x);
}

at::Tensor candidate_values(Tensors weights, Tensors biases, const at::Tensor& obs, const at::Tensor& actions) {
  return nn::candidate_values({std::move(weights), std::move(biases)}, obs, actions);
}

}  // namespace

void bind_nn(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> unlocked;
  m.def("nn_init", &init, py::arg("sizes"), py::arg("seeds"), py::arg("network"), py::arg("last_layer_scale"),
        py::arg("dtype"), unlocked, "First weights and biases of a stack: lists of [M, in, out] and [M, out].");
  m.def("nn_forward", &forward, py::arg("weights"), py::arg("biases"), py::arg("x"), unlocked,
        "Outputs [M, B, out] of stacked networks on x [M, B, in].");
  m.def("nn_candidate_values", &candidate_values, py::arg("weights"), py::arg("biases"), py::arg("obs"),
        py::arg("actions"), unlocked,
        "Q [T, M, B, K] of actions [M, B, K, A] in states obs [M, B, O] under T * M stacked critics.");
}

}  // namespace omar::bindings
