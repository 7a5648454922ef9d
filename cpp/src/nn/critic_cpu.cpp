#include <cstring>
#include <limits>

#include "nn/critic_gradients.h"
#include "nn/exp.h"

namespace omar::nn::OMAR_LEVEL {
namespace {

template <class T>
std::int64_t packed_size(const CriticShape& shape) {
  return NetworkLayout<T>(shape).packed_size();
}

template <class T>
std::int64_t scratch_size(const CriticShape& shape) {
  const std::int64_t block = states_per_block(shape);
  return Scratch<T>(flattened(shape), block, block, nullptr).size;
}

template <class T>
std::int64_t sums_size(const CriticShape& shape) {
  return NetworkLayout<T>(shape).sums_size();
}

template <class T>
struct Layer {
  const T* weight;  // [in, out]
  const T* bias;    // [out]
};

/// A layer as it is packed: in front of layer norm centred over its outputs, in a corner of `packed`.
template <class T>
Layer<T> prepared(const CriticShape& s, Layer<T> from, std::int64_t in, std::int64_t out, T* packed) {
  if (!s.activation.has_layer_norm()) return from;
  T* const centred = packed + NetworkLayout<T>(s).centred();
  centre_rows(from.weight, in, out, centred);
  centre_rows(from.bias, 1, out, centred + in * out);
  return {centred, centred + in * out};
}

template <class T>
void pack_first(const CriticShape& s, const T* weight, const T* bias, T* packed) {
  const NetworkLayout<T> layout(s);
  const std::int64_t in = s.obs + s.actions, out = s.hidden[0];
  const Layer<T> layer = prepared(s, Layer<T>{weight, bias}, in, out, packed);
  T* to = packed + layout.weight(0);
  for (std::int64_t i = 0; i < in; ++i) {
    for (std::int64_t j = 0; j < out; ++j) to[i * layout.width(0) + j] = layer.weight[i * out + j];
  }
  for (std::int64_t j = 0; j < out; ++j) packed[layout.bias(0) + j] = layer.bias[j];
}

template <class T, class Ops>
void pack_as(const CriticShape& s, const CriticWeights<const T>& from, T* packed) {
  using Element = typename Ops::Element;
  const NetworkLayout<T> layout(s);
  constexpr std::int64_t panel = kPanel<T>;
  std::memset(packed, 0, static_cast<std::size_t>(layout.packed_size()) * sizeof(T));
  const auto elements = [&](std::int64_t offset) { return reinterpret_cast<Element*>(packed + offset); };
  pack_first(s, from.weights[0], from.biases[0], packed);
  for (std::int64_t l = 1; l < s.layers; ++l) {
    const std::int64_t in = s.hidden[l - 1], out = s.hidden[l];
    const Layer<T> layer = prepared(s, Layer<T>{from.weights[l], from.biases[l]}, in, out, packed);
    Ops::pack({layer.weight, out, 1, in, out}, elements(layout.weight(l)), layout.inputs(l) / panel);
    Ops::pack({layer.weight, 1, out, out, in}, elements(layout.transposed(l)), layout.width(l) / panel);
    for (std::int64_t j = 0; j < out; ++j) packed[layout.bias(l) + j] = layer.bias[j];
  }
  for (std::int64_t l = 0; s.activation.has_layer_norm() && l < s.layers; ++l) {
    for (std::int64_t j = 0; j < s.hidden[l]; ++j) packed[layout.norm_scale(l) + j] = from.norm_scales[l][j];
    for (std::int64_t j = 0; j < s.hidden[l]; ++j) packed[layout.norm_shift(l) + j] = from.norm_shifts[l][j];
  }
  const std::int64_t in = s.hidden[s.layers - 1], width = layout.width(s.layers - 1);
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    T* to = packed + layout.output_weight() + o * width;
    for (std::int64_t i = 0; i < in; ++i) to[i] = from.weights[s.layers][i * s.outputs + o];
    packed[layout.output_bias() + o] = from.biases[s.layers][o];
  }
}

template <class T>
void pack(const CriticShape& shape, const CriticWeights<const T>& from, Precision precision, T* packed) {
  precision == Precision::bf16 ? pack_as<T, Operands<T, Precision::bf16>>(shape, from, packed)
                               : pack_as<T, PlainOperands<T>>(shape, from, packed);
}

/// Calls body(block, first state, states) for each block of states.
template <class Block, class T, class Body>
void for_blocks(const CriticPass<T>& pass, const CriticStates<T>& states, const Body& body) {
  const std::int64_t size = states_per_block(pass.shape);
  CriticPass<T> flat = pass;
  flat.shape = flattened(pass.shape);
  Block block(flat, size, size);
  for (std::int64_t first = 0; first < states.count; first += size) {
    const std::int64_t count = states.count - first < size ? states.count - first : size;
    block.observe(states, first, count);
    body(block, first, count);
  }
}

/// Values of the block's candidates, [count, K, outputs].
template <class Block, class T>
void copy_values(const Block& block, const CriticShape& s, std::int64_t first, std::int64_t count, T* q) {
  const std::int64_t k = s.samples, rows = block.scratch().rows;
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    for (std::int64_t r = 0; r < count * k; ++r) q[(first * k + r) * s.outputs + o] = block.scratch().q[o * rows + r];
  }
}

