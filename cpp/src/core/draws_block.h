#pragma once
/// What a CUDA thread draws: the numbers of one Philox block, at the counters of draws_cpu.cpp. Compiles for the host.

#include <omar/core/rng.h>

#include <limits>

#include "core/draws_kernels.h"

namespace omar::draws::OMAR_LEVEL {

/// Four numbers of the block at `counter`, whose step is the key's.
template <Distribution distribution>
OMAR_HD OMAR_INLINE void block_numbers(const ArrayKey& key, Counter<std::uint32_t> counter, float (&z)[4]) {
  const std::int64_t step = key.step_at == nullptr ? key.step : *key.step_at;
  if (step < 0 || step >= counter::kSteps) {
    for (float& number : z) number = std::numeric_limits<float>::quiet_NaN();
    return;
  }
  counter.step = static_cast<std::uint32_t>(step);
  const rng::Block x = rng::words(key.seed, counter);
  if constexpr (distribution == Distribution::normal) {
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

OMAR_HD OMAR_INLINE std::int64_t blocks_of(std::int64_t numbers) {
  return (numbers + counter::kPerBlock - 1) / counter::kPerBlock;
}

/// Blocks of an array: four samples of one state and dimension each.
OMAR_HD OMAR_INLINE std::int64_t block_count(const CandidateArray& array) {
  return array.members * array.batch * blocks_of(array.samples) * array.action_size;
}

/// Blocks of an array: four neighbouring numbers of a row each.
OMAR_HD OMAR_INLINE std::int64_t block_count(const RowArray& array) { return array.rows * blocks_of(array.numbers); }

/// Numbers of block `index`; neighbours have neighbouring dimensions, then samples, then states.
template <Distribution distribution>
OMAR_HD OMAR_INLINE void draw_block(const CandidateArray& array, std::int64_t index) {
  const std::int64_t blocks = blocks_of(array.samples);
  const std::int64_t d = index % array.action_size;
  const std::int64_t block = index / array.action_size % blocks;
  const std::int64_t row = index / array.action_size / blocks;  // m B + b
  float z[4];
  block_numbers<distribution>(
      array.key,
      {counter::candidate_draw(row % array.batch, block), 0, static_cast<std::uint32_t>(row / array.batch),
       counter::candidate_stream(array.key.stream, d)},
      z);
  float* const out = array.out + (row * array.samples + block * 4) * array.action_size + d;
  for (int j = 0; j < 4; ++j) {
    if (block * 4 + j < array.samples) out[j * array.action_size] = z[j];
  }
}

/// Numbers of block `index`; neighbours have neighbouring numbers, then rows.
template <Distribution distribution>
OMAR_HD OMAR_INLINE void draw_block(const RowArray& array, std::int64_t index) {
  const std::int64_t blocks = blocks_of(array.numbers);
  const std::int64_t row = index / blocks, block = index % blocks;
  float z[4];
  block_numbers<distribution>(
      array.key, {static_cast<std::uint32_t>(block), 0, static_cast<std::uint32_t>(row), array.key.stream}, z);
  float* const out = array.out + row * array.numbers + block * 4;
  for (int j = 0; j < 4; ++j) {
    if (block * 4 + j < array.numbers) out[j] = z[j];
  }
}

}  // namespace omar::draws::OMAR_LEVEL
