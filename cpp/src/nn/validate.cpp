#include "nn/validate.h"
#include "core/check.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>

namespace omar::nn {

void check_like(std::string_view op, std::string_view name, const at::Tensor& tensor, const at::Tensor& like) {
  check::dtype(op, name, tensor, like.scalar_type());
  check::device(op, name, tensor, like.device());
}

void validate(const StackedMlp& mlp) {
  constexpr const char* op = "nn::StackedMlp";
  TORCH_CHECK_VALUE(!mlp.weights.empty(), "[", op, "] needs at least one layer");
  TORCH_CHECK_VALUE(mlp.weights.size() == mlp.biases.size(), "[", op, "] needs one bias per weight, got ",
                    mlp.weights.size(), " weights and ", mlp.biases.size(), " biases");
  const at::Tensor& front = mlp.weights.front();
  check::shape(op, "weights[0]", front, {-1, -1, -1}, "[M, in, out]");
  TORCH_CHECK_TYPE(front.scalar_type() == at::kFloat || front.scalar_type() == at::kDouble, "[", op,
                   "] `weights[0]` must be float32 or float64, got ", front.scalar_type());
  int64_t in = front.size(1);
  for (size_t i = 0; i < mlp.weights.size(); ++i) {
    const std::string weight = "weights[" + std::to_string(i) + "]";
    const std::string bias = "biases[" + std::to_string(i) + "]";
    check::shape(op, weight, mlp.weights[i], {front.size(0), in, -1}, "[M, in, out]");
    for (const int64_t size : mlp.weights[i].sizes()) check::at_least(op, "each size of " + weight, size, 1);
    check_like(op, weight, mlp.weights[i], front);
    in = mlp.weights[i].size(2);
    check::shape(op, bias, mlp.biases[i], {front.size(0), in}, "[M, out]");
    check_like(op, bias, mlp.biases[i], front);
  }
  const size_t norms = mlp.activation.has_layer_norm() ? mlp.weights.size() - 1 : 0;
  TORCH_CHECK_VALUE(mlp.norm_scales.size() == norms && mlp.norm_shifts.size() == norms, "[", op, "] needs ", norms,
                    " scales and shifts of layer norm, got ", mlp.norm_scales.size(), " scales and ",
                    mlp.norm_shifts.size(), " shifts");
  for (size_t i = 0; i < norms; ++i) {
    const auto check_norm = [&](const std::string& name, const at::Tensor& tensor) {
      check::shape(op, name + "[" + std::to_string(i) + "]", tensor, mlp.biases[i].sizes(), "[M, out]");
      check_like(op, name + "[" + std::to_string(i) + "]", tensor, front);
    };
    check_norm("norm_scales", mlp.norm_scales[i]);
    check_norm("norm_shifts", mlp.norm_shifts[i]);
  }
}

void check_work(std::string_view op, const StackedMlp& mlp, c10::IntArrayRef rows) {
  // The kernels' arrays: up to 4 gradient sums a network, sizes padded to 64 numbers of 8 bytes.
  constexpr int64_t sums = 4, padding = 64, bytes = 8;
  int64_t widest = mlp.in_features();
  for (const at::Tensor& weight : mlp.weights) {
    check::product(op, "the bytes of a layer's weights",
                   {mlp.members(), weight.size(1) + padding, weight.size(2) + padding, sums * bytes});
    widest = std::max(widest, weight.size(2));
  }
  std::vector<int64_t> sizes{mlp.members(), widest + padding, bytes};
  for (const int64_t size : rows) sizes.push_back(std::max<int64_t>(size, 1));
  check::product(op, "the bytes of a layer's outputs", sizes);
}

void check_candidates(std::string_view op, const StackedMlp& critic, const at::Tensor& obs, const at::Tensor& actions) {
  validate(critic);
  check::shape(op, "obs", obs, {-1, -1, -1}, "[M, B, O]");
  check::shape(op, "actions", actions, {obs.size(0), obs.size(1), -1, -1}, "[M, B, K, A]");
  check::at_least(op, "M", obs.size(0), 1);
  check::at_least(op, "O", obs.size(2), 1);
  check::at_least(op, "K", actions.size(2), 1);
  check::at_least(op, "A", actions.size(3), 1);
  TORCH_CHECK_VALUE(obs.size(2) + actions.size(3) == critic.in_features(), "[", op, "] `critic` takes ",
                    critic.in_features(), " inputs, but O + A = ", obs.size(2), " + ", actions.size(3));
  TORCH_CHECK_VALUE(critic.out_features() == 1, "[", op, "] `critic` must have one output, got ",
                    critic.out_features());
  TORCH_CHECK_VALUE(critic.members() % obs.size(0) == 0, "[", op, "] `critic` has ", critic.members(),
                    " networks, which is no multiple of M = ", obs.size(0));
  check_like(op, "obs", obs, critic.weights.front());
  check_like(op, "actions", actions, critic.weights.front());
  check_work(op, critic, {obs.size(1), actions.size(2)});
}

void check_parts(std::string_view op, const StackedMlp& critic, at::TensorList obs, const at::Tensor& actions) {
  TORCH_CHECK_VALUE(!obs.empty(), "[", op, "] `obs` must have at least one part");
  if (obs.size() == 1) return check_candidates(op, critic, obs[0], actions);
  validate(critic);
  check::shape(op, "actions", actions, {-1, -1, -1, -1}, "[M, B, K, A]");
  const int64_t members = actions.size(0);
  check::at_least(op, "M", members, 1);
  int64_t columns = 0;
  for (size_t i = 0; i < obs.size(); ++i) {
    const std::string name = "obs[" + std::to_string(i) + "]";
    check::shape(op, name, obs[i], {-1, actions.size(1), -1}, "[M or S, B, columns]");
    check::at_least(op, "each size of " + name, std::min(obs[i].size(0), obs[i].size(2)), 1);
    TORCH_CHECK_VALUE(members % obs[i].size(0) == 0, "[", op, "] `", name, "` has ", obs[i].size(0),
                      " rows for M = ", members, " members, which is no multiple of it");
    check_like(op, name, obs[i], critic.weights.front());
    columns += obs[i].size(2);
  }
  const at::Tensor whole = at::empty({1, 1, 1}, obs[0].options()).expand({members, actions.size(1), columns});
  check_candidates(op, critic, whole, actions);
}

}  // namespace omar::nn
