#include "cem/search_kernels.h"

#include <limits>

#include "cem/refit_state.h"
#include "nn/critic_block.h"
#include "nn/exp.h"

namespace omar::cem::OMAR_LEVEL {
namespace {

using nn::OMAR_LEVEL::ActionView;
using nn::OMAR_LEVEL::CriticBlock;
using nn::OMAR_LEVEL::exp_;
using nn::OMAR_LEVEL::Keep;
using nn::OMAR_LEVEL::round_up;
using nn::OMAR_LEVEL::Scratch;
using nn::OMAR_LEVEL::states_per_block;

constexpr std::int64_t kStride = round_up(kSearchStates, 16);  ///< states are the fastest index of all arrays

/// Arrays of a range of states: normals and candidates [K, A], scores and weights [K], the distribution [A]; and the
/// elites carried between rounds, in falling order.
template <class T>
struct Memory {
  float* z;
  T *actions, *q, *weights, *mu, *sigma;
  T *elites, *elite_q, *fresh, *fresh_q;  ///< [S, E, A], [S, E], one state's [E, A], [E]
  std::int64_t size;

  Memory(std::int64_t samples, std::int64_t actions_size, std::int64_t elite_count, T* memory) {
    T* next = memory;
    const auto take = [&](std::int64_t n) {
      T* at = next;
      next += round_up(n, 64 / static_cast<std::int64_t>(sizeof(T)));
      return at;
    };
    z = reinterpret_cast<float*>(take(samples * actions_size * kStride));
    actions = take(samples * actions_size * kStride);
    q = take(samples * kStride);
    weights = take(samples * kStride);
    mu = take(actions_size * kStride);
    sigma = take(actions_size * kStride);
    elites = take(kStride * elite_count * actions_size);
    elite_q = take(kStride * elite_count);
    fresh = take(elite_count * actions_size);
    fresh_q = take(elite_count);
    size = next - memory;
  }
};

/// A number for each state.
template <class T>
using PerState = T[kStride];

/// The softmax refit of a block of states, in place.
template <class T>
struct SoftmaxRefit {
  const T* scores;      ///< [K]
  const T* candidates;  ///< [K, A]
  T* weights;           ///< scratch [K]
  T* means;             ///< [A]
  T* deviations;        ///< [A]
  std::int64_t count;   ///< of states
  std::int64_t samples, size;
  T beta;

  /// Scores that are NaN or infinite weigh nothing; a state that has no other keeps its distribution.
  void run() const {
    PerState<T> top, total, known;
    for (std::int64_t s = 0; s < count; ++s) {
      top[s] = std::numeric_limits<T>::lowest();
      total[s] = known[s] = T(0);
    }
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      for (std::int64_t s = 0; s < count; ++s) top[s] = finite(q[s]) && q[s] > top[s] ? q[s] : top[s];
    }
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      T* w = weights + k * kStride;
      for (std::int64_t s = 0; s < count; ++s) {
        const T weight = exp_(beta * below_top(q[s], top[s]));
        w[s] = finite(q[s]) ? weight : T(0);
        total[s] += w[s];
        known[s] += finite(q[s]) ? T(1) : T(0);
      }
    }
    for (std::int64_t d = 0; d < size; ++d) fit(d, total, known);
  }

 private:
  /// Weighted mean and root mean square distance to it, of one action dimension.
  void fit(std::int64_t d, const T* total, const T* known) const {
    PerState<T> mean, square;
    for (std::int64_t s = 0; s < count; ++s) mean[s] = square[s] = T(0);
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* w = weights + k * kStride;
      const T* a = candidates + (k * size + d) * kStride;
      for (std::int64_t s = 0; s < count; ++s) mean[s] += w[s] * a[s];
    }
    for (std::int64_t s = 0; s < count; ++s) mean[s] /= total[s];
    for (std::int64_t k = 0; k < samples; ++k) {
      const T* q = scores + k * kStride;
      const T* a = candidates + (k * size + d) * kStride;
      for (std::int64_t s = 0; s < count; ++s) {
        const T distance = a[s] - mean[s];
        square[s] += finite(q[s]) ? distance * distance : T(0);
      }
    }
    T* mu = means + d * kStride;
    T* sigma = deviations + d * kStride;
    for (std::int64_t s = 0; s < count; ++s) {
      const T deviation = sqrt_(square[s] / known[s]);
      mu[s] = known[s] > T(0) ? mean[s] : mu[s];
      sigma[s] = known[s] > T(0) ? deviation : sigma[s];
    }
  }
};

/// Rows [states, width] to [width, kStride], and back.
template <class T>
void to_columns(const T* rows, std::int64_t states, std::int64_t width, T* columns) {
  for (std::int64_t s = 0; s < states; ++s) {
    for (std::int64_t i = 0; i < width; ++i) columns[i * kStride + s] = rows[s * width + i];
  }
}
template <class T>
void to_rows(const T* columns, std::int64_t states, std::int64_t width, T* rows) {
  for (std::int64_t s = 0; s < states; ++s) {
    for (std::int64_t i = 0; i < width; ++i) rows[s * width + i] = columns[i * kStride + s];
  }
}

