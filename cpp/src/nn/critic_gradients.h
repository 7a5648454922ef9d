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
    const std::int64_t last = shape_.layers - 1;
    last == 0 ? output_gradients<PlainOperands<T>>(hidden(0), sums) : output_gradients<Ops>(operands(last), sums);
    output_bias_gradients(sums + layout_.output_bias());
    for (std::int64_t l = last; l > 0; --l) {
      if (inputs.wanted == Wanted::all) weight_gradients(l, sums + layout_.weight(l));
      if (l == 1) {
        hidden_gradients(l, StorePlain{hidden(0), scratch_.rows});
      } else {
        hidden_gradients(l, StoreOperandsAndBias{operands(l - 1), sums + layout_.bias(l - 1), scratch_.rows});
      }
    }
    if (inputs.wanted == Wanted::all || inputs.obs != nullptr) first_layer_gradients(actions, count, sums);
    if (inputs.actions != nullptr) action_gradients(inputs.actions);
    if (inputs.obs != nullptr) obs_gradients(inputs.obs, count);
  }

 private:
  using Base::hidden;
  using Base::layout_;
  using Base::net_;
  using Base::operands;
  using Base::product;
  using Base::row;
  using Base::rows_;
  using Base::scratch_;
  using Base::shape_;
  using Base::tiles_;
  using Base::weights;

  /// Output layer's weight gradients, the last hidden layer's bias gradients and its dz = activation'(dq W^T), stored
  /// by `Store` as operands or numbers.
  template <class Store>
  [[gnu::noinline]] void output_gradients(typename Store::Element* dz, T* sums) {
    const std::int64_t last = shape_.layers - 1, width = layout_.width(last);
    const T* const output_weight = net_ + layout_.output_weight();
    T* const weight_sums = sums + layout_.output_weight();
    T* const bias_sums = sums + layout_.bias(last);
    for (std::int64_t j = 0; j < width; j += kP) {
      const T* activation = hidden(last) + j * scratch_.rows;
      // dz may take the place of the activations, so the first output, which ends the pass, comes last.
      for (std::int64_t o = shape_.outputs - 1; o > 0; --o) {
        output_weight_gradients(activation, o, weight_sums + o * width + j);
      }
      const PanelRow<T> output = row(output_weight + j);
      PanelRow<T> weight = row(weight_sums + j), bias = row(bias_sums + j);
      for (std::int64_t r = 0; r < tiles_; ++r, activation += kP, dz += Store::kRow) {
        const PanelRow<T> h = row(activation);
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
        const PanelRow<T> gradient = Relu<T>::backward(h, dh);
        bias.left += gradient.left;
        bias.right += gradient.right;
        Store::store(dz, gradient);
      }
      dz += (scratch_.rows - tiles_) * Store::kRow;
      PlainOperands<T>::store(weight_sums + j, weight);
      PlainOperands<T>::store(bias_sums + j, bias);
    }
  }

  /// sums += dq_o^T activations, of one panel.
  void output_weight_gradients(const T* activation, std::int64_t o, T* sums) {
    PanelRow<T> weight = row(sums);
    for (std::int64_t r = 0; r < tiles_; ++r, activation += kP) {
      const PanelRow<T> h = row(activation);
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
  struct ThroughActivation {
    const Element* activations;
    std::int64_t rows;
    const Epilogue& epilogue;

    template <class Tile>
    OMAR_INLINE void operator()(const Tile& tile, std::int64_t j, std::int64_t r) const {
      const Element* out = activations + (j / kP * rows + r) * Ops::kRow;
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        epilogue.row(j, r + i, Relu<T>::backward(Ops::load(out + i * Ops::kRow), tile.row(i)));
      }
    }
  };

  /// dz of the layer before `layer`: activation'(dz W^T).
  template <class Epilogue>
  [[gnu::noinline]] void hidden_gradients(std::int64_t layer, const Epilogue epilogue) {
    product(operands(layer), weights(layout_.transposed(layer)), layout_.width(layer), layout_.inputs(layer), nullptr,
            ThroughActivation<Epilogue>{operands(layer - 1), scratch_.rows, epilogue});
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
      // A layer that is the last one, too, has its bias gradients from output_gradients.
      if (shape_.layers > 1) PlainOperands<T>::store(bias + i, total);
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

  /// d actions = dz W_a^T, [rows, A].
  void action_gradients(T* out) {
    const std::int64_t width = layout_.width(0);
    const T* const first = hidden(0);
    for (std::int64_t a = 0; a < shape_.actions; ++a) {
      const T* weight = net_ + layout_.weight(0) + (shape_.obs + a) * width;
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
        for (int i = 0; i < kW && r + i < rows_; ++i) out[(r + i) * shape_.actions + a] = total[i];
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
