#include <omar/nn/batch_norm.h>
#include <omar/nn/policy.h>
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

nn::StackedMlp stack(Tensors weights, Tensors biases, Tensors norm_scales, Tensors norm_shifts) {
  const bool normed = !norm_scales.empty() || !norm_shifts.empty();
  return {std::move(weights),
          std::move(biases),
          {normed ? nn::Activation::layer_norm_relu : nn::Activation::relu},
          std::move(norm_scales),
          std::move(norm_shifts)};
}

using CandidatePair = std::pair<at::Tensor, at::Tensor>;

CandidatePair to_pair(nn::Candidates candidates) {
  return {std::move(candidates.actions), std::move(candidates.log_density)};
}

CandidatePair uniform_candidates(const std::vector<int64_t>& sizes, const nn::Draw& draw, const at::Tensor& like) {
  return to_pair(nn::uniform_candidates(sizes, draw, like.options()));
}

CandidatePair normal_candidates(const at::Tensor& mean, double sigma, int64_t samples, const nn::Draw& draw,
                                int64_t set) {
  return to_pair(nn::normal_candidates(mean, sigma, samples, draw, set));
}

at::Tensor candidate_values(const nn::StackedMlp& critic, const Tensors& obs, const at::Tensor& actions,
                            const nn::Scoring& scoring) {
  return nn::candidate_values(critic, obs, actions, scoring);
}

std::optional<std::string> fused_obstacle(const nn::StackedMlp& mlp, const Tensors& constants) {
  return nn::fused_obstacle(mlp, constants);
}

using TensorPair = std::pair<at::Tensor, at::Tensor>;

TensorPair moments(const at::Tensor& x) {
  nn::Moments found = nn::moments(x);
  return {std::move(found.mean), std::move(found.variance)};
}

TensorPair fold(const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& scale, const at::Tensor& shift,
                const std::vector<TensorPair>& parts) {
  std::vector<nn::Moments> inputs;
  for (const auto& [mean, variance] : parts) inputs.push_back({mean, variance});
  return nn::fold(weight, bias, {scale, shift}, inputs);
}

at::Tensor attach_moments(const at::Tensor& x, const TensorPair& moments) {
  return nn::attach_moments(x, {moments.first, moments.second});
}

at::Tensor act(Tensors weights, Tensors biases, const at::Tensor& observations) {
  return nn::act(nn::StackedMlp{std::move(weights), std::move(biases)}, observations);
}

using ReferenceEntry = std::tuple<double, double, std::string>;
using PolicyEntry = std::tuple<Tensors, Tensors, std::optional<ReferenceEntry>, std::map<std::string, std::string>>;

PolicyEntry to_entry(const nn::Policy& policy) {
  std::optional<ReferenceEntry> references;
  if (const auto& r = policy.references) references = {r->random, r->expert, r->source};
  return {policy.networks.weights, policy.networks.biases, references, policy.source};
}

std::tuple<std::string, std::vector<PolicyEntry>, std::optional<PolicyEntry>> parse_policies(const py::bytes& contents,
                                                                                             const std::string& name) {
  const std::vector<nn::Policy> policies = nn::parse_policies(std::string_view(contents), name);
  std::vector<PolicyEntry> seeds;
  for (const nn::Policy& policy : policies) seeds.push_back(to_entry(policy));
  std::optional<PolicyEntry> prey;
  if (policies.front().prey) prey = to_entry(*policies.front().prey);
  return {policies.front().task, std::move(seeds), std::move(prey)};
}

}  // namespace

void bind_nn(py::module_& m) {
  const py::call_guard<py::gil_scoped_release> unlocked;
  py::enum_<nn::Precision>(m, "Precision", "Products of the hidden layers.")
      .value("float32", nn::Precision::float32)
      .value("bf16", nn::Precision::bf16);
  py::enum_<nn::Kernels>(m, "Kernels", "Which implementation runs.")
      .value("auto", nn::Kernels::automatic)
      .value("plain", nn::Kernels::plain)
      .value("fused", nn::Kernels::fused);
  py::class_<nn::Scoring>(m, "Scoring", "How candidates are scored.")
      .def(py::init<nn::Kernels, nn::Precision>(), py::arg("kernels"), py::arg("precision"), "Kernels and precision.");
  py::class_<nn::StackedMlp>(m, "StackedMlp", "The parameters of M stacked networks.")
      .def(py::init(&stack), py::arg("weights"), py::arg("biases"), py::arg("norm_scales") = Tensors(),
           py::arg("norm_shifts") = Tensors(),
           "Per layer weights [M, in, out] and biases [M, out]; per hidden layer scales and shifts [M, out] of layer "
           "norm, or none.");
  m.def("nn_init", &init, py::arg("sizes"), py::arg("seeds"), py::arg("network"), py::arg("last_layer_scale"),
        py::arg("dtype"), unlocked, "First weights and biases of a stack: lists of [M, in, out] and [M, out].");
  m.def("nn_fused_obstacle", &fused_obstacle, py::arg("mlp"), py::arg("constants"), unlocked,
        "Why the fused kernels cannot run, in one sentence; None where they can.");
  m.def("nn_forward", &nn::forward, py::arg("mlp"), py::arg("x"),
        py::arg_v("kernels", nn::Kernels::automatic, "Kernels.auto"), unlocked,
        "Outputs [M, B, out] of stacked networks on x [M, B, in].");
  m.def("nn_candidate_values", &candidate_values, py::arg("critic"), py::arg("obs"), py::arg("actions"),
        py::arg("scoring"), unlocked,
        "Q [T, M, B, K] of actions [M, B, K, A] in states obs [M, B, O], in parts, under T * M stacked critics.");
  m.def("nn_moments", &moments, py::arg("x"), unlocked,
        "Mean and biased variance [M, columns] of the rows of x [M, ..., columns]; not differentiable.");
  m.def("nn_fold", &fold, py::arg("weight"), py::arg("bias"), py::arg("scale"), py::arg("shift"), py::arg("parts"),
        unlocked, "A first layer behind batch normalisation as a function of raw inputs with these moments.");
  m.def("nn_attach_moments", &attach_moments, py::arg("x"), py::arg("moments"), unlocked,
        "x itself; gradients to it include those through its moments.");
  m.def("nn_act", &act, py::arg("weights"), py::arg("biases"), py::arg("observations"), unlocked,
        "Actions [..., M, A] of stacked policies for observations [..., M, O]; no gradient is recorded.");
  m.attr("MOST_POLICY_BYTES") = nn::kMostPolicyBytes;
  m.def("parse_policies", &parse_policies, py::arg("contents"), py::arg("name"),
        "Task, (weights, biases, references, source) of every seed, and those of the prey, from a file's contents.");
  m.def("nn_draws_on_cuda", &draws::on_cuda, "Are candidates for CUDA devices drawn there, by this build's kernels?");
  m.def("nn_uniform_candidates", &uniform_candidates, py::arg("sizes"), py::arg("draw"), py::arg("like"), unlocked,
        "Uniform actions [M, B, K, A] and their log density [M, B, K], of the dtype and device of `like`.");
  m.def("nn_normal_candidates", &normal_candidates, py::arg("mean"), py::arg("sigma"), py::arg("samples"),
        py::arg("draw"), py::arg("set"), unlocked, "Normal actions around mean [M, B, A] and their log density.");
}

}  // namespace omar::bindings
