"""The prey: the authors' checkpoint, its folded normalisation, and what is not such a file."""

from __future__ import annotations

import contextlib
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from data_cases import some_policy, some_prey
from omar.behaviors.find import choose_prey, read_prey
from omar.behaviors.policy_file import save_policies
from omar.behaviors.shipped import shipped_prey
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
    prey = read_prey(path, found)
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
    first = read_prey(save(tmp_path / "a.pt", checkpoint()), TAG)
    again = read_prey(save(tmp_path / "b.pt", checkpoint()), TAG)
    other = read_prey(save(tmp_path / "c.pt", checkpoint(**{"fc3.bias": torch.zeros(2)})), TAG)
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
        read_prey(path, TAG)
    assert not trap.exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "executed"
    path = tmp_path / "prey.pt"
    path.write_bytes(pickle.dumps(Bomb(str(trap))))
    with pytest.raises(OmarError, match=r"prey.pt is not a checkpoint of tensors and plain values"):
        read_prey(path, TAG)
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
        (checkpoint(**{"fc1.bias": torch.full((64,), -torch.inf)}), "its policy must hold finite tensors"),
        (checkpoint(**{"in_fn.running_mean": torch.full((14,), torch.nan)}), "must hold finite tensors"),
        (checkpoint(**{"in_fn.running_var": -torch.ones(14)}), "in_fn.running_var must not be negative"),
        (checkpoint(**{"fc1.weight": torch.ones(64, 14).to_sparse()}), "dense tensors of real numbers"),
        (checkpoint(**{"fc1.weight": torch.ones(64, 14, device="meta")}), "dense tensors of real numbers"),
        (
            checkpoint(**{"fc1.weight": torch.ones(64, 14, dtype=torch.int64)}),
            "dense tensors of real numbers",
        ),
        (checkpoint(**{"fc1.weight": torch.ones(64, 14, dtype=torch.cfloat)}), "dense tensors of real"),
        (checkpoint(**{"fc1.weight": torch.zeros(1).expand(10**9, 14)}), "dense tensors of real numbers"),
        (
            checkpoint(**{"fc1.weight": torch.full((64, 14), 3e38), "in_fn.weight": torch.full((14,), 3e38)}),
            "is not the authors' prey: not a policy of the prey of simple_tag: weights.0 has numbers",
        ),
        (checkpoint(**{"fc2.weight": torch.zeros(64, 32)}), r"fc2.weight must be \[out, 64\]"),
        (checkpoint(**{"in_fn.running_var": torch.ones(3)}), r"in_fn.running_var must be \[14\]"),
        (checkpoint(22), "is not a prey of simple_tag: it maps 22 numbers to 2, 14 to 2 are needed"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, contents, message):
    path = save(tmp_path / "prey.pt", contents)
    with pytest.raises(OmarError, match=message):
        read_prey(path, TAG)


def test_a_quantized_tensor_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch names successors of quantized tensors
        weight = torch.quantize_per_tensor(torch.ones(64, 14), 0.1, 0, torch.qint8)
        path = save(tmp_path / "prey.pt", checkpoint(**{"fc1.weight": weight}))
        with pytest.raises(OmarError, match=r"prey.pt is not"):
            read_prey(path, TAG)


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "prey.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data/0", "w") as entry:
        for _ in range(65):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(OmarError, match=r"it holds 68157440 bytes, at most 67108864 are read"):
        read_prey(path, TAG)
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole on the disk
    with pytest.raises(OmarError, match=r"it holds 1099511627776 bytes"):
        read_prey(path, TAG)


class Filler:
    def __reduce__(self):
        return bytearray, (2**40,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_call_that_fills_memory_is_refused(tmp_path, zipped):
    contents = checkpoint() | {"extra": Filler()}
    path = save(tmp_path / "prey.pt", contents, _use_new_zipfile_serialization=zipped)
    with pytest.raises(OmarError, match="plain values: it asks for a bytearray"):
        read_prey(path, TAG)


def test_a_damaged_archive_is_refused(tmp_path):
    path = save(tmp_path / "prey.pt", checkpoint())
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 40):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        with contextlib.suppress(OmarError):  # a flipped weight is another prey; nothing else may happen
            read_prey(path, TAG)


def test_a_policy_file_of_a_prey_is_a_prey_too(tmp_path):
    path = tmp_path / "prey.safetensors"
    own = some_prey()
    save_policies(path, [own])
    assert read_prey(path, TAG).sha256 == choose_prey(TAG, path).sha256 == own.sha256
    for policies, message in (
        ([some_policy("simple_tag")], "it holds 1 policies of the learners of simple_tag"),
        ([some_prey("simple_world")], "it holds 1 policies of the prey of simple_world"),
        ([own, some_prey(seed=1)], "it holds 2 policies of the prey of simple_tag"),
        ([some_policy()], "it holds 1 policies of the learners of simple_spread"),
    ):
        save_policies(path, policies)
        with pytest.raises(OmarError, match=f"prey.safetensors is not a prey of simple_tag: {message}"):
            read_prey(path, TAG)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OmarError, match="is not a whole safetensors file"):
        read_prey(path, TAG)


def test_without_a_file_the_shipped_prey_moves():
    assert choose_prey(TAG, None) is shipped_prey("simple_tag")
    assert choose_prey(get_task("simple_spread"), None) is None
    with pytest.raises(OmarError, match="simple_spread has no prey"):
        shipped_prey("simple_spread")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "prey.pt"
    for content in (b"", b"hello", np.random.default_rng(0).bytes(1000)):
        path.write_bytes(content)
        with pytest.raises(OmarError, match=r"prey.pt is not a checkpoint of tensors and plain values"):
            read_prey(path, TAG)
    with pytest.raises(OmarError, match=r"no prey at .*nowhere.pt: there is no such file"):
        read_prey(tmp_path / "nowhere.pt", TAG)
    with pytest.raises(OmarError, match=r"simple_spread has no prey, but .*prey.pt was given"):
        read_prey(path, get_task("simple_spread"))
