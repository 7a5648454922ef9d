"""A small run that was stopped, and what it comes to when it goes on: for tests and for tests/fuzz."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_cases import make_dataset
from omar.behaviors.policy_file import load_policy, run_policies
from omar.evaluation import episode_returns
from omar.offline.config import TrainConfig
from omar.offline.runs import resume, train
from omar.online.collection import CollectionSettings
from omar.online.matd3 import Matd3Settings
from omar.online.runs import BehaviorConfig
from omar.online.runs import resume as online_resume
from omar.online.runs import train as online_train
from omar.tasks import get_task

if TYPE_CHECKING:
    from pathlib import Path


def make_stopped_run(folder: Path) -> None:
    """A run of 5 updates in `folder / "run"`, stopped at 4, with a checkpoint of update 2 before."""
    data = make_dataset(folder / "data", episodes=2).path
    small = {"batch_size": 8, "hidden": 2}
    lengths = {"updates": 5, "eval_every": 2, "eval_episodes": 1, "checkpoint_every": 2}
    config = TrainConfig(dataset=str(data), seeds=1, out=folder / "run", settings=small, **lengths)
    count = iter(range(1, 9))
    assert not train(config, stop=lambda: next(count) == 4).finished


def outcome(folder: Path) -> Any:
    """What the run comes to when it goes on; its time and its place left out."""
    result = resume(folder / "run")
    lines = [(e.update, e.returns, e.scores, e.losses) for e in result.evaluations]
    return lines, [policy.sha256 for policy in result.policies], result.update, result.finished


def make_stopped_online_run(folder: Path) -> None:
    """The same of an online training of simple_tag, against a frozen prey."""
    collection = CollectionSettings(updates=60, worlds=10, warmup=250, capacity=500)
    lengths = {"eval_every": 20, "eval_episodes": 2, "checkpoint_every": 20}
    settings = {"collection": collection, "matd3": Matd3Settings(batch_size=16, hidden=4)}
    config = BehaviorConfig(task="simple_tag", out=folder / "run", **lengths, **settings)
    count = iter(range(1, 99))
    assert not online_train(config, stop=lambda: next(count) == 3).finished


def online_outcome(folder: Path) -> Any:
    """What the online training comes to when it goes on; its time and its place left out."""
    result = online_resume(folder / "run")
    policies = [(p.name, load_policy(p).sha256) for p in sorted((folder / "run" / "policies").iterdir())]
    return result.best, policies, load_policy(folder / "run" / "policy.safetensors").sha256, result.update


def evaluation(folder: Path) -> Any:
    """What the policies of the run return."""
    policies = run_policies(folder / "run")
    returns = episode_returns(policies, get_task(policies[0].task), episodes=2, seed=0)
    return returns.tolist(), [(policy.scale, dict(policy.source)) for policy in policies]
