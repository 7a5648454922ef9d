/// CUDA kernels that draw arrays of random numbers: a thread per Philox block.

#define OMAR_LEVEL gpu

#include "core/cuda_launch.h"
#include "core/draws_block.h"

namespace omar::draws {
namespace {

constexpr int kThreads = 256;

template <Distribution distribution, class Array>
__global__ void draw_kernel(const Array array, const std::int64_t blocks) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < blocks) OMAR_LEVEL::draw_block<distribution>(array, index);
}

template <class Array>
void launch(Distribution distribution, const Array& array, void* stream) {
  const std::int64_t blocks = OMAR_LEVEL::block_count(array);
  if (blocks == 0) return;
  const auto kernel = distribution == Distribution::normal ? draw_kernel<Distribution::normal, Array>
                                                           : draw_kernel<Distribution::uniform, Array>;
  const auto grid = static_cast<unsigned>((blocks + kThreads - 1) / kThreads);
  kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(array, blocks);
  check_launch("draws");
}

}  // namespace

namespace cuda {

bool built() { return true; }
void draw(Distribution distribution, const CandidateArray& array, void* stream) { launch(distribution, array, stream); }
void draw(Distribution distribution, const RowArray& array, void* stream) { launch(distribution, array, stream); }

}  // namespace cuda

}  // namespace omar::draws
