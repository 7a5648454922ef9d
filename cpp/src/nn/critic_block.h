#pragma once
/// One block of states of the fused candidate critic. A block's activations stay in the first two cache levels; the
/// hidden x hidden products run as register tiles, and everything around them (bias, ReLU, output layer, masks) happens
/// in the tiles' epilogues or in passes over cached panels.

#include <utility>

#include "nn/critic_layout.h"
#include "nn/factors.h"

namespace omar::nn::OMAR_LEVEL {

enum class Keep { nothing, hidden };

template <class T, Precision P>
class CriticBlock {
 public:
  using V = Lanes<T>;
  using F = Factors<T, P>;
  using Element = typename F::Element;
  static constexpr int kW = V::width;
  static constexpr int kP = kPanel<T>;
  static constexpr int kRows = F::kRows;

  /// Scores up to `block` states at a time, of up to `observed` that observe() prepares together.
  CriticBlock(const CriticPass<T>& pass, std::int64_t block, std::int64_t observed)
      : shape_(pass.shape), at_(pass.shape), net_(pass.packed), scratch_(pass.shape, block, observed, pass.scratch) {
    if constexpr (kPlain) {
      x1_ = turned1_ = scratch_.h1;
      x2_ = turned2_ = scratch_.h2;
    } else {
      x1_ = scratch_.words1;
      x2_ = scratch_.words2;
      turned1_ = scratch_.turned1;
      turned2_ = scratch_.turned2;
    }
  }

  const Scratch<T>& scratch() const { return scratch_; }

  /// The observations' part of the first layer, [states, h1].
  [[gnu::noinline]] void observe(const T* obs, std::int64_t count) {
    const std::int64_t rows = round_up(count, kTileRows);
    for (std::int64_t i = 0; i < count * shape_.obs; ++i) scratch_.obs[i] = obs[i];
    for (std::int64_t i = count * shape_.obs; i < rows * shape_.obs; ++i) scratch_.obs[i] = T(0);
    const std::int64_t h1 = at_.padded.h1;
    for (std::int64_t j = 0; j < h1; j += kP) {
      const T* bias = net_ + at_.b1 + j;
      for (std::int64_t r = 0; r < rows; r += kTileRows) {
        Tile<T, kTileRows> tile;
        tile.fill(V::load(bias), V::load(bias + kW));
        tile.add(scratch_.obs + r * shape_.obs, shape_.obs, 1, net_ + at_.w1 + j, h1, shape_.obs);
#pragma GCC unroll 12
        for (int i = 0; i < kTileRows; ++i) {
          tile.x[i][0].store(scratch_.base + (r + i) * h1 + j);
          tile.x[i][1].store(scratch_.base + (r + i) * h1 + j + kW);
        }
      }
    }
  }

  /// Contiguous actions [count, K, A].
  ActionView<T> rows_of(const T* actions) const {
    return {actions, shape_.samples * shape_.actions, shape_.actions, 1};
  }

