#pragma once
/// The penalty of conservative Q-learning (Kumar, Zhou, Tucker and Levine, "Conservative Q-Learning for Offline
/// Reinforcement Learning", NeurIPS 2020; "CQL" below). T * M critics, M members, B states, K candidate actions.

#include <omar/core/host_device.h>
#include <omar/nn/stacked_mlp.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace omar::cql {

using nn::Candidates;
using nn::Draw;
using nn::Scoring;

/// mean_b log sum_k exp(Q(o_b, a_bk) - log density_bk): [T, M], with obs [M, B, O], B >= 1, and K >= 1 candidates. It
/// estimates CQL's log-sum-exp over all actions by importance sampling (CQL, appendix F), up to the constant log K. A
/// state whose candidates all have the density +inf counts -inf, without gradients. The fused kernels compute value and
/// gradient in one pass and take obs, actions and densities as constants; with plain ones gradients flow to them, too.
/// \throws c10::ValueError wrong rank or size, or kernels that cannot run; c10::TypeError wrong dtype
OMAR_API at::Tensor mean_logsumexp(const nn::StackedMlp& critic, const at::Tensor& obs, const Candidates& candidates,
                                   Scoring scoring = {});

/// Sampling of the penalty.
struct PenaltyOptions {
  int64_t samples = 10;  ///< uniform candidates per state, >= 1
  Draw draw;
  Scoring scoring;
};

/// The factor of alpha in CQL(H) (CQL, equation 4), which line 3 of CQL's algorithm 1 minimises beside the TD error:
/// mean_logsumexp over uniform candidates and `others`, minus the mean of the data's values q_data [T, M, B]. One
/// penalty for each critic: [T, M]. \throws as mean_logsumexp
OMAR_API at::Tensor penalty(const nn::StackedMlp& critic, const at::Tensor& obs, const at::Tensor& q_data,
                            const PenaltyOptions& options, const std::vector<Candidates>& others = {});

}  // namespace omar::cql
