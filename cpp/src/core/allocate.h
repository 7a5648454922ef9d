#pragma once
/// Tensors that a call makes, with sizes that come from its arguments.

#include <omar/core/check.h>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <string_view>
#include <vector>

namespace omar {

/// Uninitialised tensor for `what`. \throws c10::ValueError more bytes than int64 holds or, on the CPU, than there are
inline at::Tensor allocate(std::string_view op, std::string_view what, c10::IntArrayRef sizes,
                           const at::TensorOptions& options) {
  std::vector<int64_t> factors = sizes.vec();
  factors.push_back(static_cast<int64_t>(options.dtype().itemsize()));
  const int64_t bytes = check::product(op, what, factors);
  if (!options.device().is_cpu()) return at::empty(sizes, options);
  try {
    return at::empty(sizes, options);
  } catch (const c10::Error&) {
    TORCH_CHECK_VALUE(false, "[", op, "] no memory for ", what, " ", check::shape_text(sizes), ": ", bytes, " bytes");
  }
}

}  // namespace omar
