#include <omar/core/check.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>

#include <cmath>

#include "core/draws.h"

namespace omar::nn {

Candidates uniform_candidates(c10::IntArrayRef sizes, Draw draw, const at::TensorOptions& options) {
  constexpr const char* op = "nn::uniform_candidates";
  draws::check_floating(op, "like", options.dtype().toScalarType());
  const at::Tensor actions = draws::candidates(op, draws::Distribution::uniform, sizes, draw,
                                               static_cast<std::uint32_t>(Stream::candidates), options.device());
  const double log_density = -static_cast<double>(sizes[3]) * std::log(2.0);
  return {actions.to(options), at::full(sizes.slice(0, 3), log_density, options)};
}

Candidates normal_candidates(const at::Tensor& mean, double sigma, int64_t samples, Draw draw, int64_t set) {
  constexpr const char* op = "nn::normal_candidates";
  check::shape(op, "mean", mean, {-1, -1, -1}, "[M, B, A]");
  draws::check_floating(op, "mean", mean.scalar_type());
  check::at_least(op, "samples", samples, 1);
  TORCH_CHECK_VALUE(std::isfinite(sigma) && sigma > 0, "[", op, "] `sigma` must be positive and finite, got ", sigma);
  TORCH_CHECK_VALUE(set >= 1 && set < counter::kSets, "[", op, "] `set` must be in 1..", counter::kSets - 1, ", got ",
                    set);
  const std::uint32_t stream = static_cast<std::uint32_t>(Stream::candidates) + static_cast<std::uint32_t>(set);
  const at::Tensor z =
      draws::candidates(op, draws::Distribution::normal, {mean.size(0), mean.size(1), samples, mean.size(2)}, draw,
                        stream, mean.device())
          .to(mean.options());
  const double log_scale = std::log(sigma) + 0.5 * std::log(2.0 * M_PI);
  const at::Tensor log_density = z.square().sum(-1) * -0.5 - log_scale * static_cast<double>(mean.size(2));
  return {mean.detach().unsqueeze(2) + z * sigma, log_density};
}

Candidates merge(const Candidates& a, const Candidates& b) {
  constexpr const char* op = "nn::merge";
  check::shape(op, "a.actions", a.actions, {-1, -1, -1, -1}, "[M, B, K, A]");
  const at::Tensor& x = a.actions;
  for (const Candidates* c : {&a, &b}) {
    check::shape(op, "actions", c->actions, {x.size(0), x.size(1), -1, x.size(3)}, "[M, B, K, A]");
    check::shape(op, "log_density", c->log_density, c->actions.sizes().slice(0, 3), "[M, B, K]");
    check::dtype(op, "actions", c->actions, x.scalar_type());
    check::dtype(op, "log_density", c->log_density, x.scalar_type());
    check::device(op, "actions", c->actions, x.device());
    check::device(op, "log_density", c->log_density, x.device());
  }
  return {at::cat({a.actions, b.actions}, 2), at::cat({a.log_density, b.log_density}, 2)};
}

}  // namespace omar::nn
