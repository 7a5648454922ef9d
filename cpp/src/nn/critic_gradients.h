#pragma once
/// Gradients of one block of states of the fused candidate critic.

#include "nn/critic_block.h"

namespace omar::nn::OMAR_LEVEL {

/// The gradient of a layer's sums, "dz" below, takes the place of its activations, from the last layer to the first.
template <class T, Precision P>
class DifferentiableBlock : public CriticBlock<T, P> {
  using Base = CriticBlock<T, P>;

 public:
  using Base::Base;
  using Base::kP;
  using Base::kPlain;
  using Base::kRows;
  using Base::kW;
  using typename Base::Element;
  using typename Base::Ops;
  using typename Base::V;

  /// After score<Keep::hidden>: adds the gradients under upstream scratch().dq to `sums` (only inputs are wanted:
  /// leaves there what it needs not compute).
  void backward(const T* actions, std::int64_t count, T* sums, const InputGradients<T>& inputs) {
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      for (std::int64_t r = rows_; r < tiles_; ++r) scratch_.dq[o * scratch_.rows + r] = T(0);
    }
    output_bias_gradients(sums + layout_.output_bias());
    shape_.activation.has_layer_norm() ? normed_layers(sums, inputs.wanted) : layers(sums, inputs.wanted);
    if (shape_.actions == 0) return plain_network_gradients(sums, inputs);
    if (inputs.wanted == Wanted::all || inputs.obs != nullptr) first_layer_gradients(actions, count, sums);
    if (inputs.actions != nullptr) input_gradients(shape_.obs, shape_.actions, inputs.actions);
    if (inputs.obs != nullptr) obs_gradients(inputs.obs, count);
  }

 private:
  using Base::hidden;
  using Base::layout_;
  using Base::net_;
  using Base::norm;
  using Base::operands;
  using Base::product;
  using Base::row;
  using Base::rows_;
  using Base::scratch_;
  using Base::shape_;
  using Base::tiles_;
  using Base::weights;

  /// From the outputs to the sums of the first hidden layer.
  void layers(T* sums, Wanted wanted) {
    const std::int64_t last = shape_.layers - 1;
    T* const bias = sums + layout_.bias(last);
    if (last == 0) {
      output_gradients(LastRelu<PlainOperands<T>>{hidden(0), hidden(0), bias, scratch_.rows}, sums);
    } else {
      output_gradients(LastRelu<Ops>{hidden(last), operands(last), bias, scratch_.rows}, sums);
    }
    for (std::int64_t l = last; l > 0; --l) {
      if (wanted == Wanted::all) weight_gradients(l, sums + layout_.weight(l));
      if (l == 1) {
        hidden_gradients(l, ThroughRelu<StorePlain>{operands(0), scratch_.rows, {hidden(0), scratch_.rows}});
      } else {
        hidden_gradients(
            l, ThroughRelu<StoreOperandsAndBias>{
                   operands(l - 1), scratch_.rows, {operands(l - 1), sums + layout_.bias(l - 1), scratch_.rows}});
      }
    }
  }

  /// The same with layer norm.
  void normed_layers(T* sums, Wanted wanted) {
    const std::int64_t last = shape_.layers - 1;
    const LayerNorm<T> norm_of_last = norm(last);
    output_gradients(LastNorm{norm_of_last, {norm_of_last, hidden(last)}}, sums);
    for (std::int64_t l = last; l >= 0; --l) {
      const LayerNorm<T> layer = norm(l);
      const typename LayerNorm<T>::Sums to{sums + layout_.norm_scale(l), sums + layout_.norm_shift(l),
                                           sums + layout_.bias(l)};
      if (l == 0) return layer.template gradients<PlainOperands<T>>(hidden(0), hidden(0), to);
      layer.template gradients<Ops>(hidden(l), operands(l), to);
      if (wanted == Wanted::all) weight_gradients(l, sums + layout_.weight(l));
      const LayerNorm<T> before = norm(l - 1);
      hidden_gradients(l, typename LayerNorm<T>::Upstream{before, hidden(l - 1)});
    }
  }

