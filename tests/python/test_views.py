"""Views of the tasks for PettingZoo and Gymnasium, checked by the tests of these libraries."""

from __future__ import annotations

import os
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from pettingzoo.utils.conversions import parallel_to_aec

import omar
from omar import OmarError
from omar.envs import HalfCheetahEnv, ParticleEnv, joint_env, parallel_env, vector_env
from opengl_case import CHEETAH

with warnings.catch_warnings():  # PettingZoo's tests import games of its own that it calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test, render_test

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # windows without a display

PARTICLES = ("simple_spread", "simple_tag", "simple_world")
TASKS = (*PARTICLES, "half_cheetah")
WITH_PREY = ("simple_tag", "simple_world")


def prey(task):
    return omar.load_prey(task) if task in WITH_PREY else None


@pytest.mark.parametrize("with_prey", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_pettingzoo_finds_nothing(task, with_prey):
    own = {"prey": prey(task)} if with_prey else {}
    parallel_api_test(parallel_env(task, **own), num_cycles=100)
    parallel_seed_test(lambda: parallel_env(task, **own), num_cycles=60)


@pytest.mark.parametrize("task", [*PARTICLES, CHEETAH])
def test_pettingzoo_renders(task):
    render_test(lambda render_mode: parallel_to_aec(parallel_env(task, render_mode=render_mode)))


@pytest.mark.filterwarnings("ignore:.*Box observation space.*infinity:UserWarning")
@pytest.mark.filterwarnings("ignore:.*not normalized:UserWarning")
@pytest.mark.filterwarnings("ignore:.*different render modes.*:UserWarning")
@pytest.mark.parametrize("task", TASKS)
def test_gymnasium_finds_nothing(task):
    check_env(joint_env(task, prey=prey(task), render_mode="rgb_array"), skip_render_check=True)


def test_agents_have_the_names_of_mpe():
    assert parallel_env("simple_spread", num_agents=2).possible_agents == ["agent_0", "agent_1"]
    predators = ["adversary_0", "adversary_1", "adversary_2"]
    assert parallel_env("simple_tag").possible_agents == [*predators, "agent_0"]
    assert parallel_env("simple_tag", prey=prey("simple_tag")).possible_agents == predators


@pytest.mark.parametrize("task", PARTICLES)
def test_a_parallel_episode_is_that_of_particle_env(task):
    """Same seed, same actions: observations, rewards, the end, and the state of all bodies."""
    env, view = ParticleEnv(task, seed=5), parallel_env(task)
    expected = env.reset(5)
    seen, infos = view.reset(seed=5)
    assert infos == {name: {} for name in view.possible_agents}
    rng = np.random.default_rng(0)
    for step in range(25):
        for i, name in enumerate(view.possible_agents):
            np.testing.assert_array_equal(seen[name], expected[0, i, : env.obs_sizes[i]].numpy())
        moves = rng.uniform(-1.5, 1.5, (env.num_agents, 2)).astype(np.float32)
        out = env.step(torch.from_numpy(moves.clip(-1, 1))[None])
        seen, rewards, terminations, truncations, _ = view.step(dict(zip(view.agents, moves, strict=True)))
        assert list(rewards.values()) == pytest.approx(out.rewards[0].tolist())
        assert not any(terminations.values())
        assert set(truncations.values()) == {step == 24}
        expected = out.observations
        if step < 24:
            bodies = np.concatenate([part[0].numpy().ravel() for part in env.state()[:3]])
            np.testing.assert_array_equal(view.state(), bodies)
    for i, name in enumerate(view.possible_agents):  # the last observation is that of the old episode
        np.testing.assert_array_equal(seen[name], out.final_observations[0, i, : env.obs_sizes[i]].numpy())
    assert view.agents == []
    assert view.step({}) == ({}, {}, {}, {}, {})


def test_a_parallel_episode_of_half_cheetah_is_that_of_its_env():
    env, view = HalfCheetahEnv(seed=5), parallel_env("half_cheetah")
    assert view.possible_agents == ["agent_0", "agent_1"]
    expected = env.reset(5)
    seen, _ = view.reset(seed=5)
    rng = np.random.default_rng(0)
    for step in range(1000):
        np.testing.assert_array_equal(np.stack(list(seen.values())), expected[0].numpy())
        moves = rng.uniform(-1.5, 1.5, (2, 3)).astype(np.float32)
        out = env.step(torch.from_numpy(moves.clip(-1, 1))[None])
        seen, rewards, terminations, truncations, _ = view.step(dict(zip(view.agents, moves, strict=True)))
        assert list(rewards.values()) == pytest.approx(out.rewards[0].tolist())
        assert not any(terminations.values())
        assert set(truncations.values()) == {step == 999}
        expected = out.observations
        if step % 100 == 0:
            state = env.state()
            whole = torch.cat([state.qpos[0], state.qvel[0]]).float().numpy()
            np.testing.assert_array_equal(view.state(), whole)
    np.testing.assert_array_equal(np.stack(list(seen.values())), out.final_observations[0].numpy())


def test_half_cheetah_as_one_agent_and_in_many_worlds():
    joint, vector = joint_env("half_cheetah"), vector_env("half_cheetah", 3)
    one, _ = joint.reset(seed=2)
    many, _ = vector.reset(seed=2)
    moves = np.full((3, 6), 0.25, np.float32)
    for _ in range(5):
        np.testing.assert_array_equal(one, many[0])
        one, reward, *_ = joint.step(moves[0])
        many, rewards, *_ = vector.step(moves)
        assert rewards[0] == pytest.approx(reward, rel=1e-6)
    assert (one.shape, many.shape) == ((12,), (3, 12))


@pytest.mark.parametrize("task", ["simple_tag", CHEETAH])
def test_a_window_follows_by_itself(task, monkeypatch):
    """Mode "human": reset and step draw, as Gymnasium and PettingZoo want it."""
    shown = []
    monkeypatch.setattr("omar.envs.views.Window.show", lambda self, image: shown.append(image))
    for make in (parallel_env, joint_env):
        env = make(task, prey=prey(task), render_mode="human")
        env.reset(seed=0)
        assert len(shown) == 1
        if make is parallel_env:
            env.step({name: env.action_space(name).sample() for name in env.agents})
        else:
            env.step(env.action_space.sample())
        assert len(shown) == 2
        assert (shown[0] != shown[1]).any()
        assert env.render() is None
        assert len(shown) == 3
        env.close()
        shown.clear()


@pytest.mark.parametrize("task", [*PARTICLES, CHEETAH])
def test_a_closed_environment_draws_nothing(task):
    env = parallel_env(task, render_mode="rgb_array")
    env.reset(seed=4)
    assert env.render() is not None
    env.close()
    assert env.render() is None


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3)])
def test_a_seed_may_be_any_integer(seed):
    for make in (lambda: vector_env("simple_spread", 2), lambda: joint_env("simple_spread")):
        np.testing.assert_array_equal(make().reset(seed=seed)[0], make().reset(seed=3)[0])
    one, other = (parallel_env("half_cheetah").reset(seed=s)[0] for s in (seed, 3))
    np.testing.assert_array_equal(one["agent_0"], other["agent_0"])


