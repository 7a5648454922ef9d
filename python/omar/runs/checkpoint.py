"""Checkpoints: tensors in safetensors, the rest in JSON, no pickle; a kill at any moment leaves a whole one.

A checkpoint is two files, `update-N.safetensors` and `update-N.json`. Each appears by a rename, the JSON
last, and it holds the tensors' checksum: without its JSON a checkpoint does not exist. The two newest
are kept.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch

from ..errors import OmarError
from .files import read_json, to_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

KEPT = 2


def save(folder: Path, tensors: Mapping[str, Tensor], update: int, state: Mapping[str, Any]) -> None:
    """Writes the checkpoint of an update and removes those before the last two.

    Args:
        folder: Of the checkpoints; made when missing.
        tensors: By name; views are copied.
        update: Number of updates done.
        state: More entries of the JSON file.
    """
    folder.mkdir(exist_ok=True)
    whole = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    data = safetensors.torch.save(whole)
    path = folder / f"update-{update:08d}"
    write_atomically(path.with_suffix(".safetensors"), data)
    entries = {"update": update, "sha256": hashlib.sha256(data).hexdigest(), **state}
    write_atomically(path.with_suffix(".json"), to_json(entries))
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
    """The newest whole checkpoint.

    Returns:
        Its tensors, its JSON entries, and a sentence for each newer one that is damaged; None where no
        checkpoint was ever written.

    Raises:
        OmarError: There are checkpoints and all of them are damaged.
    """
    problems: list[str] = []
    for path in _newest_first(folder):
        try:
            return (*_read(path), problems)
        except (ValueError, OSError) as error:
            problems.append(f"{path.with_suffix('.safetensors')} is damaged: {error}")
    if problems:
        raise OmarError(f"no checkpoint in {folder} is whole: {problems[0]}")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("update-*.json"), reverse=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = read_json(path)
    if not isinstance(state.get("update"), int):
        raise OmarError(f"{path.name} has no update number")
    data = path.with_suffix(".safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != state.get("sha256"):
        raise OmarError("its checksum is not the one in its JSON file")
    try:
        return safetensors.torch.load(data), state
    except safetensors.SafetensorError as error:
        raise OmarError(str(error)) from None
