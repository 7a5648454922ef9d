#pragma once
/// The operands of the hidden layers' products: what a panel row holds, and the tiles that multiply rows.
///
/// A panel row is kPanel numbers. As T it is stored as it stands. As bfloat16 it is kPanel / 2 words: word c holds
/// number c (low half) and number c + width (high half), so that packing needs no shuffle, and one instruction
/// multiplies two terms of a sum (VDPBF16PS) or a whole block of sums (TDPBF16PS, whose tiles hold such rows as they
/// are).

#include <omar/nn/precision.h>

#include <cstdint>
#include <type_traits>

#include "core/bfloat16.h"
#include "nn/tile.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace omar::nn::OMAR_LEVEL {

/// Element (i, j) at data[i * by_row + j * by_column].
template <class T>
struct Matrix {
  const T* data;
  std::int64_t by_row, by_column, rows, columns;
};

/// Operands of type T.
template <class T>
struct PlainOperands {
  using Element = T;
  static constexpr int kRow = kPanel<T>;   ///< elements of a panel row
  static constexpr int kInterleaved = 1;   ///< rows in one interleaved row
  static constexpr int kRows = kTileRows;  ///< of a tile
  template <int Rows>
  using Tile = OMAR_LEVEL::Tile<T, Rows>;
  /// What the CPU must be told before and after products; lives as long as they go on.
  struct Session {};

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
  /// Adds interleaved rows a, from column `first` of their panel on, times interleaved rows b: a sum over `n` of them.
  template <class Rows>
  static OMAR_INLINE void add_interleaved(Rows& tile, const T* a, std::int64_t first, const T* b, std::int64_t n) {
    tile.add(a + first, 1, kPanel<T>, b, kPanel<T>, n);
  }
};

/// bfloat16 operands, two in a word.
struct PairedOperands {
  using V = Lanes<float>;
  using Element = std::uint32_t;
  typedef std::uint32_t Words __attribute__((vector_size(kVectorBytes)));
  static constexpr int kW = V::width;
  static constexpr int kRow = kW;
  static constexpr int kInterleaved = 2;
  static constexpr int kRows = kTileRows;
  struct Session {};
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
  /// the numbers of rows k and k + width, which are those that a row of operands pairs.
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

  /// Two rows interleaved: word c holds number c of both, for the lower and the higher kW numbers of a panel row.
  struct InterleavedRows {
    Words low, high;
  };
  static OMAR_INLINE InterleavedRows interleaved(const Element* from) {
    const Words first = load_words(from), second = load_words(from + kRow);
    return {(first & ~kHigh) | (second << 16), (first >> 16) | (second & kHigh)};
  }

  /// Interleaves the rows of a panel in pairs: `rows` (even) become rows / 2 of kPanel words.
  static void interleave(const Element* from, Element* to, std::int64_t rows) {
    for (std::int64_t r = 0; r < rows; r += 2, from += 2 * kRow, to += kPanel<float>) {
      const InterleavedRows pair = interleaved(from);
      store_words(to, pair.low);
      store_words(to + kW, pair.high);
    }
  }
  /// As interleave, for the left operands of a product.
  static void interleave_left(const Element* from, Element* to, std::int64_t rows) { interleave(from, to, rows); }
  template <class Rows>
  static OMAR_INLINE void add_interleaved(Rows& tile, const Element* a, std::int64_t first, const Element* b,
                                          std::int64_t n) {
    tile.add(a + first, 1, kPanel<float>, b, kPanel<float>, n);
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

  /// As Tile, with words as operands.
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

#if defined(__AMX_BF16__)
/// Transposes 16 rows of 16 words.
template <int Distance = 1>
OMAR_INLINE void transpose(PairedOperands::Words* rows) {
  if constexpr (Distance < 16) {
    const auto swap = [&]<int... I>(int i, std::integer_sequence<int, I...>) {
      const auto a = rows[i], b = rows[i + Distance];
      rows[i] = __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I : 16 + I - Distance)...);
      rows[i + Distance] = __builtin_shufflevector(a, b, ((I & Distance) == 0 ? I + Distance : 16 + I)...);
    };
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if ((i & Distance) == 0) swap(i, std::make_integer_sequence<int, 16>());
    }
    transpose<2 * Distance>(rows);
  }
}