template <class T, Precision P>
void values(const CriticPass<T>& pass, const CriticStates<T>& states, T* q) {
  const std::int64_t k = pass.shape.samples;
  for_blocks<CriticBlock<T, P>>(pass, states, [&](CriticBlock<T, P>& block, std::int64_t first, std::int64_t count) {
    block.template score<Keep::nothing>(block.rows_of(states.actions + first * k * pass.shape.actions), 0, count, k);
    copy_values(block, pass.shape, first, count, q);
  });
}

template <class T, Precision P>
void gradients(const CriticPass<T>& pass, const CriticStates<T>& states, const T* dq, T* sums,
               const InputGradients<T>& inputs) {
  const CriticShape& s = pass.shape;
  for_blocks<DifferentiableBlock<T, P>>(
      pass, states, [&](DifferentiableBlock<T, P>& block, std::int64_t first, std::int64_t count) {
        const T* actions = states.actions + first * s.samples * s.actions;
        block.template score<Keep::hidden>(block.rows_of(actions), 0, count, s.samples);
        if (inputs.q != nullptr) copy_values(block, s, first, count, inputs.q);
        const T* from = dq + first * s.samples * s.outputs;
        for (std::int64_t o = 0; o < s.outputs; ++o) {
          T* to = block.scratch().dq + o * block.scratch().rows;
          for (std::int64_t r = 0; r < count * s.samples; ++r) to[r] = from[r * s.outputs + o];
        }
        block.backward(actions, count, sums,
                       {inputs.wanted, inputs.obs == nullptr ? nullptr : inputs.obs + first * s.obs,
                        inputs.actions == nullptr ? nullptr : inputs.actions + first * s.samples * s.actions});
      });
}

/// log sum exp of n numbers, and `scale` times their softmax. Numbers that are all -inf have the sum 0, the logarithm
/// -inf and weights of 0; with +inf among them the logarithm is +inf and the weights of those are NaN.
template <class T>
T softmax(const T* x, std::int64_t n, T scale, T* weight) {
  T top = x[0];
  for (std::int64_t j = 1; j < n; ++j) top = x[j] > top ? x[j] : top;
  const T shift = top < std::numeric_limits<T>::lowest() ? T(0) : top;
  for (std::int64_t j = 0; j < n; ++j) weight[j] = exp_(x[j] - shift);
  T total = T(0);
  for (std::int64_t j = 0; j < n; ++j) total += weight[j];
  const T factor = total == T(0) ? T(0) : scale / total;
  for (std::int64_t j = 0; j < n; ++j) weight[j] *= factor;
  if (top > std::numeric_limits<T>::max()) {
    for (std::int64_t j = 0; j < n; ++j) top = x[j] == x[j] ? top : x[j];
    return top;
  }
  return shift + log_(total);
}

template <class T, Precision P>
void logsumexp(const CriticPass<T>& pass, const CriticStates<T>& states, const T* log_density, T scale, T* out,
               T* sums) {
  const CriticShape& s = pass.shape;
  const std::int64_t k = s.samples;
  for_blocks<DifferentiableBlock<T, P>>(pass, states,
                                        [&](DifferentiableBlock<T, P>& block, std::int64_t first, std::int64_t count) {
                                          const T* actions = states.actions + first * k * s.actions;
                                          block.template score<Keep::hidden>(block.rows_of(actions), 0, count, k);
                                          const Scratch<T>& scratch = block.scratch();
                                          for (std::int64_t i = 0; i < count; ++i) {
                                            T* q = scratch.q + i * k;
                                            for (std::int64_t j = 0; j < k; ++j)
                                              q[j] -= log_density[(first + i) * k + j];
                                            out[first + i] = softmax(q, k, scale, scratch.dq + i * k);
                                          }
                                          block.backward(actions, count, sums, {Wanted::all, nullptr, nullptr});
                                        });
}

