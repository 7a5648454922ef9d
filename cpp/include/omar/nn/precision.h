#pragma once
/// Choices of the fused critic that its callers share.

namespace omar::nn {

/// Products of the hidden layers. bf16: both factors rounded to bfloat16, sums in float32.
enum class Precision { float32, bf16 };

/// Which implementation runs.
enum class Kernels {
  automatic,  ///< fused, or plain where fused_obstacle() names a reason
  plain,      ///< LibTorch ops: any device, dtype and depth
  fused,      ///< the CPU kernels; an error where they cannot run
};

}  // namespace omar::nn
