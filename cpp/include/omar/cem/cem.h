#pragma once
/// The zeroth-order search of OMAR (Pan et al. 2022, section 3.2): CEM-like rounds of sampling, scoring and refitting a
/// Gaussian over actions in [-1, 1]^A, for each state of a batch.
///
/// M members, B states, K samples, T critics for a member, O observation size, A action size, all at least 1. Tensors
/// are float32 or float64, of one dtype and on one device in a call.
///
///   cem::CemOptions options;                                      // J = 3 rounds of K = 10 samples
///   auto [actions, values] = cem::maximize(critic, obs, policy_actions, options, {seed, step});

#include <omar/cem/options.h>
#include <omar/core/draws.h>
#include <omar/core/host_device.h>
#include <omar/nn/batch_norm.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <utility>

namespace omar::cem {

using omar::Draw;

/// The search distribution.
struct Distribution {
  at::Tensor mu;     ///< [M, B, A]
  at::Tensor sigma;  ///< [M, B, A]
};

/// Scored candidates. K is the number of samples in the first round and with the softmax refit; with the elite refit
/// later pools hold the samples followed by the elites carried over.
struct Pool {
  at::Tensor actions;  ///< [M, B, K, A]
  at::Tensor q;        ///< [M, B, K]
};

/// \throws c10::ValueError an option out of range
OMAR_API void check(const CemOptions& options);

/// Standard normals [M, B, K, A], float32 on `device`. Number (m, b, k, d) is word k % 4 of the Philox block at
/// (counter::candidate_draw(b, k / 4), step, m, counter::candidate_stream(Stream::cem + round, d)), words 0 and 1, 2
/// and 3 paired by rng::normal_pair: a function of (seed, step, round, m, b, k, d) alone. \throws c10::ValueError
/// B > counter::kStates, K > counter::kSamples, round not in 0 .. counter::kRounds - 1, a step out of range
OMAR_API at::Tensor normals(c10::IntArrayRef sizes, Draw draw, int64_t round, c10::Device device = at::kCPU);

/// Candidates a ~ N(mu, sigma), clamped to [-1, 1]: [M, B, K, A], from `normals`.
OMAR_API at::Tensor sample(const Distribution& distribution, int64_t samples, Draw draw, int64_t round);

/// The next distribution from scored candidates. NaN and infinite scores weigh nothing; a state whose scores are all of
/// that kind keeps its distribution (hence `previous`), and one with a single elite keeps its sigma. Finite scores give
/// a finite distribution, however large they are. Not differentiable.
OMAR_API Distribution refit(const Distribution& previous, const Pool& pool, const CemOptions& options);

/// The `count` best candidates in falling order, the first of equals first; NaN and infinite scores come last.
OMAR_API Pool elites(const Pool& pool, int64_t count);

/// New candidates followed by carried ones.
OMAR_API Pool merge(const Pool& fresh, const Pool& carried);

/// The best of K: actions [M, B, A], values [M, B]. NaN and infinite scores lose; the first of equals wins.
OMAR_API std::pair<at::Tensor, at::Tensor> best(const Pool& pool);

/// The host's own critic: candidates [M, B, K, A] -> scores [M, B, K], same dtype and device.
using Scorer = std::function<at::Tensor(const at::Tensor&)>;

/// The whole search for any scorer: J rounds, then the best of the last round's samples (elite refit: of the pool) or
/// the policy's action [M, B, A], whichever scores higher. The scorer is called J times with K candidates and once with
/// the policy's action (K = 1), without gradients. `precision` and `reduction` keep their defaults: they are the
/// scorer's business.
/// \return actions [M, B, A] and their values [M, B], not differentiable
/// \throws c10::ValueError a wrong shape or option; c10::TypeError a wrong dtype; whatever the scorer throws
OMAR_API std::pair<at::Tensor, at::Tensor> maximize(const Scorer& scorer, const at::Tensor& policy_actions,
                                                    const CemOptions& options, Draw draw);

/// The same with a StackedMlp critic: weights [T * M, in, out], biases [T * M, out], O + A inputs (o, a), one output;
/// obs [M, B, O], policy_actions [M, B, A]. Network t * M + m is critic t of member m; `options.reduction` says how the
/// T scores make one. The fused kernels (on the CPU) run all rounds of a block of states without leaving cache; NaN of
/// any critic that counts makes a candidate's score NaN.
OMAR_API std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const at::Tensor& obs,
                                                    const at::Tensor& policy_actions, const CemOptions& options,
                                                    Draw draw, Kernels kernels = Kernels::automatic);

/// The same with batch normalisation in front of the critics: each round's (o, a), and then the policy's, are
/// normalised by their own moments over all B K rows of a member (K = 1 for the policy's). Runs round by round in the
/// fused kernels. \throws c10::ValueError nn::fused_obstacle(critic) names a reason against them
OMAR_API std::pair<at::Tensor, at::Tensor> maximize(const nn::StackedMlp& critic, const nn::BatchNorm& norm,
                                                    const at::Tensor& obs, const at::Tensor& policy_actions,
                                                    const CemOptions& options, Draw draw);

}  // namespace omar::cem
