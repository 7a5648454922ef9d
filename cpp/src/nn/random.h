#pragma once
/// Random numbers of candidate actions, compiled per instruction level.

#include <cstdint>

namespace omar::nn {

/// Which candidates: member, states [first, first + count), samples K, action size A.
struct CandidateBlock {
  std::uint64_t seed;
  std::uint32_t step;
  std::uint32_t stream;  ///< Stream::cem + round, or Stream::candidates
  std::uint32_t member;
  std::uint32_t first;
  std::int64_t count;
  std::int64_t samples;
  std::int64_t action_size;
};

struct RandomKernels {
  /// Standard normals, out [count, K, A].
  void (*normals)(const CandidateBlock& block, float* out);
  /// Uniform in [-1, 1), out [count, K, A].
  void (*uniforms)(const CandidateBlock& block, float* out);
};

namespace base {
RandomKernels random_kernels();
}
namespace avx2 {
RandomKernels random_kernels();
}
namespace avx512 {
RandomKernels random_kernels();
}

}  // namespace omar::nn
