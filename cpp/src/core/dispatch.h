#pragma once
/// Picks the variant of a kernel function that was compiled for cpu_level() or another level: OMAR_FOR_CPU,
/// OMAR_FOR_CPU_BF16 and OMAR_AT_LEVEL.

#include <omar/core/cpu_level.h>

#include <algorithm>
#include <cstddef>

#include "core/levels.h"

namespace omar {

/// The variant for a level, or the last one below it; `variants` are those of base, avx2, ... in rising order.
template <class Function, class... Functions>
Function* variant_at(CpuLevel level, Function* base, Functions*... higher) {
  Function* const variants[] = {base, higher...};
  return variants[std::min(static_cast<std::size_t>(level), sizeof...(higher))];
}

template <class... Functions>
auto* variant_for_cpu(Functions*... variants) {
  return variant_at(cpu_level(), variants...);
}

}  // namespace omar
