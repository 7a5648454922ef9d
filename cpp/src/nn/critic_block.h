#pragma once
/// One block of states of the fused candidate critic. A block's activations stay in the first two cache levels; the
/// hidden x hidden products run as register tiles, and everything around them (bias, activation, output layer) happens
/// in the tiles' epilogues or in passes over cached panels.

#include <utility>

#include "nn/activate.h"
#include "nn/critic_layout.h"
#include "nn/layer_norm.h"
#include "nn/operands.h"

namespace omar::nn::OMAR_LEVEL {

/// Values of a block; DifferentiableBlock has the gradients. Hidden layers count from 0.
template <class T, Precision P>
class CriticBlock {
 public:
  using V = Lanes<T>;
  using Ops = Operands<T, P>;
  using Element = typename Ops::Element;
  static constexpr int kW = V::width;
  static constexpr int kP = kPanel<T>;
  static constexpr int kRows = Ops::kRows;
  static constexpr bool kPlain = std::is_same_v<Ops, PlainOperands<T>>;

  /// Scores up to `block` states at a time, of up to `observed` that observe() prepares together.
  CriticBlock(const CriticPass<T>& pass, std::int64_t block, std::int64_t observed)
      : shape_(pass.shape),
        layout_(pass.shape),
        net_(pass.packed),
        scratch_(pass.shape, block, observed, pass.scratch) {}

  const Scratch<T>& scratch() const { return scratch_; }

  /// Takes over the observations of states [first, first + count); those of a plain network are all its inputs, to
  /// which the actions [count, A] of one candidate may belong.
  void observe(const CriticStates<T>& states, std::int64_t first, std::int64_t count) {
    std::int64_t column = 0;
    for (std::int64_t p = 0; p < states.parts; ++p) {
      const ObservationPart<T>& part = states.obs[p];
      take_columns(part.data + first * part.stride, part.columns, part.stride, column, count);
      column += part.columns;
    }
    obs_columns_ = column;
    const std::int64_t rest = shape_.obs - column;
    if (rest > 0) take_columns(states.actions + first * rest, rest, rest, column, count);
    observed(count);
  }
  /// The same, of observations [count, O].
  void observe(const T* obs, std::int64_t count) {
    obs_columns_ = shape_.obs;
    take_columns(obs, shape_.obs, shape_.obs, 0, count);
    observed(count);
  }

  /// Of the observations, without a candidate's action.
  std::int64_t obs_columns() const { return obs_columns_; }

  /// Contiguous actions [count, K, A].
  ActionView<T> rows_of(const T* actions) const {
    return {actions, shape_.samples * shape_.actions, shape_.actions, 1};
  }

