#pragma once
/// Pack<T, W>: W worlds (or columns) side by side, with the arithmetic of one T. Kernels are written once against a
/// generic arithmetic type: Pack on the CPU, plain T in a CUDA thread. Both have + - * /, comparisons that give a mask,
/// sqrt_(x), min_(a, b), max_(a, b), select(mask, yes, no) and any(mask).

#include <omar/core/host_device.h>
#if !defined(__CUDACC__)
#include <omar/core/detail/vector_ops.h>
#endif

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Functions of vectors are inlined wherever they are called from: none is passed between functions of different
// targets. That is what -Wpsabi warns of, far from here: the scenarios that programs bring need it off as well.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace omar {
inline namespace OMAR_LEVEL {

// ---- one lane: plain scalars, on host and device -------------------------------------------------------------------

template <class T>
  requires std::is_floating_point_v<T>
OMAR_HD OMAR_INLINE T select(bool mask, T yes, T no) {
  return mask ? yes : no;
}
OMAR_HD OMAR_INLINE float sqrt_(float x) { return ::sqrtf(x); }
OMAR_HD OMAR_INLINE double sqrt_(double x) { return ::sqrt(x); }
OMAR_HD OMAR_INLINE bool any(bool mask) { return mask; }
/// Neither NaN nor infinite.
template <class T>
  requires std::is_floating_point_v<T>
OMAR_HD OMAR_INLINE bool finite(T x) {
  return x - x == T(0);
}

#if !defined(__CUDACC__)
#if !defined(__GNUC__)
#error "omar's CPU kernels need the vector extensions of GCC or Clang"
#endif

// ---- W lanes: GCC and Clang vector extensions ----------------------------------------------------------------------

/// A vector of W values of T; a struct of its own, since GCC ignores the attribute on a dependent alias inside Pack.
template <class T, int W>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * W)));
};

/// The same in 16-byte pieces.
template <class T, int W>
struct Pieces {
  static constexpr int count = static_cast<int>(sizeof(T)) * W / 16;
  using Vector = typename VectorOf<T, 16 / static_cast<int>(sizeof(T))>::type;
  Vector v[count];
};

/// What a comparison of W values of T gives: all bits of a lane are set where it holds.
template <class T, int W>
struct PackMask {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  using BitVector = typename VectorOf<Bits, W>::type;
  using Ops = VectorOps<sizeof(BitVector)>;

  BitVector v;

  friend OMAR_INLINE PackMask operator&(PackMask a, PackMask b) { return {Ops::both(a.v, b.v)}; }
  friend OMAR_INLINE PackMask operator|(PackMask a, PackMask b) { return {Ops::either(a.v, b.v)}; }
  friend OMAR_INLINE PackMask operator!(PackMask a) { return {Ops::inverse(a.v)}; }
  OMAR_INLINE bool operator[](int lane) const { return v[lane] != 0; }
};

template <class T, int W>
struct Pack {
  using Scalar = T;
  static constexpr int width = W;
  using Vector = typename VectorOf<T, W>::type;
  using Mask = PackMask<T, W>;
  using Bits = typename Mask::Bits;
  using BitVector = typename Mask::BitVector;
  using Ops = VectorOps<sizeof(Vector)>;

  Vector v;

  Pack() = default;
  OMAR_INLINE Pack(T x) : v(Ops::template broadcast<Vector>(x)) {}
  OMAR_INLINE explicit Pack(Vector x) : v(x) {}

  static OMAR_INLINE Pack load(const T* p) {
    Pack x;
    std::memcpy(&x.v, p, sizeof(x.v));
    return x;
  }
  OMAR_INLINE void store(T* p) const { std::memcpy(p, &v, sizeof(v)); }
  OMAR_INLINE Pieces<T, W> pieces() const {
    Pieces<T, W> p;
    std::memcpy(&p, &v, sizeof(v));
    return p;
  }
  OMAR_INLINE T operator[](int lane) const { return v[lane]; }
  OMAR_INLINE void set(int lane, T x) { v[lane] = x; }

