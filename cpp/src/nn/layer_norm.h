#pragma once
/// Layer norm between the products of the fused candidate critic.
///
/// Packed weights and biases have lost their mean over the layer's units, so that the sums of a row have none either:
/// what is left to do is to divide by their root mean square. The gradients of such weights lose their mean, too
/// (reduce_gradients).

#include "nn/activate.h"
#include "nn/operands.h"

namespace omar::nn::OMAR_LEVEL {

/// One hidden layer of a block of candidates; panels are [width / kPanel, rows, kPanel].
template <class T>
struct LayerNorm {
  using V = Lanes<T>;
  using Plain = PlainOperands<T>;
  static constexpr int kW = V::width;
  static constexpr int kP = kPanel<T>;

  T* sums;                 ///< panels
  T* inverse;              ///< [rows]: 1 / sqrt(variance + epsilon), from apply() on
  T* lanes;                ///< scratch [rows, kW]: sums over a row's units, by lane
  const T *scale, *shift;  ///< [width]
  std::int64_t rows, tiles, width, units;

  /// Epilogue of the layer's product: keeps its sums and adds up their squares.
  OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& x) const {
    Plain::store(sums + j * rows + r * kP, x);
    add_lanes(j, r, x.left * x.left + x.right * x.right);
  }

  /// After the product: hands the layer's outputs, before the ReLU, to an epilogue.
  template <class Epilogue>
  [[gnu::noinline]] void apply(const Epilogue epilogue) const {
    for_means([&](std::int64_t r, const V& variance) {
      (V(T(1)) / sqrt_(variance + V(static_cast<T>(kLayerNormEpsilon)))).store(inverse + r);
    });
    for (std::int64_t j = 0; j < width; j += kP) {
      const PanelRow<T> factor = Plain::load(scale + j), summand = Plain::load(shift + j);
      for (std::int64_t r = 0; r < tiles; ++r) epilogue.row(j, r, scaled(normed(j, r), factor, summand));
    }
  }

  OMAR_INLINE PanelRow<T> normed(std::int64_t j, std::int64_t r) const {
    const PanelRow<T> x = Plain::load(sums + j * rows + r * kP);
    const V d(inverse[r]);
    return {x.left * d, x.right * d};
  }

  /// The layer's outputs, as the epilogue of apply() had them, through the ReLU.
  OMAR_INLINE PanelRow<T> outputs(std::int64_t j, std::int64_t r) const {
    return Relu<T>::forward(scaled(normed(j, r), Plain::load(scale + j), Plain::load(shift + j)));
  }

  /// Epilogue of whatever gives the gradients of the outputs: keeps those before the ReLU in `to`, panels.
  struct Upstream {
    const LayerNorm& norm;
    T* to;

    OMAR_INLINE void row(std::int64_t j, std::int64_t r, const PanelRow<T>& gradient) const {
      const PanelRow<T> factor = Plain::load(norm.scale + j), x = norm.normed(j, r);
      const PanelRow<T> dy = Relu<T>::backward(scaled(x, factor, Plain::load(norm.shift + j)), gradient);
      Plain::store(to + j * norm.rows + r * kP, dy);
      norm.add_lanes(j, r, dy.left * factor.left * x.left + dy.right * factor.right * x.right);
    }
  };

  /// Where gradients() adds those of the parameters, [width] each.
  struct Sums {
    T *scale, *shift, *bias;
  };

  /// After Upstream: turns its gradients into those of the sums. `dz` may take the place of `dy`.
  template <class Ops>
  [[gnu::noinline]] void gradients(const T* dy, typename Ops::Element* dz, const Sums& to) const {
    T* const along = lanes;  // a number of each row takes the place of lanes that were read
    for_means([&](std::int64_t r, const V& mean) { mean.store(along + r); });
    for (std::int64_t j = 0; j < width; j += kP) {
      const PanelRow<T> factor = Plain::load(scale + j);
      PanelRow<T> d_scale = Plain::load(to.scale + j), d_shift = Plain::load(to.shift + j),
                  d_bias = Plain::load(to.bias + j);
      for (std::int64_t r = 0; r < tiles; ++r) {
        const PanelRow<T> upstream = Plain::load(dy + j * rows + r * kP), x = normed(j, r);
        const V d(inverse[r]), c(along[r]);
        const PanelRow<T> gradient{d * (upstream.left * factor.left - x.left * c),
                                   d * (upstream.right * factor.right - x.right * c)};
        add(d_scale, {upstream.left * x.left, upstream.right * x.right});
        add(d_shift, upstream);
        add(d_bias, gradient);
        Ops::store(dz + (j / kP * rows + r) * Ops::kRow, gradient);
      }
      Plain::store(to.scale + j, d_scale);
      Plain::store(to.shift + j, d_shift);
      Plain::store(to.bias + j, d_bias);
    }
  }

 private:
  static OMAR_INLINE PanelRow<T> scaled(const PanelRow<T>& x, const PanelRow<T>& factor, const PanelRow<T>& summand) {
    return {x.left * factor.left + summand.left, x.right * factor.right + summand.right};
  }
  static OMAR_INLINE void add(PanelRow<T>& total, const PanelRow<T>& x) {
    total.left += x.left;
    total.right += x.right;
  }

  OMAR_INLINE void add_lanes(std::int64_t j, std::int64_t r, const V& sum) const {
    T* at = lanes + r * kW;
    (j == 0 ? sum : V::load(at) + sum).store(at);
  }

  /// Calls body(first row, means) with the means over units of kW rows at a time.
  template <class Body>
  OMAR_INLINE void for_means(const Body& body) const {
    const V share(T(1) / static_cast<T>(units));
    for (std::int64_t r = 0; r < tiles; r += kW) {
      V of_rows[kW];
      for (int i = 0; i < kW; ++i) of_rows[i] = V::load(lanes + (r + i) * kW);
      body(r, row_sums(of_rows) * share);
    }
  }
};

/// Rows [rows, columns] less each row's mean; `to` may be `from`.
template <class T>
void centre_rows(const T* from, std::int64_t rows, std::int64_t columns, T* to) {
  using V = Lanes<T>;
  const std::int64_t whole = columns / V::width * V::width;
  for (std::int64_t i = 0; i < rows; ++i, from += columns, to += columns) {
    V lanes(T(0));
    for (std::int64_t j = 0; j < whole; j += V::width) lanes += V::load(from + j);
    T parts[V::width];
    lanes.store(parts);
    for (int half = V::width / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) parts[k] += parts[k + half];
    }
    T sum = parts[0];
    for (std::int64_t j = whole; j < columns; ++j) sum += from[j];
    const T mean = sum / static_cast<T>(columns);
    for (std::int64_t j = 0; j < columns; ++j) to[j] = from[j] - mean;
  }
}

}  // namespace omar::nn::OMAR_LEVEL
