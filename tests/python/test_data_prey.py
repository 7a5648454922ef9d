"""The prey: the authors' checkpoint, its folded normalisation, and what is not such a file."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from omar.behaviors.find import load_prey
from omar.errors import OmarError
from omar.tasks import get_task

TAG = get_task("simple_tag")


class AuthorsPolicy(nn.Module):
    """The shape of the authors' policy network."""

    def __init__(self, obs_size: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.in_fn = nn.BatchNorm1d(obs_size)
        self.fc1, self.fc2, self.fc3 = nn.Linear(obs_size, 64), nn.Linear(64, 64), nn.Linear(64, 2)
        for tensor in (*self.parameters(), self.in_fn.running_mean):
            tensor.data.normal_(0.0, 0.5, generator=generator)
        self.in_fn.running_var.uniform_(0.001, 2.0, generator=generator)

    def forward(self, x):
        hidden = torch.relu(self.fc2(torch.relu(self.fc1(self.in_fn(x)))))
        return torch.tanh(self.fc3(hidden))


def checkpoint(obs_size: int = 14, **changes):
    policy = AuthorsPolicy(obs_size).state_dict() | changes
    agent = {"policy": policy, "policy_optimizer": {"state": {}, "param_groups": [{"lr": 0.01}]}}
    return {"init_dict": {"gamma": 0.95, "alg_types": ["MADDPG"] * 4}, "agent_params": [{}, {}, {}, agent]}


def save(path: Path, contents, **options) -> Path:
    torch.save(contents, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("task", ["simple_tag", "simple_world"])
def test_the_folded_prey_acts_like_the_network_it_came_from(tmp_path, task, zipped):
    found = get_task(task)
    size = found.obs_sizes[-1]
    path = save(tmp_path / "prey.pt", checkpoint(size), _use_new_zipfile_serialization=zipped)
    prey = load_prey(path, found)
    network = AuthorsPolicy(size).eval()
    observations = torch.randn(500, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            prey(observations[:, None])[:, 0], network(observations), atol=2e-5, rtol=0
        )
    assert [tuple(weight.shape) for weight in prey.weights] == [(1, size, 64), (1, 64, 64), (1, 64, 2)]
    assert prey.moves_prey
    assert prey.references is None  # the paper's references are those of this prey


def test_two_preys_have_two_recipes(tmp_path):
    first = load_prey(save(tmp_path / "a.pt", checkpoint()), TAG)
    again = load_prey(save(tmp_path / "b.pt", checkpoint()), TAG)
    other = load_prey(save(tmp_path / "c.pt", checkpoint(**{"fc3.bias": torch.zeros(2)})), TAG)
    assert first.recipe() == again.recipe() != other.recipe()


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_is_refused_and_not_run(tmp_path, zipped):
    trap = tmp_path / "executed"
    contents = checkpoint() | {"extra": Bomb(str(trap))}
    path = save(tmp_path / "prey.pt", contents, _use_new_zipfile_serialization=zipped)
    with pytest.raises(OmarError, match=r"prey.pt is not a checkpoint of tensors and plain values"):
        load_prey(path, TAG)
    assert not trap.exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "executed"
    path = tmp_path / "prey.pt"
    path.write_bytes(pickle.dumps(Bomb(str(trap))))
    with pytest.raises(OmarError, match=r"prey.pt is not a checkpoint of tensors and plain values"):
        load_prey(path, TAG)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({}, "agent_params.* lacks 'agent_params'"),
        ({"agent_params": [{}]}, "lacks list index out of range"),
        ({"agent_params": [{}] * 4}, "lacks 'policy'"),
        ([1, 2], "is not the authors' prey"),
        ({"agent_params": [{}] * 3 + [{"policy": {}}]}, "lacks 'in_fn.weight'"),
        (checkpoint(**{"fc1.bias": torch.full((64,), torch.nan)}), "its policy must hold finite tensors"),
        (checkpoint(**{"fc1.bias": 3.0}), "its policy must hold dense tensors of real numbers"),
        (checkpoint(**{"fc2.weight": torch.zeros(64, 32)}), r"fc2.weight must be \[out, 64\]"),
        (checkpoint(**{"in_fn.running_var": torch.ones(3)}), r"in_fn.running_var must be \[14\]"),
        (checkpoint(22), "is not a prey of simple_tag: it maps 22 numbers to 2, 14 to 2 are needed"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, contents, message):
    path = save(tmp_path / "prey.pt", contents)
    with pytest.raises(OmarError, match=message):
        load_prey(path, TAG)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "prey.pt"
    for content in (b"", b"hello", np.random.default_rng(0).bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(OmarError, match=r"prey.pt is not a checkpoint of tensors and plain values"):
            load_prey(path, TAG)
    with pytest.raises(OmarError, match=r"no prey at .*nowhere.pt: there is no such file"):
        load_prey(tmp_path / "nowhere.pt", TAG)
    with pytest.raises(OmarError, match=r"simple_spread has no prey, but .*prey.pt was given"):
        load_prey(path, get_task("simple_spread"))
