"""`manifest.json`: what a dataset on disk is, how it was made and how to tell that it is whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..errors import DatasetError
from ..runs.files import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = "omar-dataset"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column: a .npy file of the dataset's folder."""

    shape: tuple[int, ...]
    dtype: str
    bytes: int  # of the whole file
    sha256: str  # of the whole file


@dataclass(frozen=True, slots=True)
class Returns:
    """Episode returns: undiscounted sums over an episode of the mean reward over the learners."""

    mean: float
    std: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a dataset but its columns."""

    task: str
    quality: str
    transitions: int
    episodes: int
    episode_length: int
    columns: Mapping[str, ColumnInfo]
    sha256: str  # of the columns' names and checksums
    returns: Returns
    recipe: Mapping[str, Any]  # what decides the bytes: generator, seed, steps, behaviour, noise, prey
    references: Mapping[str, Any]  # S_random, S_expert and their source
    versions: Mapping[str, str]
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The manifest's text, the same for the same contents."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def whole_sha256(columns: Mapping[str, ColumnInfo]) -> str:
    """Checksum of a dataset: of the lines "name sha256" of its columns in order of name."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(f"{name} {columns[name].sha256}\n".encode())
    return digest.hexdigest()


def recipe_sha256(recipe: Mapping[str, Any]) -> str:
    """Checksum of a recipe: names the folder that a generated dataset is cached in."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def current_versions() -> dict[str, str]:
    """Versions of everything that decides a generated dataset's bytes."""
    found = {}
    for package in ("omar", "torch", "numpy", "mujoco"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # mujoco is optional: a dataset made without it has no such entry
    return found


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest of a dataset's folder.

    Raises:
        DatasetError: No such folder, no manifest, or one that is damaged or of another version.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DatasetError(f"no dataset at {folder}: there is no such folder")
    if not path.is_file():
        raise DatasetError(f"no dataset at {folder}: the folder has no {MANIFEST}")
    try:
        raw = read_json(path)
    except ValueError as error:
        raise DatasetError(str(error)) from None
    return _parse(raw, path)


def _parse(raw: dict[str, Any], path: Path) -> Manifest:
    if raw.get("format") != FORMAT:
        raise DatasetError(f"{path} is not the manifest of a dataset: its `format` is not {FORMAT!r}")
    if raw.get("format_version") != FORMAT_VERSION:
        raise DatasetError(
            f"{path} has format version {raw.get('format_version')!r}, "
            f"this version of omar reads {FORMAT_VERSION}"
        )
    known = {field.name for field in fields(Manifest)}
    missing = known - raw.keys()
    if missing:
        raise DatasetError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
    try:
        entries = {name: raw[name] for name in known}
        entries["columns"] = {
            name: ColumnInfo(tuple(column["shape"]), column["dtype"], column["bytes"], column["sha256"])
            for name, column in raw["columns"].items()
        }
        entries["returns"] = Returns(**raw["returns"])
        manifest = Manifest(**entries)
    except (TypeError, KeyError, AttributeError) as error:
        raise DatasetError(f"{path} is damaged: an entry has the wrong form ({error})") from None
    if whole_sha256(manifest.columns) != manifest.sha256:
        raise DatasetError(f"{path} is damaged: its checksum does not belong to its columns")
    return manifest
