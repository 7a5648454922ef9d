#pragma once
/// The one contract of steps as counters of random numbers (counter.h).

#include <omar/core/counter.h>

#include <c10/util/Exception.h>

#include <cstdint>
#include <string_view>

namespace omar::check {

/// The word of `step`. \throws c10::ValueError not in 0 .. counter::kSteps - 1
inline std::uint32_t step(std::string_view op, std::string_view name, std::int64_t step) {
  TORCH_CHECK_VALUE(step >= 0 && step < counter::kSteps, "[", op, "] `", name, "` must be in 0..2^32-1, got ", step);
  return static_cast<std::uint32_t>(step);
}

/// The word of the first of `count` steps. \throws c10::ValueError one of them not in 0 .. counter::kSteps - 1
inline std::uint32_t steps(std::string_view op, std::string_view name, std::int64_t first, std::int64_t count) {
  const std::uint32_t word = step(op, name, first);
  TORCH_CHECK_VALUE(count <= counter::kSteps - first, "[", op, "] `", name,
                    "` and the steps after it must be in 0..2^32-1, got ", first, " and ", count, " steps");
  return word;
}

}  // namespace omar::check
