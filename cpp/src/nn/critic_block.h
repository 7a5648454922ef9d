#pragma once
/// One block of states of the fused candidate critic. A block's activations stay in the first two cache levels; the
/// hidden x hidden products run as register tiles, and everything around them (bias, ReLU, output layer, masks) happens
/// in the tiles' epilogues or in passes over cached panels.

#include <utility>

#include "nn/critic_kernels.h"
#include "nn/tile.h"

namespace omar::nn::OMAR_LEVEL {

/// Hidden sizes rounded up to whole panels. Padded units have zero weights, so they stay zero.
template <class T>
struct Padded {
  std::int64_t h1, h2;
  explicit Padded(const CriticShape& shape)
      : h1(round_up(shape.hidden1, kPanel<T>)), h2(round_up(shape.hidden2, kPanel<T>)) {}
};

/// Where the parts of a packed network are.
template <class T>
struct PackedCritic {
  Padded<T> padded;
  std::int64_t w1, b1, w2, w2t, b2, w3, b3, size;  ///< w1 [O + A, h1]; w2 panels [h1]; w2t panels [h2] of the transpose
  explicit PackedCritic(const CriticShape& s) : padded(s) {
    w1 = 0;
    b1 = w1 + (s.obs + s.actions) * padded.h1;
    w2 = b1 + padded.h1;
    w2t = w2 + padded.h1 * padded.h2;
    b2 = w2t + padded.h1 * padded.h2;
    w3 = b2 + padded.h2;
    b3 = w3 + padded.h2;
    size = b3 + kPanel<T>;
  }
};

/// Where the parts of the gradient sums are: as the parameters, rows padded.
template <class T>
struct SumsLayout {
  Padded<T> padded;
  std::int64_t w1, b1, w2, b2, w3, b3, size;
  explicit SumsLayout(const CriticShape& s) : padded(s) {
    w1 = 0;
    b1 = w1 + (s.obs + s.actions) * padded.h1;
    w2 = b1 + padded.h1;
    b2 = w2 + padded.h1 * padded.h2;
    w3 = b2 + padded.h2;
    b3 = w3 + padded.h2;
    size = b3 + kPanel<T>;
  }
};

/// States per block, chosen so that whole tiles are filled.
inline std::int64_t states_per_block(const CriticShape& shape) {
  const std::int64_t target = shape.hidden1 > 128 || shape.hidden2 > 128 ? 120 : 60;
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

/// Scratch memory of a block of `states` states with `samples` candidates each.
template <class T>
struct Scratch {
  std::int64_t states, rows;  ///< whole tiles
  T *obs, *base, *h1, *h2, *partial, *q, *dq, *actions;
  std::int64_t size;

  Scratch(const CriticShape& s, std::int64_t block, T* memory)
      : states(round_up(block, kTileRows)), rows(round_up(round_up(block * s.samples, kTileRows), Lanes<T>::width)) {
    const Padded<T> padded(s);
    T* next = memory;
    const auto take = [&](std::int64_t n) {
      T* at = next;
      next += round_up(n, 64 / static_cast<std::int64_t>(sizeof(T)));
      return at;
    };
    obs = take(states * s.obs);
    base = take(states * padded.h1);
    h1 = take(rows * padded.h1);
    h2 = take(rows * padded.h2);
    partial = take(rows * Lanes<T>::width);
    q = take(rows);
    dq = take(rows);
    actions = take(rows * s.actions);
    size = next - memory;
  }
};

/// bfloat16 nearest to x, ties to even, as float; NaN stays NaN.
OMAR_INLINE Lanes<float> round_bf16(Lanes<float> x) {
  using Vector = Lanes<float>::Vector;
  typedef std::uint32_t Bits __attribute__((vector_size(sizeof(Vector))));
  const Bits bits = (Bits)x.v;
  const Bits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
  return select(x == x, Lanes<float>((Vector)rounded), x);
}
OMAR_INLINE Lanes<double> round_bf16(Lanes<double> x) { return x; }

template <class T, Precision P>
OMAR_INLINE Lanes<T> rounded(Lanes<T> x) {
  if constexpr (P == Precision::bf16) return round_bf16(x);
  return x;
}

enum class Keep { nothing, hidden };

template <class T>
class CriticBlock {
 public:
  using V = Lanes<T>;
  static constexpr int kW = V::width;
  static constexpr int kP = kPanel<T>;

  CriticBlock(const CriticPass<T>& pass, std::int64_t block)
      : shape_(pass.shape), at_(pass.shape), net_(pass.packed), scratch_(pass.shape, block, pass.scratch) {}

  const Scratch<T>& scratch() const { return scratch_; }

  /// The observations' part of the first layer, [states, h1].
  void observe(const T* obs, std::int64_t count) {
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

  /// Values of `samples` candidates of each observed state: actions [count, samples, A] -> scratch().q.
  template <Keep K, Precision P>
  void score(const T* actions, std::int64_t count, std::int64_t samples) {
    rows_ = count * samples;
    tiles_ = round_up(rows_, kTileRows);
    switch (shape_.actions) {
      case 1: first_layer<1, P>(actions, count, samples); break;
      case 2: first_layer<2, P>(actions, count, samples); break;
      case 3: first_layer<3, P>(actions, count, samples); break;
      default: first_layer<0, P>(actions, count, samples); break;
    }
    second_layer<K>();
    for (std::int64_t r = 0; r < rows_; r += kW) {
      V sums[kW];
      for (int i = 0; i < kW; ++i) sums[i] = V::load(scratch_.partial + (r + i) * kW);
      (row_sums(sums) + V(net_[at_.b3])).store(scratch_.q + r);
    }
  }

  /// After score<Keep::hidden>: adds the gradients under upstream scratch().dq to `sums` (only inputs are wanted:
  /// leaves there what it needs not compute).
  template <Precision P>
  void backward(const T* actions, std::int64_t count, T* sums, const InputGradients<T>& inputs) {
    const SumsLayout<T> to(shape_);
    for (std::int64_t r = rows_; r < tiles_; ++r) scratch_.dq[r] = T(0);
    output_gradients<P>(sums + to.w3, sums + to.b2, sums + to.b3);
    if (inputs.wanted == Wanted::all) second_weight_gradients(sums + to.w2);
    first_hidden_gradients();
    if (inputs.wanted == Wanted::all || inputs.obs != nullptr) {
      first_layer_gradients(actions, count, sums + to.w1, sums + to.b1);
    }
    if (inputs.actions != nullptr) action_gradients(inputs.actions);
    if (inputs.obs != nullptr) obs_gradients(inputs.obs, count);
  }

 private:
  /// h1 = relu(base + actions W_a), panels; NaN passes through max_'s second argument.
  /// A = 0: any action size.
  template <int A, Precision P>
  void first_layer(const T* actions, std::int64_t count, std::int64_t samples) {
    const std::int64_t size = A > 0 ? A : shape_.actions;
    const std::int64_t h1 = at_.padded.h1;
    const T* weight = net_ + at_.w1 + shape_.obs * h1;
    for (std::int64_t j = 0; j < h1; j += kP) {
      T* out = scratch_.h1 + j * scratch_.rows;
      const T* action = actions;
      for (std::int64_t s = 0; s < count; ++s) {
        const V left = V::load(scratch_.base + s * h1 + j);
        const V right = V::load(scratch_.base + s * h1 + j + kW);
        for (std::int64_t k = 0; k < samples; ++k, action += size, out += kP) {
          V x = left, y = right;
          for (std::int64_t a = 0; a < size; ++a) {
            const V factor(action[a]);
            x += factor * V::load(weight + a * h1 + j);
            y += factor * V::load(weight + a * h1 + j + kW);
          }
          rounded<T, P>(max_(V(T(0)), x)).store(out);
          rounded<T, P>(max_(V(T(0)), y)).store(out + kW);
        }
      }
      for (std::int64_t r = rows_; r < tiles_; ++r, out += kP) {
        V(T(0)).store(out);
        V(T(0)).store(out + kW);
      }
    }
  }

  /// h2 = relu(h1 W_2 + b_2) (kept where asked), and lane sums of h2 w_3.
  template <Keep K>
  void second_layer() {
    const std::int64_t h1 = at_.padded.h1;
    const std::int64_t panel = scratch_.rows * kP;
    for (std::int64_t j = 0; j < at_.padded.h2; j += kP) {
      const T* weight = net_ + at_.w2 + j * h1;
      const T* bias = net_ + at_.b2 + j;
      const T* output = net_ + at_.w3 + j;
      for (std::int64_t r = 0; r < tiles_; r += kTileRows) {
        Tile<T, kTileRows> tile;
        tile.fill(V::load(bias), V::load(bias + kW));
        const T* a = scratch_.h1 + r * kP;
        for (std::int64_t k = 0; k < h1; k += kP, a += panel) tile.add(a, kP, 1, weight + k * kP, kP, kP);
        const V left = V::load(output), right = V::load(output + kW);
        T* kept = scratch_.h2 + j * scratch_.rows + r * kP;
        T* partial = scratch_.partial + r * kW;
#pragma GCC unroll 12
        for (int i = 0; i < kTileRows; ++i) {
          const V x = max_(V(T(0)), tile.x[i][0]), y = max_(V(T(0)), tile.x[i][1]);
          if constexpr (K == Keep::hidden) {
            x.store(kept + i * kP);
            y.store(kept + i * kP + kW);
          }
          const V sum = x * left + y * right;
          (j == 0 ? sum : V::load(partial + i * kW) + sum).store(partial + i * kW);
        }
      }
    }
  }

  /// Output layer's gradients; h2 becomes dz2 = dq w_3 [h2 > 0].
  template <Precision P>
  void output_gradients(T* w3, T* b2, T* b3) {
    for (std::int64_t j = 0; j < at_.padded.h2; j += kW) {
      const V output = V::load(net_ + at_.w3 + j);
      V weight = V::load(w3 + j), bias = V::load(b2 + j);
      T* x = scratch_.h2 + j / kP * kP * scratch_.rows + j % kP;
      for (std::int64_t r = 0; r < tiles_; ++r, x += kP) {
        const V h = V::load(x), d(scratch_.dq[r]);
        weight += d * h;
        const V dz = select(h > V(T(0)), d * output, V(T(0)));
        bias += dz;
        rounded<T, P>(dz).store(x);
      }
      weight.store(w3 + j);
      bias.store(b2 + j);
    }
    T total = T(0);
    for (std::int64_t r = 0; r < rows_; ++r) total += scratch_.dq[r];
    b3[0] += total;
  }

  /// dW2 += h1^T dz2.
  void second_weight_gradients(T* sums) {
    const std::int64_t h2 = at_.padded.h2;
    for (std::int64_t j = 0; j < h2; j += kP) {
      const T* b = scratch_.h2 + j * scratch_.rows;
      for (std::int64_t i = 0; i < at_.padded.h1; i += kP) {
        const T* a = scratch_.h1 + i * scratch_.rows;
        for (std::int64_t r = 0; r < kP; r += kTileRows) {
          with_rows(kP - r < kTileRows ? kP - r : kTileRows, [&](auto rows) {
            Tile<T, rows()> tile;
            tile.fill(V(T(0)), V(T(0)));
            tile.add(a + r, 1, kP, b, kP, tiles_);
            tile.add_to(sums + (i + r) * h2 + j, h2);
          });
        }
      }
    }
  }

  /// h1 becomes dz1 = (dz2 W_2^T) [h1 > 0].
  void first_hidden_gradients() {
    const std::int64_t h2 = at_.padded.h2;
    const std::int64_t panel = scratch_.rows * kP;
    for (std::int64_t i = 0; i < at_.padded.h1; i += kP) {
      const T* weight = net_ + at_.w2t + i * h2;
      for (std::int64_t r = 0; r < tiles_; r += kTileRows) {
        Tile<T, kTileRows> tile;
        tile.fill(V(T(0)), V(T(0)));
        const T* a = scratch_.h2 + r * kP;
        for (std::int64_t k = 0; k < h2; k += kP, a += panel) tile.add(a, kP, 1, weight + k * kP, kP, kP);
        T* out = scratch_.h1 + i * scratch_.rows + r * kP;
#pragma GCC unroll 12
        for (int t = 0; t < kTileRows; ++t) {
#pragma GCC unroll 2
          for (int v = 0; v < 2; ++v) {
            T* h = out + t * kP + v * kW;
            select(V::load(h) > V(T(0)), tile.x[t][v], V(T(0))).store(h);
          }
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

  CriticShape shape_;
  PackedCritic<T> at_;
  const T* net_;
  Scratch<T> scratch_;
  std::int64_t rows_ = 0;   ///< candidates of the block
  std::int64_t tiles_ = 0;  ///< the same in whole tiles
};

}  // namespace omar::nn::OMAR_LEVEL
