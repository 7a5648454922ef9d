#pragma once
/// Picks the variant of a kernel function that was compiled for cpu_level(): OMAR_FOR_CPU and OMAR_FOR_CPU_BF16.

#include <omar/core/cpu_level.h>

#include <algorithm>
#include <cstddef>

#include "core/levels.h"

namespace omar {

/// The variant for cpu_level(), or the last one below it; `variants` are those of base, avx2, ... in rising order.
template <class Function, class... Functions>
Function* variant_for_cpu(Function* base, Functions*... higher) {
  Function* const variants[] = {base, higher...};
  return variants[std::min(static_cast<std::size_t>(cpu_level()), sizeof...(higher))];
}

}  // namespace omar
