"""The particle environment's contract: shapes, episodes, seeds, independence of worlds, messages."""

from __future__ import annotations

import copy
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omar.envs import ParticleEnv, scenario_names
from particle_cases import SCENARIOS, STARTS, put, start_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OBS_SIZES = {"simple_spread": (18, 18, 18), "simple_tag": (16, 16, 16, 14), "simple_world": (24, 24, 24, 22)}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def play(env: ParticleEnv, actions: torch.Tensor) -> list[torch.Tensor]:
    """Observations, rewards, truncations and final observations of all steps; actions [T, E, A, 2]."""
    seen = []
    for u in actions:
        s = env.step(u)
        final = torch.where(s.truncated[:, None, None], s.final_observations, torch.zeros(()))
        seen += [s.observations, s.rewards, s.truncated, final]
    return seen


def random_actions(env: ParticleEnv, steps: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(steps, env.num_envs, env.num_agents, 2, dtype=env.dtype, generator=g) * 2 - 1


# ---- shapes and episodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCENARIOS)
def test_surface(name: str, dtype: torch.dtype) -> None:
    env = ParticleEnv(name, num_envs=7, seed=3, dtype=dtype)
    a, o = len(OBS_SIZES[name]), max(OBS_SIZES[name])
    assert (env.num_envs, env.num_agents, env.num_learners) == (7, a, 3)
    assert (env.obs_sizes, env.action_size, env.episode_length) == (OBS_SIZES[name], 2, 25)
    assert (env.device, env.dtype, env.seed) == (torch.device("cpu"), dtype, 3)
    assert env.reset().shape == (7, a, o)
    step = env.step(torch.zeros(7, a, 2, dtype=dtype))
    assert step.observations.shape == step.final_observations.shape == (7, a, o)
    assert step.rewards.shape == (7, a)
    assert step.truncated.shape == (7,)
    assert step.truncated.dtype == torch.bool
    assert {step.observations.dtype, step.rewards.dtype, step.final_observations.dtype} == {dtype}
    for i, size in enumerate(env.obs_sizes):
        assert bool((step.observations[:, i, size:] == 0).all())
    assert "num_envs=7" in repr(env)


def test_scenario_names() -> None:
    assert scenario_names() == list(SCENARIOS)


@pytest.mark.parametrize(("name", "num_agents", "agents", "landmarks"), [
    ("simple_spread", 1, 1.0, 1.0), ("simple_spread", 3, 1.0, 1.0), ("simple_spread", 4, 2.0, 2.0),
    ("simple_spread", 10, 2.0, 2.0), ("simple_tag", 3, 1.0, 0.9), ("simple_world", 3, 1.0, 0.9),
])  # fmt: skip
def test_start_boxes(name: str, num_agents: int, agents: float, landmarks: float) -> None:
    env = ParticleEnv(name, 2000, seed=1, num_agents=num_agents)
    for low, got in ((agents, env.state().positions), (landmarks, env.state().landmarks)):
        assert bool((got.abs() <= low).all())
        assert abs(float(got.mean())) < 0.05 * low
        assert float(got.std()) == pytest.approx(low / np.sqrt(3), rel=0.03)
        assert float(got.abs().max()) > 0.99 * low
        flat = got.reshape(2000, -1).T
        off_diagonal = torch.corrcoef(flat) - torch.eye(len(flat))
        assert float(off_diagonal.abs().max()) < 0.12
    assert bool((env.state().velocities == 0).all())
    assert bool((env.state().steps == 0).all())


@pytest.mark.parametrize("name", SCENARIOS)
def test_auto_reset(name: str) -> None:
    env = ParticleEnv(name, 21, seed=5)
    env.reset()
    fresh = ParticleEnv(name, 21, seed=5)
    fresh.reset()
    second = fresh.reset()  # the second episode of every world
    steps = torch.arange(21) + 4  # worlds end at different times; 21 of them need two vectors
    env.set_state(*env.state()[:3], steps)
    for t, u in enumerate(random_actions(env, 22)):
        before = env.state()
        step = env.step(u)
        ends = before.steps == 24
        assert step.truncated.tolist() == ends.tolist()
        follow = ParticleEnv(name, 21)
        follow.set_state(*before[:3])
        expected = follow.step(u)
        torch.testing.assert_close(step.final_observations[ends], expected.observations[ends], rtol=0, atol=0)
        torch.testing.assert_close(step.observations[~ends], expected.observations[~ends], rtol=0, atol=0)
        torch.testing.assert_close(step.rewards, expected.rewards, rtol=0, atol=0)
        torch.testing.assert_close(step.observations[ends], second[ends], rtol=0, atol=0)
        assert env.state().steps.tolist() == [(s + t + 1) % 25 for s in steps.tolist()]


def test_final_observations_of_other_worlds_are_left_alone() -> None:
    env = ParticleEnv("simple_tag", 5)
    env.set_state(*env.state()[:3], torch.tensor([0, 24, 0, 0, 24]))
    out = env.make_step()
    out.final_observations.fill_(7.0)
    env.step_into(torch.zeros(5, 4, 2), out)
    untouched = (out.final_observations == 7.0).all(-1).all(-1)
    assert untouched.tolist() == [True, False, True, True, False]


@pytest.mark.parametrize("worlds", [1, 2, 3, 5, 8, 15, 16, 17, 33])
@pytest.mark.parametrize("name", SCENARIOS)
def test_step_into_writes_its_tensors_and_nothing_else(name: str, worlds: int) -> None:
    env, other = ParticleEnv(name, worlds, seed=2), ParticleEnv(name, worlds, seed=2)
    a, o = env.num_agents, max(env.obs_sizes)
    big = {"observations": torch.full((worlds + 2, a, o), 9.0), "rewards": torch.full((worlds + 2, a), 9.0),
           "final_observations": torch.full((worlds + 2, a, o), 9.0),
           "truncated": torch.ones(worlds + 2, dtype=torch.bool)}  # fmt: skip
    out = env.make_step()
    for key, value in big.items():
        setattr(out, key, value[1:-1])
    for u in random_actions(env, 26):
        env.step_into(u, out)
        expected = other.step(u)
        assert torch.equal(out.observations, expected.observations)
        assert torch.equal(out.rewards, expected.rewards)
        assert torch.equal(out.truncated, expected.truncated)
    for value in big.values():
        edge = torch.stack([value[0], value[-1]])
        assert bool((edge == (True if value.dtype == torch.bool else 9.0)).all())


def test_actions_may_be_strided() -> None:
    a, b = ParticleEnv("simple_spread", 6), ParticleEnv("simple_spread", 6)
    u = random_actions(a, 1)[0]
    strided = u.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    assert torch.equal(a.step(u).observations, b.step(strided).observations)


# ---- seeds and independence --------------------------------------------------------------------------------


def test_seeds() -> None:
    a, b = ParticleEnv("simple_world", 9, seed=4), ParticleEnv("simple_world", 9, seed=5)
    first = a.reset()
    assert not torch.equal(first, b.reset())
    assert torch.equal(first, b.reset(4))
    assert b.seed == 4
    second = a.reset()
    assert not torch.equal(first, second)
    assert torch.equal(second, b.reset())
    assert torch.equal(first, a.reset(seed=4))
    u = random_actions(a, 30)
    b.reset(seed=4)
    for x, y in zip(play(a, u), play(b, u), strict=True):
        assert torch.equal(x, y)


def test_both_dtypes_start_from_the_same_numbers() -> None:
    for name in SCENARIOS:
        single, double = ParticleEnv(name, 50, seed=2), ParticleEnv(name, 50, seed=2, dtype=torch.float64)
        torch.testing.assert_close(single.reset().double(), double.reset(), atol=2e-7, rtol=0)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_one_thread_equals_two(name: str, kind: str, threads: None) -> None:
    runs = []
    for n in (1, 2):
        torch.set_num_threads(n)
        env = ParticleEnv(name, 2500, seed=1)
        env.reset()
        put(env, start_state(env, kind, 3), torch.arange(2500) % 25)
        runs.append(play(env, random_actions(env, 4)))
    for x, y in zip(*runs, strict=True):
        assert torch.equal(x, y)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(SCENARIOS),
    kind=st.sampled_from(STARTS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    order=st.permutations(range(21)),
)
def test_worlds_may_be_permuted(name: str, kind: str, dtype: torch.dtype, order: list[int]) -> None:
    env, moved = (ParticleEnv(name, 21, dtype=dtype) for _ in range(2))
    state = start_state(env, kind, 17)
    put(env, state)
    put(moved, tuple(x[order] for x in state))
    u = random_actions(env, 3)
    for x, y in zip(play(env, u), play(moved, u[:, order]), strict=True):
        assert torch.equal(x[order], y)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(SCENARIOS),
    worlds=st.integers(1, 40),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_batch_may_be_split(name: str, worlds: int, dtype: torch.dtype) -> None:
    """The first worlds of a large batch are the worlds of a small one, over two episodes."""
    small, large = (ParticleEnv(name, e, seed=8, dtype=dtype) for e in (worlds, 40))
    u = random_actions(large, 27)
    assert torch.equal(small.reset(), large.reset()[:worlds])
    for x, y in zip(play(small, u[:, :worlds]), play(large, u), strict=True):
        assert torch.equal(x, y[:worlds])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_largest_numbers_overflow_nothing(name: str, dtype: torch.dtype) -> None:
    """Worlds at the limits of states and actions stay finite, and leave the others alone."""
    env, calm = ParticleEnv(name, 20, seed=1, dtype=dtype), ParticleEnv(name, 20, seed=1, dtype=dtype)
    u = random_actions(env, 25)
    wild = u.clone()
    wild[:, 7:9] = 1e6
    wild[:, 8, ::2] *= -1
    state = [x.clone() for x in env.state()[:3]]
    for x in state:
        x[8] = 1e12 * torch.sign(x[8] - 0.1)
    env.set_state(*state)
    others = [i for i in range(20) if i not in (7, 8)]
    for x, y in zip(play(env, wild), play(calm, u), strict=True):
        assert bool(x.isfinite().all())
        assert torch.equal(x[others], y[others])
    assert torch.equal(env.observe(), calm.observe())  # the next episode starts clean


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_larger_numbers_are_refused(dtype: torch.dtype) -> None:
    env = ParticleEnv("simple_tag", 3, dtype=dtype)
    before = env.state()
    u = torch.zeros(3, 4, 2, dtype=dtype)
    for value in (1.1e6, -1.1e6, 1e38):
        u[1, 2, 1] = value
        with pytest.raises(ValueError, match=r"`actions` must be finite and at most 1e\+06 in magnitude"):
            env.step(u)
    far = torch.full((3, 4, 2), 1.1e12, dtype=dtype)
    with pytest.raises(ValueError, match=r"`velocities` must be finite and at most 1e\+12 in magnitude"):
        env.set_state(before.positions, far, before.landmarks)
    for x, y in zip(before, env.state(), strict=True):
        assert torch.equal(x, y)


def test_state_round_trip() -> None:
    env, copy = ParticleEnv("simple_world", 18, seed=1), ParticleEnv("simple_world", 18, seed=1)
    u = random_actions(env, 10)
    play(env, u[:7])
    state = env.state()
    copy.set_state(*state)
    for x, y in zip(state, copy.state(), strict=True):
        assert torch.equal(x, y)
    assert torch.equal(env.observe(), copy.observe())
    for x, y in zip(play(env, u[7:]), play(copy, u[7:]), strict=True):
        assert torch.equal(x, y)
    state.positions.fill_(0)
    assert not bool((env.state().positions == 0).any())


def test_uniform_actions_return_what_the_paper_measured() -> None:
    """8,000 episodes of simple_spread: 159.7 +- 1.5, the learners' mean reward summed over 25 steps."""
    env = ParticleEnv("simple_spread", 8000, seed=0)
    env.reset()
    out = env.make_step()
    returns = torch.zeros(8000)
    for u in random_actions(env, 25, seed=11):
        env.step_into(u, out)
        returns += out.rewards.mean(1)
    assert float(returns.mean()) == pytest.approx(159.7, abs=1.5)
    assert float(returns.std()) == pytest.approx(60, abs=3)


# ---- one state, one owner ----------------------------------------------------------------------------------


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_environment_is_not_copied(copying: Callable[[object], object]) -> None:
    with pytest.raises(
        TypeError,
        match=r"^ParticleEnv cannot be copied or pickled: build another one and hand it the state, `set_",
    ):
        copying(ParticleEnv("simple_tag", 2))


def test_threads_may_share_an_environment() -> None:
    """No step is lost, and every observation is of a whole state."""
    env, alone = ParticleEnv("simple_spread", 3000, seed=1), ParticleEnv("simple_spread", 3000, seed=1)
    zeros = torch.zeros(3000, 3, 2)
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: env.step(zeros).observations, range(20)))
    expected = [alone.step(zeros).observations for _ in range(20)]
    assert torch.equal(env.observe(), alone.observe())
    for x in expected:
        assert any(torch.equal(x, y) for y in seen)


