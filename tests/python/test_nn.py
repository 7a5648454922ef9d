"""Stacked networks: initial weights, forward and candidate values against plain torch, gradients, errors."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from omar.nets import StackedMlp, candidate_values

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
    got = candidate_values(critic, obs, actions)
    assert got.shape == (twins, 3, 4, 6)
    torch.testing.assert_close(got, candidates_one_by_one(critic, obs, actions))


def test_gradients():
    critic = StackedMlp(4, (5, 6, 4, 1), seed=1, dtype=torch.float64)
    obs, actions, x = normal(2, 2, 3), normal(2, 2, 3, 2, seed=1), normal(4, 3, 5, seed=2)
    parameters = [p.detach().requires_grad_() for p in critic.parameters()]
    names = [name for name, _ in critic.named_parameters()]

    def values(obs, actions, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(
            _Candidates(critic), {f"critic.{k}": v for k, v in given.items()}, (obs, actions)
        )

    def forward(x, *parameters):
        return torch.func.functional_call(critic, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(values, (obs.requires_grad_(), actions.requires_grad_(), *parameters))
    assert torch.autograd.gradcheck(forward, (x.requires_grad_(), *parameters))


class _Candidates(torch.nn.Module):
    def __init__(self, critic):
        super().__init__()
        self.critic = critic

    def forward(self, obs, actions):
        return candidate_values(self.critic, obs, actions)


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
