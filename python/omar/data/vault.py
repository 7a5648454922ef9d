"""Flashbax Vaults as OG-MARL publishes them, through tensorstore and without JAX.

A vault is a folder `{task}.vlt/{uid}` with `metadata.json` (the tree of leaves, shapes and types) and an
OCDBT store of zarr arrays, one for each leaf, [1, T, ...] over all T steps in order of time: observations
[1, T, N, O], actions [1, T, N, A], rewards, terminals and truncations [1, T, N], infos.state [1, T, G].
`vault_index` holds T.

OG-MARL takes a step's next observation from the step after it, so the last one of an episode is not part of
its layout. What is written here adds it as the leaf infos.next_observations, which other readers ignore; the
prey's columns, where there are any, lie beside it under their own names. Vaults of others may hold the prey
as the last agent, its observations padded to the size of the learners'.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from ..tasks import QUALITIES
from .checks import CHUNK_ROWS
from .folders import whole_folder
from .foreign import (
    LARGEST_RATIO,
    Columns,
    Foreign,
    any_agent,
    as_flags,
    as_float32,
    as_rewards,
    optional_package,
    rounding_note,
    split_agents,
    write_origin,
)
from .manifest import PREY_COLUMNS, load_json
from .npy import first_line

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task
    from .dataset import Dataset

VAULT_VERSION = 1.2
METADATA_FILE = "metadata.json"
TIME_AXIS = int(10e12)  # the open end of a vault's time axis
_LEAF_SHAPE = re.compile(r"\(1, ?[0-9]+(, ?[0-9]+)*,?\)")
LEAVES = ("observations", "actions", "rewards", "terminals", "truncations")


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes the vault `destination/{task}.vlt/{Quality}`; returns what the format drops."""
    store = optional_package("tensorstore", "Vault")
    folder = destination / f"{dataset.task}.vlt" / _uid(dataset.quality)
    with whole_folder(folder) as temporary:
        _write_leaves(store, temporary, dataset.columns())
        write_origin(temporary, dataset.manifest)
    return ("readers other than this one drop the last next observation of every episode",)


def _uid(quality: str) -> str:
    """A vault's name of a quality."""
    return quality.title().replace("-", "")


def _write_leaves(store: Any, folder: Path, columns: Columns) -> None:
    rows, learners = columns["rewards"].shape
    leaves = {
        "observations": columns["observations"],
        "actions": columns["actions"],
        "rewards": columns["rewards"],
        "terminals": np.broadcast_to(columns["terminated"][:, None], (rows, learners)),
        "truncations": np.broadcast_to(columns["truncated"][:, None], (rows, learners)),
        "infos.state": columns.get("states", columns["observations"].reshape(rows, -1)),
        "infos.next_observations": columns["next_observations"],
    }
    if "next_states" in columns:
        leaves["infos.next_state"] = columns["next_states"]
    leaves |= {f"infos.{name}": columns[name] for name in PREY_COLUMNS if name in columns}
    _write_metadata(folder, leaves, rows)
    for name, leaf in leaves.items():
        array = _open(store, folder, f"{name}.", create=(leaf.dtype.name, (1, TIME_AXIS, *leaf.shape[1:])))
        for start in range(0, rows, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, rows)
            array[:, start:stop].write(np.ascontiguousarray(leaf[start:stop])[None]).result()
    index = _open(store, folder, "vault_index", create=("int32", (1,)))
    index.write(np.array([rows], np.int32)).result()


