#pragma once
/// Inner loops of bounds.h, one set per instruction level. Arguments are valid.

#include <cstdint>

namespace omar::bounds {

struct Kernels {
  /// `repeats` times `fma_flops_per_repeat` FLOPs in fused multiply-adds; returns a value that depends on all of them.
  float (*fma)(std::int64_t repeats);
  std::int64_t fma_flops_per_repeat;
  /// One step of worlds [0, n): state [4 * agents, n] (x, y, vx, vy per agent), actions [2 * agents, n], out [outputs,
  /// n].
  void (*particle)(float* state, const float* actions, float* out, std::int64_t n, std::int64_t agents,
                   std::int64_t outputs);
  /// dst row i = table row index[i].
  void (*gather)(const char* table, const std::int64_t* index, char* dst, std::int64_t n, std::int64_t row_bytes);
};

namespace base {
Kernels kernels();
}
namespace avx2 {
Kernels kernels();
}
namespace avx512 {
Kernels kernels();
}

}  // namespace omar::bounds
