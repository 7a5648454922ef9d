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

/// One search over whole tensors, cut into ranges of states of one member.
template <class T>
class Search {
 public:
  Search(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& policy_actions,
         const CemOptions& options, Draw draw)
      : critic_(critic),
        options_(options),
        draw_(draw),
        obs_(obs.contiguous()),
        policy_(policy_actions.contiguous()),
        members_(obs.size(0)),
        batch_(obs.size(1)),
        hidden_(nn::hidden_widths(critic)),
        shape_(nn::critic_shape(critic, options.samples, policy_.size(2), hidden_)),
        packed_(nn::pack_networks(critic_kernels_, shape_, critic, options.precision)),
        actions_(at::empty_like(policy_)),
        values_(at::empty({members_, batch_}, obs_.options())),
        kept_size_(kernels_.kept_size(shape_, options.refit == Refit::elite ? options.elites : 0)) {}
  Search(const Search&) = delete;  // shape_ points into hidden_
  Search& operator=(const Search&) = delete;

  /// A range at a time, all rounds of it.
  std::pair<at::Tensor, at::Tensor> run() {
    cut(members_);
    for_ranges([&](SearchPass<T>& pass, const SearchStates<T>& states, int64_t) { kernels_.search(pass, states); });
    return {actions_, values_};
  }

  /// A round at a time, all ranges of it: its moments stand before its first candidate is scored.
  std::pair<at::Tensor, at::Tensor> run(const nn::BatchNorm& norm) {
    cut(1);  // by the batch alone: sums do not depend on the members around
    const nn::Moments observed = nn::moments(obs_), acted = nn::moments(policy_);
    const at::Tensor kept = at::empty({members_ * chunks_, kept_size_}, obs_.options());
    std::vector<CandidateSums> drawn(static_cast<size_t>(members_ * chunks_ * shape_.actions));
    for (int64_t step = 0; step <= options_.rounds + 1; ++step) {
      if (step > 0) normalize(norm, {observed, step > options_.rounds ? acted : combined(drawn)});
      for_ranges([&](SearchPass<T>& pass, const SearchStates<T>& states, int64_t range) {
        pass.kept = kept.mutable_data_ptr<T>() + range * kept_size_;
        kernels_.step(pass, states, step, drawn.data() + range * shape_.actions);
      });
    }
    return {actions_, values_};
  }

 private:
  /// About 16 ranges of whole blocks, for threads to share, or more of the largest size; a state's result does not
  /// depend on its range.
  void cut(int64_t members) {
    constexpr int64_t least_ranges = 16, least_states = 30;
    const int64_t fair = (members * batch_ + least_ranges - 1) / least_ranges;
    states_ = std::clamp((fair + least_states - 1) / least_states * least_states, least_states, kSearchStates);
    chunks_ = (batch_ + states_ - 1) / states_;
  }

  template <class Body>
  void for_ranges(const Body& body) {
    const int64_t stride = packed_.size(1);
    at::parallel_for(0, members_ * chunks_, 1, [&](int64_t begin, int64_t end) {
      const int64_t scratch_size = kernels_.memory_size(shape_);
      const at::Tensor scratch = at::empty({scratch_size + kept_size_}, obs_.options());
      T* const memory = scratch.mutable_data_ptr<T>();
      for (int64_t i = begin; i < end; ++i) {
        const int64_t member = i / chunks_, first = i % chunks_ * states_, state = member * batch_ + first;
        const int64_t count = std::min(states_, batch_ - first);
        const draws::CandidateBlock draws{draw_.seed,
                                          static_cast<std::uint32_t>(draw_.step),
                                          static_cast<std::uint32_t>(Stream::cem),
                                          static_cast<std::uint32_t>(member),
                                          static_cast<std::uint32_t>(first),
                                          count,
                                          shape_.samples,
                                          shape_.actions};
        SearchPass<T> pass{{shape_, options_.precision, packed_.const_data_ptr<T>() + member * stride, memory},
                           memory + scratch_size,
                           critic_.members() / members_,
                           members_ * stride,
                           options_,
                           draws_kernels_,
                           draws};
        body(pass,
             SearchStates<T>{
                 obs_.const_data_ptr<T>() + state * shape_.obs, policy_.const_data_ptr<T>() + state * shape_.actions,
                 actions_.mutable_data_ptr<T>() + state * shape_.actions, values_.mutable_data_ptr<T>() + state, count},
             i);
      }
    });
  }

  /// Of all candidates of each member, from the sums [ranges, A].
  nn::Moments combined(const std::vector<CandidateSums>& drawn) const {
    const int64_t size = shape_.actions;
    const double count = static_cast<double>(batch_ * shape_.samples);
    const nn::Moments result{at::empty({members_, size}, obs_.options()), at::empty({members_, size}, obs_.options())};
    for (int64_t i = 0; i < members_ * size; ++i) {
      CandidateSums total{0.0, 0.0};
      for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
        const CandidateSums& part = drawn[static_cast<size_t>((i / size * chunks_ + chunk) * size + i % size)];
        total.numbers += part.numbers;
        total.squares += part.squares;
      }
      const double mean = total.numbers / count;
      result.mean.mutable_data_ptr<T>()[i] = static_cast<T>(mean);
      result.variance.mutable_data_ptr<T>()[i] = static_cast<T>(std::max(0.0, total.squares / count - mean * mean));
    }
    return result;
  }

  /// Folds the normalisation of inputs with these moments into the packed first layers.
  void normalize(const nn::BatchNorm& norm, const std::vector<nn::Moments>& inputs) {
    const auto [weight, bias] = nn::fold(critic_.weights.front(), critic_.biases.front(), norm, inputs);
    for (int64_t n = 0; n < critic_.members(); ++n) {
      critic_kernels_.pack_first(shape_, weight.template const_data_ptr<T>() + n * weight.size(1) * weight.size(2),
                                 bias.template const_data_ptr<T>() + n * bias.size(1),
                                 packed_.mutable_data_ptr<T>() + n * packed_.size(1));
    }
  }

  const nn::CriticKernels<T> critic_kernels_ = nn::chosen_critic_kernels<T>();
  const SearchKernels<T> kernels_ = chosen_search_kernels<T>();
  const draws::Kernels draws_kernels_ = draws::chosen_kernels();
  const nn::StackedMlp& critic_;
  CemOptions options_;
  Draw draw_;
  at::Tensor obs_, policy_;
  int64_t members_, batch_;
  std::vector<int64_t> hidden_;
  nn::CriticShape shape_;
  at::Tensor packed_, actions_, values_;
  int64_t kept_size_;
  int64_t states_ = 0, chunks_ = 0;  ///< of a range; ranges of a member
};

template <class T>
std::pair<at::Tensor, at::Tensor> search(const nn::StackedMlp& critic, const nn::BatchNorm* norm, const at::Tensor& obs,
                                         const at::Tensor& policy_actions, const CemOptions& options, Draw draw) {
  Search<T> search(critic, obs, policy_actions, options, draw);
  return norm == nullptr ? search.run() : search.run(*norm);
}

}  // namespace

std::pair<at::Tensor, at::Tensor> fused_search(const nn::StackedMlp& critic, const nn::BatchNorm* norm,
                                               const at::Tensor& obs, const at::Tensor& policy_actions,
                                               const CemOptions& options, Draw draw) {
  const at::NoGradGuard no_grad;
  if (obs.scalar_type() == at::kFloat) return search<float>(critic, norm, obs, policy_actions, options, draw);
  return search<double>(critic, norm, obs, policy_actions, options, draw);
}

}  // namespace omar::cem
