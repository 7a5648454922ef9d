"""The batched HalfCheetah beside Gymnasium's, step by step from the same states."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import warnings

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from omar import OmarError
from omar.envs import HalfCheetahEnv
from omar.envs.cheetah_model import LEGS, model_xml

FIELDS = (  # of the compiled model that the dynamics depend on
    "body_mass",
    "body_inertia",
    "body_pos",
    "body_quat",
    "body_ipos",
    "body_iquat",
    "body_parentid",
    "jnt_type",
    "jnt_axis",
    "jnt_pos",
    "jnt_limited",
    "jnt_range",
    "jnt_stiffness",
    "dof_damping",
    "dof_armature",
    "geom_type",
    "geom_size",
    "geom_pos",
    "geom_quat",
    "geom_friction",
    "geom_solref",
    "geom_solimp",
    "geom_contype",
    "geom_conaffinity",
    "geom_condim",
    "actuator_gear",
    "actuator_ctrlrange",
    "actuator_ctrllimited",
    "actuator_trnid",
    "qpos0",
    "qpos_spring",
)


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make("HalfCheetah-v5").unwrapped
    yield env
    env.close()


@pytest.fixture(scope="module")
def own_model():
    return mujoco.MjModel.from_xml_string(model_xml())


@pytest.mark.parametrize("field", FIELDS)
def test_the_model_is_gymnasiums(peer, own_model, field):
    np.testing.assert_allclose(
        getattr(own_model, field), getattr(peer.model, field), rtol=1e-14, atol=1e-15, err_msg=field
    )


def test_limits_and_options_are_gymnasiums(peer, own_model):
    limited = own_model.jnt_limited.astype(bool)
    assert limited.sum() == 6
    for field in ("jnt_solref", "jnt_solimp"):
        np.testing.assert_array_equal(getattr(own_model, field)[limited], getattr(peer.model, field)[limited])
    for name in ("timestep", "integrator", "solver", "iterations", "tolerance", "cone", "impratio"):
        assert getattr(own_model.opt, name) == getattr(peer.model.opt, name), name
    np.testing.assert_array_equal(own_model.opt.gravity, peer.model.opt.gravity)
    assert own_model.body_mass.sum() == pytest.approx(14.0, abs=1e-12)


def states(peer, count):
    """States on the way of random episodes, upside down ones among them."""
    rng = np.random.default_rng(0)
    found = []
    for episode in range(count // 50):
        peer.reset(seed=episode)
        if episode % 2:
            qpos = peer.data.qpos.copy()
            qpos[2] = np.pi
            peer.set_state(qpos, peer.data.qvel)
        for _ in range(50):
            found.append((peer.data.qpos.copy(), peer.data.qvel.copy(), rng.uniform(-1.3, 1.3, 6)))
            peer.step(found[-1][2])
    return found


def test_steps_are_gymnasiums(peer):
    """Positions, velocities and rewards to 1e-9, from 500 states."""
    cases = states(peer, 500)
    env = HalfCheetahEnv(len(cases), dtype=torch.float64)
    qpos, qvel, actions = (torch.from_numpy(np.stack(part)) for part in zip(*cases, strict=True))
    env.set_state(qpos, qvel)
    step = env.step(actions.view(-1, 2, 3))
    after = env.state()
    for n, (q, v, action) in enumerate(cases):
        mujoco.mj_resetData(peer.model, peer.data)
        peer.set_state(q, v)
        observation, reward, *_ = peer.step(action)
        np.testing.assert_allclose(after.qpos[n], peer.data.qpos, rtol=0, atol=1e-9)
        np.testing.assert_allclose(after.qvel[n], peer.data.qvel, rtol=0, atol=1e-9)
        np.testing.assert_allclose(step.rewards[n], [reward, reward], rtol=0, atol=1e-9)
        # The legs as the paper's authors and MaMuJoCo cut them out of Gymnasium's 17 numbers.
        legs = [observation[[4, 13, 3, 12, 2, 11]], observation[[7, 16, 6, 15, 5, 14]]]
        np.testing.assert_allclose(step.observations[n], legs, rtol=0, atol=1e-9)


def test_mamujocos_observations_hold_the_torso_too():
    env, more = HalfCheetahEnv(3, seed=2), HalfCheetahEnv(3, seed=2, obs="mamujoco")
    assert (env.obs_sizes, more.obs_sizes) == ((6, 6), (11, 11))
    own, wide, state = env.reset(), more.reset(), env.state()
    assert torch.equal(wide[:, :, :6], own)
    torso = torch.cat([state.qpos[:, 1:3], state.qvel[:, :3]], dim=1).float()
    assert torch.equal(wide[:, 0, 6:], torso)
    assert torch.equal(wide[:, 1, 6:], torso)


def test_a_batch_is_its_worlds_one_by_one_on_any_number_of_threads():
    actions = torch.rand(30, 5, 2, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    together = HalfCheetahEnv(5, seed=4, num_threads=1)
    threads = HalfCheetahEnv(5, seed=4, num_threads=3)
    fewer = HalfCheetahEnv(2, seed=4)
    for action in actions:
        step = together.step(action)
        assert torch.equal(step.observations, threads.step(action).observations)
        assert torch.equal(step.observations[:2], fewer.step(action[:2]).observations)


def test_start_states_have_gymnasiums_distribution():
    env = HalfCheetahEnv(4000, seed=0)
    state = env.state()
    for numbers, deviation in ((state.qpos, 0.2 / 12**0.5), (state.qvel, 0.1)):
        assert numbers.mean(dim=0).abs().max() < 4 * deviation / 4000**0.5
        torch.testing.assert_close(
            numbers.std(dim=0), torch.full((9,), deviation).double(), rtol=0.06, atol=0
        )
    assert state.qpos.abs().max() <= 0.1
    correlation = torch.corrcoef(torch.cat([state.qpos, state.qvel], dim=1).T) - torch.eye(18)
    assert correlation.abs().max() < 0.08


def test_seeds_decide_the_starts():
    env = HalfCheetahEnv(3, seed=7)
    first = env.state()
    env.reset()
    assert torch.equal(env.state().qpos, first.qpos)  # nothing has happened yet
    later = env.reset()
    assert not torch.equal(env.state().qpos, first.qpos)  # the next episode
    env.reset(7)
    assert torch.equal(env.state().qpos, first.qpos)
    assert torch.equal(env.reset(), later)
    assert not torch.equal(HalfCheetahEnv(3, seed=8).state().qpos, first.qpos)


def test_episodes_are_cut_after_1000_steps_world_by_world():
    env, other = HalfCheetahEnv(2, seed=1), HalfCheetahEnv(2, seed=1)
    state = env.state()
    env.set_state(state.qpos, state.qvel, torch.tensor([0, 999]))
    step = env.step(torch.zeros(2, 2, 3))
    assert step.truncated.tolist() == [False, True]
    assert env.state().steps.tolist() == [1, 0]
    other.reset()
    other.reset()  # the second episode
    assert torch.equal(step.observations[1], other.observe()[1])
    assert not torch.equal(step.final_observations[1], step.observations[1])
    assert torch.equal(step.final_observations[0], step.observations[0])


def test_standing_still_costs_nothing_and_actions_beyond_one_do():
    env = HalfCheetahEnv(2, seed=0, dtype=torch.float64)
    state = env.state()
    actions = torch.zeros(2, 2, 3, dtype=torch.float64)
    actions[0], actions[1] = 1.0, 2.0  # the motors give the same
    env.set_state(state.qpos[:1].expand(2, -1), state.qvel[:1].expand(2, -1))
    step = env.step(actions)
    after = env.state()
    assert torch.equal(after.qpos[0], after.qpos[1])
    torch.testing.assert_close(
        step.rewards[0] - step.rewards[1], torch.full((2,), 0.1 * (24.0 - 6.0)).double()
    )


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (
            lambda e: e.step(torch.zeros(2, 3, 2)),
            ValueError,
            r"must be \[2, 2, 3\], got \[2, 3, 2\]",
        ),
        (lambda e: e.step(torch.full((2, 2, 3), torch.nan)), ValueError, "`actions` must be finite"),
        (
            lambda e: e.step(torch.zeros(2, 2, 3, dtype=torch.long)),
            TypeError,
            "must be a floating-point",
        ),
        (lambda e: e.step(np.zeros((2, 2, 3))), TypeError, "`actions` must be a Tensor, got ndarray"),
        (lambda e: e.set_state(torch.zeros(2, 8), torch.zeros(2, 9)), ValueError, r"`qpos` must be \[2, 9\]"),
        (
            lambda e: e.set_state(*[torch.zeros(2, 9)] * 2, torch.tensor([0, 1000])),
            ValueError,
            "`steps` must be",
        ),
        (
            lambda e: e.set_state(*e.state()[:2], torch.tensor([0.5, 1.5])),
            TypeError,
            "`steps` must be integers",
        ),
        (lambda e: HalfCheetahEnv(0), ValueError, "`num_envs` must be at least 1, got 0"),
        (lambda e: HalfCheetahEnv(1, num_threads=0), ValueError, "`num_threads` must be at least 1, got 0"),
        (
            lambda e: HalfCheetahEnv(1, obs="all"),
            ValueError,
            '`obs` must be "omar" or "mamujoco", got',
        ),
        (lambda e: HalfCheetahEnv(1, dtype=torch.float16), ValueError, "`dtype` must be torch.float32 or"),
        (lambda e: HalfCheetahEnv(1, seed=-1), ValueError, "`seed` must be in"),
        (lambda e: copy.copy(e), TypeError, "cannot be copied or pickled"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(act, error, message):
    env = HalfCheetahEnv(2)
    before = env.state()
    with pytest.raises(error, match=message):
        act(env)
    assert all(torch.equal(x, y) for x, y in zip(before, env.state(), strict=True))


def test_a_missing_mujoco_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mujoco.batch", None)
    with pytest.raises(OmarError, match=r"^HalfCheetah needs MuJoCo 4"):
        HalfCheetahEnv(1)


def test_an_opengl_that_mujoco_cannot_load_is_said():
    command = [sys.executable, "-c", "from omar.envs import HalfCheetahEnv; HalfCheetahEnv(1)"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "MUJOCO_GL": "foo"}
    )
    assert done.returncode != 0
    assert "OmarError: MuJoCo cannot be loaded with MUJOCO_GL=foo (RuntimeError): unset it" in done.stderr


def test_the_legs_have_the_motors_in_mamujocos_order():
    names = [limb.name for leg in LEGS for limb in leg]
    assert names == ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]
    assert repr(HalfCheetahEnv(2, seed=3)) == "HalfCheetahEnv(num_envs=2, seed=3, obs='omar')"
