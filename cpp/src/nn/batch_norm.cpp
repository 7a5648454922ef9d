#include <omar/nn/batch_norm.h>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <string>

#include "core/check.h"
#include "core/dispatch.h"
#include "core/draws.h"
#include "nn/fused_critic.h"
#include "nn/moments_kernels.h"
#include "nn/validate.h"

namespace omar::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_cpu(std::string_view op, std::string_view name, const at::Tensor& tensor) {
  draws::check_floating(op, name, tensor.scalar_type());
  TORCH_CHECK_VALUE(tensor.is_cpu(), "[", op, "] `", name, "` must be on the CPU, got ", tensor.device());
}

/// Sum of products in eight lanes, which the vector units take together.
template <class T>
T dot(const T* a, const T* b, int64_t size) {
  constexpr int64_t lanes = 8;
  T sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    for (int64_t j = 0; j < lanes; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (int64_t j = 0; i + j < size; ++j) sums[j] += a[i + j] * b[i + j];
  T total = T(0);
  for (const T sum : sums) total += sum;
  return total;
}

/// Normalisation of one input as `factor x + offset`.
template <class T>
struct Normalized {
  T root, factor, offset;  ///< root: 1 / sqrt(variance + epsilon)
};

/// The parameters and moments of all members, contiguous [M, in].
template <class T>
struct NormPointers {
  const T *scale, *shift, *mean, *variance;

  NormPointers(const at::Tensor& s, const at::Tensor& h, const at::Tensor& m, const at::Tensor& v)
      : scale(s.const_data_ptr<T>()),
        shift(h.const_data_ptr<T>()),
        mean(m.const_data_ptr<T>()),
        variance(v.const_data_ptr<T>()) {}

  Normalized<T> at(int64_t i) const {
    const T root = T(1) / std::sqrt(variance[i] + static_cast<T>(kBatchNormEpsilon));
    const T factor = scale[i] * root;
    return {root, factor, shift[i] - mean[i] * factor};
  }
};

/// w' = factor w, b' = b + sum_i offset_i w_i for each network.
template <class T>
void fold_into(const at::Tensor& weight, const at::Tensor& bias, const NormPointers<T>& norm, int64_t members,
               const at::Tensor& folded_weight, const at::Tensor& folded_bias) {
  const int64_t in = weight.size(1), out = weight.size(2);
  for (int64_t n = 0; n < weight.size(0); ++n) {
    const T* w = weight.const_data_ptr<T>() + n * in * out;
    const T* b = bias.const_data_ptr<T>() + n * out;
    T* to = folded_weight.mutable_data_ptr<T>() + n * in * out;
    T* sum = folded_bias.mutable_data_ptr<T>() + n * out;
    for (int64_t o = 0; o < out; ++o) sum[o] = b[o];
    for (int64_t i = 0; i < in; ++i, w += out, to += out) {
      const Normalized<T> x = norm.at(n % members * in + i);
      for (int64_t o = 0; o < out; ++o) {
        to[o] = x.factor * w[o];
        sum[o] += x.offset * w[o];
      }
    }
  }
}

/// Gradients of weight, scale and shift under those of the folded layer.
template <class T>
variable_list fold_gradients(const at::Tensor& weight, const NormPointers<T>& norm, int64_t members,
                             const at::Tensor& upstream_weight, const at::Tensor& upstream_bias) {
  const int64_t in = weight.size(1), out = weight.size(2);
  const at::Tensor dw = at::empty_like(weight);
  const at::Tensor dscale = at::empty({members, in}, weight.options()), dshift = at::empty_like(dscale);
  T *const scales = dscale.mutable_data_ptr<T>(), *const shifts = dshift.mutable_data_ptr<T>();
  for (int64_t row = 0; row < weight.size(0) * in; ++row) {
    const int64_t n = row / in, at = n % members * in + row % in;
    const Normalized<T> x = norm.at(at);
    const T* w = weight.const_data_ptr<T>() + row * out;
    const T* up = upstream_weight.const_data_ptr<T>() + row * out;
    const T* bias = upstream_bias.const_data_ptr<T>() + n * out;
    T* to = dw.mutable_data_ptr<T>() + row * out;
    for (int64_t o = 0; o < out; ++o) to[o] = x.factor * up[o] + x.offset * bias[o];
    const T doffset = dot(bias, w, out);
    const T dfactor = dot(up, w, out) - norm.mean[at] * doffset;
    const bool first = n < members;
    scales[at] = (first ? T(0) : scales[at]) + dfactor * x.root;
    shifts[at] = (first ? T(0) : shifts[at]) + doffset;
  }
  return {dw, dscale, dshift};
}

template <class T>
std::pair<at::Tensor, at::Tensor> folded(const at::Tensor& weight, const at::Tensor& bias, const BatchNorm& norm,
                                         const Moments& moments) {
  std::pair<at::Tensor, at::Tensor> result{at::empty(weight.sizes(), weight.options()),
                                           at::empty(bias.sizes(), bias.options())};
  fold_into<T>(weight, bias, {norm.scale, norm.shift, moments.mean, moments.variance}, norm.scale.size(0), result.first,
               result.second);
  return result;
}

/// Inputs: contiguous weight, bias, scale, shift, mean and variance.
struct Fold : torch::autograd::Function<Fold> {
  static variable_list forward(AutogradContext* context, const at::Tensor& weight, const at::Tensor& bias,
                               const at::Tensor& scale, const at::Tensor& shift, const at::Tensor& mean,
                               const at::Tensor& variance) {
    context->save_for_backward({weight, scale, shift, mean, variance});
    auto [w, b] = weight.scalar_type() == at::kFloat ? folded<float>(weight, bias, {scale, shift}, {mean, variance})
                                                     : folded<double>(weight, bias, {scale, shift}, {mean, variance});
    return {w, b};
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    check_once("nn::fold");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &weight = saved[0], &scale = saved[1];
    const at::Tensor dw = upstream[0].contiguous(), db = upstream[1].contiguous();
    const auto gradients = [&]<class T>(T) {
      return fold_gradients<T>(weight, {scale, saved[2], saved[3], saved[4]}, scale.size(0), dw, db);
    };
    const variable_list g = weight.scalar_type() == at::kFloat ? gradients(float()) : gradients(double());
    return {g[0], db, g[1], g[2], at::Tensor(), at::Tensor()};
  }
};

void check_fold(const at::Tensor& weight, const at::Tensor& bias, const BatchNorm& norm,
                const std::vector<Moments>& parts) {
  constexpr const char* op = "nn::fold";
  check::shape(op, "weight", weight, {-1, -1, -1}, "[T M, in, out]");
  check_cpu(op, "weight", weight);
  for (const int64_t size : weight.sizes()) check::at_least(op, "each size of weight", size, 1);
  check::shape(op, "bias", bias, {weight.size(0), weight.size(2)}, "[T M, out]");
  check::shape(op, "scale", norm.scale, {-1, weight.size(1)}, "[M, in]");
  check::shape(op, "shift", norm.shift, norm.scale.sizes(), "[M, in]");
  const int64_t members = norm.scale.size(0);
  TORCH_CHECK_VALUE(members >= 1 && weight.size(0) % members == 0, "[", op, "] `weight` holds ", weight.size(0),
                    " networks, which is no multiple of M = ", members);
  for (const at::Tensor* x : {&bias, &norm.scale, &norm.shift}) check_like(op, "bias, scale and shift", *x, weight);
  int64_t columns = 0;
  for (const Moments& part : parts) {
    check::shape(op, "mean", part.mean, {members, -1}, "[M, columns]");
    check::shape(op, "variance", part.variance, part.mean.sizes(), "[M, columns]");
    check_like(op, "mean", part.mean, weight);
    check_like(op, "variance", part.variance, weight);
    columns += part.mean.size(1);
  }
  TORCH_CHECK_VALUE(columns == weight.size(1), "[", op, "] `parts` have ", columns,
                    " columns, but the layer takes in = ", weight.size(1));
}

/// dx = g - mean(g) - (x - mean) mean(g (x - mean)) / (variance + epsilon), means over the rows of each column.
template <class T>
at::Tensor attached_gradient(const at::Tensor& x, const Moments& moments, const at::Tensor& upstream) {
  const int64_t members = x.size(0), columns = x.size(-1), rows = x.numel() / (members * columns);
  const at::Tensor result = at::empty(x.sizes(), x.options());
  std::vector<double> sums(static_cast<size_t>(columns)), products(static_cast<size_t>(columns));
  for (int64_t m = 0; m < members; ++m) {
    const T* const mean = moments.mean.const_data_ptr<T>() + m * columns;
    const T* const variance = moments.variance.const_data_ptr<T>() + m * columns;
    const T* const in = x.const_data_ptr<T>() + m * rows * columns;
    const T* const g = upstream.const_data_ptr<T>() + m * rows * columns;
    T* const to = result.mutable_data_ptr<T>() + m * rows * columns;
    for (int64_t c = 0; c < columns; ++c) {
      double sum = 0.0, product = 0.0;
      for (int64_t i = c; i < rows * columns; i += columns) {
        sum += static_cast<double>(g[i]);
        product += static_cast<double>(g[i]) * static_cast<double>(in[i] - mean[c]);
      }
      const double count = static_cast<double>(rows);
      const T shift = static_cast<T>(sum / count);
      const T slope = static_cast<T>(product / (count * (static_cast<double>(variance[c]) + kBatchNormEpsilon)));
      for (int64_t i = c; i < rows * columns; i += columns) to[i] = g[i] - shift - (in[i] - mean[c]) * slope;
    }
  }
  return result;
}

/// Inputs: contiguous x, mean and variance.
struct AttachMoments : torch::autograd::Function<AttachMoments> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& mean,
                            const at::Tensor& variance) {
    context->save_for_backward({x, mean, variance});
    return x.view(x.sizes());
  }

  static variable_list backward(AutogradContext* context, const variable_list& upstream) {
    check_once("nn::attach_moments");
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const Moments moments{saved[1], saved[2]};
    const at::Tensor g = upstream[0].contiguous();
    return {x.scalar_type() == at::kFloat ? attached_gradient<float>(x, moments, g)
                                          : attached_gradient<double>(x, moments, g),
            at::Tensor(), at::Tensor()};
  }
};

