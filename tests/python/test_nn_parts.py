"""Observations in parts, which the members of a seed may share."""

import pytest
import torch

from nn_cases import normal
from omar import cem
from omar.algorithms import Agents, Backbone
from omar.nets import (
    Candidates,
    StackedMlp,
    candidate_values,
    cql_penalty,
    joined,
    mean_logsumexp,
)

S, N, B, K, A = 2, 3, 37, 4, 2
M = S * N


def parts(dtype=torch.float64):
    """Columns of wider rows, shared by N members; one shared by all; members' own."""
    wide = normal(S, B, 7, dtype=dtype)
    return [wide[..., 2:6], normal(1, B, 1, seed=1, dtype=dtype), normal(M, B, 3, seed=2, dtype=dtype)]


def whole(given):
    first, second, third = given
    return torch.cat([first.repeat_interleave(N, 0), second.expand(M, B, 1), third], -1)


def critic_of(dtype=torch.float64, layer_norm=True):
    return StackedMlp(2 * M, (8 + A, 12, 9, 1), seed=4, dtype=dtype, layer_norm=layer_norm)


@pytest.mark.parametrize("samples", [1, K])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_values_are_those_of_the_whole_bit_for_bit(dtype, samples):
    critic, given = critic_of(dtype), parts(dtype)
    actions = normal(M, B, samples, A, seed=3, dtype=dtype)
    got = candidate_values(critic, given, actions, kernels="fused")
    assert torch.equal(got, candidate_values(critic, whole(given), actions, kernels="fused"))


@pytest.mark.parametrize("samples", [1, K])
@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_gradients_add_up_over_the_members_that_share_a_part(kernels, samples):
    critic, given = critic_of(), [p.clone().requires_grad_() for p in parts()]
    actions = normal(M, B, samples, A, seed=3).requires_grad_()
    inputs = [*given, actions, *critic.parameters()]
    upstream = normal(2, M, B, samples, seed=4)
    values = candidate_values(critic, given, actions, kernels=kernels)
    got = torch.autograd.grad((values * upstream).sum(), inputs)
    by_hand = candidate_values(critic, whole(given), actions, kernels="plain")
    wanted = torch.autograd.grad((by_hand * upstream).sum(), inputs)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_everything_that_takes_observations_takes_parts(kernels):
    critic, given, actions = critic_of(), parts(), torch.tanh(normal(M, B, K, A, seed=3))
    candidates, q = Candidates(actions, normal(M, B, K, seed=5)), normal(2, M, B, seed=6)
    options, policy = cem.CemOptions(), actions[:, :, 0]

    def results(obs):
        return [
            mean_logsumexp(critic, obs, candidates, kernels=kernels),
            cql_penalty(critic, obs, q, seed=1, step=2, kernels=kernels),
            *cem.maximize(critic, obs, policy, options, seed=1, step=2, kernels=kernels),
        ]

    for ours, theirs in zip(results(given), results(whole(given)), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_batch_normalisation_sees_the_whole(kernels):
    critic, given, actions = critic_of(), parts(), normal(M, B, K, A, seed=3)
    critic.normalize_batches(M)
    got = candidate_values(critic, given, actions, kernels=kernels)
    torch.testing.assert_close(got, candidate_values(critic, whole(given), actions, kernels=kernels))


def test_messages():
    critic, actions = critic_of(), normal(M, B, K, A)
    cases = [
        ([], r"`obs` must have at least one part"),
        ([normal(4, B, 5), normal(M, B, 3)], r"`obs\[0\]` has 4 rows for M = 6 members"),
        ([normal(S, B, 5), normal(M, B, 2)], r"`critic` takes 10 inputs, but O \+ A = 7 \+ 2"),
        ([normal(S, B, 5), normal(M, B - 1, 3)], r"`obs\[1\]` must be \[M or S, B, columns\]"),
        ([normal(S, B, 8), normal(S, B, 0)], r"`each size of obs\[1\]` must be at least 1, got 0"),
        ([normal(S, B, 8)], r"`actions` must be"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            candidate_values(critic, given, actions)
    with pytest.raises(TypeError, match=r"`obs\[1\]`"):
        candidate_values(critic, [normal(S, B, 5), normal(M, B, 3, dtype=torch.float32)], actions)
    for bad in ([normal(4, B, 8)], [normal(S, B)]):
        with pytest.raises(ValueError, match=r"parts of observations must be .* with M = 6 a multiple of S"):
            joined(bad, actions)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_joint_context_is_no_copy(norm):
    backbone = Backbone(hidden=8, critic="centralized", input_norm=norm)
    agents = Agents(backbone, seeds=[0] * N + [1] * N, obs_size=5, action_size=A, learners=N)
    rows = normal(M, B, 9, dtype=torch.float32)
    observations, actions = rows[..., :5], normal(M, B, A, seed=1, dtype=torch.float32)
    context = agents.context(observations, actions)
    wanted = [
        torch.cat(
            [*(observations[s * N + j] for j in range(N)), *(actions[s * N + j] for j in range(N) if j != i)],
            -1,
        )
        for s in range(S)
        for i in range(N)
    ]
    assert torch.equal(joined(context, actions), torch.stack(wanted))
    if norm == "none":
        shared = context[:N]
        assert [tuple(p.shape) for p in shared] == [(S, B, 5)] * N
        assert all(p.untyped_storage().data_ptr() == rows.untyped_storage().data_ptr() for p in shared)
