"""Seeds and counts may be integers of any library, and come to what Python's own come to."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import omar
from data_cases import make_columns, make_spec, some_policy
from omar import cem, nets
from omar.data import ensure_dataset, write_dataset
from omar.envs import ParticleEnv, rollout
from omar.errors import OmarError
from omar.evaluation import evaluate
from omar.offline.config import resolve
from omar.online.collection import CollectionSettings
from omar.online.matd3 import Matd3Settings
from omar.online.runs import BehaviorConfig, recorded
from omar.random import Draw, mix, uniform_actions

KINDS = [np.int64, np.uint8, np.array, torch.tensor]


def small_env(i):
    return ParticleEnv("simple_spread", num_envs=i(2), seed=i(3), num_agents=i(4))


def buffer(i):
    found = omar.ReplayBuffer(i(9), {"x": (i(3),)}, datasets=i(1))
    found.extend({"x": np.arange(15, dtype=np.float32).reshape(5, 3)}, dataset=i(0))
    return found


def networks(i):
    return nets.StackedMlp(i(2), (i(5), i(4), i(1)), seed=i(7))


def search(i):
    options = cem.CemOptions(rounds=i(2), samples=i(6), elites=i(3))
    critic = nets.StackedMlp(2, (5, 4, 4, 1))
    return cem.maximize(critic, torch.zeros(2, 3, 3), torch.zeros(2, 3, 2), options, seed=i(5), step=i(4))


def config(i):
    settings = {"hidden": i(8), "samples": i(6)}
    options = omar.TrainConfig(seeds=i(2), seed=i(3), updates=i(4), data_seed=i(5), settings=settings)
    return json.dumps(resolve(options, "random").to_dict())


def behaviors(i):
    sizes = {"collection": CollectionSettings(worlds=i(4)), "matd3": Matd3Settings(hidden=i(8))}
    options = BehaviorConfig(seeds=i(2), seed=i(3), eval_every=i(4), **sizes)
    options.check()
    return json.dumps(recorded(options))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "use",
    [
        lambda i: small_env(i).reset(i(8)),
        lambda i: rollout(small_env(i), i(3), seed=i(2), first_step=i(1)).rewards,
        lambda i: buffer(i).sample(i(2), members=i(2), seed=i(3), step=i(4), agents=None)["x"],
        lambda i: next(iter(networks(i).parameters())),
        lambda i: nets.StackedMlp(2, (5, 4, 1), seeds=[i(3), i(4)]).weights[0],
        lambda i: uniform_actions((2, 3), Draw(i(3), i(4)), like=torch.zeros(1)),
        lambda i: mix(i(3), i(200)),
        lambda i: search(i)[0],
        lambda i: evaluate([some_policy()], episodes=i(3), seed=i(5)).returns,
        config,
        behaviors,
    ],
)
def test_integers_of_other_libraries_are_integers(use, kind):
    expected, found = use(int), use(kind)
    assert torch.equal(expected, found) if isinstance(expected, torch.Tensor) else expected == found


def test_datasets_of_such_seeds_and_sizes_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    path = ensure_dataset("simple_spread", "random", np.int64(1), steps=np.uint16(100)).path
    assert ensure_dataset("simple_spread", "random", 1, steps=100).path == path
    spec = make_spec(transitions=np.int64(100), num_learners=np.int8(3), episode_length=torch.tensor(25))
    assert write_dataset(tmp_path / "set", spec, make_columns()).manifest.transitions == 100


@pytest.mark.parametrize("value", [np.float32(3), 3.5, "3", True, np.bool_(True), np.array([3, 4])])
def test_what_is_no_integer_is_none(value):
    with pytest.raises(OmarError, match="seeds must be an integer, got "):
        omar.TrainConfig(seeds=value)
    with pytest.raises(TypeError, match=r"\[cem.CemOptions\] `rounds` must be an int, got "):
        cem.CemOptions(rounds=value)


def test_numbers_of_other_libraries_are_numbers():
    settings = {"tau": np.float32(0.5), "alpha": np.float64(2.0), "gamma": torch.tensor(0)}
    found = resolve(omar.TrainConfig(settings=settings), "random")
    assert (found.algorithm.tau, found.algorithm.alpha, found.backbone.gamma) == (0.5, 2.0, 0.0)
    assert type(found.algorithm.alpha) is float
    for value in (np.float32("nan"), np.complex64(1), np.bool_(True), np.array([0.5, 0.5])):
        with pytest.raises(OmarError, match="tau must be a finite number, got "):
            resolve(omar.TrainConfig(settings={"tau": value}), "random")
