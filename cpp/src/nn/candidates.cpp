#include <omar/core/rng.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/cuda_stream.h"
#include "core/dispatch.h"
#include "nn/draw.h"

namespace omar::nn {

RandomKernels chosen_random_kernels() { return OMAR_FOR_CPU(random_kernels)(); }

bool draws_on_cuda() { return cuda::built(); }

namespace {

void check_step_at(std::string_view op, const at::Tensor& step_at) {
  TORCH_CHECK_TYPE(step_at.scalar_type() == at::kLong, "[", op, "] a `step` in a tensor must be int64, got ",
                   step_at.scalar_type());
  TORCH_CHECK_VALUE(step_at.dim() == 0, "[", op, "] a `step` in a tensor must be a scalar, got ",
                    check::shape_text(step_at.sizes()));
}

at::Tensor draw_on_cuda(std::string_view op, Law law, c10::IntArrayRef sizes, const Draw& draw, std::uint32_t stream,
                        c10::Device device) {
  at::Tensor out = at::empty(sizes, at::TensorOptions(device).dtype(at::kFloat));
  const c10::DeviceGuard guard(out.device());
  const std::int64_t* step_at = nullptr;
  if (draw.step_at.defined()) {
    check_step_at(op, draw.step_at);
    check::device(op, "step", draw.step_at, out.device());
    step_at = draw.step_at.const_data_ptr<std::int64_t>();
  }
  cuda::draw(law,
             {draw.seed, static_cast<std::uint32_t>(draw.step), step_at, stream, sizes[0], sizes[1], sizes[2], sizes[3],
              out.mutable_data_ptr<float>()},
             current_cuda_stream(out.device()));
  return out;
}

}  // namespace

Draw on_host(std::string_view op, const Draw& draw) {
  if (!draw.step_at.defined()) return draw;
  check_step_at(op, draw.step_at);
  return {draw.seed, draw.step_at.item<std::int64_t>()};
}

at::Tensor draw_candidates(std::string_view op, Law law, c10::IntArrayRef sizes, const Draw& counter,
                           std::uint32_t stream, c10::Device device) {
  TORCH_CHECK_VALUE(sizes.size() == 4, "[", op, "] `sizes` must be [M, B, K, A], got ", check::shape_text(sizes));
  for (const int64_t size : sizes) check::at_least(op, "sizes", size, 0);
  TORCH_CHECK_VALUE(sizes[1] <= (1 << 24), "[", op, "] B must be at most 2^24, got ", sizes[1]);
  TORCH_CHECK_VALUE(sizes[2] <= 1024, "[", op, "] K must be at most 1024, got ", sizes[2]);
  if (device.is_cuda() && cuda::built()) return draw_on_cuda(op, law, sizes, counter, stream, device);
  const Draw draw = on_host(op, counter);
  at::Tensor out = at::empty(sizes, at::kFloat);
  float* data = out.mutable_data_ptr<float>();
  const RandomKernels kernels = chosen_random_kernels();
  const auto fill = law == Law::normal ? kernels.normals : kernels.uniforms;
  const int64_t batch = sizes[1];
  const int64_t row = sizes[2] * sizes[3];
  constexpr int64_t states = 64;  // per piece of work
  const int64_t pieces = (batch + states - 1) / states;
  at::parallel_for(0, sizes[0] * pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t member = i / pieces;
      const int64_t first = i % pieces * states;
      const CandidateBlock block{draw.seed,
                                 static_cast<std::uint32_t>(draw.step),
                                 stream,
                                 static_cast<std::uint32_t>(member),
                                 static_cast<std::uint32_t>(first),
                                 std::min(states, batch - first),
                                 sizes[2],
                                 sizes[3]};
      fill(block, {row, sizes[3], 1}, data + (member * batch + first) * row);
    }
  });
  return out.to(device);
}

Candidates uniform_candidates(c10::IntArrayRef sizes, Draw draw, const at::TensorOptions& options) {
  const at::Tensor actions = draw_candidates("nn::uniform_candidates", Law::uniform, sizes, draw,
                                             static_cast<std::uint32_t>(Stream::candidates), options.device());
  const double log_density = -static_cast<double>(sizes[3]) * std::log(2.0);
  return {actions.to(options), at::full(sizes.slice(0, 3), log_density, options)};
}

Candidates normal_candidates(const at::Tensor& mean, double sigma, int64_t samples, Draw draw, int64_t which) {
  constexpr const char* op = "nn::normal_candidates";
  check::shape(op, "mean", mean, {-1, -1, -1}, "[M, B, A]");
  check::at_least(op, "samples", samples, 1);
  TORCH_CHECK_VALUE(std::isfinite(sigma) && sigma > 0, "[", op, "] `sigma` must be positive and finite, got ", sigma);
  TORCH_CHECK_VALUE(which >= 1 && which <= 15, "[", op, "] `which` must be in 1..15, got ", which);
  const std::uint32_t stream = static_cast<std::uint32_t>(Stream::candidates) + static_cast<std::uint32_t>(which);
  const at::Tensor z =
      draw_candidates(op, Law::normal, {mean.size(0), mean.size(1), samples, mean.size(2)}, draw, stream, mean.device())
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
