"""The corpus: small files of every kind that omar reads, made at start-up, and what reading each means.

A target writes its files into a folder and reads them back. `read` gives the meaning of what was read, in
values that compare: where a file has a checksum, a mutated one is refused or means the same.
"""

from __future__ import annotations

import itertools
import json
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data_cases import make_dataset, save_authors_prey, some_policy, some_prey
from matrix_cases import made_up_folder, plan_of, small_cell
from omar import ReplayBuffer
from omar.behaviors.find import read_prey
from omar.behaviors.policy_file import load_policies, save_policies
from omar.data import Dataset
from omar.data import manifest as manifests
from omar.data.card import make_card
from omar.data.formats import export_dataset
from omar.data.importing import import_dataset
from omar.data.npy import open_npy
from omar.matrix.folder import MatrixFolder
from omar.offline.config import RunConfig, TrainConfig, resolve
from omar.runs import checkpoint, files, metrics
from omar.runs.folder import RunFolder
from omar.tasks import get_task
from run_cases import make_stopped_run, outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        make: Writes the files into a new folder.
        files: Pattern of those that are mutated.
        read: Reads them as omar does; gives what they mean.
        means: Other meanings that a damaged file may have, such as the checkpoint before it.
        checked: Whether the files have checksums: they are then refused or mean what they meant.
        seal: Makes mutated JSON entries pass the checksum, as somebody could who knows how it is made.
        sealed: Pattern of the JSON files that this is done to; those of `files` by default.
        refusals: Exceptions that say no.
    """

    make: Callable[[Path], None]
    files: str
    read: Callable[[Path], Any]
    means: Callable[[Path], list[Any]] = lambda folder: []
    checked: bool = True
    seal: Callable[[Any], Any] | None = None
    sealed: str | None = None
    refusals: tuple[type[Exception], ...] = ()


def make_replay(folder: Path) -> None:
    buffer = ReplayBuffer(12, {"x": (3,), "done": ()})
    buffer.extend({"x": np.arange(30, dtype=np.float32).reshape(10, 3), "done": np.zeros(10, np.float32)})
    buffer.save(folder / "x.replay")


def read_replay(folder: Path) -> Any:
    buffer = ReplayBuffer.load(folder / "x.replay")
    batch = buffer.sample(2, members=2, seed=0, step=0)
    return [column.tolist() for column in (*buffer.columns().values(), *batch.values())]


def read_set(folder: Path) -> Any:
    dataset = Dataset.open(folder / "set")
    dataset.check_task(get_task("simple_tag"))
    dataset.verify()
    make_card(dataset)
    return repr(dataset.manifest)


def read_npy(folder: Path) -> Any:
    return open_npy(folder / "x.npy").tolist()


def save_checkpoint(folder: Path, update: int) -> None:
    tensors = {"w": torch.full((2, 3), float(update))}
    checkpoint.save(folder, update, {"seed-0": tensors}, {"seconds": 1.0})


def make_checkpoints(folder: Path) -> None:
    for update in (1, 2):
        save_checkpoint(folder, update)


def read_checkpoint(folder: Path) -> Any:
    found = checkpoint.load(folder)
    if found is None:
        return None
    tensors = {name: tensor.tolist() for name, tensor in found[0].parts.get("seed-0", {}).items()}
    return found[0].update, tensors, dict(found[0].state)


def older_checkpoint(folder: Path) -> list[Any]:
    return [(1, {"w": [[1.0] * 3] * 2}, {"seconds": 1.0})]


def make_export(kind: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        export_dataset(kind, make_dataset(folder / "set", episodes=2), folder / "out")

    return make


def import_back(kind: str, pattern: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        source = next((folder / "out").glob(pattern)) if pattern else folder / "out"
        import_dataset(kind, source, None, None, folder / "back")

    return read


def make_policies(folder: Path) -> None:
    save_policies(folder / "policy.safetensors", [some_policy("simple_tag", hidden=2)])


def read_policies(folder: Path) -> Any:
    found = load_policies(folder / "policy.safetensors")
    preys = [None if policy.prey is None else policy.prey.sha256 for policy in found]
    return preys, [(policy.sha256, policy.task, policy.scale, dict(policy.source)) for policy in found]


def read_prey_file(folder: Path) -> Any:
    (file,) = folder.iterdir()
    prey = read_prey(file, get_task("simple_tag"))
    prey(np.zeros((1, 14), np.float32))
    return prey.sha256, prey.references, dict(prey.source)


def make_config(folder: Path) -> None:
    with RunFolder(folder, "offline") as run:
        run.create(resolve(TrainConfig(), "random").to_dict())


def read_config(folder: Path) -> Any:
    entries = RunFolder(folder, "offline").config()
    return repr(RunConfig.from_dict(entries, folder))


def make_metrics(folder: Path) -> None:
    entries = [metrics.Evaluation(u, 0.5, [10.0, 30.0], [1.0, 2.0], {"critic/td": 0.25}) for u in (0, 5, 9)]
    metrics.write(folder / "metrics.jsonl", entries)


def read_metrics(folder: Path) -> Any:
    return [asdict(e) for e in metrics.read(folder / "metrics.jsonl")]


def fewer_lines(folder: Path) -> list[Any]:
    """What is left where whole lines were cut out: a run compares that with its checkpoint."""
    lines = read_metrics(folder)
    return [list(some) for k in range(3) for some in itertools.combinations(lines, k)]


def seal_line(entries: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in entries.items() if name != metrics.CHECK}
    return rest | {metrics.CHECK: zlib.crc32(json.dumps(rest, sort_keys=True).encode())}


def seal_file(entries: dict[str, Any]) -> dict[str, Any]:
    return files.seal({name: value for name, value in entries.items() if name != files.SEAL})


def make_matrix(folder: Path) -> None:
    made_up_folder(folder, plan_of(small_cell("cql")))


def read_cell(folder: Path) -> Any:
    (file,) = (folder / "cells").iterdir()
    return repr(MatrixFolder(folder).document(file.stem.rpartition("-")[2]))


TARGETS = {
    "replay": Target(make_replay, "x.replay", read_replay, refusals=(ValueError,)),  # the core's own errors
    "manifest": Target(
        lambda folder: make_dataset(folder / "set", "simple_tag", episodes=1) and None,
        "set/manifest.json",
        read_set,
        seal=manifests.seal,
    ),
    "column": Target(
        lambda folder: make_dataset(folder / "set", "simple_tag", episodes=1) and None,
        "set/*.npy",
        read_set,
    ),
    "npy": Target(
        lambda folder: np.save(folder / "x.npy", np.arange(20, dtype=np.float32)),
        "x.npy",
        read_npy,
        checked=False,
    ),
    "checkpoint": Target(
        make_checkpoints,
        "update-*",
        read_checkpoint,
        means=older_checkpoint,
        seal=seal_file,
        sealed="update-*.json",
    ),
    "authors": Target(make_export("authors"), "out/**/*.npy", import_back("authors", "*/*/*"), checked=False),
    "hdf5": Target(make_export("minari"), "out/data/*.hdf5", import_back("minari", ""), checked=False),
    "metadata": Target(
        make_export("minari"), "out/data/*.json", import_back("minari", ""), checked=False, seal=dict
    ),
    "policy": Target(make_policies, "policy.safetensors", read_policies),
    "prey": Target(
        lambda folder: save_policies(folder / "prey.safetensors", [some_prey(hidden=2)]), "*", read_prey_file
    ),
    "authors-prey": Target(
        lambda folder: save_authors_prey(folder / "prey.pt") and None, "*", read_prey_file, checked=False
    ),
    "cell": Target(make_matrix, "cells/*.json", read_cell, seal=seal_file),
    "index": Target(
        make_matrix, "matrix.json", lambda folder: repr(MatrixFolder(folder).index()), seal=seal_file
    ),
    "config": Target(make_config, "config.json", read_config, seal=seal_file),
    "metrics": Target(make_metrics, "metrics.jsonl", read_metrics, means=fewer_lines, seal=seal_line),
    "run": Target(make_stopped_run, "run/**/*.*", outcome, seal=seal_file, sealed="run/checkpoint/*.json"),
}
