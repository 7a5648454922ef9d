#include "core/draws_kernels.h"
#include "core/draws_lanes.h"

namespace omar::draws::OMAR_LEVEL {
namespace {

constexpr int kLanes = 16;  // Philox blocks drawn together, so that the loops vectorise

constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

/// Lanes are states, so that all of them share sample and dimension.
template <Distribution distribution>
void fill_candidates(const CandidateBlock& block, const CandidateStrides& strides, float* out) {
  for (std::int64_t k = 0; k < block.samples; k += 4) {
    const std::int64_t wanted = least(block.samples - k, 4);
    for (std::int64_t d = 0; d < block.action_size; ++d) {
      const std::uint32_t stream = counter::candidate_stream(block.stream, d);
      for (std::int64_t b = 0; b < block.count; b += kLanes) {
        const auto words = BlockWords<kLanes>::at<Along::draw>(
            block.seed, {counter::candidate_draw(block.first + b, k / 4), block.step, block.member, stream});
        float z[4][kLanes];
        numbers<distribution>(words, z);
        const std::int64_t lanes = least(block.count - b, kLanes);
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

/// Short rows: lanes are rows. Long ones: lanes are the blocks of a row.
template <Distribution distribution>
void fill_rows(const RowBlock& block, float* out) {
  const std::int64_t size = block.end - block.begin;
  const auto first_block = static_cast<std::uint32_t>(block.begin / 4);
  float z[4][kLanes];
  if (size < 4 * kLanes) {
    for (std::int64_t row = 0; row < block.count; row += kLanes) {
      const std::int64_t lanes = least(block.count - row, kLanes);
      for (std::int64_t j = 0; j < size; j += 4) {
        const auto words = BlockWords<kLanes>::at<Along::index>(
            block.seed, {first_block + static_cast<std::uint32_t>(j / 4), block.step,
                         block.first + static_cast<std::uint32_t>(row), block.stream});
        numbers<distribution>(words, z);
        for (std::int64_t n = 0; n < least(size - j, 4); ++n) {
          float* to = out + row * block.stride + j + n;
          for (std::int64_t i = 0; i < lanes; ++i) to[i * block.stride] = z[n][i];
        }
      }
    }
    return;
  }
  for (std::int64_t row = 0; row < block.count; ++row) {
    float* to = out + row * block.stride;
    for (std::int64_t j = 0; j < size; j += 4 * kLanes) {
      const auto words = BlockWords<kLanes>::at<Along::draw>(
          block.seed, {first_block + static_cast<std::uint32_t>(j / 4), block.step,
                       block.first + static_cast<std::uint32_t>(row), block.stream});
      numbers<distribution>(words, z);
      float row_numbers[4 * kLanes];
      for (int i = 0; i < kLanes; ++i) {
        for (int n = 0; n < 4; ++n) row_numbers[4 * i + n] = z[n][i];
      }
      const std::int64_t wanted = least(size - j, 4 * kLanes);
      for (std::int64_t i = 0; i < wanted; ++i) to[j + i] = row_numbers[i];
    }
  }
}

}  // namespace

Kernels kernels() {
  return {[](Distribution distribution, const CandidateBlock& block, const CandidateStrides& strides, float* out) {
            if (distribution == Distribution::normal) return fill_candidates<Distribution::normal>(block, strides, out);
            fill_candidates<Distribution::uniform>(block, strides, out);
          },
          [](Distribution distribution, const RowBlock& block, float* out) {
            if (distribution == Distribution::normal) return fill_rows<Distribution::normal>(block, out);
            fill_rows<Distribution::uniform>(block, out);
          }};
}

}  // namespace omar::draws::OMAR_LEVEL
