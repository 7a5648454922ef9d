"""Flashbax Vaults as OG-MARL publishes them, through tensorstore and without JAX.

A vault is a folder `{task}.vlt/{uid}` with `metadata.json` (the tree of leaves, shapes and types) and an
OCDBT store of zarr arrays, one for each leaf, [1, T, ...] over all T steps in order of time: observations
[1, T, N, O], actions [1, T, N, A], rewards, terminals and truncations [1, T, N], infos.state [1, T, G].
`vault_index` holds T.

OG-MARL takes a step's next observation from the step after it, so the last one of an episode is not part of
its layout. What is written here adds it as the leaf infos.next_observations, which other readers ignore; the
prey's columns, where there are any, lie beside it under their own names.
"""

from __future__ import annotations

import json
from ast import literal_eval
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError
from .dataset import CHUNK_ROWS, PREY_COLUMNS, Dataset
from .foreign import Columns, Foreign, any_agent, as_flags, as_float32, claim, optional_package, rounding_note

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from ..tasks import Task

VAULT_VERSION = 1.2
METADATA_FILE = "metadata.json"
TIME_AXIS = int(10e12)  # the open end of a vault's time axis
LEAVES = ("observations", "actions", "rewards", "terminals", "truncations")


def write(dataset: Dataset, destination: Path) -> tuple[str, ...]:
    """Writes the vault `destination/{task}.vlt/{Quality}`; returns what the format drops."""
    store = optional_package("tensorstore", "Vault")
    folder = destination / f"{dataset.task}.vlt" / dataset.quality.title().replace("-", "")
    claim(folder)
    columns = dataset.columns()
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
    return (
        "the manifest (recipe, versions, references, checksums) is not stored",
        "readers other than this one drop the last next observation of every episode",
    )


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
    try:
        rows = int(_open(store, source, "vault_index").read().result()[0])
    except (ValueError, OSError) as error:
        raise DatasetError(
            f"{source} is damaged: its vault_index cannot be read ({_first_line(error)})"
        ) from None
    if rows < 1:
        raise DatasetError(f"{source} is an empty vault")
    for name in LEAVES:
        if name not in structure:
            raise DatasetError(f"{source} is not an OG-MARL vault: {METADATA_FILE} has no leaf {name!r}")
    raw = {name: _read_leaf(store, source, name, rows) for name in LEAVES}
    infos = structure.get("infos", {})
    columns: Columns = {
        name: as_float32(raw[name], f"{source}: {name}") for name in ("observations", "actions", "rewards")
    }
    for name, leaf in (("terminated", "terminals"), ("truncated", "truncations")):
        columns[name] = any_agent(as_flags(raw[leaf], f"{source}: {leaf}").reshape(rows, -1))
    if "next_observations" in infos:
        following = _read_leaf(store, source, "infos.next_observations", rows)
        columns["next_observations"] = as_float32(following, f"{source}: infos.next_observations")
        for name in PREY_COLUMNS:
            if name in infos:
                column = _read_leaf(store, source, f"infos.{name}", rows)
                columns[name] = as_float32(column, f"{source}: infos.{name}")
        if "next_state" in infos:
            for name, leaf in (("states", "infos.state"), ("next_states", "infos.next_state")):
                columns[name] = as_float32(_read_leaf(store, source, leaf, rows), f"{source}: {leaf}")
        return Foreign(columns, rounding_note(raw))
    notes = rounding_note(raw)
    if "state" in infos:
        notes = ("global states (infos.state) were left out", *notes)
    return _without_last_steps(columns, notes)


def _without_last_steps(columns: Columns, notes: tuple[str, ...]) -> Foreign:
    """Next observations from the step after; truncated steps, which have none, are left out."""
    ends = columns["terminated"] | columns["truncated"]
    ends[-1] = True
    following = np.concatenate((columns["observations"][1:], columns["observations"][-1:]))
    # After a termination no value follows, so any observation serves.
    following[columns["terminated"]] = columns["observations"][columns["terminated"]]
    columns["next_observations"] = following
    dropped = ends & ~columns["terminated"]
    kept = ~dropped
    truncated = np.zeros(len(ends), np.bool_)
    truncated[:-1] = dropped[1:]
    columns["truncated"] = truncated
    note = (
        f"the last step of {int(dropped.sum())} truncated episodes was left out: "
        "the vault does not hold the observation after it, so returns lack that step's reward"
    )
    return Foreign({name: column[kept] for name, column in columns.items()}, (note, *notes))


def _structure(source: Path) -> dict[str, Any]:
    path = source / METADATA_FILE
    if not path.is_file():
        raise DatasetError(f"{source} is not a vault: {METADATA_FILE} is missing")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        version, structure = metadata["version"], metadata["structure_shape"]
        shapes = [literal_eval(shape) for shape in structure.values() if isinstance(shape, str)]
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        raise DatasetError(
            f"{path} is damaged: it does not describe a vault ({_first_line(error)})"
        ) from None
    if not isinstance(version, float | int) or int(version) != int(VAULT_VERSION):
        raise DatasetError(f"{path} has vault version {version!r}, this version of omar reads 1.x")
    if any(not isinstance(shape, tuple) or len(shape) < 2 or shape[0] != 1 for shape in shapes):
        raise DatasetError(f"{path} is not an OG-MARL vault: every leaf must be [1, steps, ...]")
    found: dict[str, Any] = structure
    return found


def _open(store: Any, folder: Path, name: str, create: tuple[str, tuple[int, ...]] | None = None) -> Any:
    spec: dict[str, Any] = {
        "driver": "zarr",
        "kvstore": {"driver": "ocdbt", "base": f"file://{folder.resolve()}", "path": name},
        "metadata": {},
    }
    if create is None:
        return store.open(spec, read=True).result()
    if len(create[1]) > 1:
        spec["metadata"]["compressor"] = {"id": "gzip", "level": 5}
    return store.open(spec, dtype=create[0], shape=create[1], create=True).result()


def _read_leaf(store: Any, source: Path, name: str, rows: int) -> npt.NDArray[Any]:
    try:
        leaf = _open(store, source, f"{name}.")
        column: npt.NDArray[Any] = leaf[0, :rows].read().result()
    except (ValueError, OSError, IndexError) as error:
        raise DatasetError(
            f"{source} is damaged: leaf {name!r} cannot be read ({_first_line(error)})"
        ) from None
    return column


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