template <class T>
void reduce_gradients(const CriticShape& s, const T* sums, std::int64_t chunks, const CriticWeights<T>& to) {
  const NetworkLayout<T> layout(s);
  const std::int64_t size = layout.sums_size();
  // [rows, columns] of sums whose rows are `stride` apart
  const auto add = [&](T* out, std::int64_t from, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    for (std::int64_t c = 0; c < chunks; ++c) {
      for (std::int64_t i = 0; i < rows; ++i) {
        const T* part = sums + c * size + from + i * stride;
        T* total = out + i * columns;
        for (std::int64_t j = 0; j < columns; ++j) total[j] = c == 0 ? part[j] : total[j] + part[j];
      }
    }
  };
  for (std::int64_t l = 0; l < s.layers; ++l) {
    const std::int64_t in = l == 0 ? s.obs + s.actions : s.hidden[l - 1];
    add(to.weights[l], layout.weight(l), in, s.hidden[l], layout.width(l));
    add(to.biases[l], layout.bias(l), 1, s.hidden[l], 0);
    if (s.activation.has_layer_norm()) {
      const std::int64_t scale = layout.bias(l) + layout.width(l);
      add(to.norm_scales[l], scale, 1, s.hidden[l], 0);
      add(to.norm_shifts[l], scale + layout.width(l), 1, s.hidden[l], 0);
      centre_rows(to.weights[l], in, s.hidden[l], to.weights[l]);
      centre_rows(to.biases[l], 1, s.hidden[l], to.biases[l]);
    }
  }
  add(to.biases[s.layers], layout.output_bias(), 1, s.outputs, 0);
  const std::int64_t in = s.hidden[s.layers - 1], width = layout.width(s.layers - 1);
  for (std::int64_t o = 0; o < s.outputs; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      T total = T(0);
      for (std::int64_t c = 0; c < chunks; ++c) total += sums[c * size + layout.output_weight() + o * width + i];
      to.weights[s.layers][i * s.outputs + o] = total;
    }
  }
}

/// Picks the precision at run time.
template <class T, class Full, class Half>
void choose(const CriticPass<T>& pass, const Full& full, const Half& half) {
  pass.precision == Precision::bf16 ? half() : full();
}

template <class T>
CriticKernels<T> kernels() {
  constexpr Precision full = Precision::float32, half = Precision::bf16;
  CriticKernels<T> table;
  table.packed_size = &packed_size<T>;
  table.scratch_size = &scratch_size<T>;
  table.sums_size = &sums_size<T>;
  table.pack = &pack<T>;
  table.pack_first = &pack_first<T>;
  table.values = [](const CriticPass<T>& pass, const CriticStates<T>& states, T* q) {
    choose(pass, [&] { values<T, full>(pass, states, q); }, [&] { values<T, half>(pass, states, q); });
  };
  table.gradients = [](const CriticPass<T>& pass, const CriticStates<T>& states, const T* dq, T* sums,
                       const InputGradients<T>& inputs) {
    choose(
        pass, [&] { gradients<T, full>(pass, states, dq, sums, inputs); },
        [&] { gradients<T, half>(pass, states, dq, sums, inputs); });
  };
  table.logsumexp = [](const CriticPass<T>& pass, const CriticStates<T>& states, const T* log_density, T scale, T* out,
                       T* sums) {
    choose(
        pass, [&] { logsumexp<T, full>(pass, states, log_density, scale, out, sums); },
        [&] { logsumexp<T, half>(pass, states, log_density, scale, out, sums); });
  };
  table.reduce_gradients = &reduce_gradients<T>;
  return table;
}

}  // namespace

CriticKernels<float> critic_kernels_float() { return kernels<float>(); }
CriticKernels<double> critic_kernels_double() { return kernels<double>(); }

}  // namespace omar::nn::OMAR_LEVEL
