#include <omar/core/cpu_level.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace omar {
namespace {

constexpr CpuLevel kLevels[] = {CpuLevel::base, CpuLevel::avx2, CpuLevel::avx512, CpuLevel::bf16, CpuLevel::amx};

/// Has the CPU bfloat16 matrix tiles, and may this process use them? Linux saves their registers only for processes
/// that ask.
[[maybe_unused]] bool tiles_permitted() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr unsigned features_leaf = 7, amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(features_leaf, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((edx & amx_bf16) == 0 || (edx & amx_tile) == 0) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return permitted;
#else
  return false;
#endif
}

CpuLevel choose() {
  const std::vector<CpuLevel> available = available_cpu_levels();
  const char* asked = std::getenv("OMAR_CPU_LEVEL");
  if (asked == nullptr || *asked == '\0') return available.back();
  const auto* level =
      std::find_if(std::begin(kLevels), std::end(kLevels), [&](CpuLevel l) { return to_string(l) == asked; });
  TORCH_CHECK_VALUE(level != std::end(kLevels), "OMAR_CPU_LEVEL must be base, avx2, avx512, bf16 or amx, got \"", asked,
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
      if (__builtin_cpu_supports("avx512bf16")) {
        levels.push_back(CpuLevel::bf16);
        if (tiles_permitted()) levels.push_back(CpuLevel::amx);
      }
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
    case CpuLevel::amx: return "amx";
  }
  return "unknown";
}

}  // namespace omar
