#pragma once
/// The inside of ParticleEnv, shared by its parts.

#include <omar/particle/particle_env.h>

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>

#include <mutex>
#include <string_view>
#include <vector>

#include "core/allocate.h"
#include "core/check.h"
#include "core/cuda_stream.h"
#include "particle/kernels.h"

namespace omar::particle {

/// Blocks below which a step is not worth a second thread (some 20 microseconds of work).
inline constexpr int64_t kGrain = 32;

struct ParticleEnv::Impl {
  ParticleEnvOptions options;
  const Kernels* kernels;
  int line;        ///< of scenarios.def, or -1 for a registered scenario
  CpuLevel level;  ///< of the kernels
  bool (*within)(const void* numbers, std::int64_t count, double limit);
  std::vector<int64_t> obs_sizes;
  at::Tensor state;     ///< [blocks, fields, kBlockWorlds], see world.h
  at::Tensor steps;     ///< [blocks * kBlockWorlds], int32
  at::Tensor episodes;  ///< [blocks * kBlockWorlds], int32 used as uint32
  WorldArgs args;
  std::mutex mutex;       ///< held by every call that reads or writes the state
  bool untouched = true;  ///< nothing happened since the seed was set: the next reset() keeps episode 0

  explicit Impl(const ParticleEnvOptions& o);

  template <class Cpu, class Cuda>
  void run(Cpu cpu, Cuda on_cuda, const WorldArgs& call) const {
    if (options.device.is_cuda()) {
      const c10::DeviceGuard guard(state.device());
      on_cuda(cuda::ScenarioId{line, kernels->single}, call, current_cuda_stream(state.device()));
      return;
    }
    at::parallel_for(0, num_blocks(options.num_envs), kGrain,
                     [&](int64_t begin, int64_t end) { cpu(call, begin, end); });
  }

  at::Tensor empty(c10::IntArrayRef sizes, at::ScalarType dtype) const {
    return allocate("ParticleEnv", "outputs", sizes, at::TensorOptions().dtype(dtype).device(options.device));
  }
  at::Tensor empty_observations() const {
    return empty({options.num_envs, kernels->info.agents, kernels->info.max_obs_size}, options.dtype);
  }

  /// The numbers are finite and at most `limit` in magnitude. A GPU is waited for.
  void check_within(std::string_view op, std::string_view name, const at::Tensor& tensor, double limit) const {
    const bool fits = tensor.is_cpu() ? within(tensor.const_data_ptr(), tensor.numel(), limit)
                                      : tensor.abs().le(limit).all().item<bool>();
    TORCH_CHECK_VALUE(fits, "[", op, "] `", name, "` must be finite and at most ", limit,
                      " in magnitude, but holds other values; the state is unchanged");
  }

  at::Tensor observe() {
    at::Tensor observations = empty_observations();
    WorldArgs call = args;
    call.observations = observations.data_ptr();
    run(kernels->observe, cuda::observe, call);
    return observations;
  }

  /// Fields [begin, begin + 2n) of the state as [E, n, 2]: a copy.
  at::Tensor points(int64_t begin, int64_t n) const {
    return state.narrow(1, begin, 2 * n)
        .permute({0, 2, 1})
        .reshape({state.size(0) * kBlockWorlds, n, 2})
        .narrow(0, 0, options.num_envs)
        .contiguous();
  }
  void set_points(int64_t begin, const at::Tensor& from) const {
    const int64_t n = from.size(1);
    at::Tensor padded = at::zeros({state.size(0) * kBlockWorlds, 2 * n}, state.options());
    padded.narrow(0, 0, options.num_envs).copy_(from.reshape({options.num_envs, 2 * n}));
    state.narrow(1, begin, 2 * n).copy_(padded.view({state.size(0), kBlockWorlds, 2 * n}).permute({0, 2, 1}));
  }

  /// `tensor` is [E, sizes...] of the environment's dtype and device.
  void check_input(std::string_view op, std::string_view name, const at::Tensor& tensor, c10::IntArrayRef sizes,
                   std::string_view letters) const {
    check::shape(op, name, tensor, sizes, letters);
    check::dtype(op, name, tensor, options.dtype);
    check::device(op, name, tensor, options.device);
  }

  void check_output(std::string_view name, const at::Tensor& tensor, c10::IntArrayRef sizes, std::string_view letters,
                    at::ScalarType dtype) const {
    check::shape("ParticleEnv.step_into", name, tensor, sizes, letters);
    check::dtype("ParticleEnv.step_into", name, tensor, dtype);
    check::device("ParticleEnv.step_into", name, tensor, options.device);
    TORCH_CHECK_VALUE(tensor.is_contiguous(), "[ParticleEnv.step_into] `", name, "` must be contiguous, got strides ",
                      tensor.strides());
  }
};

}  // namespace omar::particle