/// Paired operands, multiplied in the CPU's matrix tiles of 16 rows of 16 words (TDPBF16PS).
struct MatrixOperands : PairedOperands {
  static constexpr int kRows = 32;
  static constexpr std::int64_t kSide = 16;  ///< rows of a matrix tile, and words of its rows
  static_assert(kW == kSide && kPanel<float> == kRows);

  /// A thread's tile registers: all of the same shape.
  struct Session {
    Session() {
      alignas(64) unsigned char shape[64] = {1};  // palette 1
      for (int tile = 0; tile < 8; ++tile) {
        shape[16 + 2 * tile] = 64;  // bytes of a row
        shape[48 + tile] = kSide;   // rows
      }
      barrier();
      _tile_loadconfig(shape);
    }
    ~Session() { _tile_release(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
  };

  /// The compiler does not know what memory tile instructions read and write.
  static OMAR_INLINE void barrier() { asm volatile("" ::: "memory"); }

  /// Left operands, a panel of `rows` rows (whole tiles): of each kRows rows, word k of row c holds number c of the
  /// rows 2 k and 2 k + 1.
  static void interleave_left(const Element* from, Element* to, std::int64_t rows) {
    for (std::int64_t r = 0; r < rows; r += kRows, from += kRows * kRow, to += kRows * kRow) {
      Words low[kSide], high[kSide];
#pragma GCC unroll 16
      for (int k = 0; k < kSide; ++k) low[k] = interleaved(from + 2 * k * kRow).low;
      transpose(low);
      for (int k = 0; k < kSide; ++k) store_words(to + k * kRow, low[k]);
#pragma GCC unroll 16
      for (int k = 0; k < kSide; ++k) high[k] = interleaved(from + 2 * k * kRow).high;
      transpose(high);
      for (int k = 0; k < kSide; ++k) store_words(to + (kSide + k) * kRow, high[k]);
    }
  }
  template <class Rows>
  static OMAR_INLINE void add_interleaved(Rows& tile, const Element* a, std::int64_t, const Element* b,
                                          std::int64_t n) {
    for (std::int64_t k = 0; k < n; k += kSide, a += kRows * kRow, b += kSide * kPanel<float>) {
      tile.add(a, kRow, 1, b, kPanel<float>, kSide);
    }
  }

  /// As OMAR_LEVEL::Tile. There is one set of registers: no two tiles at a time.
  template <int Rows>
  struct Tile {
    static_assert(Rows == kRows);
    V x[kRows][2];
    V left, right;

    OMAR_INLINE void fill(const V& l, const V& r) {
      left = l;
      right = r;
      barrier();
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    /// step = 1, n = kSide.
    OMAR_INLINE void add(const Element* a, std::int64_t row, std::int64_t, const Element* b, std::int64_t stride,
                         std::int64_t) {
      constexpr std::int64_t bytes = sizeof(Element);
      _tile_loadd(6, b, stride * bytes);
      _tile_loadd(7, b + kSide, stride * bytes);
      _tile_loadd(4, a, row * bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_loadd(5, a + kSide * row, row * bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    OMAR_INLINE void store_accumulators() {
      _tile_stored(0, &x[0][0], sizeof(x[0]));
      _tile_stored(1, &x[0][1], sizeof(x[0]));
      _tile_stored(2, &x[kSide][0], sizeof(x[0]));
      _tile_stored(3, &x[kSide][1], sizeof(x[0]));
      barrier();
    }
    OMAR_INLINE PanelRow<float> row(int r) const { return {x[r][0] + left, x[r][1] + right}; }
    OMAR_INLINE void add_to(float* c, std::int64_t stride) const {
      for (int r = 0; r < kRows; ++r, c += stride) {
        const PanelRow<float> sums = row(r);
        PlainOperands<float>::store(c, {V::load(c) + sums.left, V::load(c + kW) + sums.right});
      }
    }
  };
};
using HalfOperands = MatrixOperands;
#else
using HalfOperands = PairedOperands;
#endif

/// bfloat16 is for float alone: products of double stay double.
template <class T, Precision P>
using Operands = std::conditional_t<P == Precision::bf16 && std::is_same_v<T, float>, HalfOperands, PlainOperands<T>>;

/// Rows of a scratch that whole tiles of any operands fill.
constexpr std::int64_t whole_tiles(std::int64_t rows) {
  const std::int64_t plain = round_up(rows, kTileRows), half = round_up(rows, HalfOperands::kRows);
  return plain > half ? plain : half;
}

}  // namespace omar::nn::OMAR_LEVEL
