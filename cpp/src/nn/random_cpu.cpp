#include "nn/random.h"

#include <omar/core/rng.h>

#include "core/word_lanes.h"

namespace omar::nn::OMAR_LEVEL {
namespace {

constexpr int kLanes = 16;  // Philox blocks drawn together, so that the loops vectorise

struct Words {
  std::uint32_t x0[kLanes], x1[kLanes], x2[kLanes], x3[kLanes];
};

struct Normal {
  static OMAR_INLINE void numbers(const Words& w, float (&z)[4][kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      const rng::NormalPair a = rng::normal_pair(w.x0[i], w.x1[i]);
      z[0][i] = a.z0;
      z[1][i] = a.z1;
    }
    for (int i = 0; i < kLanes; ++i) {
      const rng::NormalPair b = rng::normal_pair(w.x2[i], w.x3[i]);
      z[2][i] = b.z0;
      z[3][i] = b.z1;
    }
  }
};

struct Uniform {
  static OMAR_INLINE void numbers(const Words& w, float (&z)[4][kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      z[0][i] = rng::uniform(w.x0[i], -1.0f, 1.0f);
      z[1][i] = rng::uniform(w.x1[i], -1.0f, 1.0f);
      z[2][i] = rng::uniform(w.x2[i], -1.0f, 1.0f);
      z[3][i] = rng::uniform(w.x3[i], -1.0f, 1.0f);
    }
  }
};

/// Lanes are states, so that all of them share sample and dimension.
template <class Law>
void fill(const CandidateBlock& block, const CandidateStrides& strides, float* out) {
  for (std::int64_t k = 0; k < block.samples; k += 4) {
    const std::int64_t wanted = block.samples - k < 4 ? block.samples - k : 4;
    for (std::int64_t d = 0; d < block.action_size; ++d) {
      const std::uint32_t stream = block.stream + (static_cast<std::uint32_t>(d) << 8);
      for (std::int64_t b = 0; b < block.count; b += kLanes) {
        const std::uint32_t draw =
            block.first + static_cast<std::uint32_t>(b) + (static_cast<std::uint32_t>(k / 4) << 24);
        Words w;
        for (int i = 0; i < kLanes; i += WordLanes::width) {
          const rng::BlockOf<WordLanes> counter{WordLanes::from(draw + static_cast<std::uint32_t>(i)),
                                                WordLanes(block.step), WordLanes(block.member), WordLanes(stream)};
          const rng::BlockOf<WordLanes> x = rng::philox(counter, block.seed);
          x.x0.store(w.x0 + i);
          x.x1.store(w.x1 + i);
          x.x2.store(w.x2 + i);
          x.x3.store(w.x3 + i);
        }
        float z[4][kLanes];
        Law::numbers(w, z);
        const std::int64_t lanes = block.count - b < kLanes ? block.count - b : kLanes;
        float* to = out + b * strides.state + k * strides.sample + d * strides.dimension;
        for (std::int64_t j = 0; j < wanted; ++j, to += strides.sample) {
          if (strides.state == 1) {
            for (std::int64_t i = 0; i < lanes; ++i) to[i] = z[j][i];
          } else {
            for (std::int64_t i = 0; i < lanes; ++i) to[i * strides.state] = z[j][i];
          }
        }
      }
    }
  }
}

}  // namespace

RandomKernels random_kernels() { return {fill<Normal>, fill<Uniform>}; }

}  // namespace omar::nn::OMAR_LEVEL
