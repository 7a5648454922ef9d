#include "cem/search_kernels.h"

#include <limits>

#include "cem/search_memory.h"
#include "cem/softmax_refit.h"
#include "nn/critic_block.h"

namespace omar::cem::OMAR_LEVEL {
namespace {

using nn::OMAR_LEVEL::ActionView;
using nn::OMAR_LEVEL::CriticBlock;
using nn::OMAR_LEVEL::Keep;
using nn::OMAR_LEVEL::Scratch;
using nn::OMAR_LEVEL::states_per_block;

template <class T, Precision P>
class Search {
 public:
  explicit Search(const SearchPass<T>& pass)
      : options_(pass.options),
        draws_(pass.kernels),
        critic_(pass.critic),
        critics_(pass.critics),
        critic_stride_(pass.critic_stride),
        samples_(pass.critic.shape.samples),
        size_(pass.critic.shape.actions),
        elites_(pass.options.refit == Refit::elite ? pass.options.elites : 0),
        block_states_(states_per_block(pass.critic.shape)),
        block_(pass.critic, block_states_, kSearchStates),
        kept_(samples_, size_, elites_, pass.kept),
        memory_(samples_, size_, pass.critic.scratch + block_.scratch().size),
        round_(pass.draws) {}

  static std::int64_t memory_size(const nn::CriticShape& shape) {
    return Scratch<T>(shape, states_per_block(shape), kSearchStates, nullptr).size +
           Memory<T>(shape.samples, shape.actions, nullptr).size;
  }

  static std::int64_t kept_size(const nn::CriticShape& shape, std::int64_t elites) {
    return Kept<T>(shape.samples, shape.actions, elites, nullptr).size;
  }

  void run(const SearchStates<T>& states) {
    start(states);
    observe();
    for (std::int64_t round = 0; round < options_.rounds; ++round) {
      sample(round);
      finish_round(states, round);
    }
    compare_with_policy(states);
  }

  void run_step(const SearchStates<T>& states, std::int64_t step, CandidateSums* sums) {
    if (step == 0) {
      start(states);
    } else {
      take(states);
      observe();
    }
    if (step > options_.rounds) return compare_with_policy(states);
    if (step > 0) finish_round(states, step - 1);
    if (step == options_.rounds) return;
    sample(step);
    for (std::int64_t d = 0; d < size_; ++d) sums[d] = candidate_sums(d);
  }

 private:
  /// Candidate k of state s: its first number; the others are kStride apart.
  const T* candidate(std::int64_t k, std::int64_t s) const { return kept_.actions + k * size_ * kStride + s; }

  void take(const SearchStates<T>& states) {
    count_ = states.count;
    obs_ = states.obs;
  }

  void start(const SearchStates<T>& states) {
    take(states);
    for (std::int64_t i = 0; i < size_ * kStride; ++i) {
      kept_.mu[i] = static_cast<T>(options_.mu);
      kept_.sigma[i] = static_cast<T>(options_.sigma);
    }
  }

  /// Several critics prepare the observations when their turn comes.
  void observe() {
    if (critics_ == 1) block_.observe(obs_, count_);
  }

  /// Scores of a round's candidates, and the next distribution or the best of them.
  void finish_round(const SearchStates<T>& states, std::int64_t round) {
    score({kept_.actions, 1, size_ * kStride, kStride}, samples_, memory_.q);
    if (round + 1 == options_.rounds) return take_best(states, round);
    if (options_.refit == Refit::softmax) return refit_softmax();
    for (std::int64_t s = 0; s < count_; ++s) refit_elite(s, round > 0);
  }

  /// Of number d. Sums are in float64, where squares of numbers in [-1, 1] lose nothing that matters beside the epsilon
  /// that a variance gets; in as many lanes at every instruction level.
  CandidateSums candidate_sums(std::int64_t d) const {
    constexpr std::int64_t lanes = 8;
    double sums[lanes] = {}, squares[lanes] = {};
    for (std::int64_t k = 0; k < samples_; ++k) {
      const T* a = kept_.actions + (k * size_ + d) * kStride;
      const auto add = [&](std::int64_t j, T number) {
        const double x = static_cast<double>(number);
        sums[j] += x;
        squares[j] += x * x;
      };
      std::int64_t s = 0;
      for (; s + lanes <= count_; s += lanes) {
        for (std::int64_t j = 0; j < lanes; ++j) add(j, a[s + j]);
      }
      for (std::int64_t j = 0; s + j < count_; ++j) add(j, a[s + j]);
    }
    CandidateSums total{0.0, 0.0};
    for (std::int64_t j = 0; j < lanes; ++j) {
      total.numbers += sums[j];
      total.squares += squares[j];
    }
    return total;
  }

