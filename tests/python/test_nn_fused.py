"""The fused kernels of networks and critics against LibTorch ops: depth, levels, stacks, bfloat16."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nn_cases import DEEP, SHAPES, RoundedCritic, case, everything, normal, stack_of
from omar import _core, cem
from omar.nets import (
    Candidates,
    StackedMlp,
    candidate_values,
    cql_penalty,
    fused_obstacle,
    mean_logsumexp,
)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", SHAPES + DEEP, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_fused_is_plain(shape, dtype, tolerance, layer_norm):
    arguments = case(shape, dtype, layer_norm)
    pairs = zip(everything(*arguments, "fused"), everything(*arguments, "plain"), strict=True)
    for fused, plain in pairs:
        # By norm: in float32 a hidden unit within a rounding error of zero may fall on either side.
        assert (fused - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", SHAPES[:4] + DEEP[::2], ids=str)
def test_one_thread_is_two_threads_bit_for_bit(shape, layer_norm):
    arguments = case(shape, layer_norm=layer_norm)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = everything(*arguments, "fused")
        torch.set_num_threads(2)
        two = everything(*arguments, "fused")
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("level", ["base", "avx2", "avx512", "bf16", "amx"])
def test_levels_agree(level, layer_norm, tmp_path):
    if level not in _core.available_cpu_levels():
        pytest.skip(f"this CPU has no {level}")
    script = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from safetensors.torch import save_file
from nn_cases import DEEP, SHAPES, case, everything
found = {{}}
for precision in ("float32", "bf16"):
    for number, shape in enumerate(SHAPES[:4] + DEEP):
        tensors = everything(*case(shape, layer_norm={layer_norm}), "fused", precision)
        found |= {{f"{{precision}} {{number}} {{i}}": t.contiguous() for i, t in enumerate(tensors)}}
save_file(found, {str(tmp_path / "out.safetensors")!r})
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"OMAR_CPU_LEVEL": level})
    there = load_file(tmp_path / "out.safetensors")
    for number, shape in enumerate(SHAPES[:4] + DEEP):
        for i, here in enumerate(everything(*case(shape, layer_norm=layer_norm), "plain")):
            assert (there[f"float32 {number} {i}"] - here).norm() <= 1e-4 * here.norm()
        for i, here in enumerate(everything(*case(shape, layer_norm=layer_norm), "fused", "bf16")):
            # The same operands, but a sum in another order rounds some of the next product's the other way.
            assert (there[f"bf16 {number} {i}"] - here).norm() < 5e-4 * here.norm()


@pytest.mark.parametrize("batch", [1, 40, 333])
def test_fused_states_do_not_depend_on_the_batch_around(batch):
    critic, obs, actions = case(((20, 64, 64, 1), 10, 333, 2))
    whole = candidate_values(critic, obs, actions, kernels="fused")
    part = candidate_values(critic, obs[:, :batch], actions[:, :batch], kernels="fused")
    assert torch.equal(part, whole[:, :, :batch])


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", [((20, 64, 64, 1), 1, 100, 2), SHAPES[0], *DEEP[1:]], ids=str)
def test_fused_gradients_for_actions_alone(shape, layer_norm):
    critic, obs, actions = case(shape, layer_norm=layer_norm)
    results = []
    for kernels, fixed in (("fused", True), ("plain", True), ("plain", False)):
        a = actions.clone().requires_grad_()
        q = candidate_values(critic, obs, a, kernels=kernels, fixed=fixed)
        upstream = normal(*q.shape, seed=3, dtype=q.dtype)
        results.append([q.detach(), *torch.autograd.grad((q * upstream).sum(), [a])])
        if fixed:
            with pytest.raises(RuntimeError, match="not have been used in the graph"):
                torch.autograd.grad(candidate_values(critic, obs, a, fixed=True).sum(), critic.weights[0])
    for ours, *theirs in zip(*results, strict=True):
        for other in theirs:
            assert (ours - other).norm() <= 1e-4 * other.norm()


def test_gradients_of_fixed_critics_depend_on_neither_the_stack_nor_the_threads():
    critic, obs, actions = case(((20, 64, 64, 1), 1, 700, 2), layer_norm=True)
    threads, results = torch.get_num_threads(), []
    try:
        for count, n in ((1, 1), (2, 1), (2, 2)):
            torch.set_num_threads(n)
            a = actions[:count].clone().requires_grad_()
            q = candidate_values(stack_of(critic, 2, count), obs[:count], a, kernels="fused", fixed=True)
            results.append((q[:, 0].detach(), torch.autograd.grad(q.sum(), a)[0][0]))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_fixed_critics_are_differentiable_once():
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    a = actions.clone().requires_grad_()
    q = candidate_values(critic, obs, a, kernels="fused", fixed=True)
    with pytest.raises(
        RuntimeError, match=r"\[nn::candidate_values\] the fused kernels are differentiable once"
    ):
        torch.autograd.grad(q.sum(), a, create_graph=True)


def test_fused_takes_strided_inputs():
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    strided_obs = obs.transpose(0, 1).contiguous().transpose(0, 1)
    strided_actions = actions.flip(3).transpose(1, 2).contiguous().transpose(1, 2).flip(3)
    got = candidate_values(critic, strided_obs, strided_actions, kernels="fused")
    assert torch.equal(got, candidate_values(critic, obs, actions, kernels="fused"))


def test_fused_keeps_nan():
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    obs[0, 3, 0] = float("nan")
    for kernels in ("fused", "plain"):
        q = candidate_values(critic, obs, actions, kernels=kernels)
        assert q[:, 0, 3].isnan().all()
        assert q.isnan().sum() == 2 * 7
        penalty = cql_penalty(critic, obs, torch.zeros(2, 2, 13), seed=0, step=0, kernels=kernels)
        assert penalty[:, 0].isnan().all()
        assert not penalty[:, 1].isnan().any()


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", SHAPES[:3] + DEEP[2:], ids=str)
def test_bf16_rounds_the_hidden_products(shape, layer_norm):
    critic, obs, actions = case(shape, layer_norm=layer_norm)
    exact = candidate_values(critic, obs, actions)
    plain = candidate_values(critic, obs, actions, kernels="plain", precision="bf16")
    fused = candidate_values(critic, obs, actions, kernels="fused", precision="bf16")
    scale = float(exact.detach().abs().max())
    if layer_norm:  # LibTorch's also takes off the mean that the rounding of weights left
        assert (fused - plain).norm() < 0.5 * (fused - exact).norm()
    else:  # a sum that rounds the other way moves an input by one bfloat16 step, so not to float32 accuracy
        torch.testing.assert_close(fused, plain, rtol=0, atol=1e-3 * scale)
    assert 1e-5 * scale < (fused - exact).abs().max() < 2e-2 * scale


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2], SHAPES[3], *DEEP], ids=str)
def test_bf16_gradients_are_those_of_rounded_operands(shape, layer_norm):
    critic, obs, actions = case(shape, layer_norm=layer_norm)
    critic = stack_of(critic, 2, 1)
    obs, actions = obs[:1].clone().requires_grad_(), actions[:1].clone().requires_grad_()
    samples, rows = actions.shape[2], actions.shape[1] * actions.shape[2]
    x = torch.cat([obs[:, :, None].expand(-1, -1, samples, -1), actions], -1).view(rows, -1).detach()
    oracle = RoundedCritic(critic, 0)
    wanted = oracle.forward(x)
    upstream = normal(rows, seed=3, dtype=torch.float32)
    oracle.backward(upstream)
    assert oracle.sensitive.float().mean() < (0.9 if layer_norm else 0.5)
    upstream = torch.where(oracle.sensitive, 0.0, upstream)
    d_inputs, d_parameters = oracle.backward(upstream)

    q = candidate_values(critic, obs, actions, kernels="fused", precision="bf16")[0].view(rows)
    sure = ~oracle.sensitive
    torch.testing.assert_close(q[sure].double(), wanted[sure], rtol=0, atol=2e-6 * float(wanted.abs().max()))
    got = torch.autograd.grad((q * upstream).sum(), [obs, actions, *critic.parameters()])
    size = obs.shape[2]
    pairs = [
        (got[0][0], d_inputs[:, :size].view(-1, samples, size).sum(1)),
        (got[1].view(rows, -1), d_inputs[:, size:]),
        *((g[0], p.view_as(g[0])) for g, p in zip(got[2:], d_parameters, strict=True)),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=2e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize("shape", [SHAPES[0], *DEEP[:3]], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_penalty_gradients_are_those_of_its_values(shape, precision, layer_norm):
    critic, obs, actions = case(shape, layer_norm=layer_norm)
    density = normal(*actions.shape[:3], seed=4, dtype=torch.float32)
    mean = mean_logsumexp(critic, obs, Candidates(actions, density), kernels="fused", precision=precision)
    parameters = list(critic.parameters())
    got = torch.autograd.grad(mean.sum(), parameters)
    q = candidate_values(critic, obs, actions, kernels="fused", precision=precision)
    wanted = torch.autograd.grad(torch.logsumexp(q - density, -1).mean(-1).sum(), parameters)
    for ours, theirs in zip(got, wanted, strict=True):
        assert (ours - theirs).norm() < (1e-3 if precision == "bf16" else 1e-5) * theirs.norm()


# ---- a member does not depend on the stack ---------------------------------------------------------

MEMBERS = 15


def of_member_zero(critic, obs, actions, precision):
    """What the fused kernels compute for member 0, with all gradients: forward, candidate values, penalty."""
    twins, members = critic.members // len(obs), len(obs)
    parameters = list(critic.parameters())
    density = actions.sum(-1)
    obs, actions = obs.clone().requires_grad_(), actions.clone().requires_grad_()
    inputs = torch.cat([obs.detach(), actions.detach()[:, :, 0]], -1).repeat(twins, 1, 1).requires_grad_()
    outputs = critic(inputs, "fused")
    q = candidate_values(critic, obs, actions, kernels="fused", precision=precision)
    fixed = Candidates(actions.detach(), density)
    mean = mean_logsumexp(critic, obs.detach(), fixed, kernels="fused", precision=precision)
    penalty = cql_penalty(
        critic, obs.detach(), q[..., 0], seed=1, step=2, samples=6, kernels="fused", precision=precision
    )
    found = [
        *torch.autograd.grad(outputs.square().sum(), [inputs, *parameters], retain_graph=True),
        *torch.autograd.grad(q.square().sum(), [obs, actions, *parameters], retain_graph=True),
        *torch.autograd.grad(mean.square().sum(), parameters),
        *torch.autograd.grad(penalty.square().sum(), parameters),
    ]
    by_network = [outputs, *(t.view(critic.members, *t.shape[2:]) for t in (q, mean, penalty)), *found]
    return [t[::members] if len(t) == critic.members else t[0] for t in by_network]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "shape",
    [((20, 64, 64, 1), 10, 1024, 2), ((9, 40, 1), 1, 700, 3), ((9, 136, 64, 8, 1), 4, 257, 3)],
    ids=str,
)
@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_member_depends_on_neither_the_stack_nor_the_threads(shape, precision, layer_norm):
    sizes, samples, batch, action_size = shape
    critic = StackedMlp(2 * MEMBERS, sizes, seed=2, layer_norm=layer_norm)
    obs = normal(MEMBERS, batch, sizes[0] - action_size, dtype=torch.float32)
    actions = torch.tanh(normal(MEMBERS, batch, samples, action_size, seed=1, dtype=torch.float32))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, MEMBERS):
            part = stack_of(critic, MEMBERS, count)
            for n in (1, 2):
                torch.set_num_threads(n)
                results.append(of_member_zero(part, obs[:count], actions[:count], precision))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


# ---- densities and scores that are infinite ----------------------------------------------------------


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("differentiable", [True, False])
def test_a_state_without_weights_counts_minus_infinity(kernels, differentiable):
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    density = torch.zeros(actions.shape[:3])
    density[0, 3] = torch.inf
    density[1, 4, 1:] = torch.inf
    with torch.set_grad_enabled(differentiable):
        mean = mean_logsumexp(critic, obs, Candidates(actions, density), kernels=kernels)
    assert torch.equal(mean[:, 0], torch.full((2,), -torch.inf))
    assert torch.isfinite(mean[:, 1]).all()
    if differentiable:
        got = torch.autograd.grad(mean.sum(), list(critic.parameters()))
        keep = [s for s in range(13) if s != 3]
        alone = mean_logsumexp(
            critic, obs[:, keep], Candidates(actions[:, keep], density[:, keep]), kernels="plain"
        )
        wanted = torch.autograd.grad(alone[:, 0].sum() * 12 / 13, list(critic.parameters()))
        for ours, theirs in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours[::2], theirs[::2])
            assert torch.isfinite(ours).all()


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_infinite_scores(kernels):
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    density = torch.zeros(actions.shape[:3])
    density[0, 3, 2] = -torch.inf
    density[1, 4, :2] = torch.tensor([-torch.inf, torch.nan])
    mean = mean_logsumexp(critic, obs, Candidates(actions, density), kernels=kernels)
    assert torch.equal(mean[:, 0], torch.full((2,), torch.inf))
    assert mean[:, 1].isnan().all()


# ---- why the fused kernels cannot run -------------------------------------------------------------------


def test_fused_obstacle():
    obs, actions = torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    for sizes, layer_norm in itertools.product(
        [(7, 4, 1), (7, 4, 5, 1), (7, 4, 5, 6, 1), (7, 4, 5, 6, 7, 8, 1)], [False, True]
    ):
        critic = StackedMlp(2, sizes, layer_norm=layer_norm)
        assert fused_obstacle(critic) is None
        q = candidate_values(critic, obs, actions)
        assert torch.equal(q, candidate_values(critic, obs, actions, kernels="fused"))

    linear, elsewhere = StackedMlp(2, (7, 1)), StackedMlp(2, (7, 4, 1), device="meta")
    reasons = {
        linear: "the network has no hidden layer",
        elsewhere: "the tensors are on meta, and the kernels are the CPU's",
    }
    for critic, reason in reasons.items():
        assert fused_obstacle(critic) == reason
        device = critic.weights[0].device
        with pytest.raises(
            ValueError, match=rf"\[nn::candidate_values\] the fused kernels cannot run: {reason}"
        ):
            candidate_values(critic, obs.to(device), actions.to(device), kernels="fused")
        with pytest.raises(ValueError, match=rf"\[nn::forward\] the fused kernels cannot run: {reason}"):
            critic(torch.zeros(2, 3, 7, device=device), "fused")
        assert candidate_values(critic, obs.to(device), actions.to(device)).shape == (1, 2, 3, 4)
        with pytest.raises(ValueError, match=rf"\[cem::maximize\] the fused kernels cannot run: {reason}"):
            cem.maximize(
                critic,
                obs.to(device),
                actions[:, :, 0].to(device),
                cem.CemOptions(),
                seed=0,
                step=0,
                kernels="fused",
            )


def test_fused_obstacle_of_inputs_with_gradients():
    critic, obs, actions = StackedMlp(2, (7, 4, 1)), torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    wanted = actions.clone().requires_grad_()
    assert fused_obstacle(critic, [obs, actions]) is None
    assert (
        fused_obstacle(critic, [obs, wanted]) == "gradients of observations, actions or densities are wanted"
    )
    with torch.no_grad():
        assert fused_obstacle(critic, [obs, wanted]) is None
    candidates = Candidates(wanted, torch.zeros(2, 3, 4))
    with pytest.raises(
        ValueError,
        match=r"\[cql::mean_logsumexp\] the fused kernels cannot run: gradients of observations, actions or",
    ):
        mean_logsumexp(critic, obs, candidates, kernels="fused")
    mean_logsumexp(critic, obs, candidates).sum().backward()
    assert wanted.grad is not None
