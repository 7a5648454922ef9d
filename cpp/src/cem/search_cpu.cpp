#include "cem/search_kernels.h"
#include "nn/critic_block.h"
#include "nn/exp.h"

namespace omar::cem::OMAR_LEVEL {
namespace {

using nn::OMAR_LEVEL::CriticBlock;
using nn::OMAR_LEVEL::exp_;
using nn::OMAR_LEVEL::Keep;
using nn::OMAR_LEVEL::round_up;
using nn::OMAR_LEVEL::states_per_block;

OMAR_INLINE float root(float x) { return __builtin_sqrtf(x); }
OMAR_INLINE double root(double x) { return __builtin_sqrt(x); }

template <class T>
OMAR_INLINE bool finite(T x) {
  return x - x == T(0);
}

/// Arrays of a block: normals, candidates, the distribution, and the elites carried between rounds.
template <class T>
struct Memory {
  float* z;                               ///< [S, K, A]
  T *actions, *mu, *sigma, *weights;      ///< [S, K, A], [S, A], [S, A], [S, K]
  T *elites, *elite_q, *fresh, *fresh_q;  ///< [S, E, A], [S, E], one state's [E, A], [E]
  std::int64_t size;

  Memory(const nn::CriticShape& s, std::int64_t count, std::int64_t elite_count, T* memory) {
    T* next = memory;
    const auto take = [&](std::int64_t n) {
      T* at = next;
      next += round_up(n, 64 / static_cast<std::int64_t>(sizeof(T)));
      return at;
    };
    const std::int64_t rows = count * s.samples;
    z = reinterpret_cast<float*>(take(rows * s.actions));
    actions = take(rows * s.actions);
    mu = take(count * s.actions);
    sigma = take(count * s.actions);
    weights = take(rows);
    elites = take(count * elite_count * s.actions);
    elite_q = take(count * elite_count);
    fresh = take(elite_count * s.actions);
    fresh_q = take(elite_count);
    size = next - memory;
  }
};

/// The best of a state so far.
template <class T>
struct Best {
  const T* action = nullptr;
  T q = T(0);
  /// The first of equals wins; NaN and infinities lose.
  OMAR_INLINE void offer(const T* other, T value) {
    if (finite(value) && (action == nullptr || value > q)) {
      action = other;
      q = value;
    }
  }
};

template <class T, Precision P>
class Search {
 public:
  Search(const SearchPass<T>& pass, std::int64_t block_states)
      : options_(pass.options),
        random_(pass.random),
        samples_(pass.critic.shape.samples),
        size_(pass.critic.shape.actions),
        elites_(pass.options.refit == Refit::elite ? pass.options.elites : 0),
        block_(pass.critic, block_states),
        memory_(pass.critic.shape, block_states, elites_, pass.memory) {}

  void run(const SearchStates<T>& states, nn::CandidateBlock draws) {
    block_.observe(states.obs, states.count);
    for (std::int64_t i = 0; i < states.count * size_; ++i) {
      memory_.mu[i] = static_cast<T>(options_.mu);
      memory_.sigma[i] = static_cast<T>(options_.sigma);
    }
    for (std::int64_t round = 0; round < options_.rounds; ++round, ++draws.stream) {
      sample(draws, states.count);
      block_.template score<Keep::nothing>(memory_.actions, states.count, samples_);
      const bool last = round + 1 == options_.rounds;
      if (last) {
        take_best(states, round);
      } else if (options_.refit == Refit::softmax) {
        refit_softmax(states.count);
      } else {
        for (std::int64_t s = 0; s < states.count; ++s) refit_elite(s, round > 0);
      }
    }
    compare_with_policy(states);
  }

 private:
  void sample(const nn::CandidateBlock& draws, std::int64_t count) {
    random_.normals(draws, memory_.z);
    const float* z = memory_.z;
    T* a = memory_.actions;
    for (std::int64_t s = 0; s < count; ++s) {
      const T* mu = memory_.mu + s * size_;
      const T* sigma = memory_.sigma + s * size_;
      for (std::int64_t k = 0; k < samples_; ++k, z += size_, a += size_) {
        for (std::int64_t d = 0; d < size_; ++d) {
          const T x = mu[d] + sigma[d] * static_cast<T>(z[d]);
          a[d] = x < T(-1) ? T(-1) : (x > T(1) ? T(1) : x);
        }
      }
    }
  }

  void refit_softmax(std::int64_t count) {
    const T* q = block_.scratch().q;
    T* w = memory_.weights;
    const T beta = static_cast<T>(options_.beta);
    for (std::int64_t s = 0; s < count; ++s) {
      Best<T> top;
      for (std::int64_t k = 0; k < samples_; ++k) top.offer(w, q[s * samples_ + k]);
      for (std::int64_t k = 0; k < samples_; ++k) w[s * samples_ + k] = beta * (q[s * samples_ + k] - top.q);
    }
    // Scores that are NaN or infinite (and the exponents made of them) weigh nothing.
    for (std::int64_t r = 0; r < count * samples_; ++r) w[r] = finite(q[r]) ? exp_(w[r]) : T(0);
    for (std::int64_t s = 0; s < count; ++s) refit_state(s, q + s * samples_, w + s * samples_);
  }

  void refit_state(std::int64_t s, const T* q, const T* w) {
    T total = T(0), known = T(0);
    for (std::int64_t k = 0; k < samples_; ++k) {
      total += w[k];
      known += finite(q[k]) ? T(1) : T(0);
    }
    if (known == T(0)) return;
    const T* a = memory_.actions + s * samples_ * size_;
    for (std::int64_t d = 0; d < size_; ++d) {
      T sum = T(0);
      for (std::int64_t k = 0; k < samples_; ++k) sum += w[k] * a[k * size_ + d];
      const T mu = sum / total;
      T square = T(0);
      for (std::int64_t k = 0; k < samples_; ++k) {
        const T distance = a[k * size_ + d] - mu;
        square += finite(q[k]) ? distance * distance : T(0);
      }
      memory_.mu[s * size_ + d] = mu;
      memory_.sigma[s * size_ + d] = root(square / known);
    }
  }

