#pragma once
/// Kernels that draw arrays of random numbers, on the CPU (one set per instruction level) and on CUDA devices.
/// Arguments are valid.

#include <cstdint>

namespace omar::draws {

enum class Distribution {
  normal,   ///< standard normal
  uniform,  ///< uniform in [-1, 1)
};

/// Candidates of one member: states [first, first + count), K samples, A dimensions.
struct CandidateBlock {
  std::uint64_t seed;
  std::uint32_t step;
  std::uint32_t stream;  ///< Stream::cem + round, or Stream::candidates + set
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

/// Numbers [begin, end) of rows [first, first + count); begin is a multiple of 4.
struct RowBlock {
  std::uint64_t seed;
  std::uint32_t step;
  std::uint32_t stream;
  std::uint32_t first;
  std::int64_t count;
  std::int64_t begin, end;
  std::int64_t stride;  ///< from row to row of the output, which starts at (first, begin)
};

struct Kernels {
  /// count x K x A numbers.
  void (*candidates)(Distribution distribution, const CandidateBlock& block, const CandidateStrides& strides,
                     float* out);
  /// count x (end - begin) numbers.
  void (*rows)(Distribution distribution, const RowBlock& block, float* out);
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

/// What the counters of a whole array share.
struct ArrayKey {
  std::uint64_t seed;
  std::uint32_t step;
  const std::int64_t* step_at;  ///< where the kernel reads the step instead, in device memory; may be null
  std::uint32_t stream;
};

/// Candidates [M, B, K, A]; contiguous.
struct CandidateArray {
  ArrayKey key;
  std::int64_t members, batch, samples, action_size;
  float* out;
};

/// Rows [N, n]; contiguous.
struct RowArray {
  ArrayKey key;
  std::int64_t rows, numbers;
  float* out;
};

namespace cuda {

/// Does this build have CUDA kernels?
bool built();
/// On `stream` (a cudaStream_t).
void draw(Distribution distribution, const CandidateArray& array, void* stream);
void draw(Distribution distribution, const RowArray& array, void* stream);

}  // namespace cuda

}  // namespace omar::draws
