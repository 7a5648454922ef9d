// The numbers of CUDA threads, drawn on the host, against the CPU's kernels.

#include <omar/cem/cem.h>
#include <omar/core/draws.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "core/draws_block.h"

namespace omar::nn {
namespace {

constexpr std::uint64_t kSeed = (std::uint64_t{1} << 50) + 3;
constexpr std::int64_t kStep = 4'000'000'001;  // more than 31 bits

/// K and A that fill their groups of four and that do not.
const std::vector<std::vector<int64_t>> kSizes = {{3, 70, 10, 2}, {2, 5, 4, 1}, {1, 17, 1, 3}, {2, 3, 1024, 2}};

using draws::Distribution;

template <Distribution distribution>
at::Tensor drawn_by_blocks(const at::Tensor& like, std::uint32_t stream, std::int64_t step,
                           const std::int64_t* step_at) {
  at::Tensor out = at::full_like(like, std::numeric_limits<double>::quiet_NaN());
  const draws::CandidateArray array{{kSeed, static_cast<std::uint32_t>(step), step_at, stream},
                                    like.size(0),
                                    like.size(1),
                                    like.size(2),
                                    like.size(3),
                                    out.mutable_data_ptr<float>()};
  for (std::int64_t i = draws::OMAR_LEVEL::block_count(array); i-- > 0;)
    draws::OMAR_LEVEL::draw_block<distribution>(array, i);
  return out;
}

TEST(DrawBlock, UniformsAreThoseOfTheCpuBitForBit) {
  constexpr auto stream = static_cast<std::uint32_t>(Stream::candidates);
  for (const auto& sizes : kSizes) {
    const at::Tensor expected = uniform_candidates(sizes, {kSeed, kStep}, at::kFloat).actions;
    EXPECT_TRUE(at::equal(drawn_by_blocks<Distribution::uniform>(expected, stream, kStep, nullptr), expected)) << sizes;
  }
}

TEST(DrawBlock, NormalsAreThoseOfTheCpu) {
  constexpr auto stream = static_cast<std::uint32_t>(Stream::cem) + 2;
  for (const auto& sizes : kSizes) {
    const at::Tensor expected = cem::normals(sizes, {kSeed, kStep}, 2);
    EXPECT_TRUE(
        at::allclose(drawn_by_blocks<Distribution::normal>(expected, stream, kStep, nullptr), expected, 1e-6, 1e-6))
        << sizes;
  }
}

TEST(DrawBlock, ReadsItsStepFromMemory) {
  constexpr auto stream = static_cast<std::uint32_t>(Stream::candidates);
  std::int64_t step = 0;
  for (step = 5; step < 7; ++step) {
    const at::Tensor expected = uniform_candidates(kSizes[0], {kSeed, step}, at::kFloat).actions;
    EXPECT_TRUE(at::equal(drawn_by_blocks<Distribution::uniform>(expected, stream, 0, &step), expected)) << step;
  }
}

template <Distribution distribution>
at::Tensor rows_by_blocks(const at::Tensor& like, std::uint32_t stream, const std::int64_t* step_at = nullptr) {
  at::Tensor out = at::full_like(like, std::numeric_limits<double>::quiet_NaN());
  const draws::RowArray array{{kSeed, static_cast<std::uint32_t>(kStep), step_at, stream},
                              like.size(0),
                              like.numel() / like.size(0),
                              out.mutable_data_ptr<float>()};
  for (std::int64_t i = draws::OMAR_LEVEL::block_count(array); i-- > 0;) {
    draws::OMAR_LEVEL::draw_block<distribution>(array, i);
  }
  return out;
}

TEST(DrawBlock, RowsAreThoseOfTheCpu) {
  const std::vector<std::vector<int64_t>> sizes = {{70, 3, 2}, {17, 1}, {3, 1001}, {1, 9000}};
  for (const auto& size : sizes) {
    const at::Tensor uniform = draws::uniform(size, {kSeed, kStep}, Stream::uniform_actions, at::kFloat);
    const auto stream = [](Stream purpose) { return static_cast<std::uint32_t>(purpose); };
    EXPECT_TRUE(at::equal(rows_by_blocks<Distribution::uniform>(uniform, stream(Stream::uniform_actions)), uniform))
        << size;
    const at::Tensor normal = draws::normal(size, {kSeed, kStep}, Stream::exploration, at::kFloat);
    const at::Tensor ours = rows_by_blocks<Distribution::normal>(normal, stream(Stream::exploration));
    EXPECT_TRUE(at::allclose(ours, normal, 1e-6, 1e-6)) << size;
  }
}

TEST(DrawBlock, AStepOutOfRangeGivesNan) {
  const at::Tensor like = at::zeros({3, 5, 4, 2}, at::kFloat);
  constexpr auto stream = static_cast<std::uint32_t>(Stream::candidates);
  for (const std::int64_t step : {std::int64_t{-1}, counter::kSteps}) {
    EXPECT_TRUE(drawn_by_blocks<Distribution::uniform>(like, stream, 0, &step).isnan().all().item<bool>()) << step;
    EXPECT_TRUE(rows_by_blocks<Distribution::normal>(like, stream, &step).isnan().all().item<bool>()) << step;
  }
}

TEST(Draw, RefusesAStepOutOfRange) {
  for (const std::int64_t step : {std::int64_t{-1}, counter::kSteps}) {
    EXPECT_THROW(draws::uniform({3}, {kSeed, step}, Stream::uniform_actions, at::kFloat), c10::ValueError) << step;
    EXPECT_THROW(cem::normals(kSizes[0], {kSeed, step}, 0), c10::ValueError) << step;
    EXPECT_THROW(cem::normals(kSizes[0], {kSeed, 0, at::scalar_tensor(step, at::kLong)}, 0), c10::ValueError) << step;
  }
}

/// The limits are those of the words, and the streams of rounds, sets and dimensions do not meet.
TEST(Counter, Reaches) {
  EXPECT_EQ(counter::kSteps, 4'294'967'296);
  EXPECT_EQ(counter::kStates, 16'777'216);
  EXPECT_EQ(counter::kSamples, 1024);
  EXPECT_EQ(counter::kRounds, 48);
  EXPECT_EQ(counter::kSets, 16);
  EXPECT_EQ(counter::candidate_draw(counter::kStates - 1, counter::kSamples / 4 - 1), 0xffffffffu);
  EXPECT_LT(static_cast<std::uint32_t>(Stream::init), 1u << counter::kStreamBits);
  EXPECT_EQ(counter::candidate_stream(255, counter::kDimensions - 1), 0xffffffffu);
}

TEST(Draw, TakesItsStepFromATensor) {
  const at::Tensor step = at::scalar_tensor(7, at::kLong);
  const Draw draw{kSeed, 0, step};
  EXPECT_TRUE(at::equal(cem::normals(kSizes[0], draw, 1), cem::normals(kSizes[0], {kSeed, 7}, 1)));
  step.fill_(8);
  EXPECT_TRUE(at::equal(cem::normals(kSizes[0], draw, 1), cem::normals(kSizes[0], {kSeed, 8}, 1)));
}

}  // namespace
}  // namespace omar::nn
