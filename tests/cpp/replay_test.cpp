/// What Python cannot reach: kernels of every instruction level, large sizes of the permutation, C++ callers.

#include <omar/core/cpu_level.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "replay/permutation.h"
#include "replay/replay_kernels.h"

namespace omar::replay {
namespace {

std::vector<Kernels> kernels_of_all_levels() {
  std::vector<Kernels> all{base::kernels()};
#if defined(__x86_64__)
  const CpuLevel best = available_cpu_levels().back();
  if (best >= CpuLevel::avx2) all.push_back(avx2::kernels());
  if (best >= CpuLevel::avx512) all.push_back(avx512::kernels());
#endif
  return all;
}

TEST(Permutation, VectorLoopsGiveThePlainValuesAtEveryLevel) {
  for (const std::int64_t size : {1ll, 2ll, 3ll, 7ll, 1000ll, 1ll << 20, (1ll << 20) + 1, 3'000'000'000ll, 1ll << 40}) {
    const Draw draw{size, 123, 4, 5};
    const auto p = shuffle::make_permutation(static_cast<std::uint64_t>(size), 123, 4, 5);
    const std::int64_t n = std::min<std::int64_t>(size, 1000), first = std::min<std::int64_t>(size - n, 300);
    for (const Kernels& kernels : kernels_of_all_levels()) {
      std::vector<std::int64_t> rows(static_cast<size_t>(n));
      kernels.draw(draw, first, n, rows.data());
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(rows[static_cast<size_t>(i)], shuffle::permute(p, static_cast<std::uint64_t>(first + i))) << size;
        ASSERT_LT(rows[static_cast<size_t>(i)], size);
      }
      EXPECT_EQ(std::set<std::int64_t>(rows.begin(), rows.end()).size(), rows.size());
    }
  }
}

TEST(Kernels, GatherAndCopyEveryWidthAtEveryLevel) {
  constexpr std::int64_t kRows = 37, kTaken = 100;
  for (const Kernels& kernels : kernels_of_all_levels()) {
    for (std::int64_t floats = 1; floats <= 70; ++floats) {
      const std::int64_t stride = floats + 3;
      std::vector<float> table(static_cast<size_t>(kRows * stride));
      for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i);
      std::vector<std::int64_t> rows(kTaken);
      for (std::int64_t i = 0; i < kTaken; ++i) rows[static_cast<size_t>(i)] = (i * 11 + 5) % kRows;
      // One float more at the end shows writes past the last row.
      std::vector<float> gathered(static_cast<size_t>(kTaken * floats + 1), -1.0f);
      std::vector<float> copied(static_cast<size_t>(kRows * floats + 1), -1.0f);
      const auto* source = reinterpret_cast<const char*>(table.data() + 2);
      const Span span{source, stride * 4, floats * 4};
      Segment segment{source, stride * 4, reinterpret_cast<char*>(gathered.data()), floats * 4, floats};
      kernels.gather(&segment, 1, &span, 1, rows.data(), kTaken);
      segment.target = reinterpret_cast<char*>(copied.data());
      kernels.copy(&segment, 1, kRows);
      for (std::int64_t i = 0; i < kTaken * floats; ++i) {
        const std::int64_t row = rows[static_cast<size_t>(i / floats)];
        ASSERT_EQ(gathered[static_cast<size_t>(i)], static_cast<float>(row * stride + 2 + i % floats)) << floats;
      }
      for (std::int64_t i = 0; i < kRows * floats; ++i) {
        ASSERT_EQ(copied[static_cast<size_t>(i)], static_cast<float>(i / floats * stride + 2 + i % floats)) << floats;
      }
      EXPECT_EQ(gathered.back(), -1.0f);
      EXPECT_EQ(copied.back(), -1.0f);
    }
  }
}

TEST(ReplayBuffer, IsUsableFromCpp) {
  ReplayBuffer buffer(100, {{"x", {3}}, {"y", {}}});
  const at::Tensor x = at::arange(300, at::kFloat).reshape({100, 3});
  buffer.extend({{"y", at::arange(100, at::kFloat)}, {"x", x}});
  const SampleOptions options{.batch_size = 10, .members = 4, .seed = 1, .step = 2};
  const Columns batch = buffer.sample(options);
  ASSERT_EQ(batch.size(), 2u);
  EXPECT_EQ(batch[0].first, "x");
  const at::Tensor rows = buffer.sample_indices(options);
  EXPECT_TRUE(at::equal(batch[0].second, x.index_select(0, rows.reshape({-1})).reshape({4, 10, 3})));
  EXPECT_TRUE(at::equal(batch[1].second, rows.to(at::kFloat)));
}

TEST(ReplayBuffer, RefusesAFieldGivenTwiceAndUndefinedTensors) {
  ReplayBuffer buffer(4, {{"x", {}}, {"y", {}}});
  const at::Tensor ones = at::zeros({2});
  EXPECT_THROW(buffer.extend({{"x", ones}, {"x", ones}}), c10::ValueError);
  EXPECT_THROW(buffer.extend({{"x", ones}, {"y", ones}, {"y", ones}}), c10::ValueError);
  EXPECT_THROW(buffer.extend({{"x", ones}, {"y", at::Tensor()}}), c10::TypeError);
  EXPECT_THROW(ReplayBuffer(4, {{"x", {}}, {"x", {}}}), c10::ValueError);
  EXPECT_EQ(buffer.size(), 0);
}

}  // namespace
}  // namespace omar::replay