def test_the_prey_moves_as_its_policy_says():
    policy = prey("simple_tag")
    env, view = ParticleEnv("simple_tag", seed=3), parallel_env("simple_tag", prey=policy)
    observations, _ = env.reset(3), view.reset(seed=3)
    moves = np.full((3, 2), 0.25, np.float32)
    for _ in range(10):
        own = policy(observations[:, 3:, : env.obs_sizes[3]])
        step = env.step(torch.cat([torch.from_numpy(moves)[None], own], dim=1))
        observations = step.observations
        seen, rewards, *_ = view.step(dict(zip(view.agents, moves, strict=True)))
        np.testing.assert_array_equal(seen["adversary_1"], observations[0, 1].numpy())
        assert rewards["adversary_0"] == pytest.approx(float(step.rewards[0, 0]))


def test_the_joint_view_is_the_learners_side_by_side():
    view, joint = (make("simple_tag", prey=prey("simple_tag")) for make in (parallel_env, joint_env))
    one, _ = view.reset(seed=1)
    other, _ = joint.reset(seed=1)
    rng = np.random.default_rng(0)
    for step in range(25):
        np.testing.assert_array_equal(np.concatenate(list(one.values())), other)
        moves = rng.uniform(-1, 1, (3, 2)).astype(np.float32)
        one, rewards, *_ = view.step(dict(zip(view.agents, moves, strict=True)))
        other, reward, terminated, truncated, _ = joint.step(moves.ravel())
        assert reward == pytest.approx(np.mean(list(rewards.values())), rel=1e-6)
        assert (terminated, truncated) == (False, step == 24)


