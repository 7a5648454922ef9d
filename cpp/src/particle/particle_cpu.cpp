/// CPU kernels of the particle worlds at the vectors' width of this instruction level. Compiled once per level.

#include <omar/particle/detail/kernels.h>

#include <bit>
#include <cstring>
#include <limits>

#include "core/vector_bytes.h"
#include "particle/kernels.h"
#include "particle/scenarios/scenarios.h"

namespace omar::particle::cpu::OMAR_LEVEL {
namespace {

template <class S, class T>
void step(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  step_blocks<S, T, kVectorBytes>(args, begin, end);
}
template <class S, class T>
void start(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  start_blocks<S, T, kVectorBytes>(args, begin, end);
}
template <class S, class T>
void observe(const WorldArgs& args, std::int64_t begin, std::int64_t end) {
  observe_blocks<S, T, kVectorBytes>(args, begin, end);
}

/// Compares bits: the magnitudes of floating-point numbers are ordered as integers, infinity and NaN above all others.
template <class T>
bool all_within(const void* numbers, std::int64_t count, double limit) {
  using V = Pack<T, kVectorBytes / static_cast<int>(sizeof(T))>;
  using Bits = typename V::Bits;
  using BitVector = typename V::BitVector;
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max();
  const T* x = static_cast<const T*>(numbers);
  const T most = static_cast<T>(limit);
  BitVector largest[4] = {};
  std::int64_t i = 0;
  for (; i + 4 * V::width <= count; i += 4 * V::width) {
    for (int j = 0; j < 4; ++j) {
      const BitVector bits = (BitVector)V::load(x + i + j * V::width).v & kMagnitude;
      largest[j] = bits > largest[j] ? bits : largest[j];
    }
  }
  Bits top = 0;
  for (const BitVector& bits : largest) {
    for (int lane = 0; lane < V::width; ++lane) top = bits[lane] > top ? bits[lane] : top;
  }
  for (; i < count; ++i) {
    const Bits bits = std::bit_cast<Bits>(x[i]) & kMagnitude;
    top = bits > top ? bits : top;
  }
  return top <= std::bit_cast<Bits>(most);
}

template <class T>
void draw_units(std::uint64_t seed, std::uint32_t world, const std::uint32_t* episodes, std::uint32_t draw, void* out) {
  constexpr int width = kVectorBytes / static_cast<int>(sizeof(T));
  T lanes[4][width];
  for (int i = 0; i < width; ++i) {
    T one[4];
    unit_draws(seed, world + static_cast<std::uint32_t>(i), episodes + i, draw, one);
    for (int j = 0; j < 4; ++j) lanes[j][i] = one[j];
  }
  std::memcpy(out, lanes, sizeof(lanes));
}

/// Without the rollout, which rollout_cpu.cpp has.
template <class S, class T>
constexpr Kernels make_kernels() {
  return {scenario_info<S>(S::name), sizeof(T) == 4, step<S, T>, start<S, T>, observe<S, T>, nullptr};
}

constexpr Kernels kKernels[] = {
#define OMAR_SCENARIO(...) make_kernels<__VA_ARGS__, float>(), make_kernels<__VA_ARGS__, double>(),
#include "particle/scenarios/scenarios.def"
#undef OMAR_SCENARIO
};

}  // namespace

KernelTable kernels() {
  return {kKernels,          kKernels + sizeof(kKernels) / sizeof(kKernels[0]),
          all_within<float>, all_within<double>,
          draw_units<float>, draw_units<double>};
}

}  // namespace omar::particle::cpu::OMAR_LEVEL
