/// CUDA kernel of the candidates' random numbers: a thread per Philox block.

#define OMAR_LEVEL gpu

#include "core/cuda_launch.h"
#include "nn/draw_block.h"

namespace omar::nn {
namespace {

constexpr int kThreads = 256;

template <Law law>
__global__ void draw_kernel(const DrawArgs args, const std::int64_t blocks) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index < blocks) OMAR_LEVEL::draw_block<law>(args, index);
}

}  // namespace

namespace cuda {

bool built() { return true; }

void draw(Law law, const DrawArgs& args, void* stream) {
  const std::int64_t blocks = OMAR_LEVEL::block_count(args);
  if (blocks == 0) return;
  const auto kernel = law == Law::normal ? draw_kernel<Law::normal> : draw_kernel<Law::uniform>;
  const auto grid = static_cast<unsigned>((blocks + kThreads - 1) / kThreads);
  kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args, blocks);
  check_launch("nn::draw_candidates");
}

}  // namespace cuda

}  // namespace omar::nn
