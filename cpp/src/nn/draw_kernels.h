#pragma once
/// Random numbers of candidate actions as a CUDA kernel.

#include <cstdint>

namespace omar::nn {

enum class Law { normal, uniform };

/// An array [M, B, K, A] of numbers; contiguous.
struct DrawArgs {
  std::uint64_t seed;
  std::uint32_t step;
  const std::int64_t* step_at;  ///< where the kernel reads the step instead, in device memory; may be null
  std::uint32_t stream;         ///< Stream::cem + round, or Stream::candidates
  std::int64_t members;         ///< M
  std::int64_t batch;           ///< B
  std::int64_t samples;         ///< K
  std::int64_t action_size;     ///< A
  float* out;
};

namespace cuda {

/// Does this build have CUDA kernels?
bool built();
/// On `stream` (a cudaStream_t).
void draw(Law law, const DrawArgs& args, void* stream);

}  // namespace cuda

}  // namespace omar::nn