# ---- messages ----------------------------------------------------------------------------------------------


def refuses(kind: type[Exception], message: str, **options: object) -> None:
    arguments: dict[str, object] = {"name": "simple_tag", "num_envs": 2, **options}
    with pytest.raises(kind, match=re.escape(message)):
        ParticleEnv(**arguments)  # type: ignore[arg-type]


def test_constructor_messages() -> None:
    refuses(ValueError, 'unknown scenario "tag"; known are simple_spread simple_tag simple_world', name="tag")
    refuses(ValueError, "`num_envs` must be at least 1, got 0", num_envs=0)
    refuses(ValueError, "`num_envs` must be at least 1, got -3", num_envs=-3)
    refuses(TypeError, "`num_envs` must be an int, got float", num_envs=2.0)
    refuses(TypeError, "`num_envs` must be an int, got bool", num_envs=True)
    refuses(TypeError, "`name` must be a str, got int", name=3)
    refuses(ValueError, "`dtype` must be float32 or float64, got Half", dtype=torch.float16)
    refuses(TypeError, "`dtype` must be a dtype, got str", dtype="float32")
    refuses(ValueError, '`reward` must be "omar" or "lowe", got \'mine\'', reward="mine")
    refuses(
        ValueError,
        'reward "lowe" is defined for simple_spread only, got scenario "simple_tag"',
        reward="lowe",
    )
    refuses(ValueError, "`num_agents` can be set for simple_spread only", num_agents=4)
    refuses(ValueError, "`num_agents` must be 1..10, got 11", name="simple_spread", num_agents=11)
    refuses(ValueError, "`num_agents` must be 1..10, got 0", name="simple_spread", num_agents=0)
    refuses(ValueError, "`seed` must be in 0..2^64-1, got -1", seed=-1)
    refuses(ValueError, "`seed` must be in 0..2^64-1", seed=1 << 64)
    refuses(TypeError, "`seed` must be an int, got str", seed="0")
    refuses(ValueError, "`num_envs` must be in -2^63..2^63-1, got 18446744073709551616", num_envs=1 << 64)
    refuses(ValueError, '`device` must be "cpu" or "cuda", got \'quantum\'', device="quantum")
    refuses(ValueError, "`device` must be cpu or cuda, got meta", device="meta")
    refuses(TypeError, "`device` must be a str or torch.device, got float", device=1.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the device is valid")
def test_cuda_without_cuda() -> None:
    with pytest.raises(ValueError, match="CUDA"):
        ParticleEnv("simple_tag", 2, device="cuda")


def test_step_messages() -> None:
    env = ParticleEnv("simple_tag", 2)
    before = env.state()
    good = torch.zeros(2, 4, 2)
    cases: list[tuple[type[Exception], str, object]] = [
        (
            ValueError,
            "[ParticleEnv.step] `actions` must be [E, A, action size] = [2, 4, 2], got [2, 3, 2]",
            good[:, :3],
        ),
        (ValueError, "`actions` must be [E, A, action size] = [2, 4, 2], got [4, 2]", good[0]),
        (ValueError, "`actions` must be [E, A, action size] = [2, 4, 2], got [1, 4, 2]", good[:1]),
        (ValueError, "`actions` must be [E, A, action size] = [2, 4, 2], got []", torch.tensor(1.0)),
        (TypeError, "`actions` must be Float, got Double", good.double()),
        (TypeError, "`actions` must be Float, got Long", good.long()),
        (TypeError, "`actions` must be a Tensor, got list", good.tolist()),
        (TypeError, "`actions` must be a Tensor, got float", 0.0),
        (TypeError, "`actions` must be a Tensor, got NoneType", None),
        (ValueError, "`actions` must be on cpu, got meta", good.to("meta")),
        (TypeError, "`actions` must be a dense tensor, got layout Sparse", good.to_sparse()),
    ]
    for kind, message, actions in cases:
        with pytest.raises(kind, match=re.escape(message)):
            env.step(actions)  # type: ignore[arg-type]
        with pytest.raises(kind, match=re.escape(message)):
            env.step_into(actions, env.make_step())  # type: ignore[arg-type]
    for x, y in zip(before, env.state(), strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_bad_actions_leave_the_state_unchanged(bad: float, dtype: torch.dtype) -> None:
    env = ParticleEnv("simple_world", 33, dtype=dtype)
    env.reset()
    before, out = env.state(), env.make_step()
    out.rewards.fill_(-77.0)
    for place in range(0, 33 * 4 * 2, 7):
        actions = torch.zeros(33, 4, 2, dtype=dtype)
        actions.view(-1)[place] = bad
        with pytest.raises(
            ValueError, match=r"must be finite and at most 1e\+06 in magnitude, .*; the state is unchanged"
        ):
            env.step_into(actions, out)
    assert bool((out.rewards == -77.0).all())
    for x, y in zip(before, env.state(), strict=True):
        assert torch.equal(x, y)


def test_step_into_messages() -> None:
    env = ParticleEnv("simple_tag", 2)
    u = torch.zeros(2, 4, 2)
    cases: list[tuple[type[Exception], str, str, torch.Tensor]] = [
        (ValueError, "`observations` must be [E, A, max obs size] = [2, 4, 16], got [2, 4, 15]",
         "observations", torch.zeros(2, 4, 15)),
        (ValueError, "`final_observations` must be contiguous", "final_observations",
         torch.zeros(2, 16, 4).transpose(1, 2)),
        (TypeError, "`rewards` must be Float, got Double", "rewards", torch.zeros(2, 4, dtype=torch.float64)),
        (TypeError, "`truncated` must be Bool, got Byte", "truncated", torch.zeros(2, dtype=torch.uint8)),
        (ValueError, "`truncated` must be on cpu, got meta", "truncated",
         torch.zeros(2, dtype=torch.bool, device="meta")),
    ]  # fmt: skip
    for kind, message, field, tensor in cases:
        out = env.make_step()
        setattr(out, field, tensor)
        with pytest.raises(kind, match=re.escape(message)):
            env.step_into(u, out)
    with pytest.raises(TypeError, match="`out` must be a Step, got Tensor"):
        env.step_into(u, u)  # type: ignore[arg-type]


def test_set_state_messages() -> None:
    env = ParticleEnv("simple_tag", 2)
    before = env.state()
    p, v, marks = torch.zeros(2, 4, 2), torch.zeros(2, 4, 2), torch.zeros(2, 2, 2)
    cases: list[tuple[type[Exception], str, tuple[object, ...]]] = [
        (ValueError, "`positions` must be [E, A, 2] = [2, 4, 2], got [2, 3, 2]", (p[:, :3], v, marks)),
        (ValueError, "`velocities` must be [E, A, 2] = [2, 4, 2], got [2, 4]", (p, v[..., 0], marks)),
        (ValueError, "`landmarks` must be [E, L, 2] = [2, 2, 2], got [2, 4, 2]", (p, v, p)),
        (TypeError, "`velocities` must be Float, got Double", (p, v.double(), marks)),
        (TypeError, "`landmarks` must be a Tensor, got NoneType", (p, v, None)),
        (ValueError, "`positions` must be finite", (p / 0, v, marks)),
        (ValueError, "`landmarks` must be finite", (p, v, marks + float("inf"))),
        (ValueError, "`steps` must be 0..24, got values from -1 to 0", (p, v, marks, torch.tensor([-1, 0]))),
        (ValueError, "`steps` must be 0..24, got values from 3 to 25", (p, v, marks, torch.tensor([25, 3]))),
        (ValueError, "`steps` must be [E] = [2], got [3]", (p, v, marks, torch.tensor([0, 0, 0]))),
        (TypeError, "`steps` must be Long, got Float", (p, v, marks, torch.zeros(2))),
        (TypeError, "`steps` must be a Tensor, got list", (p, v, marks, [0, 0])),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=re.escape(message)):
            env.set_state(*arguments)  # type: ignore[arg-type]
    for x, y in zip(before, env.state(), strict=True):
        assert torch.equal(x, y)
