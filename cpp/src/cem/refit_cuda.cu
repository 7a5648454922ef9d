/// CUDA kernel of the refits: a thread per state.

#define OMAR_LEVEL gpu

#include "cem/refit_kernels.h"
#include "cem/refit_state.h"
#include "core/cuda_launch.h"

namespace omar::cem {
namespace {

constexpr int kThreads = 64;

template <class T>
__global__ void refit_kernel(const RefitArgs<T> args) {
  const std::int64_t state = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (state < args.states) OMAR_LEVEL::refit_state(args, state);
}

template <class T>
void launch(const RefitArgs<T>& args, void* stream) {
  if (args.states == 0) return;
  const auto blocks = static_cast<unsigned>((args.states + kThreads - 1) / kThreads);
  refit_kernel<T><<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args);
  check_launch("cem::refit");
}

}  // namespace

namespace cuda {

bool built() { return true; }
void refit(const RefitArgs<float>& args, void* stream) { launch(args, stream); }
void refit(const RefitArgs<double>& args, void* stream) { launch(args, stream); }

}  // namespace cuda

}  // namespace omar::cem