/// The softmax refit of states [first, first + count) of `args`, count <= kSearchStates.
template <class T>
void refit_softmax(const RefitArgs<T>& args, std::int64_t first, std::int64_t count, T* memory) {
  const std::int64_t samples = args.samples, size = args.size;
  T* const scores = memory;
  T* const weights = scores + samples * kStride;
  T* const candidates = weights + samples * kStride;
  T* const means = candidates + samples * size * kStride;
  T* const deviations = means + size * kStride;
  to_columns(args.q + first * samples, count, samples, scores);
  to_columns(args.actions + first * samples * size, count, samples * size, candidates);
  to_columns(args.mu + first * size, count, size, means);
  to_columns(args.sigma + first * size, count, size, deviations);
  SoftmaxRefit<T>{scores, candidates, weights, means, deviations, count, samples, size, args.beta}.run();
  to_rows(means, count, size, args.next_mu + first * size);
  to_rows(deviations, count, size, args.next_sigma + first * size);
}

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
        memory_(samples_, size_, elites_, pass.critic.scratch + block_.scratch().size) {}

  static std::int64_t memory_size(const nn::CriticShape& shape, std::int64_t elites) {
    return Scratch<T>(shape, states_per_block(shape), kSearchStates, nullptr).size +
           Memory<T>(shape.samples, shape.actions, elites, nullptr).size;
  }

  void run(const SearchStates<T>& states, draws::CandidateBlock draws) {
    count_ = states.count;
    obs_ = states.obs;
    block_.observe(obs_, count_);
    for (std::int64_t i = 0; i < size_ * kStride; ++i) {
      memory_.mu[i] = static_cast<T>(options_.mu);
      memory_.sigma[i] = static_cast<T>(options_.sigma);
    }
    const ActionView<T> candidates{memory_.actions, 1, size_ * kStride, kStride};
    for (std::int64_t round = 0; round < options_.rounds; ++round, ++draws.stream) {
      sample(draws);
      score(candidates, samples_, memory_.q);
      const bool last = round + 1 == options_.rounds;
      if (last) {
        take_best(states, round);
      } else if (options_.refit == Refit::softmax) {
        refit_softmax();
      } else {
        for (std::int64_t s = 0; s < count_; ++s) refit_elite(s, round > 0);
      }
    }
    compare_with_policy(states);
  }

 private:
  /// Candidate k of state s: its first number; the others are kStride apart.
  const T* candidate(std::int64_t k, std::int64_t s) const { return memory_.actions + k * size_ * kStride + s; }

  void sample(const draws::CandidateBlock& draws) {
    draws_.candidates(draws::Distribution::normal, draws, {1, size_ * kStride, kStride}, memory_.z);
    for (std::int64_t row = 0; row < samples_ * size_; ++row) {
      const float* z = memory_.z + row * kStride;
      const T* mu = memory_.mu + row % size_ * kStride;
      const T* sigma = memory_.sigma + row % size_ * kStride;
      T* a = memory_.actions + row * kStride;
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
    const Memory<T>& m = memory_;
    SoftmaxRefit<T>{m.q, m.actions, m.weights, m.mu, m.sigma, count_, samples_, size_, beta}.run();
  }

  /// Elites of the fresh candidates and the carried elites, which they replace; then mean and deviation.
  void refit_elite(std::int64_t s, bool carried) {
    const T* q = memory_.q + s;
    T* taken = memory_.weights + s;  // 1 where a fresh candidate was chosen
    T* kept = memory_.elites + s * elites_ * size_;
    T* kept_q = memory_.elite_q + s * elites_;
    for (std::int64_t k = 0; k < samples_; ++k) taken[k * kStride] = T(0);
    std::int64_t found = 0, next = 0;  // of `kept`, the first `next` were chosen
    const std::int64_t pool = carried ? carried_[s] : 0;
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
    carried_[s] = found;
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
      memory_.mu[d * kStride + s] = mu;
      if (n > 1) memory_.sigma[d * kStride + s] = sqrt_(square / static_cast<T>(n - 1));
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
      const T* elite = memory_.elites + s * elites_ * size_;
      const T* elite_q = memory_.elite_q + s * elites_;
      const bool elite_wins = carries && carried_[s] > 0 && (best[s] < 0 || elite_q[0] > top[s]);
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
  Memory<T> memory_;
  std::int64_t count_ = 0;               ///< states of the range
  const T* obs_ = nullptr;               ///< their observations
  PerState<std::int64_t> carried_ = {};  ///< elites with a finite score
};

template <class T, Precision P>
void search(const SearchPass<T>& pass, const SearchStates<T>& states) {
  Search<T, P>(pass).run(states, pass.draws);
}

template <class T>
SearchKernels<T> kernels() {
  SearchKernels<T> table;
  table.memory_size = &Search<T, Precision::float32>::memory_size;
  table.search = [](const SearchPass<T>& pass, const SearchStates<T>& states) {
    if (pass.options.precision == Precision::bf16) return search<T, Precision::bf16>(pass, states);
    search<T, Precision::float32>(pass, states);
  };
  table.refit_memory_size = [](std::int64_t samples, std::int64_t actions) {
    return (samples * (actions + 2) + 2 * actions) * kStride;
  };
  table.refit_softmax = &refit_softmax<T>;
  return table;
}

}  // namespace

SearchKernels<float> search_kernels_float() { return kernels<float>(); }
SearchKernels<double> search_kernels_double() { return kernels<double>(); }

}  // namespace omar::cem::OMAR_LEVEL
