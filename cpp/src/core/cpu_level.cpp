#include <omar/core/cpu_level.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>

namespace omar {
namespace {

constexpr CpuLevel kLevels[] = {CpuLevel::base, CpuLevel::avx2, CpuLevel::avx512, CpuLevel::bf16};

CpuLevel choose() {
  const std::vector<CpuLevel> available = available_cpu_levels();
  const char* asked = std::getenv("OMAR_CPU_LEVEL");
  if (asked == nullptr || *asked == '\0') return available.back();
  const auto* level =
      std::find_if(std::begin(kLevels), std::end(kLevels), [&](CpuLevel l) { return to_string(l) == asked; });
  TORCH_CHECK_VALUE(level != std::end(kLevels), "OMAR_CPU_LEVEL must be base, avx2, avx512 or bf16, got \"", asked,
                    "\"");
  TORCH_CHECK_VALUE(std::find(available.begin(), available.end(), *level) != available.end(), "OMAR_CPU_LEVEL=", asked,
                    ", but the best level of this CPU and build is ", to_string(available.back()));
  return *level;
}

}  // namespace

std::vector<CpuLevel> available_cpu_levels() {
  std::vector<CpuLevel> levels{CpuLevel::base};
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    levels.push_back(CpuLevel::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      levels.push_back(CpuLevel::avx512);
      if (__builtin_cpu_supports("avx512bf16")) levels.push_back(CpuLevel::bf16);
    }
  }
#endif
  return levels;
}

CpuLevel cpu_level() {
  static const CpuLevel level = choose();
  return level;
}

std::string to_string(CpuLevel level) {
  switch (level) {
    case CpuLevel::base: return "base";
    case CpuLevel::avx2: return "avx2";
    case CpuLevel::avx512: return "avx512";
    case CpuLevel::bf16: return "bf16";
  }
  return "unknown";
}

}  // namespace omar
