#pragma once
/// Argument checks of the public functions. A message names the op, what was expected and what came.

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>
#include <c10/util/safe_numerics.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

namespace omar::check {

/// "[1, 2, 3]"
inline std::string shape_text(c10::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

/// The tensor is dense and has exactly `expected` sizes (-1 matches any size); `letters` names them, as in "[E, A, 2]".
/// \throws c10::ValueError; c10::TypeError for an undefined, sparse or nested one
inline void shape(std::string_view op, std::string_view name, const at::Tensor& tensor, c10::IntArrayRef expected,
                  std::string_view letters) {
  TORCH_CHECK_TYPE(tensor.defined(), "[", op, "] `", name, "` must be a tensor ", letters, ", got an undefined one");
  TORCH_CHECK_TYPE(tensor.layout() == c10::kStrided && !tensor.is_nested(), "[", op, "] `", name,
                   "` must be a dense tensor, got layout ", tensor.is_nested() ? c10::kJagged : tensor.layout());
  bool fits = tensor.dim() == static_cast<int64_t>(expected.size());
  for (size_t i = 0; fits && i < expected.size(); ++i) {
    fits = expected[i] < 0 || expected[i] == tensor.size(static_cast<int64_t>(i));
  }
  if (fits) return;
  std::string wanted;
  for (const int64_t size : expected) {
    wanted += (wanted.empty() ? "[" : ", ") + (size < 0 ? std::string("any") : std::to_string(size));
  }
  TORCH_CHECK_VALUE(false, "[", op, "] `", name, "` must be ", letters, " = ", wanted.empty() ? "[" : wanted, "], got ",
                    shape_text(tensor.sizes()));
}

/// \throws c10::TypeError
inline void dtype(std::string_view op, std::string_view name, const at::Tensor& tensor, at::ScalarType expected) {
  TORCH_CHECK_TYPE(tensor.scalar_type() == expected, "[", op, "] `", name, "` must be ", expected, ", got ",
                   tensor.scalar_type());
}

/// \throws c10::ValueError
inline void device(std::string_view op, std::string_view name, const at::Tensor& tensor, at::Device expected) {
  TORCH_CHECK_VALUE(tensor.device() == expected, "[", op, "] `", name, "` must be on ", expected, ", got ",
                    tensor.device());
}

/// An integer argument is at least `least`. \throws c10::ValueError
inline void at_least(std::string_view op, std::string_view name, int64_t value, int64_t least) {
  TORCH_CHECK_VALUE(value >= least, "[", op, "] `", name, "` must be at least ", least, ", got ", value);
}

/// The product of `sizes`, each at least 0: `what` of a call, such as its rows or bytes.
/// \throws c10::ValueError when int64 cannot hold it
inline int64_t product(std::string_view op, std::string_view what, c10::IntArrayRef sizes) {
  uint64_t total = 1;
  bool overflows = false;
  bool empty = false;
  for (const int64_t size : sizes) {
    empty = empty || size == 0;
    overflows = c10::mul_overflows(total, static_cast<uint64_t>(size), &total) || overflows;
  }
  if (empty) return 0;
  TORCH_CHECK_VALUE(!overflows && total <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), "[", op, "] ",
                    what, " are more than a machine can address: the product of ", shape_text(sizes));
  return static_cast<int64_t>(total);
}

/// \throws c10::ValueError
inline void finite(std::string_view op, std::string_view name, double value) {
  TORCH_CHECK_VALUE(std::isfinite(value), "[", op, "] `", name, "` must be finite, got ", value);
}

}  // namespace omar::check
