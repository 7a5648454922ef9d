#pragma once
/// What Pack computes with whole vectors, at the instruction level that their width stands for.

#include <omar/core/host_device.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

// GCC splits the vectors of a function into what the target of that function has, and only then inlines it. A program
// compiles its scenarios for several levels in one file (particle/detail/levels.h): there, operations on wide vectors
// are functions with a target of their own, which end up in the kernels of that target. Clang inlines first.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(OMAR_BUILDING)
#define OMAR_TARGET_OPS 1
#else
#define OMAR_TARGET_OPS 0
#endif
#define OMAR_AVX2_FEATURES "avx,avx2,fma,bmi,bmi2,f16c,lzcnt,movbe"
#define OMAR_AVX512_FEATURES OMAR_AVX2_FEATURES ",avx512f,avx512bw,avx512cd,avx512dq,avx512vl"

namespace omar {
inline namespace OMAR_LEVEL {

// V is a vector, M a mask: integers of the same size, with all bits set or none. x - 0 is x, also for -0: one
// broadcast.
#define OMAR_OPERATIONS(...)                         \
  template <class V, class T>                        \
  __VA_ARGS__ static V broadcast(T x) {              \
    return x - V{};                                  \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static V add(V a, V b) {               \
    return a + b;                                    \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static V subtract(V a, V b) {          \
    return a - b;                                    \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static V multiply(V a, V b) {          \
    return a * b;                                    \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static V divide(V a, V b) {            \
    return a / b;                                    \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static V negative(V a) {               \
    return -a;                                       \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static auto less(V a, V b) {           \
    return a < b;                                    \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static auto less_equal(V a, V b) {     \
    return a <= b;                                   \
  }                                                  \
  template <class V>                                 \
  __VA_ARGS__ static auto equal(V a, V b) {          \
    return a == b;                                   \
  }                                                  \
  template <class M>                                 \
  __VA_ARGS__ static M both(M a, M b) {              \
    return a & b;                                    \
  }                                                  \
  template <class M>                                 \
  __VA_ARGS__ static M either(M a, M b) {            \
    return a | b;                                    \
  }                                                  \
  template <class M>                                 \
  __VA_ARGS__ static M inverse(M a) {                \
    return ~a;                                       \
  }                                                  \
  template <class M, class V>                        \
  __VA_ARGS__ static V choose(M mask, V yes, V no) { \
    return mask ? yes : no;                          \
  }                                                  \
  template <int... Lanes, class V>                   \
  __VA_ARGS__ static auto shuffle(V a, V b) {        \
    return __builtin_shufflevector(a, b, Lanes...);  \
  }

/// Operations on vectors of `Bytes` bytes.
template <int Bytes>
struct VectorOps {
  static constexpr bool targeted = false;  ///< with a target of its own, and `root` and `any` beside the others
  OMAR_OPERATIONS(OMAR_INLINE)
};

#if OMAR_TARGET_OPS
template <>
struct VectorOps<32> {
#define OMAR_AVX2 __attribute__((target(OMAR_AVX2_FEATURES))) inline
  static constexpr bool targeted = true;
  OMAR_OPERATIONS(OMAR_AVX2)
  template <class V>
  OMAR_AVX2 static V root(V a) {
    if constexpr (sizeof(a[0]) == 4) return (V)_mm256_sqrt_ps((__m256)a);
    return (V)_mm256_sqrt_pd((__m256d)a);
  }
  template <class M>
  OMAR_AVX2 static bool any(M a) {
    return _mm256_testz_si256((__m256i)a, (__m256i)a) == 0;
  }
#undef OMAR_AVX2
};

template <>
struct VectorOps<64> {
#define OMAR_AVX512 __attribute__((target(OMAR_AVX512_FEATURES))) inline
  static constexpr bool targeted = true;
  OMAR_OPERATIONS(OMAR_AVX512)
  template <class V>
  OMAR_AVX512 static V root(V a) {  // masked by nothing: GCC 12 warns of the other intrinsic's undefined operand
    if constexpr (sizeof(a[0]) == 4) return (V)_mm512_maskz_sqrt_ps(0xffff, (__m512)a);
    return (V)_mm512_maskz_sqrt_pd(0xff, (__m512d)a);
  }
  template <class M>
  OMAR_AVX512 static bool any(M a) {
    return _mm512_test_epi64_mask((__m512i)a, (__m512i)a) != 0;
  }
#undef OMAR_AVX512
};
#endif  // OMAR_TARGET_OPS
#undef OMAR_OPERATIONS

}  // namespace OMAR_LEVEL
}  // namespace omar
