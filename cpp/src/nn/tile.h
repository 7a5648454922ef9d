#pragma once
/// Register tiles of small matrix products, shared by the critic's and the search's kernels.

#include <omar/core/pack.h>

#include <cstdint>

#include "core/vector_bytes.h"

namespace omar::nn::OMAR_LEVEL {

#if defined(__AVX512F__)
constexpr int kTileRows = 12;  // 24 sums, 2 vectors and a broadcast in 32 registers
#else
constexpr int kTileRows = 6;  // 12 sums, 2 vectors and a broadcast in 16 registers
#endif

template <class T>
using Lanes = Pack<T, kVectorBytes / static_cast<int>(sizeof(T))>;

/// Columns of a tile, and of a panel: matrices are stored as panels [columns / kPanel][rows][kPanel].
template <class T>
constexpr int kPanel = 2 * Lanes<T>::width;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// A row of two vectors.
template <class T>
struct PanelRow {
  Lanes<T> left, right;
};

/// A tile of Rows x kPanel sums that lives in registers.
template <class T, int Rows>
struct Tile {
  Lanes<T> x[Rows][2];

  /// After the last add(): makes the sums readable through row(), where they are not in `x` yet.
  OMAR_INLINE void store_accumulators() {}
  OMAR_INLINE PanelRow<T> row(int r) const { return {x[r][0], x[r][1]}; }

  OMAR_INLINE void fill(const Lanes<T>& left, const Lanes<T>& right) {
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
      x[r][0] = left;
      x[r][1] = right;
    }
  }

  /// Adds a[r * row + k * step] * b[k * stride + column] over k in [0, n).
  OMAR_INLINE void add(const T* a, std::int64_t row, std::int64_t step, const T* b, std::int64_t stride,
                       std::int64_t n) {
#pragma GCC unroll 2
    for (std::int64_t k = 0; k < n; ++k) {
      const Lanes<T> left = Lanes<T>::load(b + k * stride);
      const Lanes<T> right = Lanes<T>::load(b + k * stride + Lanes<T>::width);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const Lanes<T> factor(a[r * row + k * step]);
        x[r][0] += factor * left;
        x[r][1] += factor * right;
      }
    }
  }

  /// c[r * stride + column] += the sums.
  OMAR_INLINE void add_to(T* c, std::int64_t stride) const {
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        T* at = c + r * stride + v * Lanes<T>::width;
        (Lanes<T>::load(at) + x[r][v]).store(at);
      }
    }
  }
};

/// Calls body(integral constant) with `rows` in 1..kTileRows.
template <int Rows = kTileRows, class Body>
OMAR_INLINE void with_rows(std::int64_t rows, const Body& body) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return with_rows<Rows - 1>(rows, body);
  }
  body(std::integral_constant<int, Rows>());
}

template <class P, int Distance, int... I>
OMAR_INLINE P fold(P a, P b, std::integer_sequence<int, I...>) {
  constexpr int w = P::width;
  const auto near = __builtin_shufflevector(a.v, b.v, ((I & Distance) == 0 ? I : w + I - Distance)...);
  const auto far = __builtin_shufflevector(a.v, b.v, ((I & Distance) == 0 ? I + Distance : w + I)...);
  return P(typename P::Vector(near + far));
}

/// Lane i of the result is the sum of all lanes of rows[i]; destroys `rows`.
template <class P, int Distance = 1>
OMAR_INLINE P row_sums(P* rows) {
  if constexpr (Distance == P::width) {
    return rows[0];
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < P::width; i += 2 * Distance) {
      rows[i] = fold<P, Distance>(rows[i], rows[i + Distance], std::make_integer_sequence<int, P::width>());
    }
    return row_sums<P, 2 * Distance>(rows);
  }
}

}  // namespace omar::nn::OMAR_LEVEL
