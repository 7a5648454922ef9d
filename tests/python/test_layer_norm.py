"""Layer norm before each ReLU, as torch.nn.LayerNorm does it for one network."""

import pytest
import torch
from torch import nn

from nn_cases import (
    candidates_one_by_one,
    gradcheck,
    normal,
    normed,
    one_by_one,
)
from omar import OmarError, cem
from omar.algorithms.optimizer import StackedOptimizer
from omar.behaviors import Policy
from omar.envs import ParticleEnv
from omar.envs.rollout import rollout
from omar.nets import Candidates, StackedMlp, candidate_values, cql_penalty, mean_logsumexp
from omar.tasks import get_task

SIZES = (7, 12, 9, 5, 1)


def stack(members=4, sizes=SIZES, dtype=torch.float64):
    return normed(StackedMlp(members, sizes, seed=1, dtype=dtype, layer_norm=True))


def module_of(mlp, network):
    """The network as torch's modules."""
    layers = []
    for i, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
        linear = nn.Linear(*weight.shape[1:], dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight.data[network].T, bias.data[network]
        layers.append(linear)
        if i < len(mlp.norm_scales):
            norm = nn.LayerNorm(bias.shape[1], dtype=weight.dtype)
            norm.weight.data, norm.bias.data = (
                mlp.norm_scales[i].data[network],
                mlp.norm_shifts[i].data[network],
            )
            layers += [norm, nn.ReLU()]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_forward_and_gradients_are_those_of_torch_modules(kernels):
    mlp, x = stack(3), normal(3, 33, 7)
    values = mlp(x, kernels)
    got = torch.autograd.grad(values.square().sum(), list(mlp.parameters()))
    names = [name for name, _ in mlp.named_parameters()]
    gradients = dict(zip(names, got, strict=True))
    for m in range(3):
        module = module_of(mlp, m)
        wanted = module(x[m])
        torch.testing.assert_close(values[m], wanted)
        wanted.square().sum().backward()
        for i, linear in enumerate(layer for layer in module if isinstance(layer, nn.Linear)):
            torch.testing.assert_close(gradients[f"weights.{i}"][m], linear.weight.grad.T)
            torch.testing.assert_close(gradients[f"biases.{i}"][m], linear.bias.grad, atol=1e-12, rtol=1e-6)
        for i, norm in enumerate(layer for layer in module if isinstance(layer, nn.LayerNorm)):
            torch.testing.assert_close(gradients[f"norm_scales.{i}"][m], norm.weight.grad)
            torch.testing.assert_close(gradients[f"norm_shifts.{i}"][m], norm.bias.grad)


def test_it_starts_as_torch_does():
    mlp, plain = StackedMlp(2, SIZES, seed=3, layer_norm=True), StackedMlp(2, SIZES, seed=3)
    assert [tuple(p.shape) for p in mlp.norm_scales] == [(2, 12), (2, 9), (2, 5)]
    assert all(torch.equal(p, torch.ones_like(p)) for p in mlp.norm_scales)
    assert all(torch.equal(p, torch.zeros_like(p)) for p in mlp.norm_shifts)
    assert all(torch.equal(a, b) for a, b in zip(mlp.weights, plain.weights, strict=True))
    assert set(mlp.state_dict()) - set(plain.state_dict()) == {
        f"{kind}.{i}" for kind in ("norm_scales", "norm_shifts") for i in range(3)
    }
    assert "layer_norm=True" in repr(mlp)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("sizes", [(7, 1, 1), (7, 16, 1), SIZES])
def test_candidate_values_are_forward_on_the_pairs(sizes, kernels):
    critic, obs, actions = stack(4, sizes), normal(2, 4, 5), normal(2, 4, 6, 2, seed=1)
    got = candidate_values(critic, obs, actions, kernels=kernels)
    torch.testing.assert_close(got, candidates_one_by_one(critic, obs, actions))
    first = candidate_values(critic, obs, actions, critics=1, kernels=kernels)
    torch.testing.assert_close(first, got[:1])


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("samples", [1, 3])
def test_candidate_gradients(kernels, samples):
    critic = stack(4, (5, 6, 9, 1))
    obs, actions = normal(2, 2, 3).requires_grad_(), normal(2, 2, samples, 2, seed=1).requires_grad_()
    assert gradcheck(critic, lambda c, o, a: candidate_values(c, o, a, kernels=kernels), obs, actions)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_penalty_gradients(kernels):
    critic = stack(4, (5, 6, 9, 1))
    obs, q = normal(2, 4, 3), normal(2, 2, 4, seed=1).requires_grad_()
    assert gradcheck(
        critic, lambda c, q: cql_penalty(c, obs, q, seed=1, step=1, samples=4, kernels=kernels), q
    )


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_mean_logsumexp_is_its_formula(kernels):
    critic, obs, actions = stack(4, (7, 16, 12, 1)), normal(2, 30, 5), normal(2, 30, 6, 2, seed=1)
    density = normal(2, 30, 6, seed=2)
    got = mean_logsumexp(critic, obs, Candidates(actions, density), kernels=kernels)
    scores = candidates_one_by_one(critic, obs, actions) - density
    torch.testing.assert_close(got, scores.logsumexp(-1).mean(-1))


@pytest.mark.parametrize("reduction", ["first", "mean", "min"])
@pytest.mark.parametrize("refit", ["softmax", "elite"])
def test_the_search_is_that_of_a_scorer(refit, reduction):
    critic, obs = stack(4, (7, 16, 12, 1)).requires_grad_(False), normal(2, 70, 5)
    policy = torch.tanh(normal(2, 70, 2, seed=1))
    options = cem.CemOptions(refit=refit, reduction=reduction)
    by_hand = cem.CemOptions(refit=refit)

    def score(obs, actions):
        q = candidates_one_by_one(critic, obs, actions)
        return q[0] if reduction == "first" else q.mean(0) if reduction == "mean" else q.amin(0)

    wanted = cem.maximize(score, obs, policy, by_hand, seed=3, step=4)
    for kernels in ("plain", "fused"):
        got = cem.maximize(critic, obs, policy, options, seed=3, step=4, kernels=kernels)
        for ours, theirs in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("refit", ["softmax", "elite"])
def test_the_search_behind_batch_normalisation(refit):
    critic, obs = stack(4, (7, 16, 12, 1)).requires_grad_(False), normal(2, 70, 5)
    critic.normalize_batches(2)
    policy, options = torch.tanh(normal(2, 70, 2, seed=1)), cem.CemOptions(refit=refit)
    results = [
        cem.maximize(critic, obs, policy, options, seed=3, step=4, kernels=kernels)
        for kernels in ("plain", "auto")
    ]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_inputs_can_be_normalised_too():
    x, mean, std = normal(3, 20, 7), normal(3, 7, seed=1), normal(3, 7, seed=2).abs() + 0.5
    mlp = stack(3)
    wanted = one_by_one(mlp, (x - mean[:, None]) / std[:, None])
    mlp.standardize(mean, std)
    torch.testing.assert_close(mlp(x), wanted)
    mlp = stack(3)
    wanted = one_by_one(
        mlp, torch.stack([nn.functional.batch_norm(rows, None, None, training=True) for rows in x])
    )
    mlp.normalize_batches()
    torch.testing.assert_close(mlp(x), wanted)


def test_the_optimiser_trains_and_tracks_the_norms():
    mlp, x = stack(3), normal(3, 33, 7)
    by_torch = [module_of(mlp, m) for m in range(3)]
    optimizer = StackedOptimizer(mlp, members=3, learning_rate=0.01, polyak_rate=0.5, clip_norm=0.5)
    adams = [torch.optim.Adam(module.parameters(), lr=0.01) for module in by_torch]
    for _ in range(3):
        optimizer.step(mlp(x).square().mean(dim=(1, 2)))
        for m, adam in enumerate(adams):
            adam.zero_grad()
            by_torch[m](x[m]).square().mean().backward()
            nn.utils.clip_grad_norm_(by_torch[m].parameters(), 0.5)
            adam.step()
    torch.testing.assert_close(mlp(x), torch.stack([module(x[m]) for m, module in enumerate(by_torch)]))
    before = optimizer.tensors()["target.norm_scales.1"].clone()
    optimizer.track()
    half = (before + mlp.norm_scales[1].detach()) / 2
    torch.testing.assert_close(optimizer.tensors()["target.norm_scales.1"], half)
    other = StackedOptimizer(stack(3), members=3, learning_rate=0.01, polyak_rate=0.5, clip_norm=0.5)
    other.load(optimizer.tensors(), 3)
    assert torch.equal(other.networks(x), mlp(x))


def test_what_takes_no_layer_norm_says_so():
    with pytest.raises(ValueError, match=r"layer norm needs a hidden layer, got sizes \[3, 1\]"):
        StackedMlp(2, (3, 1), layer_norm=True)
    task, sizes = get_task("simple_spread"), (18, 8, 2)
    actor = StackedMlp(3, sizes, layer_norm=True)
    with pytest.raises(OmarError, match="a policy has no layer norm, but these networks have"):
        Policy.of_networks(actor, range(3), task)
    with pytest.raises(ValueError, match=r"\[rollout\] `policy` must have no layer norm"):
        rollout(ParticleEnv("simple_spread", 2), 3, policy=actor)
