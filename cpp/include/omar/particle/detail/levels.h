#pragma once
/// The kernels of a scenario at several instruction levels in one source file, whatever the compiler was asked for:
/// each level is a function with a target of its own, into which everything is inlined.

// As in pack.h; Clang warns at the place of a call, which may be in these headers.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#include <omar/particle/detail/kernels.h>
#include <omar/particle/detail/rollout.h>

#include <cstddef>

// Without optimisation nothing is inlined into a function with a target: then there is one level. So there is under
// AddressSanitizer, whose checks of every access take GCC minutes to compile at each further one.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OMAR_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define OMAR_SANITIZED
#endif
#if defined(__x86_64__) && defined(__OPTIMIZE__) && !defined(OMAR_SANITIZED)
#define OMAR_TARGET_LEVELS 1
#if defined(__clang__)
#define OMAR_TARGET(bytes, features) __attribute__((target(features), flatten, min_vector_width(8 * bytes)))
#else  // the arithmetic is the same at every level: no fused multiply-add
#define OMAR_TARGET(bytes, features) __attribute__((target(features), flatten, optimize("O3", "fp-contract=off")))
#endif
#else
#define OMAR_TARGET_LEVELS 0
#endif

namespace omar::particle::detail {

inline constexpr std::size_t kLevelCount = 3;  ///< base, avx2, avx512

/// Kernels of a scenario from outside the library: float32 and float64 of each level, in rising order.
struct LevelKernels {
  std::size_t count;  ///< of levels: 1 to all
  Kernels at[kLevelCount][2];
};

inline namespace OMAR_LEVEL {

// OMAR_LEVEL_OF(type, bytes, attributes): kernels of one level with vectors of `bytes` bytes.
#define OMAR_LEVEL_OF(type, bytes, ...)                                                                 \
  template <class S, class T>                                                                           \
  struct type {                                                                                         \
    __VA_ARGS__ static void step(const WorldArgs& args, std::int64_t begin, std::int64_t end) {         \
      step_blocks<S, T, bytes>(args, begin, end);                                                       \
    }                                                                                                   \
    __VA_ARGS__ static void start(const WorldArgs& args, std::int64_t begin, std::int64_t end) {        \
      start_blocks<S, T, bytes>(args, begin, end);                                                      \
    }                                                                                                   \
    __VA_ARGS__ static void observe(const WorldArgs& args, std::int64_t begin, std::int64_t end) {      \
      observe_blocks<S, T, bytes>(args, begin, end);                                                    \
    }                                                                                                   \
    __VA_ARGS__ static void rollout(const WorldArgs& args, const RolloutArgs& what, std::int64_t begin, \
                                    std::int64_t end, float* scratch) {                                 \
      rollout_blocks<S, bytes>(args, what, begin, end, scratch);                                        \
    }                                                                                                   \
  };
#if OMAR_TARGET_LEVELS
OMAR_LEVEL_OF(AtBase, 16, OMAR_TARGET(16, "sse2"))
OMAR_LEVEL_OF(AtAvx2, 32, OMAR_TARGET(32, OMAR_AVX2_FEATURES))
OMAR_LEVEL_OF(AtAvx512, 64, OMAR_TARGET(64, OMAR_AVX512_FEATURES))
#else
OMAR_LEVEL_OF(AtBase, 16, )
#endif
#undef OMAR_LEVEL_OF

template <class S, template <class, class> class Level>
constexpr Kernels level_kernels(bool single) {
  if (single) {
    using L = Level<S, float>;
    return {scenario_info<S>(""), true, L::step, L::start, L::observe, L::rollout};
  }
  using L = Level<S, double>;
  return {scenario_info<S>(""), false, L::step, L::start, L::observe, nullptr};
}

template <class S>
LevelKernels all_levels() {
  LevelKernels all{};
  const auto add = [&](const Kernels& single, const Kernels& wide) {
    all.at[all.count][0] = single;
    all.at[all.count++][1] = wide;
  };
  add(level_kernels<S, AtBase>(true), level_kernels<S, AtBase>(false));
#if OMAR_TARGET_LEVELS
  add(level_kernels<S, AtAvx2>(true), level_kernels<S, AtAvx2>(false));
  add(level_kernels<S, AtAvx512>(true), level_kernels<S, AtAvx512>(false));
#endif
  return all;
}

}  // namespace OMAR_LEVEL
}  // namespace omar::particle::detail
