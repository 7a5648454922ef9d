#include <omar/cql/penalty.h>

#include "bindings.h"

namespace omar::bindings {
namespace {

using CandidatePair = std::pair<at::Tensor, at::Tensor>;

at::Tensor mean_logsumexp(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions,
                          const at::Tensor& log_density, const nn::Scoring& scoring) {
  return cql::mean_logsumexp(critic, obs, {actions, log_density}, scoring);
}

at::Tensor penalty(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& q_data,
                   const cql::PenaltyOptions& options, const std::vector<CandidatePair>& others) {
  std::vector<nn::Candidates> sets;
  for (const auto& [actions, log_density] : others) sets.push_back({actions, log_density});
  return cql::penalty(critic, obs, q_data, options, sets);
}

}  // namespace

void bind_cql(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> unlocked;
  py::class_<cql::PenaltyOptions>(m, "CqlPenaltyOptions", "Sampling of the CQL penalty.")
      .def(py::init<int64_t, nn::Draw, nn::Scoring>(), py::arg("samples"), py::arg("draw"), py::arg("scoring"),
           "Uniform candidates per state, their counter, and how they are scored.");
  m.def("cql_mean_logsumexp", &mean_logsumexp, py::arg("critic"), py::arg("obs"), py::arg("actions"),
        py::arg("log_density"), py::arg("scoring"), unlocked,
        "Mean over states of log sum exp(Q - log density): [T, M].");
  m.def("cql_penalty", &penalty, py::arg("critic"), py::arg("obs"), py::arg("q_data"), py::arg("options"),
        py::arg("others"), unlocked, "The CQL penalty [T, M] with uniform and other candidates.");
}

}  // namespace omar::bindings