  friend OMAR_INLINE Pack operator+(Pack a, Pack b) { return Pack(Ops::add(a.v, b.v)); }
  friend OMAR_INLINE Pack operator-(Pack a, Pack b) { return Pack(Ops::subtract(a.v, b.v)); }
  friend OMAR_INLINE Pack operator*(Pack a, Pack b) { return Pack(Ops::multiply(a.v, b.v)); }
  friend OMAR_INLINE Pack operator/(Pack a, Pack b) { return Pack(Ops::divide(a.v, b.v)); }
  friend OMAR_INLINE Pack operator-(Pack a) { return Pack(Ops::negative(a.v)); }
  OMAR_INLINE Pack& operator+=(Pack b) { return *this = *this + b; }
  OMAR_INLINE Pack& operator-=(Pack b) { return *this = *this - b; }
  OMAR_INLINE Pack& operator*=(Pack b) { return *this = *this * b; }
  friend OMAR_INLINE Mask operator<(Pack a, Pack b) { return {Ops::less(a.v, b.v)}; }
  friend OMAR_INLINE Mask operator<=(Pack a, Pack b) { return {Ops::less_equal(a.v, b.v)}; }
  friend OMAR_INLINE Mask operator>(Pack a, Pack b) { return b < a; }
  friend OMAR_INLINE Mask operator>=(Pack a, Pack b) { return b <= a; }
  friend OMAR_INLINE Mask operator==(Pack a, Pack b) { return {Ops::equal(a.v, b.v)}; }
};

template <class T, int W>
OMAR_INLINE Pack<T, W> select(PackMask<T, W> mask, Pack<T, W> yes, Pack<T, W> no) {
  return Pack<T, W>(VectorOps<sizeof(yes.v)>::choose(mask.v, yes.v, no.v));
}

template <class T, int W>
OMAR_INLINE Pack<T, W> sqrt_(Pack<T, W> x) {
  using Ops = VectorOps<sizeof(x.v)>;
  if constexpr (Ops::targeted) {
    return Pack<T, W>(Ops::root(x.v));
  } else {
    Pack<T, W> y;
#if defined(__NO_MATH_ERRNO__) || !defined(__SSE2__)
    for (int i = 0; i < W; ++i) y.v[i] = std::sqrt(x.v[i]);  // one vector instruction
#else  // where std::sqrt may have to set errno, the compiler would call it number by number
    using Parts = Pieces<T, W>;
    const Parts from = x.pieces();
    Parts to;
    for (int i = 0; i < Parts::count; ++i) {
      if constexpr (sizeof(T) == 4) {
        to.v[i] = (typename Parts::Vector)_mm_sqrt_ps((__m128)from.v[i]);
      } else {
        to.v[i] = (typename Parts::Vector)_mm_sqrt_pd((__m128d)from.v[i]);
      }
    }
    std::memcpy(&y.v, &to, sizeof(y.v));
#endif
    return y;
  }
}

/// Does the mask hold in any lane? One instruction where the CPU has one.
template <class T, int W>
OMAR_INLINE bool any(PackMask<T, W> mask) {
  using Ops = VectorOps<sizeof(mask.v)>;
  if constexpr (Ops::targeted) {
    return Ops::any(mask.v);
  } else {
    [[maybe_unused]] constexpr int bytes = sizeof(mask.v);
#if defined(__AVX512F__)
    if constexpr (bytes == 64) return _mm512_test_epi64_mask((__m512i)mask.v, (__m512i)mask.v) != 0;
#endif
#if defined(__AVX__)
    if constexpr (bytes == 32) return _mm256_testz_si256((__m256i)mask.v, (__m256i)mask.v) == 0;
#endif
#if defined(__SSE2__)
    if constexpr (bytes >= 16) {
      const auto from = std::bit_cast<Pieces<T, W>>(mask.v);
      __m128i either = (__m128i)from.v[0];
      for (int i = 1; i < Pieces<T, W>::count; ++i) either = _mm_or_si128(either, (__m128i)from.v[i]);
      return _mm_movemask_epi8(either) != 0;
    }
#endif
    typename PackMask<T, W>::Bits r = 0;
    for (int i = 0; i < W; ++i) r |= mask.v[i];
    return r != 0;
  }
}
#endif  // !__CUDACC__

// ---- both ----------------------------------------------------------------------------------------------------------

/// The smaller one; `b` where `a` is NaN (as x86's vminps orders it).
template <class T>
OMAR_HD OMAR_INLINE T min_(T a, T b) {
  return select(a < b, a, b);
}
/// The larger one; `b` where `a` is NaN.
template <class T>
OMAR_HD OMAR_INLINE T max_(T a, T b) {
  return select(a > b, a, b);
}

}  // namespace OMAR_LEVEL
}  // namespace omar
