"""Loss terms against plain numpy, and that members do not mix."""

import numpy as np
import pytest
import torch

from omar.algorithms import losses

M, B, A = 3, 5, 2


def tensors(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]


def test_td_target_takes_the_smaller_twin_and_bootstraps():
    rewards, values = tensors((M, B), (2, M, B))
    expected = rewards.numpy() + 0.9 * np.minimum(values[0].numpy(), values[1].numpy())
    np.testing.assert_allclose(losses.td_target(rewards, values, 0.9), expected, rtol=1e-12)


def test_td_target_stops_at_terminations():
    rewards, values = tensors((M, B), (2, M, B))
    ended = torch.zeros(M, B, dtype=torch.float64)
    ended[1, 2] = 1.0
    target = losses.td_target(rewards, values, 0.9, ended)
    assert target[1, 2] == rewards[1, 2]
    assert target[0, 2] != rewards[0, 2]


def test_td_target_has_no_gradient():
    rewards, values = tensors((M, B), (2, M, B))
    assert not losses.td_target(rewards, values.requires_grad_(), 0.9).requires_grad


def test_td_error():
    values, targets = tensors((2, M, B), (M, B))
    expected = [
        sum(np.mean((values[k, m].numpy() - targets[m].numpy()) ** 2) for k in range(2)) for m in range(M)
    ]
    np.testing.assert_allclose(losses.td_error(values, targets), expected, rtol=1e-12)


def test_actor_terms():
    actions, candidates, values = tensors((M, B, A), (M, B, A), (M, B))
    squared = (actions.numpy() - candidates.numpy()) ** 2
    np.testing.assert_allclose(
        losses.squared_distance(actions, candidates), squared.mean(axis=(1, 2)), rtol=1e-12
    )
    np.testing.assert_allclose(losses.negative_value(values), -values.numpy().mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        losses.action_norm(actions), (actions.numpy() ** 2).mean(axis=(1, 2)), rtol=1e-12
    )


def test_the_distance_does_not_pull_the_aims():
    actions, candidates = (t.requires_grad_() for t in tensors((M, B, A), (M, B, A)))
    losses.squared_distance(actions, candidates).sum().backward()
    assert actions.grad is not None
    assert candidates.grad is None


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (losses.td_error, [(2, M, B), (M, B)]),
        (losses.negative_value, [(M, B)]),
        (losses.action_norm, [(M, B, A)]),
    ],
)
def test_gradients(loss, shapes):
    assert torch.autograd.gradcheck(loss, tuple(t.requires_grad_() for t in tensors(*shapes)))


def test_members_do_not_mix():
    values, targets = tensors((2, M, B), (M, B))
    (gradient,) = torch.autograd.grad(losses.td_error(values.requires_grad_(), targets)[1], values)
    assert gradient[:, 1].abs().sum() > 0
    assert gradient[:, [0, 2]].abs().sum() == 0
