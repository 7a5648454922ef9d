// The numbers of CUDA threads, drawn on the host, against the CPU's kernels.

#include <omar/cem/cem.h>
#include <omar/core/rng.h>

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/scalar_tensor.h>
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

TEST(Draw, TakesItsStepFromATensor) {
  const at::Tensor step = at::scalar_tensor(7, at::kLong);
  const Draw draw{kSeed, 0, step};
  EXPECT_TRUE(at::equal(cem::normals(kSizes[0], draw, 1), cem::normals(kSizes[0], {kSeed, 7}, 1)));
  step.fill_(8);
  EXPECT_TRUE(at::equal(cem::normals(kSizes[0], draw, 1), cem::normals(kSizes[0], {kSeed, 8}, 1)));
}

}  // namespace
}  // namespace omar::nn
