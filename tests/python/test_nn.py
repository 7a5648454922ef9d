"""Stacked networks: initial weights, forward and candidate values against plain torch, gradients, errors."""

import itertools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nn_cases import SHAPES, candidates_one_by_one, case, gradcheck, normal, one_by_one
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
    for kernels in ("plain", "auto"):
        got = candidate_values(critic, obs, actions, kernels=kernels)
        assert got.shape == (twins, 3, 4, 6)
        torch.testing.assert_close(got, candidates_one_by_one(critic, obs, actions))


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_forward_gradients(kernels, outputs):
    critic = StackedMlp(4, (5, 6, 4, outputs), seed=1, dtype=torch.float64)
    assert gradcheck(critic, lambda c, x: c(x, kernels), normal(4, 3, 5, seed=2).requires_grad_())


@pytest.mark.parametrize("sizes", [(18, 64, 64, 2), (6, 256, 256, 3), (7, 30, 19, 9), (60, 5, 33, 1)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_fused_forward_is_plain(sizes, dtype, tolerance):
    mlp, results = StackedMlp(3, sizes, seed=1, dtype=dtype), {}
    for kernels in ("fused", "plain"):
        x = normal(3, 130, sizes[0], dtype=dtype).requires_grad_()
        y = mlp(x, kernels)
        upstream = normal(*y.shape, seed=3, dtype=dtype)
        gradients = torch.autograd.grad((y * upstream).sum(), [x, *mlp.parameters()])
        results[kernels] = [y.detach(), *gradients]
    for fused, plain in zip(results["fused"], results["plain"], strict=True):
        assert (fused - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("kernels", ["plain", "fused"])
@pytest.mark.parametrize("action_size", [1, 2, 3, 4])
def test_candidate_gradients(kernels, action_size):
    critic = StackedMlp(4, (3 + action_size, 6, 9, 1), seed=1, dtype=torch.float64)
    obs = normal(2, 2, 3).requires_grad_()
    actions = normal(2, 2, 3, action_size, seed=1).requires_grad_()
    assert gradcheck(critic, lambda c, o, a: candidate_values(c, o, a, kernels=kernels), obs, actions)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_penalty_gradients(kernels):
    critic = StackedMlp(4, (5, 6, 9, 1), seed=1, dtype=torch.float64)
    obs, q = normal(2, 4, 3), normal(2, 2, 4, seed=1).requires_grad_()
    others = [normal_candidates(normal(2, 4, 2, seed=2), 0.2, 3, seed=1, step=1)]

    def penalty(c, q):
        return cql_penalty(c, obs, q, seed=1, step=1, samples=4, others=others, kernels=kernels)

    assert gradcheck(critic, penalty, q)


# ---- the CQL penalty -----------------------------------------------------------------------------


def test_uniform_candidates_are_philox():
    got = uniform_candidates(2, 70, 9, 3, seed=2**50 + 1, step=4, like=normal(1))
    np.testing.assert_array_equal(got.actions.numpy(), philox.uniforms(2**50 + 1, 64, 4, (2, 70, 9, 3)))
    np.testing.assert_allclose(got.log_density.numpy(), -3 * np.log(2))
    assert got.actions.dtype == torch.float64


def test_normal_candidates_have_their_density():
    mean = normal(2, 50, 3)
    got = normal_candidates(mean, 0.2, 9, seed=3, step=4, draw_set=2)
    z = philox.normals(3, 66, 4, (2, 50, 9, 3))
    np.testing.assert_allclose(got.actions.numpy(), mean.numpy()[:, :, None] + 0.2 * z, atol=1e-6)
    law = torch.distributions.Normal(mean[:, :, None], 0.2)
    torch.testing.assert_close(got.log_density, law.log_prob(got.actions).sum(-1))


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_penalty_is_its_formula(kernels):
    critic = StackedMlp(4, (7, 16, 12, 1), seed=1, dtype=torch.float64)
    obs, q_data, mean = normal(2, 30, 5), normal(2, 2, 30, seed=1), normal(2, 30, 2, seed=2)
    others = [normal_candidates(mean, 0.2, 3, seed=9, step=5)]
    got = cql_penalty(critic, obs, q_data, seed=9, step=5, samples=4, others=others, kernels=kernels)
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
    fused = cql_penalty(*args, seed=9, step=5, kernels="fused")
    torch.testing.assert_close(fused, cql_penalty(*args, seed=9, step=5, kernels="plain"))
    fused.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in critic.parameters())


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"members": 0}, r"one seed for each of at least one member, got 0 for members=0"),
        ({"seeds": [1, 2]}, r"one seed for each of at least one member, got 2 for members=3"),
        ({"seed": -1}, r"`seed` must be in 0..2\^64-1"),
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