  /// The last hidden layer for output_gradients, with dz stored by `Store` as operands or numbers.
  template <class Store>
  struct LastRelu {
    const T* activations;
    typename Store::Element* dz;  ///< may take the place of the activations
    T* bias;
    std::int64_t rows;
    PanelRow<T> total = {};

    OMAR_INLINE void begin(std::int64_t j) { total = row(bias + j); }
    OMAR_INLINE PanelRow<T> outputs(std::int64_t j, std::int64_t r) const {
      return row(activations + j * rows + r * kP);
    }
    OMAR_INLINE void take(std::int64_t j, std::int64_t r, const PanelRow<T>& out, const PanelRow<T>& d_out) {
      const PanelRow<T> gradient = Relu<T>::backward(out, d_out);
      total.left += gradient.left;
      total.right += gradient.right;
      Store::store(dz + (j / kP * rows + r) * Store::kRow, gradient);
    }
    OMAR_INLINE void end(std::int64_t j) const { PlainOperands<T>::store(bias + j, total); }
  };
  /// The same with layer norm.
  struct LastNorm {
    const LayerNorm<T>& norm;
    typename LayerNorm<T>::Upstream upstream;

    OMAR_INLINE void begin(std::int64_t) const {}
    OMAR_INLINE PanelRow<T> outputs(std::int64_t j, std::int64_t r) const { return norm.outputs(j, r); }
    OMAR_INLINE void take(std::int64_t j, std::int64_t r, const PanelRow<T>&, const PanelRow<T>& d_out) const {
      upstream.row(j, r, d_out);
    }
    OMAR_INLINE void end(std::int64_t) const {}
  };

  /// Output layer's weight gradients, and what `layer` makes of the gradients of the last hidden layer's outputs.
  template <class Layer>
  [[gnu::noinline]] void output_gradients(Layer layer, T* sums) {
    const std::int64_t width = layout_.width(shape_.layers - 1);
    const T* const output_weight = net_ + layout_.output_weight();
    T* const weight_sums = sums + layout_.output_weight();
    for (std::int64_t j = 0; j < width; j += kP) {
      // The first output, which ends the pass, comes last: its gradients may take the place of the activations.
      for (std::int64_t o = shape_.outputs - 1; o > 0; --o) {
        output_weight_gradients(layer, j, o, weight_sums + o * width + j);
      }
      const PanelRow<T> output = row(output_weight + j);
      PanelRow<T> weight = row(weight_sums + j);
      layer.begin(j);
      for (std::int64_t r = 0; r < tiles_; ++r) {
        const PanelRow<T> h = layer.outputs(j, r);
        const V d(scratch_.dq[r]);
        weight.left += d * h.left;
        weight.right += d * h.right;
        PanelRow<T> dh{d * output.left, d * output.right};
        for (std::int64_t o = 1; o < shape_.outputs; ++o) {
          const V other(scratch_.dq[o * scratch_.rows + r]);
          const PanelRow<T> w = row(output_weight + o * width + j);
          dh.left += other * w.left;
          dh.right += other * w.right;
        }
        layer.take(j, r, h, dh);
      }
      PlainOperands<T>::store(weight_sums + j, weight);
      layer.end(j);
    }
  }

  /// sums += dq_o^T activations, of one panel.
  template <class Layer>
  void output_weight_gradients(const Layer& layer, std::int64_t j, std::int64_t o, T* sums) {
    PanelRow<T> weight = row(sums);
    for (std::int64_t r = 0; r < tiles_; ++r) {
      const PanelRow<T> h = layer.outputs(j, r);
      const V d(scratch_.dq[o * scratch_.rows + r]);
      weight.left += d * h.left;
      weight.right += d * h.right;
    }
    PlainOperands<T>::store(sums, weight);
  }

