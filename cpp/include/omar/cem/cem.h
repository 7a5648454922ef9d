#pragma once
/// The zeroth-order search of OMAR (Pan et al. 2022, section 3.2): CEM-like rounds of sampling, scoring and refitting a
/// Gaussian over actions in [-1, 1]^A, for each state of a batch. M members, B states, K samples, A action size.

#include <omar/core/host_device.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace omar::cem {

enum class Refit {
  softmax,  ///< the paper: mu = softmax(beta Q) . a, sigma = root mean square distance to the new mu
  elite,    ///< cross-entropy method: mean and unbiased std of the best, which stay in the pool
};

enum class Precision { float32, bf16 };

struct CemOptions {
  int64_t rounds = 3;    ///< J >= 1
  int64_t samples = 10;  ///< K >= 1 (elite refit: K >= 2)
  Refit refit = Refit::softmax;
  int64_t elites = 5;  ///< elite refit only: 2..K
  double mu = 0.0;     ///< first mean
  double sigma = 2.0;  ///< first standard deviation, > 0
  double beta = 1.0;   ///< softmax refit only: inverse temperature
  Precision precision = Precision::float32;
};

/// The search distribution and what is carried between rounds.
struct Distribution {
  at::Tensor mu;     ///< [M, B, A]
  at::Tensor sigma;  ///< [M, B, A]
};

/// Counter of a draw: seed and update number.
struct Draw {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
};

/// \throws c10::ValueError an option out of range
OMAR_API void check(const CemOptions& options);

/// Candidates a ~ N(mu, sigma), clamped to [-1, 1]: [M, B, K, A]. Normal k of action dimension d of state b of member m
/// is a function of (seed, step, round, m, b, k, d) alone.
OMAR_API at::Tensor sample(const Distribution& distribution, int64_t samples, Draw draw, int64_t round);

/// The next distribution from actions [M, B, K, A] with scores q [M, B, K]. NaN and infinite scores weigh nothing; a
/// state whose scores are all of that kind keeps its distribution (hence `previous`).
OMAR_API Distribution refit(const Distribution& previous, const at::Tensor& actions, const at::Tensor& q,
                            const CemOptions& options);

/// The best of K: actions [M, B, K, A], q [M, B, K] -> actions [M, B, A], values [M, B]. NaN and infinite scores lose;
/// the first of equals wins.
OMAR_API std::pair<at::Tensor, at::Tensor> best(const at::Tensor& actions, const at::Tensor& q);

/// Scores of candidates: [M, B, K, A] -> [M, B, K].
using Scorer = std::function<at::Tensor(const at::Tensor&)>;

/// The whole search for any scorer: J rounds, then the best of the last round's samples (elite refit: of the pool) or
/// the policy's action [M, B, A], whichever scores higher. \return actions [M, B, A] and their values [M, B], not
/// differentiable
OMAR_API std::pair<at::Tensor, at::Tensor> maximize(const Scorer& scorer, const at::Tensor& policy_actions,
                                                    const CemOptions& options, Draw draw);

/// The same with a StackedMlp critic of M networks on (o, a), obs [M, B, O].
OMAR_API std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const at::Tensor& obs,
                                                    const at::Tensor& policy_actions, const CemOptions& options,
                                                    Draw draw);

}  // namespace omar::cem
