"""Random numbers by counter: a numpy Philox, prefixes, rollouts, errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omar.algorithms import Draw
from omar.envs import ParticleEnv
from omar.envs.rollout import rollout
from omar.random import normal_like, uniform_actions
from oracles import philox

UNIFORM, EXPLORATION = 81, 80
LIKE = torch.zeros(1)
SHAPES = [(70, 3, 2), (5, 1), (17, 2), (3, 1000), (1, 9001), (2, 67, 3, 2), (6,), (0, 3), (3, 0)]
FUNCTIONS = [uniform_actions, normal_like]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_uniform_actions_are_philox(shape):
    got = uniform_actions(shape, Draw(2**50 + 1, 4_000_000_001), like=LIKE)
    wanted = philox.row_uniforms(2**50 + 1, UNIFORM, 4_000_000_001, shape)
    assert got.dtype == torch.float32
    np.testing.assert_array_equal(got.numpy(), wanted.astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normal_numbers_are_philox_and_box_muller(shape):
    got = normal_like(shape, Draw(7, 11), like=LIKE)
    np.testing.assert_allclose(got.numpy(), philox.row_normals(7, EXPLORATION, 11, shape), atol=3e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 90), second=st.integers(1, 40), step=st.integers(0, 2**32 - 1))
def test_a_prefix_gets_the_same_numbers(function, rows, second, step):
    whole = function((90, 40, 2), Draw(3, step), like=LIKE)
    assert torch.equal(function((rows, 40, 2), Draw(3, step), like=LIKE), whole[:rows])
    assert torch.equal(function((rows, second, 2), Draw(3, step), like=LIKE), whole[:rows, :second])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_numbers_change_with_seed_step_and_row(function):
    draws = [function((2, 8), Draw(seed, step), like=LIKE) for seed in (0, 1) for step in (0, 1)]
    rows = torch.cat(draws)
    assert len({tuple(row.tolist()) for row in rows}) == 8


@pytest.mark.parametrize("function", FUNCTIONS)
def test_numbers_do_not_depend_on_threads_nor_on_the_global_generator(function):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        torch.manual_seed(1)
        one = function((20_000, 3), Draw(1, 2), like=LIKE)
        torch.set_num_threads(2)
        torch.manual_seed(2)
        two = function((20_000, 3), Draw(1, 2), like=LIKE)
        state = torch.get_rng_state()
        function((10,), Draw(1, 2), like=LIKE)
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_double_numbers_are_those_of_float(function):
    double = function((9, 5), Draw(1, 2), like=LIKE.double())
    assert double.dtype == torch.float64
    assert torch.equal(double.float(), function((9, 5), Draw(1, 2), like=LIKE))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_step_in_a_tensor_counts_as_its_number(function):
    step = torch.tensor(2**32 - 1)
    assert torch.equal(
        function((9, 5), Draw(1, step), like=LIKE), function((9, 5), Draw(1, 2**32 - 1), like=LIKE)
    )


def test_moments():
    z = normal_like((1000, 1000), Draw(5, 0), like=LIKE).double()
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs((z**2).mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z[1:] * z[:-1]).mean()) < 5 / n**0.5
    assert abs((z[:, 1:] * z[:, :-1]).mean()) < 5 / n**0.5
    u = uniform_actions((1000, 1000), Draw(5, 0), like=LIKE).double()
    assert u.min() >= -1.0
    assert u.max() < 1.0
    assert abs(u.mean()) < 5 * (1 / 3 / n) ** 0.5


def test_rollouts_draw_the_same_uniform_actions():
    env = ParticleEnv("simple_spread", 67, seed=2)
    actions = rollout(env, 4, seed=9, first_step=3).actions
    for t in range(4):
        assert torch.equal(actions[:, t], uniform_actions((67, 3, 2), Draw(9, 3 + t), like=LIKE))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_messages(function):
    with pytest.raises(TypeError, match=r"`dtype` must be float32 or float64, got Int"):
        function((3, 2), Draw(0, 0), like=torch.zeros(1, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"`sizes` must be \[N, \.\.\.\], got \[\]"):
        function((), Draw(0, 0), like=LIKE)
    with pytest.raises(ValueError, match=r"`sizes` must be at least 0, got -1"):
        function((3, -1), Draw(0, 0), like=LIKE)
    with pytest.raises(ValueError, match=r"more than a machine can address: the product of"):
        function((2**32, 2**31, 2), Draw(0, 0), like=LIKE)
    with pytest.raises(ValueError, match=r"`sizes` must have at most 2\^32 rows of 2\^34 numbers, got"):
        function((2**32 + 1, 2), Draw(0, 0), like=LIKE)
    with pytest.raises(ValueError, match=r"`seed` must be in 0..2\^64-1, got -1"):
        function((3, 2), Draw(-1, 0), like=LIKE)
    for number in (-1, 2**32):
        for step in (number, torch.tensor(number)):
            with pytest.raises(ValueError, match=rf"`step` must be in 0..2\^32-1, got {number}"):
                function((3, 2), Draw(0, step), like=LIKE)
    with pytest.raises(TypeError, match="a `step` in a tensor must be int64, got Float"):
        function((3, 2), Draw(0, torch.tensor(1.0)), like=LIKE)
