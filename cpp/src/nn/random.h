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

/// Where number (b, k, d) of an array stands: at b * state + k * sample + d * dimension.
struct CandidateStrides {
  std::int64_t state, sample, dimension;
};

/// Both write count x K x A numbers.
struct RandomKernels {
  /// Standard normals.
  void (*normals)(const CandidateBlock& block, const CandidateStrides& strides, float* out);
  /// Uniform in [-1, 1).
  void (*uniforms)(const CandidateBlock& block, const CandidateStrides& strides, float* out);
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
