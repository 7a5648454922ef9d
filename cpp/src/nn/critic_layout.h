#pragma once
/// How the fused candidate critic lays out parameters, gradient sums and scratch memory.

#include "nn/critic_kernels.h"
#include "nn/operands.h"

namespace omar::nn::OMAR_LEVEL {

/// Where a network's parts are in its gradient sums and in its packed form. Widths of hidden layers are rounded up to
/// whole panels; padded units have zero weights, so they stay zero.
///
/// Sums: weights [in, width] and biases of each hidden layer, its scales and shifts where it has layer norm, then the
/// output layer's [outputs, width] and [outputs].
/// Packed: the same, but the weights between hidden layers as panels; then panels of their transposes; then room for a
/// layer's weights while they are packed.
template <class T>
class NetworkLayout {
 public:
  explicit NetworkLayout(const CriticShape& shape) : shape_(shape) {}

  /// Of hidden layer `layer`, padded.
  std::int64_t width(std::int64_t layer) const { return round_up(shape_.hidden[layer], kPanel<T>); }
  std::int64_t widest() const {
    std::int64_t most = 0;
    for (std::int64_t l = 0; l < shape_.layers; ++l) most = width(l) > most ? width(l) : most;
    return most;
  }
  std::int64_t inputs(std::int64_t layer) const { return layer == 0 ? shape_.obs + shape_.actions : width(layer - 1); }

  std::int64_t weight(std::int64_t layer) const {
    std::int64_t at = 0;
    for (std::int64_t l = 0; l < layer; ++l) at += (inputs(l) + (normed() ? 3 : 1)) * width(l);
    return at;
  }
  std::int64_t bias(std::int64_t layer) const { return weight(layer) + inputs(layer) * width(layer); }
  std::int64_t norm_scale(std::int64_t layer) const { return bias(layer) + width(layer); }
  std::int64_t norm_shift(std::int64_t layer) const { return bias(layer) + 2 * width(layer); }
  std::int64_t output_weight() const { return weight(shape_.layers); }
  std::int64_t output_bias() const { return output_weight() + shape_.outputs * width(shape_.layers - 1); }
  std::int64_t sums_size() const { return output_bias() + round_up(shape_.outputs, kPanel<T>); }

  /// Of the weights into hidden layer `layer` >= 1.
  std::int64_t transposed(std::int64_t layer) const {
    std::int64_t at = sums_size();
    for (std::int64_t l = 1; l < layer; ++l) at += inputs(l) * width(l);
    return at;
  }
  /// With layer norm alone: a layer's weights and bias, [in + 1, out].
  std::int64_t centred() const { return transposed(shape_.layers); }
  std::int64_t packed_size() const {
    std::int64_t most = 0;
    for (std::int64_t l = 0; normed() && l < shape_.layers; ++l) {
      const std::int64_t size = (inputs(l) + 1) * width(l);
      most = size > most ? size : most;
    }
    return centred() + most;
  }

 private:
  bool normed() const { return shape_.activation.has_layer_norm(); }

  CriticShape shape_;
};

enum class Keep { nothing, hidden };

/// With one candidate per state its action is but one more input: the sizes of that plain network.
inline CriticShape flattened(CriticShape shape) {
  if (shape.samples != 1) return shape;
  shape.obs += shape.actions;
  shape.actions = 0;
  return shape;
}

/// States per block, chosen so that whole tiles are filled.
inline std::int64_t states_per_block(const CriticShape& shape) {
  std::int64_t target = 60;
  for (std::int64_t l = 0; l < shape.layers; ++l) target = shape.hidden[l] > 128 ? 120 : target;
  std::int64_t best = 1;
  double best_use = 0.0;
  for (std::int64_t s = 1; s == 1 || (s * shape.samples * 4 <= target * 5); ++s) {
    const std::int64_t rows = s * shape.samples;
    const double use = static_cast<double>(rows) / static_cast<double>(round_up(rows, kTileRows));
    // A block below half the target pays more for its passes than a ragged tile costs.
    if (rows * 2 < target || use >= best_use) {
      best = s;
      best_use = rows * 2 < target ? 0.0 : use;
    }
  }
  return best;
}

/// Actions of a block: number (state, sample, dimension) at state * by_state + sample * by_sample + dimension *
/// by_size.
template <class T>
struct ActionView {
  const T* data;
  std::int64_t by_state, by_sample, by_size;
};

/// Scratch memory of a block of states with `samples` candidates each, and of the first layer of `observed` states.
template <class T>
struct Scratch {
  std::int64_t states, rows;  ///< whole tiles
  T *obs, *base;
  T* hidden;            ///< every hidden layer's panels [width / kPanel, rows, kPanel], one after the other
  T *partial, *q, *dq;  ///< of output o from o * rows on
  T* normed;            ///< with layer norm, every hidden layer's normalised sums, as `hidden`
  T* inverse;           ///< the reciprocals of their deviations before that, [layers, rows]
  /// bfloat16 operands of the first and the last hidden layer, two in a word; those of layers between take the place of
  /// `hidden`.
  std::uint32_t *first_words, *last_words;
  std::uint32_t *left_words, *right_words;  ///< a layer's operands with interleaved rows
  std::int64_t size;

  Scratch(const CriticShape& s, std::int64_t block, std::int64_t observed, T* memory)
      : states(round_up(observed, kTileRows)), rows(round_up(whole_tiles(block * s.samples), Lanes<T>::width)) {
    const NetworkLayout<T> layout(s);
    T* next = memory;
    const auto take = [&](std::int64_t n) {
      T* at = next;
      next += round_up(n, 64 / static_cast<std::int64_t>(sizeof(T)));
      return at;
    };
    std::int64_t widths = 0;
    for (std::int64_t l = 0; l < s.layers; ++l) widths += layout.width(l);
    obs = take(states * s.obs);
    base = take(states * layout.width(0));
    hidden = take(rows * widths);
    partial = take(s.outputs * rows * Lanes<T>::width);
    q = take(s.outputs * rows);
    dq = take(s.outputs * rows);
    const std::int64_t norms = s.activation.has_layer_norm() ? rows : 0;
    normed = take(norms * widths);
    inverse = take(norms * s.layers);
    const std::int64_t pairs = sizeof(T) == sizeof(float) && s.layers > 1 ? rows / 2 : 0;
    const auto take_words = [&](std::int64_t n) { return reinterpret_cast<std::uint32_t*>(take(n)); };
    first_words = take_words(pairs * layout.width(0));
    last_words = take_words(pairs * layout.width(s.layers - 1));
    left_words = take_words(pairs * layout.widest());
    right_words = take_words(pairs * layout.widest());
    size = next - memory;
  }
};

}  // namespace omar::nn::OMAR_LEVEL