def _write_metadata(folder: Path, leaves: Columns, rows: int) -> None:
    shapes: dict[str, Any] = {"infos": {}}
    types: dict[str, Any] = {"infos": {}}
    for name, leaf in leaves.items():
        group, key = ("infos", name.split(".")[1]) if "." in name else (None, name)
        shape = str((1, rows, *leaf.shape[1:]))
        if group is None:
            shapes[key], types[key] = shape, leaf.dtype.name
        else:
            shapes[group][key], types[group][key] = shape, leaf.dtype.name
    metadata = {"version": VAULT_VERSION, "structure_shape": shapes, "structure_dtype": types}
    (folder / METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")


def read(source: Path, task: Task) -> Foreign:
    """Reads a vault, the folder that holds `metadata.json`."""
    store = optional_package("tensorstore", "Vault")
    structure = _structure(source)
    for name in LEAVES:
        if name not in structure:
            raise DatasetError(f"{source} is not an OG-MARL vault: {METADATA_FILE} has no leaf {name!r}")
    vault = _Vault(store, source)
    raw = {name: vault.leaf(name) for name in LEAVES}
    columns: Columns = {name: as_float32(raw[name], f"{source}: {name}") for name in LEAVES[:2]}
    columns["rewards"] = as_rewards(raw["rewards"], f"{source}: rewards", 2)
    columns = split_agents(columns, task, str(source))
    for name, leaf in (("terminated", "terminals"), ("truncated", "truncations")):
        columns[name] = any_agent(as_flags(raw[leaf], f"{source}: {leaf}"))
    infos = structure["infos"]
    own = ["next_observations", *PREY_COLUMNS] if "next_observations" in infos else []
    for name in own:
        if name in infos:
            columns[name] = as_float32(vault.leaf(f"infos.{name}"), f"{source}: infos.{name}")
    notes = rounding_note(raw)
    if "next_state" in infos:
        for name, leaf in (("states", "infos.state"), ("next_states", "infos.next_state")):
            columns[name] = as_float32(vault.leaf(leaf), f"{source}: {leaf}")
    elif "state" in infos and not own:
        notes = ("global states (infos.state) were left out", *notes)
    names = {_uid(quality).lower(): quality for quality in QUALITIES}
    return Foreign(columns, notes, names.get(_uid(source.resolve().name).lower()))


def _structure(source: Path) -> dict[str, Any]:
    """The tree of leaves; `infos` is a part of it even where a vault has none."""
    path = source / METADATA_FILE
    if not path.is_file():
        raise DatasetError(f"{source} is not a vault: {METADATA_FILE} is missing")
    metadata = load_json(path)
    version, structure = metadata.get("version"), metadata.get("structure_shape")
    if not isinstance(structure, dict) or not isinstance(structure.get("infos", {}), dict):
        raise DatasetError(f"{path} is damaged: it does not describe a vault")
    if not isinstance(version, int | float) or not 1 <= version < 2:
        raise DatasetError(f"{path} has vault version {version!r}, this version of omar reads 1.x")
    infos = structure.get("infos", {})
    for shape in (*(leaf for name, leaf in structure.items() if name != "infos"), *infos.values()):
        if not isinstance(shape, str) or not _LEAF_SHAPE.fullmatch(shape):
            raise DatasetError(f"{path} is not an OG-MARL vault: every leaf must be [1, steps, ...]")
    return {**structure, "infos": infos}


class _Vault:
    """Reads the leaves of one vault."""

    def __init__(self, store: Any, source: Path) -> None:
        self._store, self._source = store, source
        index = self._open("vault_index", "its vault_index")
        if index.shape != (1,) or index.dtype.numpy_dtype.kind not in "iu":
            raise DatasetError(f"{source} is damaged: its vault_index must be one integer")
        self._rows = int(self._values(index, 0, "its vault_index"))
        if self._rows < 1:
            raise DatasetError(f"{source} is an empty vault")
        files = (path for path in source.rglob("*") if path.is_file())
        self._largest = LARGEST_RATIO * sum(path.stat().st_size for path in files)

    def leaf(self, name: str) -> npt.NDArray[Any]:
        """A leaf's values of all steps, [T, ...].

        Raises:
            DatasetError: It cannot be read, or it is no [1, T, ...].
        """
        array = self._open(f"{name}.", f"leaf {name!r}")
        shape, dtype, rows = tuple(array.shape), array.dtype.numpy_dtype, self._rows
        if len(shape) < 2 or shape[0] != 1 or shape[1] < rows or dtype.kind not in "biuf":
            raise DatasetError(
                f"{self._source} is damaged: leaf {name!r} must be [1, {rows}, ...] of numbers, "
                f"got {dtype} {list(shape)}"
            )
        if math.prod(shape[2:]) * rows * dtype.itemsize > self._largest:
            raise DatasetError(
                f"{self._source} is damaged: leaf {name!r} claims {rows:,} rows, which it does not hold"
            )
        column: npt.NDArray[Any] = self._values(array, (0, slice(0, rows)), f"leaf {name!r}")
        return column

    def _open(self, path: str, what: str) -> Any:
        try:
            return _open(self._store, self._source, path)
        except Exception as error:  # tensorstore has many kinds for what it cannot read
            raise self._unreadable(what, error) from None

    def _values(self, array: Any, where: Any, what: str) -> Any:
        try:
            return array[where].read().result()
        except Exception as error:  # as above
            raise self._unreadable(what, error) from None

    def _unreadable(self, what: str, error: Exception) -> DatasetError:
        return DatasetError(f"{self._source} is damaged: {what} cannot be read ({first_line(error)})")


def _open(store: Any, folder: Path, name: str, create: tuple[str, tuple[int, ...]] | None = None) -> Any:
    spec: dict[str, Any] = {
        "driver": "zarr",
        "kvstore": {
            "driver": "ocdbt",
            "base": {"driver": "file", "path": f"{folder.resolve()}/"},
            "path": name,
        },
        "metadata": {},
    }
    if create is None:
        return store.open(spec, read=True).result()
    if len(create[1]) > 1:
        spec["metadata"]["compressor"] = {"id": "gzip", "level": 5}
    return store.open(spec, dtype=create[0], shape=create[1], create=True).result()