  /// Elites of the fresh candidates and the carried elites, which they replace; then mean and deviation.
  void refit_elite(std::int64_t s, bool carried) {
    const T* q = block_.scratch().q + s * samples_;
    const T* a = memory_.actions + s * samples_ * size_;
    T* kept = memory_.elites + s * elites_ * size_;
    T* kept_q = memory_.elite_q + s * elites_;
    T* taken = memory_.weights + s * samples_;  // 1 where a fresh candidate was chosen
    for (std::int64_t k = 0; k < samples_; ++k) taken[k] = T(0);
    std::int64_t found = 0, next = 0;  // `kept` is in falling order, so its first `next` were chosen
    const std::int64_t pool = carried ? carried_[s % kCarried] : 0;
    for (; found < elites_; ++found) {
      Best<T> best;
      std::int64_t index = -1;
      for (std::int64_t k = 0; k < samples_; ++k) {
        if (taken[k] == T(0) && finite(q[k]) && (index < 0 || q[k] > best.q)) {
          best.q = q[k];
          best.action = a + k * size_;
          index = k;
        }
      }
      if (next < pool && (index < 0 || kept_q[next] > best.q)) {
        best.action = kept + next * size_;
        best.q = kept_q[next++];
      } else if (index >= 0) {
        taken[index] = T(1);
      } else {
        break;
      }
      for (std::int64_t d = 0; d < size_; ++d) memory_.fresh[found * size_ + d] = best.action[d];
      memory_.fresh_q[found] = best.q;
    }
    for (std::int64_t i = 0; i < found * size_; ++i) kept[i] = memory_.fresh[i];
    for (std::int64_t i = 0; i < found; ++i) kept_q[i] = memory_.fresh_q[i];
    carried_[s % kCarried] = found;
    fit(s, kept, found);
  }

  void fit(std::int64_t s, const T* a, std::int64_t n) {
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
      memory_.mu[s * size_ + d] = mu;
      if (n > 1) memory_.sigma[s * size_ + d] = root(square / static_cast<T>(n - 1));
    }
  }

  void take_best(const SearchStates<T>& states, std::int64_t round) {
    const T* q = block_.scratch().q;
    for (std::int64_t s = 0; s < states.count; ++s) {
      Best<T> best;
      for (std::int64_t k = 0; k < samples_; ++k) {
        best.offer(memory_.actions + (s * samples_ + k) * size_, q[s * samples_ + k]);
      }
      if (elites_ > 0 && round > 0 && carried_[s % kCarried] > 0) {
        best.offer(memory_.elites + s * elites_ * size_, memory_.elite_q[s * elites_]);
      }
      const T* from = best.action == nullptr ? states.policy + s * size_ : best.action;
      for (std::int64_t d = 0; d < size_; ++d) states.actions[s * size_ + d] = from[d];
      states.values[s] = best.action == nullptr ? T(0) / T(0) : best.q;
    }
  }

  void compare_with_policy(const SearchStates<T>& states) {
    block_.template score<Keep::nothing>(states.policy, states.count, 1);
    for (std::int64_t s = 0; s < states.count; ++s) {
      const T q = block_.scratch().q[s];
      const bool wins = finite(states.values[s]) && (!finite(q) || states.values[s] > q);
      if (wins) continue;
      for (std::int64_t d = 0; d < size_; ++d) states.actions[s * size_ + d] = states.policy[s * size_ + d];
      states.values[s] = q;
    }
  }

  static constexpr std::int64_t kCarried = 256;  ///< more than any block's states

  CemOptions options_;
  nn::RandomKernels random_;
  std::int64_t samples_, size_, elites_;
  CriticBlock<T, P> block_;
  Memory<T> memory_;
  std::int64_t carried_[kCarried] = {};  ///< elites with a finite score
};

template <class T>
std::int64_t search_size(const nn::CriticShape& shape, std::int64_t elites) {
  return Memory<T>(shape, states_per_block(shape), elites, nullptr).size;
}

template <class T, Precision P>
void search(const SearchPass<T>& pass, const SearchStates<T>& states) {
  const nn::CriticShape& shape = pass.critic.shape;
  const std::int64_t size = states_per_block(shape);
  Search<T, P> search(pass, size);
  for (std::int64_t first = 0; first < states.count; first += size) {
    const std::int64_t count = states.count - first < size ? states.count - first : size;
    nn::CandidateBlock draws = pass.draws;
    draws.first += static_cast<std::uint32_t>(first);
    draws.count = count;
    search.run({states.obs + first * shape.obs, states.policy + first * shape.actions,
                states.actions + first * shape.actions, states.values + first, count},
               draws);
  }
}

template <class T>
SearchKernels<T> kernels() {
  SearchKernels<T> table;
  table.search_size = &search_size<T>;
  table.search = [](const SearchPass<T>& pass, const SearchStates<T>& states) {
    if (pass.options.precision == Precision::bf16) return search<T, Precision::bf16>(pass, states);
    search<T, Precision::float32>(pass, states);
  };
  return table;
}

}  // namespace

SearchKernels<float> search_kernels_float() { return kernels<float>(); }
SearchKernels<double> search_kernels_double() { return kernels<double>(); }

}  // namespace omar::cem::OMAR_LEVEL