  void output_bias_gradients(T* sums) {
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      T total = T(0);
      for (std::int64_t r = 0; r < rows_; ++r) total += scratch_.dq[o * scratch_.rows + r];
      sums[o] += total;
    }
  }

  /// Operands whose sums run over rows.
  template <class Interleave>
  void interleave_panels(const Interleave& interleave, const Element* from, Element* to, std::int64_t width) {
    const std::int64_t panel = scratch_.rows * Ops::kRow;  // words of a panel, interleaved or not
    for (std::int64_t j = 0; j < width; j += kP, from += panel, to += panel) interleave(from, to, tiles_);
  }

  /// dW += x^T dz, with the x of the layer before.
  [[gnu::noinline]] void weight_gradients(std::int64_t layer, T* sums) {
    const std::int64_t in = layout_.inputs(layer), out = layout_.width(layer);
    const Element *left = operands(layer - 1), *right = operands(layer);
    if constexpr (!kPlain) {
      interleave_panels(Ops::interleave_left, left, scratch_.left_words, in);
      interleave_panels(Ops::interleave, right, scratch_.right_words, out);
      left = scratch_.left_words;
      right = scratch_.right_words;
    }
    for (std::int64_t j = 0; j < out; j += kP) {
      const Element* b = right + j * scratch_.rows / Ops::kInterleaved;
      for (std::int64_t i = 0; i < in; i += kP) {
        const Element* a = left + i * scratch_.rows / Ops::kInterleaved;
        for (std::int64_t r = 0; r < kP; r += kRows) {
          const auto add = [&](auto rows) {
            typename Ops::template Tile<rows()> tile;
            tile.fill(V(T(0)), V(T(0)));
            Ops::add_interleaved(tile, a, r, b, tiles_ / Ops::kInterleaved);
            tile.store_accumulators();
            tile.add_to(sums + (i + r) * out + j, out);
          };
          if constexpr (kP % kRows == 0) {
            add(std::integral_constant<int, kRows>());
          } else {
            with_rows(kP - r < kRows ? kP - r : kRows, add);
          }
        }
      }
    }
  }

  /// Where the dz of the first layer goes.
  struct StorePlain {
    T* to;
    std::int64_t rows;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& dz) const {
      PlainOperands<T>::store(to + j * rows + r * kP, dz);
    }
  };
  /// Where the dz of a layer between goes.
  struct StoreOperandsAndBias {
    Element* to;
    T* bias;
    std::int64_t rows;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& dz) const {
      Ops::store(to + (j / kP * rows + r) * Ops::kRow, dz);
      (V::load(bias + j) + dz.left).store(bias + j);
      (V::load(bias + j + kW) + dz.right).store(bias + j + kW);
    }
  };

  /// Turns gradients of a layer's outputs into those of its sums.
  template <class Epilogue>
  struct ThroughRelu {
    const Element* activations;
    std::int64_t rows;
    Epilogue epilogue;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& gradient) const {
      const PanelRow<T> out = Ops::load(activations + (j / kP * rows + r) * Ops::kRow);
      epilogue.row(j, r, Relu<T>::backward(out, gradient));
    }
  };

  /// Gradients of the outputs of the layer before `layer`: dz W^T.
  template <class Epilogue>
  [[gnu::noinline]] void hidden_gradients(std::int64_t layer, const Epilogue epilogue) {
    product(operands(layer), weights(layout_.transposed(layer)), layout_.width(layer), layout_.inputs(layer), nullptr,
            epilogue);
  }

  /// The sums of layer norm, and those of a layer that is the last one, too, came with their bias gradients.
  bool has_first_bias() const { return shape_.layers == 1 || shape_.activation.has_layer_norm(); }

  /// Gradients of the first layer and the inputs of a plain network.
  void plain_network_gradients(T* sums, const InputGradients<T>& inputs) {
    if (inputs.wanted == Wanted::all) {
      for (std::int64_t i = 0; i < layout_.width(0); i += kP) {
        const T* dz = hidden(0) + i * scratch_.rows;
        accumulate(scratch_.obs, shape_.obs, dz, kP, rows_, sums + layout_.weight(0) + i);
        if (!has_first_bias()) add_rows(dz, sums + layout_.bias(0) + i);
      }
    }
    const std::int64_t observed = this->obs_columns();
    if (inputs.obs != nullptr) input_gradients(0, observed, inputs.obs);
    if (inputs.actions != nullptr) input_gradients(observed, shape_.obs - observed, inputs.actions);
  }

  /// sums += the rows of a panel.
  void add_rows(const T* panel, T* sums) const {
    PanelRow<T> total = row(sums);
    for (std::int64_t r = 0; r < rows_; ++r, panel += kP) {
      total.left += V::load(panel);
      total.right += V::load(panel + kW);
    }
    PlainOperands<T>::store(sums, total);
  }

  /// First layer's gradients from its dz; base becomes the sum of dz over each state's candidates.
  void first_layer_gradients(const T* actions, std::int64_t count, T* sums) {
    const std::int64_t width = layout_.width(0), samples = rows_ / count;
    T* const weight = sums + layout_.weight(0);
    T* const bias = sums + layout_.bias(0);
    for (std::int64_t i = 0; i < width; i += kP) {
      const T* dz = hidden(0) + i * scratch_.rows;
      accumulate(actions, shape_.actions, dz, kP, rows_, weight + shape_.obs * width + i);
      PanelRow<T> total = row(bias + i);
      for (std::int64_t s = 0; s < count; ++s) {
        V left(T(0)), right(T(0));
        for (std::int64_t k = 0; k < samples; ++k, dz += kP) {
          left += V::load(dz);
          right += V::load(dz + kW);
        }
        left.store(scratch_.base + s * width + i);
        right.store(scratch_.base + s * width + i + kW);
        total.left += left;
        total.right += right;
      }
      if (!has_first_bias()) PlainOperands<T>::store(bias + i, total);
      accumulate(scratch_.obs, shape_.obs, scratch_.base + i, width, count, weight + i);
    }
  }

  /// c[x, panel] += a[n, x]^T b[n, panel]; rows of b are `stride` apart, rows of c the first layer's width.
  void accumulate(const T* a, std::int64_t columns, const T* b, std::int64_t stride, std::int64_t n, T* c) {
    const std::int64_t width = layout_.width(0);
    for (std::int64_t x = 0; x < columns; x += kTileRows) {
      with_rows(columns - x < kTileRows ? columns - x : kTileRows, [&](auto rows) {
        Tile<T, rows()> tile;
        tile.fill(V(T(0)), V(T(0)));
        tile.add(a + x, 1, columns, b, stride, n);
        tile.add_to(c + x * width, width);
      });
    }
  }

  /// Gradients dz W^T of the inputs [first, first + columns), [rows, columns].
  void input_gradients(std::int64_t first_input, std::int64_t columns, T* out) {
    const std::int64_t width = layout_.width(0);
    const T* const first = hidden(0);
    for (std::int64_t a = 0; a < columns; ++a) {
      const T* weight = net_ + layout_.weight(0) + (first_input + a) * width;
      for (std::int64_t r = 0; r < rows_; r += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) {
          sums[i] = V(T(0));
          if (r + i >= rows_) continue;
          for (std::int64_t j = 0; j < width; j += kW) {
            const T* dz = first + j / kP * kP * scratch_.rows + (r + i) * kP + j % kP;
            sums[i] += V::load(dz) * V::load(weight + j);
          }
        }
        const V total = row_sums(sums);
        for (int i = 0; i < kW && r + i < rows_; ++i) out[(r + i) * columns + a] = total[i];
      }
    }
  }

  /// d obs = (sum over candidates of dz) W_o^T, [count, O].
  void obs_gradients(T* out, std::int64_t count) {
    const std::int64_t width = layout_.width(0);
    const T* const weight = net_ + layout_.weight(0);
    for (std::int64_t s = 0; s < count; ++s) {
      const T* dz = scratch_.base + s * width;
      for (std::int64_t o = 0; o < shape_.obs; o += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) {
          sums[i] = V(T(0));
          if (o + i >= shape_.obs) continue;
          for (std::int64_t j = 0; j < width; j += kW)
            sums[i] += V::load(dz + j) * V::load(weight + (o + i) * width + j);
        }
        const V total = row_sums(sums);
        for (int i = 0; i < kW && o + i < shape_.obs; ++i) out[s * shape_.obs + o + i] = total[i];
      }
    }
  }
};

}  // namespace omar::nn::OMAR_LEVEL
