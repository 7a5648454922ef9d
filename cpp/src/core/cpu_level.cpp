#include <omar/core/cpu_level.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "core/levels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace omar {
namespace {

constexpr CpuLevel kLevels[] = {CpuLevel::base, CpuLevel::avx2, CpuLevel::avx512, CpuLevel::bf16, CpuLevel::amx};
constexpr std::string_view kNames[] = {"base", "avx2", "avx512", "bf16", "amx"};

constexpr bool compiled_in_order() {
  for (std::size_t i = 0; i < std::size(kCompiledLevels); ++i) {
    if (kNames[i] != kCompiledLevels[i]) return false;
  }
  return std::size(kCompiledLevels) <= std::size(kNames);
}
static_assert(compiled_in_order(), "the levels of OmarKernels.cmake are not those of CpuLevel");

#if defined(__x86_64__)
struct CpuId {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;  ///< all zero for a leaf that the CPU does not have

  explicit CpuId(unsigned leaf) { __get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx); }
};

/// All of x86-64-v3, which -march=x86-64-v3 lets the compiler use.
bool has_v3() {
  constexpr unsigned movbe = 1u << 22, f16c = 1u << 29, lzcnt = 1u << 5;  // Clang 14 cannot ask for these three
  return __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && (CpuId(1).ecx & movbe) != 0 &&
         (CpuId(1).ecx & f16c) != 0 && (CpuId(0x80000001u).ecx & lzcnt) != 0;
}

/// What x86-64-v4 adds to v3.
bool has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/// Has the CPU bfloat16 matrix tiles, and may this process use them? Linux saves their registers only for processes
/// that ask.
bool tiles_permitted() {
#if defined(__linux__)
  constexpr unsigned features_leaf = 7, amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  const CpuId features(features_leaf);
  if ((features.edx & amx_bf16) == 0 || (features.edx & amx_tile) == 0) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool permitted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return permitted;
#else
  return false;
#endif
}

/// The best level of this CPU.
CpuLevel best_of_cpu() {
  __builtin_cpu_init();
  if (!has_v3()) return CpuLevel::base;
  if (!has_v4()) return CpuLevel::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return CpuLevel::avx512;
  return tiles_permitted() ? CpuLevel::amx : CpuLevel::bf16;
}
#else
CpuLevel best_of_cpu() { return CpuLevel::base; }
#endif

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
  const std::size_t count = std::min(static_cast<std::size_t>(best_of_cpu()) + 1, std::size(kCompiledLevels));
  return {std::begin(kLevels), std::begin(kLevels) + count};
}

CpuLevel cpu_level() {
  static const CpuLevel level = choose();
  return level;
}

std::string to_string(CpuLevel level) { return std::string(kNames[static_cast<std::size_t>(level)]); }

}  // namespace omar