EMPTY = [  # a stack's sizes, M, B, O, K, A; message
    (
        (0, 7, 4, 1),
        (2, 3, 5, 4, 2),
        r"\[nn::StackedMlp\] `each size of weights\[0\]` must be at least 1, got 0",
    ),
    ((2, 7, 0, 1), (2, 3, 5, 4, 2), r"`each size of weights\[0\]` must be at least 1, got 0"),
    ((2, 7, 4, 0, 1), (2, 3, 5, 4, 2), r"`each size of weights\[1\]` must be at least 1, got 0"),
    ((2, 7, 4, 0), (2, 3, 5, 4, 2), r"`each size of weights\[1\]` must be at least 1, got 0"),
    ((2, 7, 4, 1), (0, 3, 5, 4, 2), r"`M` must be at least 1, got 0"),
    ((2, 7, 4, 1), (2, 3, 0, 4, 7), r"`O` must be at least 1, got 0"),
    ((2, 7, 4, 1), (2, 3, 5, 0, 2), r"`K` must be at least 1, got 0"),
    ((2, 7, 4, 1), (2, 3, 7, 4, 0), r"`A` must be at least 1, got 0"),
]


@pytest.mark.parametrize("kernels", [_core.Kernels.plain, _core.Kernels.fused])
@pytest.mark.parametrize(("sizes", "inputs", "message"), EMPTY)
def test_sizes_are_at_least_one(kernels, sizes, inputs, message):
    networks, *layers = sizes
    members, batch, obs_size, samples, action_size = inputs
    weights = [torch.zeros(networks, i, o) for i, o in itertools.pairwise(layers)]
    biases = [torch.zeros(networks, o) for o in layers[1:]]
    obs, actions = torch.zeros(members, batch, obs_size), torch.zeros(members, batch, samples, action_size)
    scoring = _core.Scoring(kernels, _core.Precision.float32)
    with pytest.raises(ValueError, match=message):
        _core.nn_candidate_values(_core.StackedMlp(weights, biases), [obs], actions, scoring)
    with pytest.raises(ValueError, match=message):
        _core.cql_mean_logsumexp(_core.StackedMlp(weights, biases), obs, actions, actions.sum(-1), scoring)
    if "weights" in message:
        with pytest.raises(ValueError, match=message):
            _core.nn_forward(_core.StackedMlp(weights, biases), torch.zeros(networks, 3, 7), kernels)
        with pytest.raises(ValueError, match=message):
            _core.nn_fused_obstacle(_core.StackedMlp(weights, biases), [])


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_the_penalty_needs_a_state(kernels):
    critic, obs, actions = StackedMlp(4, SIZES), torch.zeros(2, 0, 5), torch.zeros(2, 0, 4, 2)
    assert candidate_values(critic, obs, actions, kernels=kernels).shape == (2, 2, 0, 4)
    with pytest.raises(ValueError, match=r"\[cql::mean_logsumexp\] `B` must be at least 1, got 0"):
        mean_logsumexp(critic, obs, Candidates(actions, actions.sum(-1)), kernels=kernels)
    with pytest.raises(ValueError, match=r"`B` must be at least 1, got 0"):
        cql_penalty(critic, obs, torch.zeros(2, 2, 0), seed=0, step=0, kernels=kernels)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_products_of_sizes_that_overflow(kernels):
    message = r"are more than a machine can address: the product of \["
    critic = StackedMlp(1, (3, 4, 1))
    wide = torch.zeros(1).expand(1, 2**40, 2**17, 1)
    with pytest.raises(
        ValueError, match=r"\[nn::candidate_values\] the bytes of a layer's outputs " + message
    ):
        candidate_values(critic, torch.zeros(1).expand(1, 2**40, 2), wide, kernels=kernels)
    with pytest.raises(ValueError, match=message):
        candidate_values(critic, torch.zeros(1, 0, 2), torch.zeros(1, 0, 2**60, 1), kernels=kernels)
    with pytest.raises(ValueError, match=r"\[nn::forward\] the bytes of a layer's outputs " + message):
        critic(torch.zeros(1).expand(1, 2**58, 3), kernels)
    scoring = _core.Scoring(getattr(_core.Kernels, kernels), _core.Precision.float32)
    weights = [torch.zeros(1).expand(1, 3, 2**53), torch.zeros(1).expand(1, 2**53, 1)]
    biases = [torch.zeros(1).expand(1, 2**53), torch.zeros(1, 1)]
    with pytest.raises(ValueError, match=r"the bytes of a layer's weights " + message):
        mlp = _core.StackedMlp(weights, biases)
        _core.nn_candidate_values(mlp, [torch.zeros(1, 1, 2)], torch.zeros(1, 1, 1, 1), scoring)
    with pytest.raises(ValueError, match=r"\[nn::init\] a layer must have at most 2\^34 weights, got"):
        StackedMlp(1, (2**20, 2**20, 1))
    with pytest.raises(ValueError, match=r"\[nn::init\] the weights of a layer " + message):
        StackedMlp(1, (2**40, 2**40, 1))


