
#include <omar/core/pack.h>

#include <cstring>

#include "bounds_kernels.h"
#include "core/prefetch.h"
#include "core/vector_bytes.h"
#include "particle/scenarios/simple_spread.h"
#include "replay/replay_kernels.h"

namespace omar::bounds::OMAR_LEVEL {
namespace {

constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(float));
constexpr int kChains = 12;  // enough independent sums to hide the latency of two units
constexpr int kSteps = 64;

using Floats = Pack<float, kWidth>;

float fma(std::int64_t repeats) {
  Floats sums[kChains];
  for (auto& sum : sums) sum = Floats(1.0f);
  Floats scale(0.999f);
  const Floats offset(1e-3f);
  for (std::int64_t r = 0; r < repeats; ++r) {
    for (int step = 0; step < kSteps; ++step) {
      for (auto& sum : sums) sum = sum * scale + offset;
      asm volatile("" : "+x"(scale.v));  // keeps the compiler from folding steps together
    }
  }
  float total = 0.0f;
  for (auto& sum : sums) total += sum[0];
  return total;
}

void particle(float* state, const float* actions, float* out, std::int64_t n, std::int64_t agents,
              std::int64_t outputs) {
  using particle::kTimeStep;
  const Floats kept(static_cast<float>(1.0 - particle::kDamping));
  const Floats gain(static_cast<float>(kTimeStep * particle::SimpleSpread<3>::gain(0)));
  const Floats time_step(static_cast<float>(kTimeStep));
  for (std::int64_t a = 0; a < agents; ++a) {
    for (int axis = 0; axis < 2; ++axis) {
      float* p = state + (4 * a + axis) * n;
      float* v = state + (4 * a + 2 + axis) * n;
      const float* u = actions + (2 * a + axis) * n;
      for (std::int64_t i = 0; i < n; i += kWidth) {
        const Floats speed = Floats::load(v + i) * kept + Floats::load(u + i) * gain;
        speed.store(v + i);
        (Floats::load(p + i) + speed * time_step).store(p + i);
      }
    }
  }
  for (std::int64_t o = 0; o < outputs; ++o) {
    const float* from = state + (o % (4 * agents)) * n;
    const float* other = state + ((o + 5) % (4 * agents)) * n;
    for (std::int64_t i = 0; i < n; i += kWidth)
      (Floats::load(from + i) - Floats::load(other + i)).store(out + o * n + i);
  }
}

void gather(const char* table, const std::int64_t* index, char* dst, std::int64_t n, std::int64_t row_bytes) {
  using replay::kRowsAhead;
  const auto fetch = [&](std::int64_t i)
                         __attribute__((always_inline)) { prefetch(table + index[i] * row_bytes, row_bytes); };
  for (std::int64_t i = 0; i < kRowsAhead && i < n; ++i) fetch(i);
  for (std::int64_t i = 0; i < n; ++i) {
    if (i + kRowsAhead < n) fetch(i + kRowsAhead);
    std::memcpy(dst + i * row_bytes, table + index[i] * row_bytes, static_cast<std::size_t>(row_bytes));
  }
}

}  // namespace

Kernels kernels() {
  return Kernels{&fma, static_cast<std::int64_t>(kSteps) * kChains * kWidth * 2, &particle, &gather};
}

}  // namespace omar::bounds::OMAR_LEVEL