void check_rows(std::string_view op, const at::Tensor& x) {
  TORCH_CHECK_VALUE(x.dim() >= 2, "[", op, "] `x` must be [M, ..., columns], got ", check::shape_text(x.sizes()));
  check_cpu(op, "x", x);
  for (const int64_t size : x.sizes()) check::at_least(op, "each size of x", size, 1);
}

/// All columns side by side, contiguous.
at::Tensor beside(const std::vector<Moments>& parts, at::Tensor Moments::* which) {
  if (parts.size() == 1) return (parts.front().*which).contiguous();
  std::vector<at::Tensor> columns;
  for (const Moments& part : parts) columns.push_back(part.*which);
  return at::cat(columns, 1);
}

}  // namespace

Moments moments(const at::Tensor& x) {
  check_rows("nn::moments", x);
  const at::NoGradGuard no_grad;
  const at::Tensor rows = x.contiguous();
  const int64_t members = x.size(0), columns = x.size(-1), size = x.numel() / members;
  const Moments result{at::empty({members, columns}, x.options()), at::empty({members, columns}, x.options())};
  const MomentsKernels kernels = OMAR_FOR_CPU(moments_kernels)();
  constexpr int64_t grain = 1 << 18;  // numbers worth a thread
  at::parallel_for(0, members, std::max<int64_t>(1, grain / size), [&](int64_t begin, int64_t end) {
    std::vector<double> memory(static_cast<size_t>(kernels.memory_size(columns)));
    const auto run = [&]<class T>(T, const auto& kernel) {
      for (int64_t m = begin; m < end; ++m) {
        kernel({rows.const_data_ptr<T>() + m * size, size / columns, columns}, memory.data(),
               result.mean.mutable_data_ptr<T>() + m * columns, result.variance.mutable_data_ptr<T>() + m * columns);
      }
    };
    rows.scalar_type() == at::kFloat ? run(float(), kernels.of_float) : run(double(), kernels.of_double);
  });
  return result;
}

std::pair<at::Tensor, at::Tensor> fold(const at::Tensor& weight, const at::Tensor& bias, const BatchNorm& norm,
                                       const std::vector<Moments>& parts) {
  check_fold(weight, bias, norm, parts);
  const variable_list layer =
      Fold::apply(weight.contiguous(), bias.contiguous(), norm.scale.contiguous(), norm.shift.contiguous(),
                  beside(parts, &Moments::mean), beside(parts, &Moments::variance));
  return {layer[0], layer[1]};
}

at::Tensor attach_moments(const at::Tensor& x, const Moments& moments) {
  constexpr const char* op = "nn::attach_moments";
  check_rows(op, x);
  for (const at::Tensor* moment : {&moments.mean, &moments.variance}) {
    check::shape(op, "mean and variance", *moment, {x.size(0), x.size(-1)}, "[M, columns]");
    check_like(op, "mean and variance", *moment, x);
  }
  return AttachMoments::apply(x.contiguous(), moments.mean.contiguous(), moments.variance.contiguous());
}

}  // namespace omar::nn