@pytest.mark.parametrize("critics", [-1, 0, 3])
def test_number_of_critics(critics):
    critic, obs, actions = StackedMlp(4, SIZES), torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    with pytest.raises(
        ValueError, match=rf"\[nets.candidate_values\] `critics` must be in 1..T = 1..2, got {critics}"
    ):
        candidate_values(critic, obs, actions, critics=critics)
    assert candidate_values(critic, obs, actions, critics=1).shape == (1, 2, 3, 4)


def test_damaged_stack():
    critic = StackedMlp(4, SIZES)
    critic.biases[1] = torch.nn.Parameter(torch.zeros(4, 3))
    with pytest.raises(
        ValueError, match=r"\[nn::StackedMlp\] `biases\[1\]` must be \[M, out\] = \[4, 12\], got \[4, 3\]"
    ):
        critic(torch.zeros(4, 3, 7))


def test_unknown_kernels_and_precisions():
    obs, actions = torch.zeros(2, 3, 5), torch.zeros(2, 3, 4, 2)
    critic = StackedMlp(2, SIZES)
    with pytest.raises(ValueError, match=r"`kernels` must be 'auto', 'plain' or 'fused', got 'fast'"):
        candidate_values(critic, obs, actions, kernels="fast")
    with pytest.raises(ValueError, match=r"`precision` must be 'float32' or 'bf16', got 'fp8'"):
        candidate_values(critic, obs, actions, precision="fp8")


def test_fused_is_differentiable_once():
    critic, obs, actions = case(SHAPES[2])
    q = candidate_values(critic, obs, actions, kernels="fused")
    with pytest.raises(
        RuntimeError, match=r"\[nn::candidate_values\] the fused kernels are differentiable once"
    ):
        torch.autograd.grad(q.sum(), list(critic.parameters()), create_graph=True)
    penalty = cql_penalty(critic, obs, torch.zeros(2, 2, 13), seed=0, step=0, kernels="fused")
    with pytest.raises(
        RuntimeError, match=r"\[cql::mean_logsumexp\] the fused kernels are differentiable once"
    ):
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
    with pytest.raises(ValueError, match=r"\[cql::penalty\] `samples` must be at least 1, got 0"):
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
        normal_candidates(torch.zeros(1, 2, 2), 0.2, 3, seed=0, step=0, draw_set=16)
    with pytest.raises(ValueError, match=r"`sigma` must be positive and finite, got 0"):
        normal_candidates(torch.zeros(1, 2, 2), 0.0, 3, seed=0, step=0)
    with pytest.raises(ValueError, match=r"\[nn::uniform_candidates\] K must be at most 1024, got 1025"):
        uniform_candidates(1, 1, 1025, 1, seed=0, step=0, like=obs)


@pytest.mark.parametrize("kernels", ["plain", "fused"])
def test_a_step_in_a_tensor_is_read_at_the_draw(kernels):
    critic = StackedMlp(4, (7, 8, 8, 1), seed=1)
    obs, mean, q_data = torch.zeros(2, 5, 5), torch.zeros(2, 5, 2), torch.zeros(2, 2, 5)
    held = torch.tensor(0)
    for number in (3, 2**32 - 1):
        held.fill_(number)
        by_step = [
            (
                uniform_candidates(2, 5, 4, 2, seed=3, step=step, like=obs).actions,
                normal_candidates(mean, 0.2, 4, seed=3, step=step).actions,
                cql_penalty(critic, obs, q_data, seed=3, step=step, kernels=kernels),
                cem.maximize(critic, obs, mean, cem.CemOptions(), seed=3, step=step, kernels=kernels)[0],
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
