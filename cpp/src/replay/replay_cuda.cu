/// CUDA gather of the replay buffer: the same permutation as on the CPU, a warp per row.

#define OMAR_LEVEL gpu

#include "core/cuda_launch.h"
#include "replay/permutation.h"
#include "replay/replay_kernels.h"
#include "replay/stored.h"

namespace omar::replay {

using namespace OMAR_LEVEL;

namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 8;
using cuda::kRowsPerBlock;

/// The row of the minibatch's row i, for the stored row at `row`.
template <class T>
__device__ void copy_row(const cuda::MemberGather& gather, std::int64_t part, const T* row, std::int64_t i) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int f = 0; f < gather.field_count; ++f) {
    const cuda::TargetField& field = gather.fields[f];
    const T* const from = row + field.offset + part * field.count;
    float* const to = field.target + i * field.count;
    for (std::int64_t k = lane; k < field.count; k += kWarp) to[k] = widen(from[k]);
  }
}

template <class T>
__global__ void __launch_bounds__(kWarp* kWarps) gather_kernel(const cuda::MemberGather gather) {
  __shared__ shuffle::Permutation permutation;
  __shared__ std::int64_t rows[kRowsPerBlock];
  const std::int64_t blocks = cuda::blocks_of(gather.batch);
  const std::int64_t member = static_cast<std::int64_t>(blockIdx.x) / blocks;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) % blocks * kRowsPerBlock;
  const int count = static_cast<int>(gather.batch - first < kRowsPerBlock ? gather.batch - first : kRowsPerBlock);
  const int thread = static_cast<int>(threadIdx.x);
  const std::uint32_t number = gather.draw.member + static_cast<std::uint32_t>(member);
  if (thread == 0) {
    permutation = shuffle::make_permutation(static_cast<std::uint64_t>(gather.draw.size), gather.draw.seed, number,
                                            gather.draw.step);
  }
  __syncthreads();
  if (thread < count) {
    rows[thread] = static_cast<std::int64_t>(shuffle::permute(permutation, static_cast<std::uint64_t>(first + thread)));
  }
  __syncthreads();
  const std::int64_t part = number % gather.agents;
  for (int i = thread / kWarp; i < count; i += kWarps) {
    copy_row(gather, part, reinterpret_cast<const T*>(gather.rows + rows[i] * gather.row_bytes),
             member * gather.batch + first + i);
  }
}

}  // namespace

namespace cuda {

bool built() { return true; }

void gather(const MemberGather& gather, void* stream) {
  const auto kernel = gather.stored == Stored::float32 ? gather_kernel<float> : gather_kernel<Bfloat16>;
  const auto blocks = static_cast<unsigned>(gather.members * cuda::blocks_of(gather.batch));
  kernel<<<blocks, kWarp * kWarps, 0, static_cast<cudaStream_t>(stream)>>>(gather);
  check_launch("replay::sample");
}

}  // namespace cuda

}  // namespace omar::replay
