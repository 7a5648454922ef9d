#pragma once
/// Picks the variant of a kernel function that was compiled for cpu_level().

#include <omar/core/cpu_level.h>

#include <algorithm>
#include <cstddef>

namespace omar {

/// The variant for cpu_level(), or the last one below it; `variants` are those of base, avx2, ... in rising order.
template <class Function, class... Functions>
Function* variant_for_cpu(Function* base, Functions*... higher) {
  Function* const variants[] = {base, higher...};
  return variants[std::min(static_cast<std::size_t>(cpu_level()), sizeof...(higher))];
}

}  // namespace omar

/// Pointer to `function` of namespace base, avx2 or avx512 (also for the levels above) below the current one, as
/// omar_add_kernels compiles them. OMAR_FOR_CPU_BF16: of namespaces bf16 and amx, too (omar_add_kernels(... BF16 ...)).
#if defined(__x86_64__) && defined(__GNUC__)
#define OMAR_FOR_CPU(function) ::omar::variant_for_cpu(&base::function, &avx2::function, &avx512::function)
#define OMAR_FOR_CPU_BF16(function) \
  ::omar::variant_for_cpu(&base::function, &avx2::function, &avx512::function, &bf16::function, &amx::function)
#else
#define OMAR_FOR_CPU_BF16(function) OMAR_FOR_CPU(function)
#define OMAR_FOR_CPU(function) ::omar::variant_for_cpu(&base::function)
#endif