  /// Values of `samples` candidates of each of `count` states, from the `first` observed one on:
  /// scratch().q [outputs][count, samples].
  template <Keep K>
  [[gnu::noinline]] void score(const ActionView<T>& actions, std::int64_t first, std::int64_t count,
                               std::int64_t samples) {
    rows_ = count * samples;
    tiles_ = round_up(rows_, kRows);
    const Candidates candidates{actions, first, count, samples};
    shape_.outputs == 1 ? run_layers<K, 1>(candidates) : run_layers<K, 0>(candidates);
    const T* bias = net_ + layout_.output_bias();
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      for (std::int64_t r = o * scratch_.rows; r < o * scratch_.rows + rows_; r += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) sums[i] = V::load(scratch_.partial + (r + i) * kW);
        (row_sums(sums) + V(bias[o])).store(scratch_.q + r);
      }
    }
  }

 protected:
  struct Candidates {
    const ActionView<T>& actions;
    std::int64_t first, count, samples;
  };

  static OMAR_INLINE PanelRow<T> row(const T* p) { return PlainOperands<T>::load(p); }

  const Element* weights(std::int64_t offset) const { return reinterpret_cast<const Element*>(net_ + offset); }

  /// Panels of hidden layer `layer` as numbers: its activations, or the gradient of its sums.
  T* hidden(std::int64_t layer) const {
    T* at = scratch_.hidden;
    for (std::int64_t l = 0; l < layer; ++l) at += scratch_.rows * layout_.width(l);
    return at;
  }
  LayerNorm<T> norm(std::int64_t layer) const {
    const std::int64_t behind = hidden(layer) - scratch_.hidden;
    return {scratch_.normed + behind,
            scratch_.inverse + layer * scratch_.rows,
            scratch_.partial,
            net_ + layout_.norm_scale(layer),
            net_ + layout_.norm_shift(layer),
            scratch_.rows,
            tiles_,
            layout_.width(layer),
            shape_.hidden[layer]};
  }
  /// The same as operands of a product.
  Element* operands(std::int64_t layer) const {
    if constexpr (kPlain) {
      return hidden(layer);
    } else {
      if (layer == 0) return scratch_.first_words;
      return layer + 1 == shape_.layers ? scratch_.last_words : reinterpret_cast<Element*>(hidden(layer));
    }
  }

  /// rows x weights (+ bias, where not null): calls epilogue.row(column, row, numbers) for each panel row of the
  /// result. `weights` are panels of `in` rows.
  template <class Epilogue>
  OMAR_INLINE void product(const Element* rows, const Element* weights, std::int64_t in, std::int64_t out,
                           const T* bias, const Epilogue& epilogue) const {
    const std::int64_t panel = scratch_.rows * Ops::kRow;
    for (std::int64_t j = 0; j < out; j += kP, weights += in * Ops::kRow) {
      const V left = bias == nullptr ? V(T(0)) : V::load(bias + j);
      const V right = bias == nullptr ? V(T(0)) : V::load(bias + j + kW);
      for (std::int64_t r = 0; r < tiles_; r += kRows) {
        typename Ops::template Tile<kRows> tile;
        tile.fill(left, right);
        const Element* a = rows + r * Ops::kRow;
        const Element* b = weights;
        for (std::int64_t k = 0; k < in; k += kP, a += panel, b += Ops::kRow * kP) {
          tile.add(a, Ops::kRow, 1, b, kP, Ops::kRow);
        }
        tile.store_accumulators();
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) epilogue.row(j, r + i, tile.row(i));
      }
    }
  }

  [[no_unique_address]] typename Ops::Session session_;
  CriticShape shape_;
  NetworkLayout<T> layout_;
  const T* net_;
  Scratch<T> scratch_;
  std::int64_t rows_ = 0;   ///< candidates of the block
  std::int64_t tiles_ = 0;  ///< the same in whole tiles
  std::int64_t obs_columns_ = 0;

 private:
  void take_columns(const T* from, std::int64_t columns, std::int64_t stride, std::int64_t column, std::int64_t count) {
    T* to = scratch_.obs + column;
    for (std::int64_t s = 0; s < count; ++s, from += stride, to += shape_.obs) copy<kW>(from, columns, to);
  }

  /// Few numbers, in vectors that may overlap.
  template <int Width>
  static OMAR_INLINE void copy(const T* from, std::int64_t n, T* to) {
    if constexpr (Width > 1) {
      if (n < Width) return copy<Width / 2>(from, n, to);
    }
    using Some = Pack<T, Width>;
    for (std::int64_t i = 0; i + Width <= n; i += Width) Some::load(from + i).store(to + i);
    if (n > 0) Some::load(from + n - Width).store(to + n - Width);
  }

  /// The observations' part of the first layer, [states, width]. A plain network needs none.
  [[gnu::noinline]] void observed(std::int64_t count) {
    const std::int64_t rows = round_up(count, kTileRows);
    for (std::int64_t i = count * shape_.obs; i < rows * shape_.obs; ++i) scratch_.obs[i] = T(0);
    if (shape_.actions == 0) return;
    const std::int64_t width = layout_.width(0);
    const T* weight = net_ + layout_.weight(0);
    const T* bias = net_ + layout_.bias(0);
    for (std::int64_t j = 0; j < width; j += kP) {
      for (std::int64_t r = 0; r < rows; r += kTileRows) {
        Tile<T, kTileRows> tile;
        tile.fill(V::load(bias + j), V::load(bias + j + kW));
        tile.add(scratch_.obs + r * shape_.obs, shape_.obs, 1, weight + j, width, shape_.obs);
#pragma GCC unroll 12
        for (int i = 0; i < kTileRows; ++i) {
          tile.x[i][0].store(scratch_.base + (r + i) * width + j);
          tile.x[i][1].store(scratch_.base + (r + i) * width + j + kW);
        }
      }
    }
  }

  /// Epilogue: a layer's activations become operands of the next product.
  struct StoreOperands {
    Element* to;
    std::int64_t rows;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& x) const {
      Ops::store(to + (j / kP * rows + r) * Ops::kRow, x);
    }
  };

  /// Epilogue of the last hidden layer: its products with the output layer, summed by lane. Outputs = 0: any number.
  template <Keep K, int Outputs>
  struct OutputDot {
    T *kept, *partial;
    const T* weight;
    std::int64_t rows, width, outputs;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& x) const {
      if constexpr (K == Keep::hidden) PlainOperands<T>::store(kept + j * rows + r * kP, x);
      const T* w = weight + j;
      T* to = partial + r * kW;
      for (std::int64_t o = 0; o < (Outputs > 0 ? Outputs : outputs); ++o, w += width, to += rows * kW) {
        const V sum = x.left * V::load(w) + x.right * V::load(w + kW);
        (j == 0 ? sum : V::load(to) + sum).store(to);
      }
    }
  };

  /// Hands what the ReLU makes of rows to an epilogue.
  template <class Epilogue>
  struct Rectified {
    Epilogue epilogue;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& x) const {
      epilogue.row(j, r, Relu<T>::forward(x));
    }
  };

  template <Keep K, int Outputs>
  void run_layers(const Candidates& candidates) {
    const std::int64_t last = shape_.layers - 1;
    if (shape_.activation.has_layer_norm()) return run_normed_layers<Outputs>(candidates);
    const Rectified<OutputDot<K, Outputs>> dot{output_dot<K, Outputs>()};
    if (last == 0) return shape_.actions == 0 ? input_layer(candidates, dot) : first_layer<0>(candidates, dot);
    start(candidates, Rectified<StoreOperands>{{operands(0), scratch_.rows}});
    for (std::int64_t l = 1; l < last; ++l) hidden_layer(l, Rectified<StoreOperands>{{operands(l), scratch_.rows}});
    hidden_layer(last, dot);
  }

  /// The same with layer norm; what backward passes need is kept in any case.
  template <int Outputs>
  void run_normed_layers(const Candidates& candidates) {
    const std::int64_t last = shape_.layers - 1;
    start(candidates, norm(0));
    for (std::int64_t l = 0; l < last; ++l) {
      norm(l).apply(Rectified<StoreOperands>{{operands(l), scratch_.rows}});
      hidden_layer(l + 1, norm(l + 1));
    }
    norm(last).apply(Rectified<OutputDot<Keep::nothing, Outputs>>{output_dot<Keep::nothing, Outputs>()});
  }

  template <Keep K, int Outputs>
  OutputDot<K, Outputs> output_dot() const {
    const std::int64_t last = shape_.layers - 1;
    return {hidden(last),  scratch_.partial,    net_ + layout_.output_weight(),
            scratch_.rows, layout_.width(last), shape_.outputs};
  }

  /// The first layer, in the way that suits the number of actions.
  template <class Epilogue>
  void start(const Candidates& candidates, const Epilogue& epilogue) {
    if (shape_.actions == 0) return input_layer(candidates, epilogue);
    switch (shape_.actions) {
      case 1: return first_layer<1>(candidates, epilogue);
      case 2: return first_layer<2>(candidates, epilogue);
      case 3: return first_layer<3>(candidates, epilogue);
      default: return first_layer<0>(candidates, epilogue);
    }
  }

  /// Of a plain network: x W + b of its inputs.
  template <class Epilogue>
  [[gnu::noinline]] void input_layer(const Candidates& c, const Epilogue epilogue) {
    const std::int64_t width = layout_.width(0), in = shape_.obs;
    const T *weight = net_ + layout_.weight(0), *bias = net_ + layout_.bias(0);
    for (std::int64_t j = 0; j < width; j += kP) {
      std::int64_t r = 0;
      for (; r < rows_; r += kTileRows) {
        Tile<T, kTileRows> tile;
        tile.fill(V::load(bias + j), V::load(bias + j + kW));
        tile.add(scratch_.obs + (c.first + r) * in, in, 1, weight + j, width, in);
#pragma GCC unroll 12
        for (int i = 0; i < kTileRows; ++i) epilogue.row(j, r + i, tile.row(i));
      }
      for (; r < tiles_; ++r) epilogue.row(j, r, {V(T(0)), V(T(0))});
    }
  }

  /// base + actions W_a, row by row. A = 0: any action size.
  template <int A, class Epilogue>
  [[gnu::noinline]] void first_layer(const Candidates& c, const Epilogue epilogue) {
    const std::int64_t size = A > 0 ? A : shape_.actions;
    const std::int64_t width = layout_.width(0);
    const T* weight = net_ + layout_.weight(0) + shape_.obs * width;
    for (std::int64_t j = 0; j < width; j += kP) {
      std::int64_t r = 0;
      for (std::int64_t s = 0; s < c.count; ++s) {
        const PanelRow<T> base = row(scratch_.base + (c.first + s) * width + j);
        const T* action = c.actions.data + s * c.actions.by_state;
        for (std::int64_t k = 0; k < c.samples; ++k, action += c.actions.by_sample, ++r) {
          PanelRow<T> x = base;
          for (std::int64_t a = 0; a < size; ++a) {
            const V factor(action[a * c.actions.by_size]);
            x.left += factor * V::load(weight + a * width + j);
            x.right += factor * V::load(weight + a * width + j + kW);
          }
          epilogue.row(j, r, x);
        }
      }
      for (; r < tiles_; ++r) epilogue.row(j, r, {V(T(0)), V(T(0))});
    }
  }

  /// x W + b of the layer before. Never inlined, as the other tile loops: in a larger function their sums would not
  /// stay in registers.
  template <class Epilogue>
  [[gnu::noinline]] void hidden_layer(std::int64_t layer, const Epilogue epilogue) {
    product(operands(layer - 1), weights(layout_.weight(layer)), layout_.inputs(layer), layout_.width(layer),
            net_ + layout_.bias(layer), epilogue);
  }
};

}  // namespace omar::nn::OMAR_LEVEL
