#include <omar/cem/cem.h>

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>

#include "cem/checks.h"
#include "cem/refit_kernels.h"
#include "cem/refit_state.h"
#include "cem/search_kernels.h"
#include "core/check.h"
#include "core/cuda_stream.h"

namespace omar::cem {
namespace {

constexpr const char* kOp = "cem::refit";

template <class T>
Distribution refit_as(const Distribution& previous, const Pool& pool, const CemOptions& options) {
  const at::Tensor mu = previous.mu.contiguous(), sigma = previous.sigma.contiguous();
  const at::Tensor actions = pool.actions.contiguous(), q = pool.q.contiguous();
  constexpr auto dense = at::MemoryFormat::Contiguous;
  Distribution next{at::empty_like(mu, {}, dense), at::empty_like(sigma, {}, dense)};
  const RefitArgs<T> args{mu.const_data_ptr<T>(),
                          sigma.const_data_ptr<T>(),
                          actions.const_data_ptr<T>(),
                          q.const_data_ptr<T>(),
                          next.mu.mutable_data_ptr<T>(),
                          next.sigma.mutable_data_ptr<T>(),
                          q.size(0) * q.size(1),
                          q.size(2),
                          mu.size(2),
                          options.refit,
                          options.elites,
                          static_cast<T>(options.beta)};
  if (mu.is_cuda()) {
    const c10::DeviceGuard guard(mu.device());
    cuda::refit(args, current_cuda_stream(mu.device()));
    return next;
  }
  if (args.refit == Refit::softmax) {
    const auto kernels = chosen_search_kernels<T>();
    const int64_t blocks = (args.states + kSearchStates - 1) / kSearchStates;
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      const at::Tensor memory = at::empty({kernels.refit_memory_size(args.samples, args.size)}, mu.options());
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kSearchStates;
        const int64_t count = std::min(kSearchStates, args.states - first);
        kernels.refit_softmax(args, first, count, memory.mutable_data_ptr<T>());
      }
    });
    return next;
  }
  at::parallel_for(0, args.states, 64, [&](int64_t begin, int64_t end) {
    for (int64_t state = begin; state < end; ++state) OMAR_LEVEL::refit_state(args, state);
  });
  return next;
}

}  // namespace

Distribution refit(const Distribution& previous, const Pool& pool, const CemOptions& options) {
  check(options);
  check_distribution(kOp, previous);
  check_pool(kOp, pool);
  const at::Tensor& a = pool.actions;
  check::shape(kOp, "mu", previous.mu, {a.size(0), a.size(1), a.size(3)}, "[M, B, A]");
  check::dtype(kOp, "actions", a, previous.mu.scalar_type());
  check::device(kOp, "actions", a, previous.mu.device());
  if (options.refit == Refit::elite) check_count(kOp, "elites", options.elites, pool);
  TORCH_CHECK_VALUE(a.device().is_cpu() || (a.is_cuda() && cuda::built()), "[", kOp,
                    "] this build of omar has kernels for the CPU", cuda::built() ? " and CUDA" : "",
                    ", got tensors on ", a.device());
  const at::NoGradGuard no_grad;
  return a.scalar_type() == at::kFloat ? refit_as<float>(previous, pool, options)
                                       : refit_as<double>(previous, pool, options);
}

}  // namespace omar::cem
