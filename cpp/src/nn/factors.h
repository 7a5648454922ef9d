#pragma once
/// The factors of the hidden layers' products: what a panel row holds, and the tiles that multiply rows.
///
/// A panel row is kPanel numbers. As T it is stored as it stands. As bfloat16 it is kPanel / 2 words: word c holds
/// number c (low half) and number c + width (high half), so that packing needs no shuffle, and one instruction
/// (VDPBF16PS) multiplies two terms of a sum.

#include <omar/nn/precision.h>

#include <cstdint>
#include <type_traits>

#include "core/bfloat16.h"
#include "nn/tile.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace omar::nn::OMAR_LEVEL {

/// A row of two vectors.
template <class T>
struct PanelRow {
  Lanes<T> left, right;
};

/// Element (i, j) at data[i * by_row + j * by_column].
template <class T>
struct Matrix {
  const T* data;
  std::int64_t by_row, by_column, rows, columns;
};

/// Factors as they stand.
template <class T>
struct PlainFactors {
  using Element = T;
  static constexpr int kRow = kPanel<T>;  ///< elements of a panel row
  static constexpr int kTurn = 1;         ///< rows in one turned row
  template <int Rows>
  using Tile = OMAR_LEVEL::Tile<T, Rows>;

  static OMAR_INLINE void store(T* row, const PanelRow<T>& x) {
    x.left.store(row);
    x.right.store(row + Lanes<T>::width);
  }
  static OMAR_INLINE PanelRow<T> load(const T* row) {
    return {Lanes<T>::load(row), Lanes<T>::load(row + Lanes<T>::width)};
  }
  /// Cuts a matrix into panels of `blocks` * kPanel rows, zero where it has none.
  static void pack(const Matrix<T>& from, T* to, std::int64_t blocks) {
    for (std::int64_t j = 0; j < from.columns; j += kPanel<T>) {
      const std::int64_t width = from.columns - j < kPanel<T> ? from.columns - j : kPanel<T>;
      for (std::int64_t k = 0; k < from.rows; ++k) {
        const T* row = from.data + k * from.by_row + j * from.by_column;
        T* out = to + (j * blocks + k) * kPanel<T>;
        for (std::int64_t i = 0; i < width; ++i) out[i] = row[i * from.by_column];
      }
    }
  }
};

/// Two bfloat16 factors in a word, and what multiplies them.
struct PairedFactors {
  using V = Lanes<float>;
  using Element = std::uint32_t;
  typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
  static constexpr int kW = V::width;
  static constexpr int kRow = kW;
  static constexpr int kTurn = 2;
  static constexpr std::uint32_t kHigh = 0xFFFF0000u;

  static OMAR_INLINE Words load_words(const Element* p) {
    Words w;
    std::memcpy(&w, p, sizeof(w));
    return w;
  }
  static OMAR_INLINE void store_words(Element* p, const Words& w) { std::memcpy(p, &w, sizeof(w)); }

  /// bfloat16_bits of each lane.
  static OMAR_INLINE Words rounded(const V& x) {
    const Words bits = (Words)x.v;
    const Words nearest = bits + 0x7FFFu + ((bits >> 16) & 1u);
    return ((x.v == x.v) ? nearest : (bits | 0x00400000u)) & kHigh;
  }

  static OMAR_INLINE Words pair(const V& low, const V& high) {
#if defined(__AVX512BF16__)
    // [low, high] as 32 bfloat16, then interleaved. Subnormal numbers become zero here.
    typedef std::uint16_t Halves __attribute__((vector_size(kVectorBytes)));
    const auto both = (Halves)_mm512_cvtne2ps_pbh((__m512)high.v, (__m512)low.v);
    return (Words)__builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9,
                                          25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
    return (rounded(low) >> 16) | rounded(high);
#endif
  }

  static OMAR_INLINE void store(Element* row, const PanelRow<float>& x) { store_words(row, pair(x.left, x.right)); }
  static OMAR_INLINE PanelRow<float> load(const Element* row) {
    const Words w = load_words(row);
    return {V((V::Vector)(w << 16)), V((V::Vector)(w & kHigh))};
  }

  /// Cuts a matrix into panels of `blocks` * width rows of words, zero where it has none: word (k, j) of a block holds
  /// the numbers of rows k and k + width, which are those that a row of factors pairs.
  static void pack(const Matrix<float>& from, Element* to, std::int64_t blocks) {
    for (std::int64_t j = 0; j < from.columns; j += kPanel<float>) {
      const std::int64_t width = from.columns - j < kPanel<float> ? from.columns - j : kPanel<float>;
      for (std::int64_t k = 0; k < from.rows; ++k) {
        const float* row = from.data + k * from.by_row + j * from.by_column;
        const std::int64_t block = j / kPanel<float> * blocks + k / kPanel<float>, within = k % kPanel<float>;
        Element* out = to + (block * kW + within % kW) * kPanel<float>;
        const int shift = within < kW ? 16 : 0;  // rows of the low half come first, and find zeros
        for (std::int64_t i = 0; i < width; ++i) out[i] |= bfloat16_bits(row[i * from.by_column]) >> shift;
      }
    }
  }

  /// Turns a panel of `rows` rows (even) into rows / 2 rows of kPanel words: word c holds number c of two rows.
  static void turn(const Element* from, Element* to, std::int64_t rows) {
    for (std::int64_t r = 0; r < rows; r += 2, from += 2 * kRow, to += kPanel<float>) {
      const Words first = load_words(from), second = load_words(from + kRow);
      store_words(to, (first & ~kHigh) | (second << 16));
      store_words(to + kW, (first >> 16) | (second & kHigh));
    }
  }

  /// sum + both products of a word with each word.
  static OMAR_INLINE V dot(const V& sum, Element word, const Words& words) {
#if defined(__AVX512BF16__)
    return V((V::Vector)_mm512_dpbf16_ps((__m512)sum.v, (__m512bh)_mm512_set1_epi32(static_cast<int>(word)),
                                         (__m512bh)words));
#else
    const Words factor = word - Words{};
    const V low = sum + V((V::Vector)(factor << 16)) * V((V::Vector)(words << 16));
    return low + V((V::Vector)(factor & kHigh)) * V((V::Vector)(words & kHigh));
#endif
  }

  /// As Tile, with words as factors.
  template <int Rows>
  struct Tile : OMAR_LEVEL::Tile<float, Rows> {
    OMAR_INLINE void add(const Element* a, std::int64_t row, std::int64_t step, const Element* b, std::int64_t stride,
                         std::int64_t n) {
#pragma GCC unroll 2
      for (std::int64_t k = 0; k < n; ++k) {
        const Words left = load_words(b + k * stride), right = load_words(b + k * stride + kW);
#pragma GCC unroll 12
        for (int r = 0; r < Rows; ++r) {
          const Element word = a[r * row + k * step];
          this->x[r][0] = dot(this->x[r][0], word, left);
          this->x[r][1] = dot(this->x[r][1], word, right);
        }
      }
    }
  };
};

/// bfloat16 is for float alone: products of double stay double.
template <class T, Precision P>
using Factors = std::conditional_t<P == Precision::bf16 && std::is_same_v<T, float>, PairedFactors, PlainFactors<T>>;

}  // namespace omar::nn::OMAR_LEVEL
