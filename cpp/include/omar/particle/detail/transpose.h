#pragma once
/// Between columns (one Pack per number, W worlds side by side) and rows (the numbers of one world, contiguous).

#include <omar/core/pack.h>

#include <utility>

namespace omar::particle::detail::inline OMAR_LEVEL {

/// Transposes inside 16-byte pieces of vectors: `piece` columns at a time.
template <class T, int W>
struct Transpose {
  using V = Pack<T, W>;
  using Vector = typename V::Vector;
  static constexpr int piece = 16 / static_cast<int>(sizeof(T));  ///< numbers in 16 bytes: 4 or 2
  typedef T Piece __attribute__((vector_size(16)));

  /// Takes groups of G numbers from the low (or high) half of each piece of a and b in turn.
  template <int G, int High>
  static OMAR_INLINE Vector unpack(Vector a, Vector b) {
    return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
      return V::Ops::template shuffle<source<G, High>(I)...>(a, b);
    }(std::make_integer_sequence<int, W>());
  }
  template <int G, int High>
  static constexpr int source(int lane) {
    const int in_piece = lane % piece;
    const int group = in_piece / G;  // even groups from a, odd from b
    return lane - in_piece + High * (piece / 2) + (group / 2) * G + in_piece % G + (group % 2) * W;
  }

  /// In place: afterwards piece p of r[q] holds what lane (p * piece + q) of the vectors held, and back again.
  static OMAR_INLINE void pieces(Vector* r) {
    if constexpr (piece == 4) {
      const Vector t0 = unpack<1, 0>(r[0], r[1]);
      const Vector t1 = unpack<1, 1>(r[0], r[1]);
      const Vector t2 = unpack<1, 0>(r[2], r[3]);
      const Vector t3 = unpack<1, 1>(r[2], r[3]);
      r[0] = unpack<2, 0>(t0, t2);
      r[1] = unpack<2, 1>(t0, t2);
      r[2] = unpack<2, 0>(t1, t3);
      r[3] = unpack<2, 1>(t1, t3);
    } else {
      const Vector t0 = unpack<1, 0>(r[0], r[1]);
      r[1] = unpack<1, 1>(r[0], r[1]);
      r[0] = t0;
    }
  }

  static OMAR_INLINE Piece load_piece(const T* from) {
    Piece p;
    std::memcpy(&p, from, sizeof(p));
    return p;
  }

  /// One vector from the pieces at from, from + step, ...
  static OMAR_INLINE Vector gather(const T* from, std::int64_t step) {
    if constexpr (W == piece) {
      return load_piece(from);
    } else {
      using Half = Transpose<T, W / 2>;
      return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        return V::Ops::template shuffle<I...>(Half::gather(from, step),
                                              Half::gather(from + W / 2 / piece * step, step));
      }(std::make_integer_sequence<int, W>());
    }
  }

  /// The pieces of v to to, to + step, ...
  static OMAR_INLINE void scatter(Vector v, T* to, std::int64_t step) {
    if constexpr (W == piece) {
      std::memcpy(to, &v, sizeof(v));
    } else {
      using Half = Transpose<T, W / 2>;
      [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
        Half::scatter(V::Ops::template shuffle<I...>(v, v), to, step);
        Half::scatter(V::Ops::template shuffle<(W / 2 + I)...>(v, v), to + W / 2 / piece * step, step);
      }(std::make_integer_sequence<int, W / 2>());
    }
  }
};

/// Column j of world i goes to rows[i * stride + j].
template <int Columns, class T, int W>
OMAR_INLINE void store_rows(const Pack<T, W>* columns, T* rows, std::int64_t stride) {
  using X = Transpose<T, W>;
  typename X::Vector r[X::piece];
  // 16 bytes of a world at a time: faster than whole vectors, which cross cache lines.
  if constexpr (Columns >= X::piece) {
    for (int at = 0; at < Columns; at += X::piece) {
      const int c = at + X::piece <= Columns ? at : Columns - X::piece;  // the last group may overlap the one before
      for (int q = 0; q < X::piece; ++q) r[q] = columns[c + q].v;
      X::pieces(r);
      for (int q = 0; q < X::piece; ++q) X::scatter(r[q], rows + q * stride + c, X::piece * stride);
    }
  } else {
    for (int i = 0; i < W; ++i) {
      for (int j = 0; j < Columns; ++j) rows[i * stride + j] = columns[j][i];
    }
  }
}

/// The reverse: columns[j] gets rows[i * stride + j] of world i.
template <int Columns, class T, int W>
OMAR_INLINE void load_columns(const T* rows, std::int64_t stride, Pack<T, W>* columns) {
  using X = Transpose<T, W>;
  if constexpr (Columns >= X::piece) {
    for (int at = 0; at < Columns; at += X::piece) {
      const int c = at + X::piece <= Columns ? at : Columns - X::piece;
      typename X::Vector r[X::piece];
      for (int q = 0; q < X::piece; ++q) r[q] = X::gather(rows + q * stride + c, X::piece * stride);
      X::pieces(r);
      for (int q = 0; q < X::piece; ++q) columns[c + q] = Pack<T, W>(r[q]);
    }
  } else {
    for (int j = 0; j < Columns; ++j) {
      T lanes[W];
      for (int i = 0; i < W; ++i) lanes[i] = rows[i * stride + j];
      columns[j] = Pack<T, W>::load(lanes);
    }
  }
}

}  // namespace omar::particle::detail::inline OMAR_LEVEL
