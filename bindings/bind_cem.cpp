#include <omar/cem/cem.h>

#include "bindings.h"

namespace omar::bindings {
namespace {

using TensorPair = std::pair<at::Tensor, at::Tensor>;

at::Tensor sample(const at::Tensor& mu, const at::Tensor& sigma, int64_t samples, const Draw& draw, int64_t round) {
  return cem::sample({mu, sigma}, samples, draw, round);
}

TensorPair refit(const at::Tensor& mu, const at::Tensor& sigma, const at::Tensor& actions, const at::Tensor& q,
                 const cem::CemOptions& options) {
  cem::Distribution next = cem::refit({mu, sigma}, {actions, q}, options);
  return {std::move(next.mu), std::move(next.sigma)};
}

TensorPair elites(const at::Tensor& actions, const at::Tensor& q, int64_t count) {
  cem::Pool pool = cem::elites({actions, q}, count);
  return {std::move(pool.actions), std::move(pool.q)};
}

TensorPair best(const at::Tensor& actions, const at::Tensor& q) { return cem::best({actions, q}); }

TensorPair maximize_scorer(const cem::Scorer& scorer, const at::Tensor& policy_actions, const cem::CemOptions& options,
                           const Draw& draw) {
  return cem::maximize(scorer, policy_actions, options, draw);
}

TensorPair maximize(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& policy_actions,
                    const cem::CemOptions& options, const Draw& draw, nn::Kernels kernels) {
  return cem::maximize(critic, obs, policy_actions, options, draw, kernels);
}

TensorPair maximize_normalized(const nn::StackedMlp& critic, const at::Tensor& scale, const at::Tensor& shift,
                               const at::Tensor& obs, const at::Tensor& policy_actions, const cem::CemOptions& options,
                               const Draw& draw) {
  return cem::maximize(critic, nn::BatchNorm{scale, shift}, obs, policy_actions, options, draw);
}

}  // namespace

void bind_cem(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> unlocked;
  py::enum_<cem::Refit>(m, "CemRefit", "How the search distribution follows the scores.")
      .value("softmax", cem::Refit::softmax)
      .value("elite", cem::Refit::elite);
  py::enum_<cem::Reduction>(m, "CemReduction", "The score of a member with several critics.")
      .value("first", cem::Reduction::first)
      .value("mean", cem::Reduction::mean)
      .value("min", cem::Reduction::min);
  py::class_<cem::CemOptions>(m, "CemOptions", "Options of the search; see omar.cem.CemOptions.")
      .def(py::init([](int64_t rounds, int64_t samples, cem::Refit refit, int64_t elites, double mu, double sigma,
                       double beta, nn::Precision precision, cem::Reduction reduction) {
             return cem::CemOptions{rounds, samples, refit, elites, mu, sigma, beta, precision, reduction};
           }),
           py::arg("rounds"), py::arg("samples"), py::arg("refit"), py::arg("elites"), py::arg("mu"), py::arg("sigma"),
           py::arg("beta"), py::arg("precision"), py::arg_v("reduction", cem::Reduction::first, "CemReduction.first"),
           "All options by name.");
  m.def("cem_check", &cem::check, py::arg("options"), "Raises ValueError where an option is out of range.");
  m.def("cem_sample", &sample, py::arg("mu"), py::arg("sigma"), py::arg("samples"), py::arg("draw"), py::arg("round"),
        unlocked, "Candidate actions [M, B, K, A] from N(mu, sigma), clamped to [-1, 1].");
  m.def("cem_refit", &refit, py::arg("mu"), py::arg("sigma"), py::arg("actions"), py::arg("q"), py::arg("options"),
        unlocked, "The next mu and sigma [M, B, A] from actions [M, B, K, A] with scores q [M, B, K].");
  m.def("cem_elites", &elites, py::arg("actions"), py::arg("q"), py::arg("count"), unlocked,
        "The best candidates and their scores in falling order.");
  m.def("cem_best", &best, py::arg("actions"), py::arg("q"), unlocked,
        "The best candidate [M, B, A] and its score [M, B].");
  m.def("cem_maximize_scorer", &maximize_scorer, py::arg("scorer"), py::arg("policy_actions"), py::arg("options"),
        py::arg("draw"), unlocked, "The whole search for a callable scorer.");
  m.def("cem_maximize", &maximize, py::arg("critic"), py::arg("obs"), py::arg("policy_actions"), py::arg("options"),
        py::arg("draw"), py::arg("kernels"), unlocked, "The whole search for a stacked critic.");
  m.def("cem_maximize_normalized", &maximize_normalized, py::arg("critic"), py::arg("scale"), py::arg("shift"),
        py::arg("obs"), py::arg("policy_actions"), py::arg("options"), py::arg("draw"), unlocked,
        "The whole search for a stacked critic behind batch normalisation, whose scale and shift are [M, in].");
}

}  // namespace omar::bindings