def test_the_vector_view_resets_in_the_same_step():
    env = vector_env("simple_spread", 4)
    assert env.metadata["autoreset_mode"] is gymnasium.vector.AutoresetMode.SAME_STEP
    worlds = ParticleEnv("simple_spread", num_envs=4)
    expected = worlds.reset(9)
    seen, _ = env.reset(seed=9)
    rng = np.random.default_rng(0)
    for step in range(30):
        assert env.observation_space.contains(seen)
        np.testing.assert_array_equal(seen, expected.flatten(1).numpy())
        moves = rng.uniform(-1, 1, (4, 6)).astype(np.float32)
        out = worlds.step(torch.from_numpy(moves).view(4, 3, 2))
        seen, rewards, terminated, truncated, infos = env.step(moves)
        expected = out.observations
        np.testing.assert_allclose(rewards, out.rewards.mean(dim=1).numpy(), rtol=1e-6)
        assert not terminated.any()
        assert truncated.tolist() == [step == 24] * 4
        if step == 24:
            np.testing.assert_array_equal(infos["final_obs"], out.final_observations.flatten(1).numpy())
            assert infos["_final_obs"].all()
        else:
            assert infos == {}


def test_a_vector_view_serves_gymnasiums_statistics():
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        vector_env("simple_tag", 3, prey=prey("simple_tag"))
    )
    env.reset(seed=0)
    for _ in range(25):
        *_, infos = env.step(env.action_space.sample())
    assert infos["episode"]["l"].tolist() == [25, 25, 25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: parallel_env("simple_spread", prey=lambda o: o),
            "^simple_spread has no prey, but `prey` was given",
        ),
        (lambda: joint_env("simple_tag"), r'^simple_tag has a prey: .* prey=omar.load_prey\("simple_tag"\)$'),
        (lambda: vector_env("simple_world", 2), "^simple_world has a prey: "),
        (lambda: parallel_env("simple_chess"), "^unknown task 'simple_chess': expected one of"),
        (
            lambda: parallel_env("simple_tag", render_mode="ansi"),
            "^`render_mode` must be one of rgb_array, human",
        ),
        (
            lambda: parallel_env("half_cheetah", reward="lowe"),
            "^half_cheetah has 2 agents and one reward: leave out `num_agents` and `reward`$",
        ),
        (lambda: joint_env("half_cheetah", prey=lambda o: o), "^half_cheetah has no prey, but `prey` was"),
        (
            lambda: vector_env("simple_spread", 2).reset(seed=[1, 2]),
            "^`seed` must be one integer for all worlds",
        ),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("package", "make"),
    [
        ("pettingzoo", lambda: parallel_env("simple_spread")),
        ("gymnasium", lambda: joint_env("simple_spread")),
    ],
)
def test_a_missing_library_is_named(monkeypatch, package, make):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OmarError, match=rf'^{package} is not installed: pip install "omar\[{package}\]"$'):
        make()


def test_a_missing_pygame_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pygame", None)
    env = parallel_env("simple_spread", render_mode="human")
    with pytest.raises(
        OmarError, match=r'^render_mode="human" needs pygame: pip install "omar\[pettingzoo\]"$'
    ):
        env.reset()


def test_load_prey_is_the_shipped_one():
    assert omar.load_prey("simple_tag").moves_prey
    with pytest.raises(OmarError, match="simple_spread"):
        omar.load_prey("simple_spread")
