#pragma once
/// Moments of the columns of rows. Compiled per instruction level, with the same sums at each; arguments are valid.

#include <cstdint>

namespace omar::nn {

/// One member's rows, contiguous.
template <class T>
struct ColumnRows {
  const T* x;  ///< [rows, columns]
  std::int64_t rows, columns;
};

struct MomentsKernels {
  /// Numbers of scratch memory.
  std::int64_t (*memory_size)(std::int64_t columns);
  /// Mean and biased variance of each column, summed in float64.
  void (*of_float)(const ColumnRows<float>& rows, double* memory, float* mean, float* variance);
  void (*of_double)(const ColumnRows<double>& rows, double* memory, double* mean, double* variance);
};

namespace base {
MomentsKernels moments_kernels();
}
namespace avx2 {
MomentsKernels moments_kernels();
}
namespace avx512 {
MomentsKernels moments_kernels();
}

}  // namespace omar::nn
