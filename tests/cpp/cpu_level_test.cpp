#include <omar/core/cpu_level.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

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

#if defined(__linux__) && defined(__x86_64__)
/// Flags of /proc/cpuinfo that -march=x86-64-v3 and -v4 let the compiler rely on, beside those of every x86-64.
TEST(CpuLevel, NeedsEveryFeatureThatItsFlagsImply) {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
  }
  std::istringstream words(line);
  const std::set<std::string> flags{std::istream_iterator<std::string>(words), {}};
  const auto all = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return flags.count(name) != 0; });
  };
  const bool v3 = all({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"});
  const bool v4 = v3 && all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"});
  const CpuLevel best = available_cpu_levels().back();
  EXPECT_EQ(best >= CpuLevel::avx2, v3);
  EXPECT_EQ(best >= CpuLevel::avx512, v4);
  EXPECT_EQ(best >= CpuLevel::bf16, v4 && all({"avx512_bf16"}));
}
#endif

}  // namespace
}  // namespace omar
