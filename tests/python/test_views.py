"""Views of the tasks for PettingZoo and Gymnasium, checked by the tests of these libraries, and pictures."""

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
from omar.envs import ParticleEnv, joint_env, parallel_env, vector_env
from omar.pictures import Canvas, Scene, draw_scene

with warnings.catch_warnings():  # PettingZoo's tests import games of its own that it calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test, render_test

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # windows without a display

TASKS = ("simple_spread", "simple_tag", "simple_world")


def prey(task):
    return None if task == "simple_spread" else omar.load_prey(task)


@pytest.mark.parametrize("with_prey", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_pettingzoo_finds_nothing(task, with_prey):
    own = {"prey": prey(task)} if with_prey else {}
    parallel_api_test(parallel_env(task, **own), num_cycles=100)
    parallel_seed_test(lambda: parallel_env(task, **own), num_cycles=60)


@pytest.mark.parametrize("task", TASKS)
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


@pytest.mark.parametrize("task", TASKS)
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


def test_load_prey_is_the_shipped_one():
    assert omar.load_prey("simple_tag").moves_prey
    with pytest.raises(OmarError, match="simple_spread"):
        omar.load_prey("simple_spread")


def color_at(image, extent, x, y):
    side = image.shape[0]
    return image[int((extent - y) * side / (2 * extent)), int((x + extent) * side / (2 * extent))]


def test_discs_lie_where_they_should():
    canvas = Canvas(200, 2.0)
    canvas.disc(1.0, 0.5, 0.25, (255, 0, 0))
    image = canvas.image
    assert color_at(image, 2.0, 1.0, 0.5).tolist() == [255, 0, 0]
    assert color_at(image, 2.0, 1.0, -0.5).tolist() == [255, 255, 255]
    red = (255.0 - image[..., 1]).sum() / 255.0
    assert red == pytest.approx(np.pi * (0.25 * 50) ** 2, rel=0.01)  # smooth edges: the area is right


def test_shapes_outside_of_the_picture_are_left_out():
    canvas = Canvas(50, 1.0)
    canvas.disc(5.0, 5.0, 0.5, (0, 0, 0))
    canvas.ring(-9.0, 0.0, 1.0, (0, 0, 0))
    canvas.line((3.0, 3.0), (4.0, 4.0), (0, 0, 0))
    canvas.text(500, 500, "far away", (0, 0, 0))
    assert (canvas.image == 255).all()
    canvas.disc(1.0, 1.0, 0.5, (0, 0, 0))  # half outside
    assert (canvas.image[0, -1] == 0).all()


def test_lines_and_rings_have_their_width():
    canvas = Canvas(100, 1.0)
    canvas.line((-0.5, 0.0), (0.5, 0.0), (0, 0, 0), width=4.0)
    ink = (255.0 - canvas.image[..., 0]).sum() / 255.0
    assert ink == pytest.approx(50 * 4 + np.pi * 2**2, rel=0.02)
    canvas = Canvas(100, 1.0)
    canvas.ring(0.0, 0.0, 0.5, (0, 0, 0), width=3.0)
    ink = (255.0 - canvas.image[..., 0]).sum() / 255.0
    assert ink == pytest.approx(np.pi * (25**2 - 22**2), rel=0.02)


def test_text_is_as_high_as_asked_and_the_same_every_time():
    pictures = []
    for _ in range(2):
        canvas = Canvas(120, 1.0)
        canvas.text(10, 10, "return 12.5", (0, 0, 0), size=16)
        pictures.append(canvas.image)
    rows, columns = np.nonzero(pictures[0][..., 0] < 128)
    assert rows.min() >= 10 and rows.max() < 10 + 24
    assert 9 <= columns.min() < 14 and columns.max() < 110
    np.testing.assert_array_equal(*pictures)


def test_a_scene_shows_every_body():
    env = ParticleEnv("simple_world", seed=0)
    bodies = env.bodies
    assert bodies.agents == [0.075, 0.075, 0.075, 0.045]
    assert bodies.landmarks == [0.2, 0.03, 0.03, 0.3, 0.3]
    assert bodies.obstacles == 1
    agents = np.array([[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0], [0.0, 1.0]], np.float32)
    landmarks = np.array([[-1.0, 0.0], [-0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [1.2, 0.0]], np.float32)
    scene = Scene(agents[None], landmarks, bodies.agents, bodies.landmarks, bodies.obstacles, 3, ("step 0",))
    image = draw_scene(scene, pixels=300, extent=1.5)
    seen = [color_at(image, 1.5, x, y).tolist() for x, y in (*agents, *landmarks)]
    assert [255, 255, 255] not in seen
    assert len({tuple(c) for c in seen}) == 7  # three predators, prey, obstacle, food, forest
    assert seen[0] != seen[3]


def test_a_clip_keeps_bodies_in_sight():
    trail = np.zeros((3, 1, 2), np.float32)
    trail[1] = 4.0  # it was far away once
    scene = Scene(trail, np.zeros((0, 2), np.float32), [0.15], [], 0, 1)
    assert scene.extent == pytest.approx(4.6)
