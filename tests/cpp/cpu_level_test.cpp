#include <omar/core/cpu_level.h>

#include <gtest/gtest.h>

#include <algorithm>

namespace omar {
namespace {

TEST(CpuLevel, IsOneOfTheAvailable) {
  const auto levels = available_cpu_levels();
  ASSERT_FALSE(levels.empty());
  EXPECT_EQ(levels.front(), CpuLevel::base);
  EXPECT_TRUE(std::is_sorted(levels.begin(), levels.end()));
  EXPECT_NE(std::find(levels.begin(), levels.end(), cpu_level()), levels.end());
}

TEST(CpuLevel, HasANameEach) {
  EXPECT_EQ(to_string(CpuLevel::base), "base");
  EXPECT_EQ(to_string(CpuLevel::avx2), "avx2");
  EXPECT_EQ(to_string(CpuLevel::avx512), "avx512");
  EXPECT_EQ(to_string(CpuLevel::bf16), "bf16");
  EXPECT_EQ(to_string(CpuLevel::amx), "amx");
}

}  // namespace
}  // namespace omar
