"""Stacked networks: initial weights, forward and candidate values against plain torch, gradients, errors."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from omar import _core, cem
from omar.nets import (
    Candidates,
    StackedMlp,
    candidate_values,
    cql_penalty,
    mean_logsumexp,
    normal_candidates,
    uniform_candidates,
)
from oracles import philox

SIZES = (5 + 2, 16, 12, 1)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def one_by_one(mlp, x):
    """Each member as plain matrix products."""
    outputs = []
    for m in range(mlp.members):
        y = x[m]
        for i, (w, b) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            y = y @ w[m] + b[m]
            y = torch.relu(y) if i + 1 < len(mlp.weights) else y
        outputs.append(y)
    return torch.stack(outputs)


def candidates_one_by_one(mlp, obs, actions):
    members, _, samples, _ = actions.shape
    x = torch.cat([obs[:, :, None].expand(-1, -1, samples, -1), actions], -1)
    x = x.repeat(mlp.members // members, 1, 1, 1)
    return one_by_one(mlp, x)[..., 0].view(-1, *actions.shape[:3])


# ---- initial weights -----------------------------------------------------------------------------


def test_initial_weights_have_linear_s_distribution():
    mlp = StackedMlp(6, (100, 300, 4), seed=3, dtype=torch.float64)
    for w, b in zip(mlp.weights, mlp.biases, strict=True):
        bound = w.shape[1] ** -0.5
        assert w.abs().max() <= bound
        assert b.abs().max() <= bound
        assert w.abs().max() > 0.99 * bound
        assert abs(w.mean()) < 5 * bound / (3 * w.numel()) ** 0.5
        assert abs((w**2).mean() * 3 / bound**2 - 1) < 0.03
    assert torch.corrcoef(mlp.weights[0].flatten(1)).triu(1).abs().max() < 0.03


def test_members_do_not_depend_on_the_stack():
    alone, many = StackedMlp(2, SIZES, seed=4), StackedMlp(5, SIZES, seed=4)
    mixed = StackedMlp(5, SIZES, seeds=[9, 4, 9, 4, 1])
    for i in range(3):
        assert torch.equal(alone.weights[i], many.weights[i][:2])
        assert torch.equal(alone.biases[i], many.biases[i][:2])
        assert torch.equal(alone.weights[i], mixed.weights[i][[1, 3]])
        assert not torch.equal(mixed.weights[i][0], mixed.weights[i][2])


def test_networks_of_one_seed_differ_and_no_global_generator_is_read():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a, b, again = StackedMlp(2, SIZES), StackedMlp(2, SIZES, network=1), StackedMlp(2, SIZES)
    assert torch.equal(state, torch.get_rng_state())
    for i in range(3):
        assert torch.equal(a.weights[i], again.weights[i])
        assert abs(torch.corrcoef(torch.stack([a.weights[i].flatten(), b.weights[i].flatten()]))[0, 1]) < 0.5
        assert not torch.equal(a.biases[i], b.biases[i])


def test_last_layer_scale():
    plain, scaled = StackedMlp(2, SIZES), StackedMlp(2, SIZES, last_layer_scale=0.01)
    torch.testing.assert_close(scaled.weights[2], plain.weights[2] * 0.01)
    torch.testing.assert_close(scaled.biases[2], plain.biases[2] * 0.01)
    assert torch.equal(scaled.weights[1], plain.weights[1])


def test_float64_holds_the_float32_numbers():
    single, double = StackedMlp(2, SIZES, seed=8), StackedMlp(2, SIZES, seed=8, dtype=torch.float64)
    torch.testing.assert_close(single.weights[0].double(), double.weights[0], rtol=1e-6, atol=1e-7)


def test_state_dict_goes_through_safetensors(tmp_path):
    mlp, other = StackedMlp(2, SIZES, seed=1), StackedMlp(2, SIZES, seed=2)
    save_file(mlp.state_dict(), tmp_path / "w.safetensors")
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    x = normal(2, 3, 7, dtype=torch.float32)
    assert torch.equal(mlp(x), other(x))
    assert sorted(mlp.state_dict()) == [f"{kind}.{i}" for kind in ("biases", "weights") for i in range(3)]


# ---- values and gradients ------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(7, 1), (7, 16, 3), SIZES, (7, 5, 6, 7, 2)])
@pytest.mark.parametrize("batch", [0, 1, 33])
def test_forward_is_each_member_on_its_own(sizes, batch):
    mlp, x = StackedMlp(3, sizes, seed=1, dtype=torch.float64), normal(3, batch, 7)
    torch.testing.assert_close(mlp(x), one_by_one(mlp, x))


@pytest.mark.parametrize("sizes", [(7, 1), (7, 16, 1), SIZES, (7, 5, 6, 7, 1)])
@pytest.mark.parametrize("twins", [1, 2])
def test_candidate_values_are_forward_on_the_pairs(sizes, twins):
    critic = StackedMlp(3 * twins, sizes, seed=1, dtype=torch.float64)
    obs, actions = normal(3, 4, 5), normal(3, 4, 6, 2, seed=1)
    for path in ("plain", "auto"):
        got = candidate_values(critic, obs, actions, path=path)
        assert got.shape == (twins, 3, 4, 6)
        torch.testing.assert_close(got, candidates_one_by_one(critic, obs, actions))


class Candidate(torch.nn.Module):
    """A function of the critic as a module, so that gradcheck can vary its parameters."""

    def __init__(self, critic, function):
        super().__init__()
        self.critic, self.function = critic, function

    def forward(self, *inputs):
        return self.function(self.critic, *inputs)


def gradcheck(critic, function, *inputs):
    module = Candidate(critic, function)
    names = [name for name, _ in module.named_parameters()]

    def run(*arguments):
        given = dict(zip(names, arguments[len(inputs) :], strict=True))
        return torch.func.functional_call(module, given, arguments[: len(inputs)])

    parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
    return torch.autograd.gradcheck(run, (*inputs, *parameters))


@pytest.mark.parametrize("path", ["plain", "fused"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_forward_gradients(path, outputs):
    critic = StackedMlp(4, (5, 6, 4, outputs), seed=1, dtype=torch.float64)
    assert gradcheck(critic, lambda c, x: c(x, path), normal(4, 3, 5, seed=2).requires_grad_())


@pytest.mark.parametrize("sizes", [(18, 64, 64, 2), (6, 256, 256, 3), (7, 30, 19, 9), (60, 5, 33, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_fused_forward_is_plain(sizes, dtype, tolerance):
    mlp, results = StackedMlp(3, sizes, seed=1, dtype=dtype), {}
    for path in ("fused", "plain"):
        x = normal(3, 130, sizes[0], dtype=dtype).requires_grad_()
        y = mlp(x, path)
        upstream = normal(*y.shape, seed=3, dtype=dtype)
        gradients = torch.autograd.grad((y * upstream).sum(), [x, *mlp.parameters()])
        results[path] = [y.detach(), *gradients]
    for fused, plain in zip(results["fused"], results["plain"], strict=True):
        assert (fused - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("path", ["plain", "fused"])
@pytest.mark.parametrize("action_size", [1, 2, 3, 4])
def test_candidate_gradients(path, action_size):
    critic = StackedMlp(4, (3 + action_size, 6, 9, 1), seed=1, dtype=torch.float64)
    obs = normal(2, 2, 3).requires_grad_()
    actions = normal(2, 2, 3, action_size, seed=1).requires_grad_()
    assert gradcheck(critic, lambda c, o, a: candidate_values(c, o, a, path=path), obs, actions)


@pytest.mark.parametrize("path", ["plain", "fused"])
def test_penalty_gradients(path):
    critic = StackedMlp(4, (5, 6, 9, 1), seed=1, dtype=torch.float64)
    obs, q = normal(2, 4, 3), normal(2, 2, 4, seed=1).requires_grad_()
    others = [normal_candidates(normal(2, 4, 2, seed=2), 0.2, 3, seed=1, step=1)]

    def penalty(c, q):
        return cql_penalty(c, obs, q, seed=1, step=1, samples=4, others=others, path=path)

    assert gradcheck(critic, penalty, q)


# ---- the fused path against the plain one --------------------------------------------------------

SHAPES = [  # sizes, samples, batch, action size: exact panels, ragged ones, several blocks, a single row
    ((20, 64, 64, 1), 10, 150, 2),
    ((9, 256, 256, 1), 20, 33, 3),
    ((7, 30, 19, 1), 7, 13, 2),
    ((7, 5, 33, 1), 1, 100, 1),
    ((25, 8, 40, 1), 3, 5, 5),
    ((6, 16, 16, 1), 130, 3, 2),
    ((6, 16, 16, 1), 1, 1, 2),
]


def case(shape, dtype=torch.float32):
    sizes, samples, batch, action_size = shape
    critic = StackedMlp(4, sizes, seed=2, dtype=dtype)
    obs = normal(2, batch, sizes[0] - action_size, dtype=dtype)
    actions = torch.tanh(normal(2, batch, samples, action_size, seed=1, dtype=dtype))
    return critic, obs, actions


def everything(critic, obs, actions, path, precision="float32"):
    """Values, penalty and all gradients."""
    obs, actions = obs.clone().requires_grad_(), actions.clone().requires_grad_()
    q = candidate_values(critic, obs, actions, path=path, precision=precision)
    upstream = normal(*q.shape, seed=3, dtype=q.dtype)
    gradients = torch.autograd.grad((q * upstream).sum(), [obs, actions, *critic.parameters()])
    mean = actions.detach()[:, :, 0]
    others = [normal_candidates(mean, 0.2, 4, seed=1, step=2)]
    penalty = cql_penalty(
        critic,
        obs.detach(),
        q.detach()[..., 0],
        seed=1,
        step=2,
        samples=6,
        others=others,
        path=path,
        precision=precision,
    )
    weights = torch.arange(1.0, 5.0, dtype=q.dtype).view(2, 2)
    more = torch.autograd.grad((penalty * weights).sum(), list(critic.parameters()))
    return [q.detach(), penalty.detach(), *gradients, *more]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_fused_is_plain(shape, dtype, tolerance):
    arguments = case(shape, dtype)
    pairs = zip(everything(*arguments, "fused"), everything(*arguments, "plain"), strict=True)
    for fused, plain in pairs:
        # By norm: in float32 a hidden unit within a rounding error of zero may fall on either side.
        assert (fused - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_one_thread_is_two_threads_bit_for_bit(shape):
    arguments = case(shape)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = everything(*arguments, "fused")
        torch.set_num_threads(2)
        two = everything(*arguments, "fused")
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("level", ["base", "avx2", "avx512", "bf16", "amx"])
def test_levels_agree(level, tmp_path):
    if level not in _core.available_cpu_levels():
        pytest.skip(f"this CPU has no {level}")
    script = f"""
import sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from safetensors.torch import save_file
import test_nn
found = {{}}
for precision in ("float32", "bf16"):
    for shape in (0, 1, 2):
        tensors = test_nn.everything(*test_nn.case(test_nn.SHAPES[shape]), "fused", precision)
        found |= {{f"{{precision}} {{shape}} {{i}}": t.contiguous() for i, t in enumerate(tensors)}}
save_file(found, {str(tmp_path / "out.safetensors")!r})
"""
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"OMAR_CPU_LEVEL": level})
    there = load_file(tmp_path / "out.safetensors")
    for i, here in enumerate(everything(*case(SHAPES[2]), "plain")):
        torch.testing.assert_close(there[f"float32 2 {i}"], here, rtol=0, atol=2e-5 * float(here.abs().max()))
    for shape in (0, 1, 2):
        for i, here in enumerate(everything(*case(SHAPES[shape]), "fused", "bf16")):
            # The same factors, but a sum in another order rounds some of the next product's the other way.
            assert (there[f"bf16 {shape} {i}"] - here).norm() < 1e-4 * here.norm()


@pytest.mark.parametrize("batch", [1, 40, 333])
def test_fused_states_do_not_depend_on_the_batch_around(batch):
    critic, obs, actions = case(((20, 64, 64, 1), 10, 333, 2))
    whole = candidate_values(critic, obs, actions, path="fused")
    part = candidate_values(critic, obs[:, :batch], actions[:, :batch], path="fused")
    assert torch.equal(part, whole[:, :, :batch])


def test_fused_gradients_for_actions_alone():
    critic, obs, actions = case(((20, 64, 64, 1), 1, 100, 2))
    frozen = [p.detach() for p in critic.parameters()]
    with torch.no_grad():
        for p, f in zip(critic.parameters(), frozen, strict=True):
            p.copy_(f)
    critic.requires_grad_(False)
    grads = []
    for path in ("fused", "plain"):
        a = actions.clone().requires_grad_()
        candidate_values(critic, obs, a, path=path)[0].mean().backward()
        grads.append(a.grad)
    torch.testing.assert_close(*grads)


def test_fused_takes_strided_inputs():
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    strided_obs = obs.transpose(0, 1).contiguous().transpose(0, 1)
    strided_actions = actions.flip(3).transpose(1, 2).contiguous().transpose(1, 2).flip(3)
    got = candidate_values(critic, strided_obs, strided_actions, path="fused")
    assert torch.equal(got, candidate_values(critic, obs, actions, path="fused"))


def test_fused_keeps_nan():
    critic, obs, actions = case(((7, 30, 19, 1), 7, 13, 2))
    obs[0, 3, 0] = float("nan")
    for path in ("fused", "plain"):
        q = candidate_values(critic, obs, actions, path=path)
        assert q[:, 0, 3].isnan().all()
        assert q.isnan().sum() == 2 * 7
        penalty = cql_penalty(critic, obs, torch.zeros(2, 2, 13), seed=0, step=0, path=path)
        assert penalty[:, 0].isnan().all()
        assert not penalty[:, 1].isnan().any()


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
def test_bf16_rounds_the_hidden_products(shape):
    critic, obs, actions = case(shape)
    exact = candidate_values(critic, obs, actions)
    plain = candidate_values(critic, obs, actions, path="plain", precision="bf16")
    fused = candidate_values(critic, obs, actions, path="fused", precision="bf16")
    scale = float(exact.detach().abs().max())
    # A sum that rounds the other way moves an input by one bfloat16 step, so not to float32 accuracy.
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-3 * scale)
    assert 1e-5 * scale < (fused - exact).abs().max() < 2e-2 * scale


def test_bf16_gradients_are_near():
    arguments = case(SHAPES[0])
    pairs = zip(everything(*arguments, "fused", "bf16"), everything(*arguments, "plain"), strict=True)
    for rough, exact in pairs:
        assert (rough - exact).norm() < 6e-2 * exact.norm()


# ---- the CQL penalty -----------------------------------------------------------------------------


def test_uniform_candidates_are_philox():
    got = uniform_candidates(2, 70, 9, 3, seed=2**50 + 1, step=4, like=normal(1))
    np.testing.assert_array_equal(got.actions.numpy(), philox.uniforms(2**50 + 1, 64, 4, (2, 70, 9, 3)))
    np.testing.assert_allclose(got.log_density.numpy(), -3 * np.log(2))
    assert got.actions.dtype == torch.float64


def test_normal_candidates_have_their_density():
    mean = normal(2, 50, 3)
    got = normal_candidates(mean, 0.2, 9, seed=3, step=4, which=2)
    z = philox.normals(3, 66, 4, (2, 50, 9, 3))
    np.testing.assert_allclose(got.actions.numpy(), mean.numpy()[:, :, None] + 0.2 * z, atol=1e-6)
    law = torch.distributions.Normal(mean[:, :, None], 0.2)
    torch.testing.assert_close(got.log_density, law.log_prob(got.actions).sum(-1))


@pytest.mark.parametrize("path", ["plain", "fused"])
def test_penalty_is_its_formula(path):
    critic = StackedMlp(4, (7, 16, 12, 1), seed=1, dtype=torch.float64)
    obs, q_data, mean = normal(2, 30, 5), normal(2, 2, 30, seed=1), normal(2, 30, 2, seed=2)
    others = [normal_candidates(mean, 0.2, 3, seed=9, step=5)]
    got = cql_penalty(critic, obs, q_data, seed=9, step=5, samples=4, others=others, path=path)
    uniform = torch.from_numpy(philox.uniforms(9, 64, 5, (2, 30, 4, 2)))
    actions = torch.cat([uniform, others[0].actions], 2)
    density = torch.cat([torch.full((2, 30, 4), -2 * np.log(2)), others[0].log_density], 2)
    scores = candidates_one_by_one(critic, obs, actions) - density
    wanted = (torch.log(torch.exp(scores).sum(-1)) - q_data).mean(-1)
    torch.testing.assert_close(got, wanted)


def test_penalty_of_far_apart_scores_is_finite():
    critic = StackedMlp(2, (7, 16, 12, 1), seed=1)
    with torch.no_grad():
        critic.weights[2].mul_(1e6)
    args = critic, normal(1, 30, 5, dtype=torch.float32), torch.zeros(2, 1, 30)
    fused = cql_penalty(*args, seed=9, step=5, path="fused")
    torch.testing.assert_close(fused, cql_penalty(*args, seed=9, step=5, path="plain"))
    fused.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in critic.parameters())


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"members": 0}, r"one seed for each of at least one member, got 0 for members=0"),
        ({"seeds": [1, 2]}, r"one seed for each of at least one member, got 2 for members=3"),
        ({"seed": -1}, r"seeds must be in 0..2\^64-1"),
        ({"sizes": (7,)}, r"\[nn::init\] `sizes` must hold at least the input and output size, got \[7\]"),
        ({"sizes": (7, 0, 1)}, r"\[nn::init\] `sizes` must be at least 1, got 0"),
        ({"network": -1}, r"\[nn::init\] `network` must be in 0..65535, got -1"),
        ({"last_layer_scale": float("nan")}, r"`last_layer_scale` must be finite"),
    ],
)
def test_wrong_arguments_of_the_stack(arguments, message):
    with pytest.raises(ValueError, match=message):
        StackedMlp(**{"members": 3, "sizes": SIZES} | arguments)


def test_wrong_dtype_of_the_stack():
    with pytest.raises(TypeError, match=r"\[nn::init\] `dtype` must be float32 or float64, got Half"):
        StackedMlp(3, SIZES, dtype=torch.float16)


def test_wrong_inputs():
    critic = StackedMlp(4, SIZES)
    obs, actions = torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    with pytest.raises(
        ValueError, match=r"\[nn::forward\] `x` must be \[M, B, in\] = \[4, any, 7\], got \[4, 3, 5\]"
    ):
        critic(torch.zeros(4, 3, 5))
    with pytest.raises(TypeError, match=r"\[nn::forward\] `x` must be Float, got Double"):
        critic(torch.zeros(4, 3, 7, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"`x` must be on cpu, got meta"):
        critic(torch.zeros(4, 3, 7, device="meta"))
    with pytest.raises(ValueError, match=r"\[nn::candidate_values\] `obs` must be \[M, B, O\]"):
        candidate_values(critic, obs[0], actions)
    with pytest.raises(
        ValueError, match=r"`actions` must be \[M, B, K, A\] = \[2, 3, any, any\], got \[2, 3, 2\]"
    ):
        candidate_values(critic, obs, actions[:, :, 0])
    with pytest.raises(ValueError, match=r"`critic` takes 7 inputs, but O \+ A = 4 \+ 2"):
        candidate_values(critic, obs[..., 1:], actions)
    with pytest.raises(ValueError, match=r"`critic` has 4 networks, which is no multiple of M = 3"):
        candidate_values(critic, torch.zeros(3, 3, 5), torch.zeros(3, 3, 4, 2))
    with pytest.raises(ValueError, match=r"`critic` must have one output, got 2"):
        candidate_values(StackedMlp(4, (7, 2)), obs, actions)
    with pytest.raises(TypeError, match=r"`actions` must be Float, got Double"):
        candidate_values(critic, obs, actions.double())


def test_damaged_stack():
    critic = StackedMlp(4, SIZES)
    critic.biases[1] = torch.nn.Parameter(torch.zeros(4, 3))
    with pytest.raises(
        ValueError, match=r"\[nn::StackedMlp\] `biases\[1\]` must be \[M, out\] = \[4, 12\], got \[4, 3\]"
    ):
        critic(torch.zeros(4, 3, 7))


def test_paths_that_cannot_run():
    obs, actions = torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    deep = StackedMlp(2, (7, 4, 4, 4, 1))
    with pytest.raises(
        ValueError, match=r"the fused path cannot run: the critic has 3 hidden layers instead of 2"
    ):
        candidate_values(deep, obs, actions, path="fused")
    with pytest.raises(ValueError, match=r"`path` must be 'auto', 'plain' or 'fused', got 'fast'"):
        candidate_values(deep, obs, actions, path="fast")
    with pytest.raises(ValueError, match=r"`precision` must be 'float32' or 'bf16', got 'fp8'"):
        candidate_values(deep, obs, actions, precision="fp8")
    critic = StackedMlp(2, SIZES)
    candidates = Candidates(actions.clone().requires_grad_(), torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"gradients of observations, actions or densities are wanted"):
        mean_logsumexp(critic, obs, candidates, path="fused")
    mean_logsumexp(critic, obs, candidates).sum().backward()
    assert candidates.actions.grad is not None


def test_fused_is_differentiable_once():
    critic, obs, actions = case(SHAPES[2])
    q = candidate_values(critic, obs, actions, path="fused")
    with pytest.raises(RuntimeError, match=r"\[nn::candidate_values\] the fused path is differentiable once"):
        torch.autograd.grad(q.sum(), list(critic.parameters()), create_graph=True)
    penalty = cql_penalty(critic, obs, torch.zeros(2, 2, 13), seed=0, step=0, path="fused")
    with pytest.raises(RuntimeError, match=r"\[nn::mean_logsumexp\] the fused path is differentiable once"):
        torch.autograd.grad(penalty.sum(), list(critic.parameters()), create_graph=True)


def test_wrong_arguments_of_the_penalty():
    critic = StackedMlp(4, SIZES)
    obs, q = torch.zeros(2, 3, 5), torch.zeros(2, 2, 3)
    with pytest.raises(ValueError, match=r"`q_data` must be \[T, M, B\] = \[2, 2, 3\], got \[2, 3\]"):
        cql_penalty(critic, obs, q[0], seed=0, step=0)
    with pytest.raises(TypeError, match=r"`q_data` must be Float, got Double"):
        cql_penalty(critic, obs, q.double(), seed=0, step=0)
    with pytest.raises(ValueError, match=r"leaves no action beside O = 7"):
        cql_penalty(critic, torch.zeros(2, 3, 7), q, seed=0, step=0)
    with pytest.raises(ValueError, match=r"\[nn::cql_penalty\] `samples` must be at least 1, got 0"):
        cql_penalty(critic, obs, q, seed=0, step=0, samples=0)
    with pytest.raises(ValueError, match=r"`seed` must be in 0..2\^64-1, got -1"):
        cql_penalty(critic, obs, q, seed=-1, step=0)
    with pytest.raises(
        ValueError, match=r"\[nn::merge\] `log_density` must be \[M, B, K\] = \[2, 3, 4\], got \[2, 3\]"
    ):
        bad = Candidates(torch.zeros(2, 3, 4, 2), torch.zeros(2, 3))
        cql_penalty(critic, obs, q, seed=0, step=0, others=[bad])
    with pytest.raises(
        ValueError, match=r"\[nn::merge\] `actions` must be \[M, B, K, A\] = \[2, 3, any, 2\], got"
    ):
        bad = Candidates(torch.zeros(2, 3, 4, 1), torch.zeros(2, 3, 4))
        cql_penalty(critic, obs, q, seed=0, step=0, others=[bad])
    with pytest.raises(ValueError, match=r"`set` must be in 1..15, got 16"):
        normal_candidates(torch.zeros(1, 2, 2), 0.2, 3, seed=0, step=0, which=16)
    with pytest.raises(ValueError, match=r"`sigma` must be positive and finite, got 0"):
        normal_candidates(torch.zeros(1, 2, 2), 0.0, 3, seed=0, step=0)
    with pytest.raises(ValueError, match=r"\[nn::uniform_candidates\] K must be at most 1024, got 1025"):
        uniform_candidates(1, 1, 1025, 1, seed=0, step=0, like=obs)


@pytest.mark.parametrize("path", ["plain", "fused"])
def test_a_step_in_a_tensor_is_read_at_the_draw(path):
    critic = StackedMlp(4, (7, 8, 8, 1), seed=1)
    obs, mean, q_data = torch.zeros(2, 5, 5), torch.zeros(2, 5, 2), torch.zeros(2, 2, 5)
    held = torch.tensor(0)
    for number in (3, 2**32 - 1):
        held.fill_(number)
        by_step = [
            (
                uniform_candidates(2, 5, 4, 2, seed=3, step=step, like=obs).actions,
                normal_candidates(mean, 0.2, 4, seed=3, step=step).actions,
                cql_penalty(critic, obs, q_data, seed=3, step=step, path=path),
                cem.maximize(critic, obs, mean, cem.CemOptions(), seed=3, step=step, path=path)[0],
                cem.sample(mean, mean + 1, 4, seed=3, step=step),
            )
            for step in (number, held)
        ]
        for ours, theirs in zip(*by_step, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (torch.tensor(1.0), TypeError, "a `step` in a tensor must be int64, got"),
        (torch.tensor([1]), ValueError, r"a `step` in a tensor must be a scalar, got \[1\]"),
    ],
)
def test_message_step_in_a_tensor(step, error, message):
    critic, obs, actions = StackedMlp(2, (7, 8, 8, 1)), torch.zeros(2, 5, 5), torch.zeros(2, 5, 2)
    for draw in (
        lambda: uniform_candidates(2, 5, 4, 2, seed=3, step=step, like=obs),
        lambda: cem.maximize(critic, obs, actions, cem.CemOptions(), seed=3, step=step),
    ):
        with pytest.raises(error, match=message):
            draw()
