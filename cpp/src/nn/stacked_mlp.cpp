#include <omar/core/counter.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/ops/addcmul.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/relu.h>

#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "core/draws.h"
#include "nn/fused_critic.h"
#include "nn/plain.h"
#include "nn/validate.h"

namespace omar::nn {
namespace {

/// Index of each member among those of its seed: what makes a member's weights independent of the stack around it.
std::vector<std::uint32_t> ranks(const std::vector<std::uint64_t>& seeds) {
  std::unordered_map<std::uint64_t, std::uint32_t> seen;
  std::vector<std::uint32_t> result;
  result.reserve(seeds.size());
  for (const std::uint64_t seed : seeds) result.push_back(seen[seed]++);
  return result;
}

/// One member's numbers of one layer in [-1, 1): the weights row by row, then the biases.
std::vector<float> draw_layer(std::uint64_t seed, std::uint32_t rank, std::uint32_t step, int64_t count) {
  std::vector<float> numbers(static_cast<size_t>(count));
  const draws::RowBlock row{seed, step, static_cast<std::uint32_t>(Stream::init), rank, 1, 0, count, count};
  draws::chosen_kernels().rows(draws::Distribution::uniform, row, numbers.data());
  return numbers;
}

template <class T>
void fill_layer(const at::Tensor& weight, const at::Tensor& bias, const InitOptions& options, std::uint32_t layer,
                T bound) {
  const int64_t in_out = weight.size(1) * weight.size(2);
  const int64_t out = bias.size(1);
  const std::vector<std::uint32_t> rank = ranks(options.seeds);
  const std::uint32_t step = layer + (static_cast<std::uint32_t>(options.network) << 16);
  for (int64_t m = 0; m < weight.size(0); ++m) {
    const size_t i = static_cast<size_t>(m);
    const std::vector<float> numbers = draw_layer(options.seeds[i], rank[i], step, in_out + out);
    T* w = weight.mutable_data_ptr<T>() + m * in_out;
    T* b = bias.mutable_data_ptr<T>() + m * out;
    for (int64_t j = 0; j < in_out; ++j) w[j] = bound * static_cast<T>(numbers[static_cast<size_t>(j)]);
    for (int64_t j = 0; j < out; ++j) b[j] = bound * static_cast<T>(numbers[static_cast<size_t>(in_out + j)]);
  }
}

void validate(const InitOptions& options) {
  constexpr const char* op = "nn::init";
  TORCH_CHECK_VALUE(options.sizes.size() >= 2, "[", op, "] `sizes` must hold at least the input and output size, got ",
                    check::shape_text(options.sizes));
  TORCH_CHECK_VALUE(options.sizes.size() < 65536, "[", op, "] `sizes` must hold fewer than 65536 layers");
  for (const int64_t size : options.sizes) check::at_least(op, "sizes", size, 1);
  TORCH_CHECK_VALUE(!options.seeds.empty(), "[", op, "] `seeds` must name at least one member");
  TORCH_CHECK_VALUE(options.network >= 0 && options.network < 65536, "[", op, "] `network` must be in 0..65535, got ",
                    options.network);
  for (size_t i = 0; i + 1 < options.sizes.size(); ++i) {
    const int64_t in = options.sizes[i], out = options.sizes[i + 1],
                  members = static_cast<int64_t>(options.seeds.size());
    const int64_t weights = check::product(op, "the weights of a layer", {in, out});
    TORCH_CHECK_VALUE(weights <= counter::kNumbers - out, "[", op, "] a layer must have at most 2^34 weights, got ", in,
                      " x ", out);
    check::product(op, "the bytes of a layer", {members, in, out, 8});
  }
  check::finite(op, "last_layer_scale", options.last_layer_scale);
  TORCH_CHECK_TYPE(options.dtype == at::kFloat || options.dtype == at::kDouble, "[", op,
                   "] `dtype` must be float32 or float64, got ", options.dtype);
}

}  // namespace

StackedMlp init(const InitOptions& options) {
  validate(options);
  const int64_t members = static_cast<int64_t>(options.seeds.size());
  StackedMlp mlp;
  for (size_t i = 0; i + 1 < options.sizes.size(); ++i) {
    const int64_t in = options.sizes[i];
    const int64_t out = options.sizes[i + 1];
    mlp.weights.push_back(at::empty({members, in, out}, options.dtype));
    mlp.biases.push_back(at::empty({members, out}, options.dtype));
    const bool last = i + 2 == options.sizes.size();
    const double bound = (last ? options.last_layer_scale : 1.0) / std::sqrt(static_cast<double>(in));
    const std::uint32_t layer = static_cast<std::uint32_t>(i);
    if (options.dtype == at::kFloat) {
      fill_layer<float>(mlp.weights[i], mlp.biases[i], options, layer, static_cast<float>(bound));
    } else {
      fill_layer<double>(mlp.weights[i], mlp.biases[i], options, layer, bound);
    }
  }
  return mlp;
}

StackedMlp first(const StackedMlp& mlp, int64_t count) {
  TORCH_CHECK_VALUE(count >= 1 && count <= mlp.members(), "[nn::first] `count` must be in 1..", mlp.members(), ", got ",
                    count);
  StackedMlp part;
  part.activation = mlp.activation;
  const auto take = [&](const std::vector<at::Tensor>& all, std::vector<at::Tensor>& some) {
    for (const at::Tensor& tensor : all) some.push_back(tensor.narrow(0, 0, count));
  };
  take(mlp.weights, part.weights);
  take(mlp.biases, part.biases);
  take(mlp.norm_scales, part.norm_scales);
  take(mlp.norm_shifts, part.norm_shifts);
  return part;
}

at::Tensor activate(const StackedMlp& mlp, size_t layer, const at::Tensor& sums) {
  if (!mlp.activation.has_layer_norm()) return at::relu(sums);
  const at::Tensor normed = at::layer_norm(sums, {sums.size(2)}, {}, {}, kLayerNormEpsilon);
  return at::relu(at::addcmul(mlp.norm_shifts[layer].unsqueeze(1), normed, mlp.norm_scales[layer].unsqueeze(1)));
}

at::Tensor forward(const StackedMlp& mlp, const at::Tensor& x, Kernels kernels) {
  constexpr const char* op = "nn::forward";
  validate(mlp);
  check::shape(op, "x", x, {mlp.members(), -1, mlp.in_features()}, "[M, B, in]");
  check_like(op, "x", x, mlp.weights.front());
  check_work(op, mlp, {x.size(1)});
  if (takes_fused(op, kernels, fused_obstacle(mlp))) {
    const at::Tensor none = at::empty({x.size(0), x.size(1), 1, 0}, x.options());
    return differentiable_values(mlp, x, none, Precision::float32).squeeze(0);
  }
  at::Tensor y = x;
  for (size_t i = 0; i < mlp.weights.size(); ++i) {
    y = at::baddbmm(mlp.biases[i].unsqueeze(1), i == 0 ? y : activate(mlp, i - 1, y), mlp.weights[i]);
  }
  return y;
}

}  // namespace omar::nn
