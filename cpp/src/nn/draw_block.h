#pragma once
/// What a CUDA thread draws: the numbers of one Philox block, at the counters of random_cpu.cpp. Compiles for the host.

#include <omar/core/rng.h>

#include "nn/draw_kernels.h"

namespace omar::nn::OMAR_LEVEL {

/// Blocks of an array: four samples of one state and dimension each.
OMAR_HD OMAR_INLINE std::int64_t block_count(const DrawArgs& args) {
  return args.members * args.batch * ((args.samples + 3) / 4) * args.action_size;
}

/// Four numbers of a Philox block.
template <Law law>
OMAR_HD OMAR_INLINE void block_numbers(const rng::Block& x, float (&z)[4]) {
  if constexpr (law == Law::normal) {
    const rng::NormalPair a = rng::normal_pair(x.x0, x.x1), b = rng::normal_pair(x.x2, x.x3);
    z[0] = a.z0;
    z[1] = a.z1;
    z[2] = b.z0;
    z[3] = b.z1;
  } else {
    z[0] = rng::uniform(x.x0, -1.0f, 1.0f);
    z[1] = rng::uniform(x.x1, -1.0f, 1.0f);
    z[2] = rng::uniform(x.x2, -1.0f, 1.0f);
    z[3] = rng::uniform(x.x3, -1.0f, 1.0f);
  }
}

/// Numbers of block `index`; neighbours have neighbouring dimensions, then samples, then states.
template <Law law>
OMAR_HD OMAR_INLINE void draw_block(const DrawArgs& args, std::int64_t index) {
  const std::int64_t groups = (args.samples + 3) / 4;
  const std::int64_t d = index % args.action_size;
  const std::int64_t group = index / args.action_size % groups;
  const std::int64_t row = index / args.action_size / groups;  // m B + b
  const std::uint32_t step = args.step_at == nullptr ? args.step : static_cast<std::uint32_t>(*args.step_at);
  float z[4];
  block_numbers<law>(rng::words(args.seed, args.stream + (static_cast<std::uint32_t>(d) << 8),
                                static_cast<std::uint32_t>(row / args.batch), step,
                                static_cast<std::uint32_t>(row % args.batch + (group << 24))),
                     z);
  float* const out = args.out + (row * args.samples + group * 4) * args.action_size + d;
  for (int j = 0; j < 4; ++j) {
    if (group * 4 + j < args.samples) out[j * args.action_size] = z[j];
  }
}

}  // namespace omar::nn::OMAR_LEVEL
