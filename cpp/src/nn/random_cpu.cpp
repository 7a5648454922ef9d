#include "nn/random.h"

#include <omar/core/rng.h>

namespace omar::nn::OMAR_LEVEL {
namespace {

constexpr int kLanes = 16;  // Philox blocks drawn together, so that the loops vectorise

struct Words {
  std::uint32_t x0[kLanes], x1[kLanes], x2[kLanes], x3[kLanes];
};

struct Counters {
  std::uint32_t draw[kLanes], stream[kLanes];
  float* out[kLanes];
  int samples[kLanes];  // 1..4 of the block's numbers are wanted
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

template <class Law>
void flush(const CandidateBlock& block, const Counters& c, int lanes) {
  Words w;
  for (int i = 0; i < kLanes; ++i) {
    const rng::Block b = rng::words(block.seed, c.stream[i], block.member, block.step, c.draw[i]);
    w.x0[i] = b.x0;
    w.x1[i] = b.x1;
    w.x2[i] = b.x2;
    w.x3[i] = b.x3;
  }
  float z[4][kLanes];
  Law::numbers(w, z);
  for (int i = 0; i < lanes; ++i) {
    for (int j = 0; j < c.samples[i]; ++j) c.out[i][j * block.action_size] = z[j][i];
  }
}

template <class Law>
void fill(const CandidateBlock& block, float* out) {
  Counters c{};
  int lanes = 0;
  for (std::int64_t b = 0; b < block.count; ++b) {
    for (std::int64_t k = 0; k < block.samples; k += 4) {
      for (std::int64_t d = 0; d < block.action_size; ++d) {
        c.draw[lanes] = (block.first + static_cast<std::uint32_t>(b)) + (static_cast<std::uint32_t>(k / 4) << 24);
        c.stream[lanes] = block.stream + (static_cast<std::uint32_t>(d) << 8);
        c.out[lanes] = out + (b * block.samples + k) * block.action_size + d;
        c.samples[lanes] = block.samples - k < 4 ? static_cast<int>(block.samples - k) : 4;
        if (++lanes == kLanes) {
          flush<Law>(block, c, lanes);
          lanes = 0;
        }
      }
    }
  }
  if (lanes > 0) flush<Law>(block, c, lanes);
}

}  // namespace

RandomKernels random_kernels() { return {fill<Normal>, fill<Uniform>}; }

}  // namespace omar::nn::OMAR_LEVEL
