#pragma once
/// Pack<T, W>: W worlds (or columns) side by side, with the arithmetic of one T. Kernels are written once against a
/// generic arithmetic type: Pack on the CPU, plain T in a CUDA thread (the free functions at the end are overloaded for
/// both).

#include <omar/core/host_device.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__SSE2__) && !defined(__CUDACC__)
#include <immintrin.h>
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

template <class T, int W>
struct Pack {
  using Scalar = T;
  static constexpr int width = W;
  using Vector = typename VectorOf<T, W>::type;
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  using BitVector = typename VectorOf<Bits, W>::type;

  /// All bits of a lane set where a comparison holds.
  struct Mask {
    BitVector v;
    friend OMAR_INLINE Mask operator&(Mask a, Mask b) { return {a.v & b.v}; }
    friend OMAR_INLINE Mask operator|(Mask a, Mask b) { return {a.v | b.v}; }
    friend OMAR_INLINE Mask operator!(Mask a) { return {~a.v}; }
    OMAR_INLINE bool operator[](int lane) const { return v[lane] != 0; }
  };

  Vector v;

  Pack() = default;
  OMAR_INLINE Pack(T x) : v(x - Vector{}) {}  // x - 0 is x, also for -0: one broadcast
  OMAR_INLINE explicit Pack(Vector x) : v(x) {}

  static OMAR_INLINE Pack load(const T* p) {
    Pack x;
    std::memcpy(&x.v, p, sizeof(x.v));
    return x;
  }
  OMAR_INLINE void store(T* p) const { std::memcpy(p, &v, sizeof(v)); }
  OMAR_INLINE T operator[](int lane) const { return v[lane]; }
  OMAR_INLINE void set(int lane, T x) { v[lane] = x; }

  friend OMAR_INLINE Pack operator+(Pack a, Pack b) { return Pack(a.v + b.v); }
  friend OMAR_INLINE Pack operator-(Pack a, Pack b) { return Pack(a.v - b.v); }
  friend OMAR_INLINE Pack operator*(Pack a, Pack b) { return Pack(a.v * b.v); }
  friend OMAR_INLINE Pack operator/(Pack a, Pack b) { return Pack(a.v / b.v); }
  friend OMAR_INLINE Pack operator-(Pack a) { return Pack(-a.v); }
  OMAR_INLINE Pack& operator+=(Pack b) {
    v += b.v;
    return *this;
  }
  OMAR_INLINE Pack& operator-=(Pack b) {
    v -= b.v;
    return *this;
  }
  OMAR_INLINE Pack& operator*=(Pack b) {
    v *= b.v;
    return *this;
  }
  friend OMAR_INLINE Mask operator<(Pack a, Pack b) { return {a.v < b.v}; }
  friend OMAR_INLINE Mask operator<=(Pack a, Pack b) { return {a.v <= b.v}; }
  friend OMAR_INLINE Mask operator>(Pack a, Pack b) { return {a.v > b.v}; }
  friend OMAR_INLINE Mask operator>=(Pack a, Pack b) { return {a.v >= b.v}; }
  friend OMAR_INLINE Mask operator==(Pack a, Pack b) { return {a.v == b.v}; }

  friend OMAR_INLINE Pack select(Mask mask, Pack yes, Pack no) { return Pack(mask.v ? yes.v : no.v); }
  friend OMAR_INLINE Pack sqrt_(Pack x) {
    Pack y;
    for (int i = 0; i < W; ++i) y.v[i] = std::sqrt(x.v[i]);  // one vector instruction
    return y;
  }
  /// Does the mask hold in any lane? One instruction where the CPU has one.
  friend OMAR_INLINE bool any(Mask mask) {
    [[maybe_unused]] constexpr int bytes = sizeof(BitVector);
#if defined(__AVX512F__)
    if constexpr (bytes == 64) return _mm512_test_epi64_mask((__m512i)mask.v, (__m512i)mask.v) != 0;
#endif
#if defined(__AVX__)
    if constexpr (bytes == 32) return _mm256_testz_si256((__m256i)mask.v, (__m256i)mask.v) == 0;
#endif
#if defined(__SSE2__)
    if constexpr (bytes == 16) return _mm_movemask_epi8((__m128i)mask.v) != 0;
#endif
    BitVector m = mask.v;
    Bits r = 0;
    for (int i = 0; i < W; ++i) r |= m[i];
    return r != 0;
  }
};
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
