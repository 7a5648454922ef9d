"""Checkpoints: tensors in safetensors, the rest in JSON, no pickle; a kill at any moment leaves a whole one.

A checkpoint of update N is a file of tensors for each part, `update-N.PART.safetensors`, and `update-N.json`.
Each appears by a rename, the JSON last; it holds the checksum of every part and of itself, so without a whole
JSON a checkpoint does not exist. The two newest are kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from ..errors import OmarError
from .decode import decode
from .files import read_json, seal, sweep_partial, to_json, unseal, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

KEPT = 2
PART_NAME = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after an update."""

    update: int
    parts: Mapping[str, Mapping[str, Tensor]]  # tensors by name, for every part
    state: Mapping[str, Any]  # what else `save` was given


@dataclass(frozen=True, slots=True)
class _Description:
    """The JSON of a checkpoint."""

    update: int
    parts: Mapping[str, str]  # checksum of every part's file
    state: Mapping[str, Any]


def save(
    folder: Path, update: int, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Writes the checkpoint of an update and removes those before the last two.

    Args:
        folder: Of the checkpoints; made when missing.
        update: Number of updates done.
        parts: Tensors by name, a file for each part.
        state: More entries of the JSON file.
    """
    folder.mkdir(exist_ok=True)
    sweep_partial(folder)
    checksums = {}
    for part, tensors in parts.items():
        data = to_bytes(tensors)
        write_atomically(_part(folder, update, part), data)
        checksums[part] = hashlib.sha256(data).hexdigest()
    entries = {"update": update, "parts": checksums, "state": dict(state)}
    write_atomically(folder / f"update-{update:08d}.json", to_json(seal(entries)))
    kept = _newest_first(folder)[:KEPT]
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    whole = tuple(f"{path.stem}." for path in kept)
    for file in folder.glob("update-*"):
        if not file.name.startswith(whole):
            file.unlink(missing_ok=True)


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as a safetensors file; views are copied."""
    whole = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    return bytes(safetensors.torch.save(whole))


def load(
    folder: Path, usable: Callable[[Checkpoint], None] | None = None
) -> tuple[Checkpoint, list[str]] | None:
    """The newest whole checkpoint.

    Args:
        folder: Of the checkpoints.
        usable: Raises OmarError or OSError where a whole checkpoint is of no use, such as for lack of a
            file beside it; the one before it is then taken.

    Returns:
        The checkpoint, and a sentence for each newer one that is damaged; None where no checkpoint was ever
        written.

    Raises:
        OmarError: There are checkpoints and all of them are damaged.
    """
    problems: list[str] = []
    for path in _newest_first(folder):
        try:
            found = _read(path)
            if usable is not None:
                usable(found)
        except (OmarError, OSError) as error:
            problems.append(
                f"the checkpoint of update {path.stem.removeprefix('update-').lstrip('0') or 0}: {error}"
            )
        else:
            return found, problems
    if problems:
        raise OmarError(f"no checkpoint in {folder} is whole: {problems[0]}")
    return None


def _part(folder: Path, update: int, part: str) -> Path:
    return folder / f"update-{update:08d}.{part}.safetensors"


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("update-????????.json"), reverse=True)


def _read(path: Path) -> Checkpoint:
    description = decode(_Description, unseal(read_json(path), str(path)), str(path))
    if path.stem != f"update-{description.update:08d}":
        raise OmarError(f"{path} is damaged: it does not describe this checkpoint")
    parts = {}
    for part, checksum in description.parts.items():
        if not PART_NAME.fullmatch(part):  # it becomes part of a path
            raise OmarError(f"{path} is damaged: {part!r} cannot name a part")
        file = _part(path.parent, description.update, part)
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != checksum:
            raise OmarError(f"{file} is damaged: its checksum is not the one in {path.name}")
        try:
            parts[part] = safetensors.torch.load(data)
        except safetensors.SafetensorError as error:
            raise OmarError(f"{file} is damaged: {error}") from None
    return Checkpoint(description.update, parts, description.state)