  void sample(std::int64_t round) {
    draws::CandidateBlock draws = round_;
    draws.stream += static_cast<std::uint32_t>(round);
    draws_.candidates(draws::Distribution::normal, draws, {1, size_ * kStride, kStride}, memory_.z);
    for (std::int64_t row = 0; row < samples_ * size_; ++row) {
      const float* z = memory_.z + row * kStride;
      const T* mu = kept_.mu + row % size_ * kStride;
      const T* sigma = kept_.sigma + row % size_ * kStride;
      T* a = kept_.actions + row * kStride;
      for (std::int64_t s = 0; s < count_; ++s) {
        const T x = mu[s] + sigma[s] * static_cast<T>(z[s]);
        a[s] = x < T(-1) ? T(-1) : (x > T(1) ? T(1) : x);
      }
    }
  }

  /// q [samples, states] of `samples` actions of each state.
  void score(const ActionView<T>& actions, std::int64_t samples, T* q) {
    if (critics_ == 1) return score_with(block_, actions, samples, q);
    // The critics take turns with one scratch memory, so that each prepares the observations again.
    T* const single = memory_.weights;
    for (std::int64_t t = 0; t < critics_; ++t) {
      nn::CriticPass<T> pass = critic_;
      pass.packed += t * critic_stride_;
      CriticBlock<T, P> block(pass, block_states_, kSearchStates);
      block.observe(obs_, count_);
      score_with(block, actions, samples, single);
      reduce(single, t == 0, samples, q);
    }
  }

  /// Takes one more critic's scores into q; NaN stays NaN.
  void reduce(const T* single, bool first, std::int64_t samples, T* q) const {
    // Divided before they are added: finite scores have a finite mean.
    const T divisor = options_.reduction == Reduction::mean ? static_cast<T>(critics_) : T(1);
    for (std::int64_t k = 0; k < samples; ++k) {
      for (std::int64_t s = k * kStride; s < k * kStride + count_; ++s) {
        const T value = single[s] / divisor;
        const T both = options_.reduction == Reduction::mean ? q[s] + value
                       : value < q[s] || value != value      ? value
                                                             : q[s];
        q[s] = first ? value : both;
      }
    }
  }

  void score_with(CriticBlock<T, P>& block, ActionView<T> actions, std::int64_t samples, T* q) {
    const std::int64_t most = block_states_ * samples_ / samples;  // as many rows as a block holds
    for (std::int64_t first = 0; first < count_; first += most) {
      const std::int64_t count = count_ - first < most ? count_ - first : most;
      block.template score<Keep::nothing>(actions, first, count, samples);
      const T* from = block.scratch().q;
      for (std::int64_t s = first; s < first + count; ++s) {
        for (std::int64_t k = 0; k < samples; ++k) q[k * kStride + s] = *from++;
      }
      actions.data += count * actions.by_state;
    }
  }

  void refit_softmax() const {
    const T beta = static_cast<T>(options_.beta);
    SoftmaxRefit<T>{memory_.q, kept_.actions, memory_.weights, kept_.mu, kept_.sigma, count_, samples_, size_, beta}
        .run();
  }

  /// Elites of the fresh candidates and the carried elites, which they replace; then mean and deviation.
  void refit_elite(std::int64_t s, bool carried) {
    const T* q = memory_.q + s;
    T* taken = memory_.weights + s;  // 1 where a fresh candidate was chosen
    T* kept = kept_.elites + s * elites_ * size_;
    T* kept_q = kept_.elite_q + s * elites_;
    for (std::int64_t k = 0; k < samples_; ++k) taken[k * kStride] = T(0);
    std::int64_t found = 0, next = 0;  // of `kept`, the first `next` were chosen
    const std::int64_t pool = carried ? kept_.carried[s] : 0;
    for (; found < elites_; ++found) {
      std::int64_t index = -1;
      for (std::int64_t k = 0; k < samples_; ++k) {
        const T value = q[k * kStride];
        if (taken[k * kStride] == T(0) && finite(value) && (index < 0 || value > q[index * kStride])) index = k;
      }
      T* to = memory_.fresh + found * size_;
      if (next < pool && (index < 0 || kept_q[next] > q[index * kStride])) {
        for (std::int64_t d = 0; d < size_; ++d) to[d] = kept[next * size_ + d];
        memory_.fresh_q[found] = kept_q[next++];
      } else if (index >= 0) {
        for (std::int64_t d = 0; d < size_; ++d) to[d] = candidate(index, s)[d * kStride];
        memory_.fresh_q[found] = q[index * kStride];
        taken[index * kStride] = T(1);
      } else {
        break;
      }
    }
    for (std::int64_t i = 0; i < found * size_; ++i) kept[i] = memory_.fresh[i];
    for (std::int64_t i = 0; i < found; ++i) kept_q[i] = memory_.fresh_q[i];
    kept_.carried[s] = found;
    fit_elite(s, kept, found);
  }

