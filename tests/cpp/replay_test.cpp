/// What Python cannot reach: kernels of every instruction level, large sizes of the permutation, C++ callers.

#include <omar/core/cpu_level.h>
#include <omar/replay/replay_buffer.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/check.h"
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

TEST(Kernels, GatherAndPackEveryWidthAtEveryLevel) {
  constexpr std::int64_t kRows = 37, kTaken = 100;
  for (const Kernels& kernels : kernels_of_all_levels()) {
    for (std::int64_t floats = 1; floats <= 70; ++floats) {
      const std::int64_t stride = floats + 3;
      std::vector<float> table(static_cast<size_t>(kRows * stride) + kSlackBytes / 4);
      for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i);
      std::vector<std::int64_t> rows(kTaken);
      for (std::int64_t i = 0; i < kTaken; ++i) rows[static_cast<size_t>(i)] = (i * 11 + 5) % kRows;
      // One float more at the end shows writes past the last row.
      std::vector<float> gathered(static_cast<size_t>(kTaken * floats + 1), -1.0f);
      std::vector<float> copied(static_cast<size_t>(kRows * floats + 1), -1.0f);
      const auto* source = reinterpret_cast<const char*>(table.data() + 2);
      const Span span{source, stride * 4, floats * 4};
      Segment segment{source, stride * 4, reinterpret_cast<char*>(gathered.data()), floats * 4, floats};
      const Slack slack = floats % 2 == 0 ? Slack::one_vector : Slack::none;
      kernels.gather({&segment, 1, &span, 1, Stored::float32, slack}, rows.data(), kTaken);
      segment.target = reinterpret_cast<char*>(copied.data());
      kernels.pack(&segment, 1, Stored::float32, kRows);
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

/// Two pages of which the second may not be touched.
class GuardedPage {
 public:
  GuardedPage() {
    base_ = static_cast<char*>(mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + kPage, kPage, PROT_NONE);
  }
  ~GuardedPage() { munmap(base_, 2 * kPage); }
  GuardedPage(const GuardedPage&) = delete;
  GuardedPage& operator=(const GuardedPage&) = delete;
  /// `bytes` bytes that end where the page ends.
  char* last(std::int64_t bytes) const { return base_ + kPage - bytes; }

 private:
  static constexpr std::size_t kPage = 1 << 16;
  char* base_;
};

TEST(Kernels, GatherWithoutSlackStaysInsideItsSourceAndTarget) {
  const GuardedPage source_page, target_page;
  for (const Kernels& kernels : kernels_of_all_levels()) {
    for (const std::int64_t floats : {1, 2, 7, 8, 9, 18, 33, 70}) {
      constexpr std::int64_t kRows = 40;
      char* const source = source_page.last(kRows * floats * 4);
      char* const target = target_page.last(kRows * floats * 4);
      std::memset(source, 0, static_cast<std::size_t>(kRows * floats * 4));
      std::vector<std::int64_t> rows(kRows);
      for (std::int64_t i = 0; i < kRows; ++i) rows[static_cast<size_t>(i)] = i;
      const Span span{source, floats * 4, floats * 4};
      const Segment segment{source, floats * 4, target, floats * 4, floats};
      kernels.gather({&segment, 1, &span, 1, Stored::float32, Slack::none}, rows.data(), kRows);
      // With slack only the source may be read past its end.
      char* const slack_source = source_page.last(kRows * floats * 4 + kSlackBytes);
      const Segment slack{slack_source, floats * 4, target, floats * 4, floats};
      kernels.gather({&slack, 1, &span, 1, Stored::float32, Slack::one_vector}, rows.data(), kRows);
    }
  }
}

TEST(Kernels, Bfloat16RoundsToTheNearestEven) {
  const std::vector<float> values{0.0f,    -0.0f,  1.0f,     1.00390625f, 1.01171875f,
                                  3.4e38f, 1e-45f, INFINITY, -INFINITY,   NAN};
  const auto n = static_cast<std::int64_t>(values.size());
  const at::Tensor expected = at::tensor(values).to(at::kBFloat16);
  for (const Kernels& kernels : kernels_of_all_levels()) {
    std::vector<c10::BFloat16> stored(values.size() + kSlackBytes / 2);
    const Segment pack{reinterpret_cast<const char*>(values.data()), n * 4, reinterpret_cast<char*>(stored.data()),
                       n * 2, n};
    kernels.pack(&pack, 1, Stored::bfloat16, 1);
    std::vector<float> back(values.size());
    const std::int64_t row = 0;
    const Span span{reinterpret_cast<const char*>(stored.data()), n * 2, n * 2};
    const Segment segment{span.source, n * 2, reinterpret_cast<char*>(back.data()), n * 4, n};
    kernels.gather({&segment, 1, &span, 1, Stored::bfloat16, Slack::one_vector}, &row, 1);
    for (std::int64_t i = 0; i < n; ++i) {
      const float want = expected[i].to(at::kFloat).item<float>();
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(back[static_cast<size_t>(i)]));
      } else {
        EXPECT_EQ(back[static_cast<size_t>(i)], want) << i;
      }
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

TEST(ReplayBuffer, SamplesFromSeveralThreadsAtOnce) {
  ReplayBuffer buffer(5000, {{"x", {3}}, {"y", {}}});
  buffer.extend({{"x", at::arange(15000, at::kFloat).reshape({5000, 3})}, {"y", at::arange(5000, at::kFloat)}});
  constexpr int kThreads = 4, kSteps = 20;
  std::vector<int> right(kThreads, 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int step = 0; step < kSteps; ++step) {
        const SampleOptions options{.batch_size = 700, .members = 2, .seed = 1, .step = step};
        const Columns batch = buffer.sample(options);
        const at::Tensor rows = buffer.sample_indices(options).to(at::kFloat);
        right[static_cast<size_t>(t)] += at::equal(batch[1].second, rows) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(kThreads, kSteps));
}

// Copies would share rows, but not where the next one goes.
static_assert(!std::is_copy_constructible_v<ReplayBuffer> && !std::is_copy_assignable_v<ReplayBuffer>);
static_assert(std::is_nothrow_move_constructible_v<ReplayBuffer>);

TEST(ReplayBuffer, SamplesBesideExtendHoldRowsOfOneMoment) {
  constexpr int64_t kRows = 2000;
  constexpr int kRounds = 100;
  ReplayBuffer buffer(kRows, {{"x", {8}}, {"y", {}}});
  const auto generation = [](int value) {
    return Columns{{"x", at::full({kRows, 8}, value, at::kFloat)}, {"y", at::full({kRows}, value, at::kFloat)}};
  };
  buffer.extend(generation(0));
  std::vector<int> torn(2, 0);
  std::vector<std::thread> readers;
  for (int& count : torn) {
    readers.emplace_back([&buffer, &count] {
      for (int step = 0; step < kRounds; ++step) {
        const Columns batch = buffer.sample({.batch_size = 1000, .seed = 1, .step = step});
        const at::Tensor first = batch[1].second.select(1, 0);
        count += batch[0].second.eq(first).all().item<bool>() && batch[1].second.eq(first).all().item<bool>() ? 0 : 1;
      }
    });
  }
  for (int value = 1; value <= kRounds; ++value) buffer.extend(generation(value));
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, std::vector<int>(2, 0));
}

TEST(ReplayBuffer, ExtendsOfSeveralThreadsLoseNoRow) {
  constexpr int kThreads = 4, kParts = 50, kRows = 100;
  ReplayBuffer buffer(kThreads * kParts * kRows, {{"x", {}}});
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&buffer, t] {
      for (int part = 0; part < kParts; ++part) {
        const int first = (t * kParts + part) * kRows;
        buffer.extend({{"x", at::arange(first, first + kRows, at::kFloat)}});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const at::Tensor sorted = std::get<0>(buffer.columns()[0].second.sort());
  EXPECT_TRUE(at::equal(sorted, at::arange(kThreads * kParts * kRows, at::kFloat)));
}

TEST(ReplayBuffer, ColumnsOfAViewAreCopies) {
  const at::Tensor x = at::arange(6, at::kFloat);
  const ReplayBuffer view = ReplayBuffer::view({{{"x", x}}});
  view.columns()[0].second.add_(1);
  EXPECT_TRUE(at::equal(x, at::arange(6, at::kFloat)));
}

TEST(ReplayBuffer, RefusesSizesWhoseProductOverflows) {
  // 2^19 numbers of 2^11 rows, never touched.
  const std::size_t bytes = std::size_t{1} << 32;
  void* const memory = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const at::Tensor wide = at::from_blob(memory, {1 << 11, 1 << 19}, at::TensorOptions(at::kFloat));
  const ReplayBuffer view = ReplayBuffer::view({{{"x", wide}, {"y", wide}}});
  EXPECT_THROW(view.sample({.batch_size = 1 << 11, .members = int64_t{1} << 31}), c10::ValueError);
  munmap(memory, bytes);
}

TEST(Check, ProductsOfSizes) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(check::product("op", "rows", {}), 1);
  EXPECT_EQ(check::product("op", "rows", {3, 4, 5}), 60);
  EXPECT_EQ(check::product("op", "rows", {kMost, 1}), kMost);
  EXPECT_EQ(check::product("op", "rows", {kMost, kMost, 0}), 0);
  EXPECT_THROW(check::product("op", "rows", {kMost, 2}), c10::ValueError);
  EXPECT_THROW(check::product("op", "rows", {int64_t{1} << 32, int64_t{1} << 31}), c10::ValueError);
  EXPECT_THROW(check::product("op", "rows", {int64_t{1} << 32, int64_t{1} << 32, 1}), c10::ValueError);
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