  /// Values of `samples` candidates of each of `count` states, from the `first` observed one on:
  /// scratch().q [outputs][count, samples].
  /// Never inlined, as the other tile loops: in a larger function their sums would not stay in registers.
  template <Keep K>
  [[gnu::noinline]] void score(const ActionView<T>& actions, std::int64_t first, std::int64_t count,
                               std::int64_t samples) {
    rows_ = count * samples;
    tiles_ = round_up(rows_, kRows);
    switch (shape_.actions) {
      case 1: first_layer<1>(actions, first, count, samples); break;
      case 2: first_layer<2>(actions, first, count, samples); break;
      case 3: first_layer<3>(actions, first, count, samples); break;
      default: first_layer<0>(actions, first, count, samples); break;
    }
    shape_.outputs == 1 ? second_layer<K, 1>() : second_layer<K, 0>();
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      for (std::int64_t r = o * scratch_.rows; r < o * scratch_.rows + rows_; r += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) sums[i] = V::load(scratch_.partial + (r + i) * kW);
        (row_sums(sums) + V(net_[at_.b3 + o])).store(scratch_.q + r);
      }
    }
  }

  /// After score<Keep::hidden>: adds the gradients under upstream scratch().dq to `sums` (only inputs are wanted:
  /// leaves there what it needs not compute).
  void backward(const T* actions, std::int64_t count, T* sums, const InputGradients<T>& inputs) {
    const SumsLayout<T> to(shape_);
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      for (std::int64_t r = rows_; r < tiles_; ++r) scratch_.dq[o * scratch_.rows + r] = T(0);
    }
    output_gradients(sums + to.w3, sums + to.b2, sums + to.b3);
    if (inputs.wanted == Wanted::all) second_weight_gradients(sums + to.w2);
    first_hidden_gradients();
    if (inputs.wanted == Wanted::all || inputs.obs != nullptr) {
      first_layer_gradients(actions, count, sums + to.w1, sums + to.b1);
    }
    if (inputs.actions != nullptr) action_gradients(inputs.actions);
    if (inputs.obs != nullptr) obs_gradients(inputs.obs, count);
  }

 private:
  static OMAR_INLINE PanelRow<T> row(const T* p) { return PlainFactors<T>::load(p); }

  static constexpr bool kPlain = std::is_same_v<F, PlainFactors<T>>;

  const Element* weights(std::int64_t offset) const { return reinterpret_cast<const Element*>(net_ + offset); }

  /// x1 = relu(base + actions W_a), panels of factors; NaN passes through max_'s second argument.
  /// A = 0: any action size.
  template <int A>
  void first_layer(const ActionView<T>& actions, std::int64_t first, std::int64_t count, std::int64_t samples) {
    const std::int64_t size = A > 0 ? A : shape_.actions;
    const std::int64_t h1 = at_.padded.h1;
    const T* weight = net_ + at_.w1 + shape_.obs * h1;
    for (std::int64_t j = 0; j < h1; j += kP) {
      Element* out = x1_ + j / kP * scratch_.rows * F::kRow;
      for (std::int64_t s = 0; s < count; ++s) {
        const PanelRow<T> base = row(scratch_.base + (first + s) * h1 + j);
        const T* action = actions.data + s * actions.by_state;
        for (std::int64_t k = 0; k < samples; ++k, action += actions.by_sample, out += F::kRow) {
          V x = base.left, y = base.right;
          for (std::int64_t a = 0; a < size; ++a) {
            const V factor(action[a * actions.by_size]);
            x += factor * V::load(weight + a * h1 + j);
            y += factor * V::load(weight + a * h1 + j + kW);
          }
          F::store(out, {max_(V(T(0)), x), max_(V(T(0)), y)});
        }
      }
      for (std::int64_t r = rows_; r < tiles_; ++r, out += F::kRow) F::store(out, {V(T(0)), V(T(0))});
    }
  }

  /// h2 = relu(x1 W_2 + b_2) (kept where asked), and lane sums of h2 w_3.
  /// Outputs = 0: any number.
  template <Keep K, int Outputs>
  [[gnu::noinline]] void second_layer() {
    const std::int64_t outputs = Outputs > 0 ? Outputs : shape_.outputs;
    for (std::int64_t j = 0; j < at_.padded.h2; j += kP) {
      const T* bias = net_ + at_.b2 + j;
      const T* output = net_ + at_.w3 + j;
      for (std::int64_t r = 0; r < tiles_; r += kRows) {
        typename F::template Tile<kRows> tile;
        tile.fill(V::load(bias), V::load(bias + kW));
        multiply(tile, x1_ + r * F::kRow, weights(at_.w2) + j / kP * (at_.padded.h1 / kP) * F::kRow * kP,
                 at_.padded.h1);
        tile.settle();
        T* kept = scratch_.h2 + j * scratch_.rows + r * kP;
        T* partial = scratch_.partial + r * kW;
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) {
          const PanelRow<T> sums = tile.row(i);
          const V x = max_(V(T(0)), sums.left), y = max_(V(T(0)), sums.right);
          if constexpr (K == Keep::hidden) {
            x.store(kept + i * kP);
            y.store(kept + i * kP + kW);
          }
          const T* w = output;
          T* to = partial + i * kW;
          for (std::int64_t o = 0; o < outputs; ++o, w += at_.padded.h2, to += scratch_.rows * kW) {
            const V sum = x * V::load(w) + y * V::load(w + kW);
            (j == 0 ? sum : V::load(to) + sum).store(to);
          }
        }
      }
    }
  }

  /// Adds rows of factors a (panels of scratch().rows rows) times a panel of weights, over `n` hidden units.
  template <class Rows>
  OMAR_INLINE void multiply(Rows& tile, const Element* a, const Element* weight, std::int64_t n) const {
    const std::int64_t panel = scratch_.rows * F::kRow;
    for (std::int64_t k = 0; k < n; k += kP, a += panel, weight += F::kRow * kP) {
      tile.add(a, F::kRow, 1, weight, kP, F::kRow);
    }
  }

  /// Output layer's gradients, and the factors x2 = dz2 = (dq w_3^T) [h2 > 0].
  void output_gradients(T* w3, T* b2, T* b3) {
    const std::int64_t h2 = at_.padded.h2;
    for (std::int64_t j = 0; j < h2; j += kP) {
      // x2 may take the place of h2, so the first output, which ends the pass, comes last.
      for (std::int64_t o = shape_.outputs - 1; o > 0; --o) output_weight_gradients(o, j, w3 + o * h2 + j);
      const PanelRow<T> output = row(net_ + at_.w3 + j);
      PanelRow<T> weight = row(w3 + j), bias = row(b2 + j);
      const T* hidden = scratch_.h2 + j * scratch_.rows;
      Element* out = x2_ + j / kP * scratch_.rows * F::kRow;
      for (std::int64_t r = 0; r < tiles_; ++r, hidden += kP, out += F::kRow) {
        const PanelRow<T> h = row(hidden);
        const V d(scratch_.dq[r]), none(T(0));
        weight.left += d * h.left;
        weight.right += d * h.right;
        PanelRow<T> dh{d * output.left, d * output.right};
        for (std::int64_t o = 1; o < shape_.outputs; ++o) {
          const V other(scratch_.dq[o * scratch_.rows + r]);
          const PanelRow<T> w = row(net_ + at_.w3 + o * h2 + j);
          dh.left += other * w.left;
          dh.right += other * w.right;
        }
        const PanelRow<T> dz{select(h.left > none, dh.left, none), select(h.right > none, dh.right, none)};
        bias.left += dz.left;
        bias.right += dz.right;
        F::store(out, dz);
      }
      PlainFactors<T>::store(w3 + j, weight);
      PlainFactors<T>::store(b2 + j, bias);
    }
    for (std::int64_t o = 0; o < shape_.outputs; ++o) {
      T total = T(0);
      for (std::int64_t r = 0; r < rows_; ++r) total += scratch_.dq[o * scratch_.rows + r];
      b3[o] += total;
    }
  }

  /// sums += dq_o^T h2, of panel j.
  void output_weight_gradients(std::int64_t o, std::int64_t j, T* sums) {
    PanelRow<T> weight = row(sums);
    const T* hidden = scratch_.h2 + j * scratch_.rows;
    for (std::int64_t r = 0; r < tiles_; ++r, hidden += kP) {
      const PanelRow<T> h = row(hidden);
      const V d(scratch_.dq[o * scratch_.rows + r]);
      weight.left += d * h.left;
      weight.right += d * h.right;
    }
    PlainFactors<T>::store(sums, weight);
  }

  /// Factors whose sums run over rows.
  template <class Turn>
  void turn(const Turn& one, const Element* from, Element* to, std::int64_t hidden) {
    const std::int64_t panel = scratch_.rows * F::kRow;  // words of a panel, turned or not
    for (std::int64_t i = 0; i < hidden; i += kP, from += panel, to += panel) one(from, to, tiles_);
  }

  /// dW2 += x1^T dz2.
  [[gnu::noinline]] void second_weight_gradients(T* sums) {
    const std::int64_t h2 = at_.padded.h2;
    if constexpr (F::kTurn > 1) {
      turn(F::turn_left, x1_, turned1_, at_.padded.h1);
      turn(F::turn, x2_, turned2_, h2);
    }
    for (std::int64_t j = 0; j < h2; j += kP) {
      const Element* b = turned2_ + j * scratch_.rows / F::kTurn;
      for (std::int64_t i = 0; i < at_.padded.h1; i += kP) {
        const Element* a = turned1_ + i * scratch_.rows / F::kTurn;
        for (std::int64_t r = 0; r < kP; r += kRows) {
          const auto add = [&](auto rows) {
            typename F::template Tile<rows()> tile;
            tile.fill(V(T(0)), V(T(0)));
            F::add_turned(tile, a, r, b, tiles_ / F::kTurn);
            tile.settle();
            tile.add_to(sums + (i + r) * h2 + j, h2);
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

  /// h1 becomes dz1 = (dz2 W_2^T) [x1 > 0].
  [[gnu::noinline]] void first_hidden_gradients() {
    for (std::int64_t i = 0; i < at_.padded.h1; i += kP) {
      const Element* weight = weights(at_.w2t) + i / kP * (at_.padded.h2 / kP) * F::kRow * kP;
      for (std::int64_t r = 0; r < tiles_; r += kRows) {
        typename F::template Tile<kRows> tile;
        tile.fill(V(T(0)), V(T(0)));
        multiply(tile, x2_ + r * F::kRow, weight, at_.padded.h2);
        tile.settle();
        const Element* hidden = x1_ + (i / kP * scratch_.rows + r) * F::kRow;
        T* out = scratch_.h1 + (i / kP * scratch_.rows + r) * kP;
#pragma GCC unroll 16
        for (int t = 0; t < kRows; ++t) {
          const PanelRow<T> h = F::load(hidden + t * F::kRow), sums = tile.row(t);
          const V none(T(0));
          PlainFactors<T>::store(out + t * kP,
                                 {select(h.left > none, sums.left, none), select(h.right > none, sums.right, none)});
        }
      }
    }
  }

  /// First layer's gradients from dz1; base becomes the sum of dz1 over each state's candidates.
  void first_layer_gradients(const T* actions, std::int64_t count, T* w1, T* b1) {
    const std::int64_t h1 = at_.padded.h1;
    const std::int64_t samples = rows_ / count;
    for (std::int64_t i = 0; i < h1; i += kP) {
      const T* dz = scratch_.h1 + i * scratch_.rows;
      accumulate(actions, shape_.actions, dz, kP, rows_, w1 + shape_.obs * h1 + i);
      V bias_left = V::load(b1 + i), bias_right = V::load(b1 + i + kW);
      for (std::int64_t s = 0; s < count; ++s) {
        V left(T(0)), right(T(0));
        for (std::int64_t k = 0; k < samples; ++k, dz += kP) {
          left += V::load(dz);
          right += V::load(dz + kW);
        }
        left.store(scratch_.base + s * h1 + i);
        right.store(scratch_.base + s * h1 + i + kW);
        bias_left += left;
        bias_right += right;
      }
      bias_left.store(b1 + i);
      bias_right.store(b1 + i + kW);
      accumulate(scratch_.obs, shape_.obs, scratch_.base + i, h1, count, w1 + i);
    }
  }

  /// c[x, panel] += a[n, x]^T b[n, panel]; rows of b are `stride` apart, rows of c h1.
  void accumulate(const T* a, std::int64_t width, const T* b, std::int64_t stride, std::int64_t n, T* c) {
    const std::int64_t h1 = at_.padded.h1;
    for (std::int64_t x = 0; x < width; x += kTileRows) {
      with_rows(width - x < kTileRows ? width - x : kTileRows, [&](auto rows) {
        Tile<T, rows()> tile;
        tile.fill(V(T(0)), V(T(0)));
        tile.add(a + x, 1, width, b, stride, n);
        tile.add_to(c + x * h1, h1);
      });
    }
  }

  /// d actions = dz1 W_a^T, [rows, A].
  void action_gradients(T* out) {
    const std::int64_t h1 = at_.padded.h1;
    for (std::int64_t a = 0; a < shape_.actions; ++a) {
      const T* weight = net_ + at_.w1 + (shape_.obs + a) * h1;
      for (std::int64_t r = 0; r < rows_; r += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) {
          sums[i] = V(T(0));
          if (r + i >= rows_) continue;
          for (std::int64_t j = 0; j < h1; j += kW) {
            const T* dz = scratch_.h1 + j / kP * kP * scratch_.rows + (r + i) * kP + j % kP;
            sums[i] += V::load(dz) * V::load(weight + j);
          }
        }
        const V total = row_sums(sums);
        for (int i = 0; i < kW && r + i < rows_; ++i) out[(r + i) * shape_.actions + a] = total[i];
      }
    }
  }

  /// d obs = (sum over candidates of dz1) W_o^T, [count, O].
  void obs_gradients(T* out, std::int64_t count) {
    const std::int64_t h1 = at_.padded.h1;
    for (std::int64_t s = 0; s < count; ++s) {
      for (std::int64_t o = 0; o < shape_.obs; o += kW) {
        V sums[kW];
        for (int i = 0; i < kW; ++i) {
          sums[i] = V(T(0));
          if (o + i >= shape_.obs) continue;
          for (std::int64_t j = 0; j < h1; j += kW) {
            sums[i] += V::load(scratch_.base + s * h1 + j) * V::load(net_ + at_.w1 + (o + i) * h1 + j);
          }
        }
        const V total = row_sums(sums);
        for (int i = 0; i < kW && o + i < shape_.obs; ++i) out[s * shape_.obs + o + i] = total[i];
      }
    }
  }

  [[no_unique_address]] typename F::Session session_;
  CriticShape shape_;
  PackedCritic<T> at_;
  const T* net_;
  Scratch<T> scratch_;
  Element *x1_, *x2_;            ///< factors: the first hidden layer; the second one's gradients
  Element *turned1_, *turned2_;  ///< the same for sums over rows
  std::int64_t rows_ = 0;        ///< candidates of the block
  std::int64_t tiles_ = 0;       ///< the same in whole tiles
};

}  // namespace omar::nn::OMAR_LEVEL
