#include "cem/fused_search.h"

#include <omar/core/rng.h>

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <vector>

#include "cem/search_kernels.h"
#include "core/dispatch.h"
#include "core/draws.h"
#include "nn/fused_critic.h"

namespace omar::cem {

template <>
SearchKernels<float> chosen_search_kernels() {
  return OMAR_FOR_CPU_BF16(search_kernels_float)();
}
template <>
SearchKernels<double> chosen_search_kernels() {
  return OMAR_FOR_CPU_BF16(search_kernels_double)();
}

namespace {

template <class T>
std::pair<at::Tensor, at::Tensor> search(const nn::StackedMlp& critic, const at::Tensor& observations,
                                         const at::Tensor& policy_actions, const CemOptions& options, Draw draw) {
  const at::Tensor obs = observations.contiguous();
  const at::Tensor policy = policy_actions.contiguous();
  const int64_t members = obs.size(0), batch = obs.size(1);
  const std::vector<int64_t> hidden = nn::hidden_widths(critic);
  const nn::CriticShape shape = nn::critic_shape(critic, options.samples, policy.size(2), hidden);
  const auto critic_kernels = nn::chosen_critic_kernels<T>();
  const auto kernels = chosen_search_kernels<T>();
  const at::Tensor packed = nn::pack_networks(critic_kernels, shape, critic, options.precision);
  const at::Tensor actions = at::empty_like(policy);
  const at::Tensor values = at::empty({members, batch}, obs.options());
  const int64_t elites = options.refit == Refit::elite ? options.elites : 0;
  const draws::Kernels draws_kernels = draws::chosen_kernels();
  const T* obs_data = obs.const_data_ptr<T>();
  const T* policy_data = policy.const_data_ptr<T>();
  T* actions_data = actions.mutable_data_ptr<T>();
  T* values_data = values.mutable_data_ptr<T>();

  // About 16 pieces of whole blocks, for threads to share, or more of the largest size; a state's result does not
  // depend on its piece.
  constexpr int64_t least_pieces = 16, least_states = 30;
  const int64_t fair = (members * batch + least_pieces - 1) / least_pieces;
  const int64_t states =
      std::clamp((fair + least_states - 1) / least_states * least_states, least_states, kSearchStates);
  const int64_t chunks = (batch + states - 1) / states;
  at::parallel_for(0, members * chunks, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor scratch = at::empty({kernels.memory_size(shape, elites)}, obs.options());
    T* memory = scratch.mutable_data_ptr<T>();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t member = i / chunks;
      const int64_t first = i % chunks * states;
      const int64_t state = member * batch + first;
      const int64_t count = std::min(states, batch - first);
      const draws::CandidateBlock draws{draw.seed,
                                        static_cast<std::uint32_t>(draw.step),
                                        static_cast<std::uint32_t>(Stream::cem),
                                        static_cast<std::uint32_t>(member),
                                        static_cast<std::uint32_t>(first),
                                        count,
                                        shape.samples,
                                        shape.actions};
      const nn::CriticPass<T> pass{shape, options.precision, packed.const_data_ptr<T>() + member * packed.size(1),
                                   memory};
      kernels.search({pass, critic.members() / members, members * packed.size(1), options, draws_kernels, draws},
                     {obs_data + state * shape.obs, policy_data + state * shape.actions,
                      actions_data + state * shape.actions, values_data + state, count});
    }
  });
  return {actions, values};
}

}  // namespace

std::pair<at::Tensor, at::Tensor> fused_search(const nn::StackedMlp& critic, const at::Tensor& obs,
                                               const at::Tensor& policy_actions, const CemOptions& options, Draw draw) {
  const at::NoGradGuard no_grad;
  if (obs.scalar_type() == at::kFloat) return search<float>(critic, obs, policy_actions, options, draw);
  return search<double>(critic, obs, policy_actions, options, draw);
}

}  // namespace omar::cem
