#pragma once
/// Memory that is read soon.

#include <omar/core/host_device.h>

#include <cstdint>

namespace omar {
inline namespace OMAR_LEVEL {

/// Asks for all cache lines of `bytes` bytes in the second-level cache: many of them would not stay in the first.
OMAR_INLINE void prefetch(const char* from, std::int64_t bytes) {
  constexpr std::uintptr_t kLine = 64;
  const auto first = reinterpret_cast<std::uintptr_t>(from);
  const std::uintptr_t end = first + static_cast<std::uintptr_t>(bytes);
  for (std::uintptr_t line = first & ~(kLine - 1); line < end; line += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(line), 0, 2);
  }
}

}  // namespace OMAR_LEVEL
}  // namespace omar