  void fit_elite(std::int64_t s, const T* a, std::int64_t n) {
    if (n == 0) return;
    for (std::int64_t d = 0; d < size_; ++d) {
      T sum = T(0);
      for (std::int64_t i = 0; i < n; ++i) sum += a[i * size_ + d];
      const T mu = sum / static_cast<T>(n);
      T square = T(0);
      for (std::int64_t i = 0; i < n; ++i) {
        const T distance = a[i * size_ + d] - mu;
        square += distance * distance;
      }
      kept_.mu[d * kStride + s] = mu;
      if (n > 1) kept_.sigma[d * kStride + s] = sqrt_(square / static_cast<T>(n - 1));
    }
  }

  /// The best of the last candidates and the carried elites; the first of equals wins, NaN and infinities lose.
  void take_best(const SearchStates<T>& states, std::int64_t round) {
    PerState<T> top;
    PerState<std::int32_t> best;
    for (std::int64_t s = 0; s < count_; ++s) {
      top[s] = std::numeric_limits<T>::lowest();
      best[s] = -1;
    }
    for (std::int64_t k = 0; k < samples_; ++k) {
      const T* q = memory_.q + k * kStride;
      for (std::int64_t s = 0; s < count_; ++s) {
        const bool wins = finite(q[s]) && (q[s] > top[s] || best[s] < 0);
        top[s] = wins ? q[s] : top[s];
        best[s] = wins ? static_cast<std::int32_t>(k) : best[s];
      }
    }
    const bool carries = elites_ > 0 && round > 0;
    for (std::int64_t s = 0; s < count_; ++s) {
      T* action = states.actions + s * size_;
      const T* elite = kept_.elites + s * elites_ * size_;
      const T* elite_q = kept_.elite_q + s * elites_;
      const bool elite_wins = carries && kept_.carried[s] > 0 && (best[s] < 0 || elite_q[0] > top[s]);
      for (std::int64_t d = 0; d < size_; ++d) {
        action[d] = elite_wins ? elite[d] : best[s] >= 0 ? candidate(best[s], s)[d * kStride] : T(0);
      }
      const bool none = best[s] < 0 && !elite_wins;
      states.values[s] = none ? std::numeric_limits<T>::quiet_NaN() : elite_wins ? elite_q[0] : top[s];
    }
  }

  void compare_with_policy(const SearchStates<T>& states) {
    score({states.policy, size_, size_, 1}, 1, memory_.q);
    for (std::int64_t s = 0; s < count_; ++s) {
      const T q = memory_.q[s];
      const bool wins = finite(states.values[s]) && (!finite(q) || states.values[s] > q);
      if (wins) continue;
      for (std::int64_t d = 0; d < size_; ++d) states.actions[s * size_ + d] = states.policy[s * size_ + d];
      states.values[s] = q;
    }
  }

  CemOptions options_;
  draws::Kernels draws_;
  nn::CriticPass<T> critic_;  ///< with the first critic's parameters
  std::int64_t critics_, critic_stride_;
  std::int64_t samples_, size_, elites_, block_states_;
  CriticBlock<T, P> block_;
  Kept<T> kept_;
  Memory<T> memory_;
  draws::CandidateBlock round_;  ///< of round 0
  std::int64_t count_ = 0;       ///< states of the range
  const T* obs_ = nullptr;       ///< their observations
};

/// Calls body(search) with the search of the wanted precision.
template <class T, class Body>
void with_search(const SearchPass<T>& pass, const Body& body) {
  if (pass.options.precision == Precision::bf16) {
    Search<T, Precision::bf16> search(pass);
    return body(search);
  }
  Search<T, Precision::float32> search(pass);
  body(search);
}

template <class T>
SearchKernels<T> kernels() {
  SearchKernels<T> table;
  table.memory_size = &Search<T, Precision::float32>::memory_size;
  table.kept_size = &Search<T, Precision::float32>::kept_size;
  table.search = [](const SearchPass<T>& pass, const SearchStates<T>& states) {
    with_search(pass, [&](auto& search) { search.run(states); });
  };
  table.step = [](const SearchPass<T>& pass, const SearchStates<T>& states, std::int64_t step, CandidateSums* sums) {
    with_search(pass, [&](auto& search) { search.run_step(states, step, sums); });
  };
  table.refit_memory_size = &refit_memory_size;
  table.refit_softmax = &refit_softmax<T>;
  return table;
}

}  // namespace

SearchKernels<float> search_kernels_float() { return kernels<float>(); }
SearchKernels<double> search_kernels_double() { return kernels<double>(); }

}  // namespace omar::cem::OMAR_LEVEL
