"""`manifest.json`: what a dataset on disk is, how it was made and how to tell that it is whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import DatasetError, OmarError, SettingError
from ..runs.decode import decode
from ..runs.files import digest, read_json
from ..tasks import References

FORMAT = "omar-dataset"
FORMAT_VERSION = 2  # 2: a checksum over all entries
MANIFEST = "manifest.json"

FLOAT_COLUMNS = ("observations", "actions", "rewards", "next_observations")
FLAG_COLUMNS = ("terminated", "truncated")
PREY_COLUMNS = ("prey_observations", "prey_actions", "prey_rewards", "prey_next_observations")
STATE_COLUMNS = ("states", "next_states")
COLUMNS = (*FLOAT_COLUMNS, *FLAG_COLUMNS)
ALL_COLUMNS = (*COLUMNS, *PREY_COLUMNS, *STATE_COLUMNS)
RANKS = {"observations": 3, "actions": 3, "rewards": 2, "next_observations": 3}
DEEPEST = 16  # levels of a manifest's entries; a recipe has three
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_READ_BYTES = 1 << 22  # a checksum reads this much at once


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
    """Everything about a dataset but its columns.

    The file has one more entry, `checksum`: of all others, so that no entry can change unseen.
    """

    task: str
    quality: str
    transitions: int
    episodes: int
    episode_length: int
    columns: Mapping[str, ColumnInfo]
    sha256: str  # of the columns' names and checksums
    returns: Returns
    recipe: Mapping[str, Any]  # what decides the bytes: generator, seed, behaviour, prey (None: unknown)
    references: References  # S_random, S_expert and their source
    versions: Mapping[str, str]
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Checks what another program's or a damaged manifest may hold.

        Raises:
            SettingError: Names the entry.
        """
        for name in ("task", "quality"):
            if not is_name(getattr(self, name)):
                raise SettingError(name, f"is not a valid name, got {getattr(self, name)!r}")
        for name in ("transitions", "episodes", "episode_length"):
            if getattr(self, name) < 1:
                raise SettingError(name, f"must be at least 1, got {getattr(self, name)}")
        if not self.references.usable:
            raise SettingError("references", "must give different returns for 0 and 100")
        for name in COLUMNS:
            if name not in self.columns:
                raise SettingError("columns", f"has no column {name!r}")
        for name, info in self.columns.items():
            self._check_column(name, info)
        if whole_sha256(self.columns) != self.sha256:
            raise SettingError("sha256", "is not the checksum of the columns")

    def _check_column(self, name: str, info: ColumnInfo) -> None:
        if name not in ALL_COLUMNS:
            raise SettingError("columns", f"has an unknown column {name!r}")
        dtype = "|b1" if name in FLAG_COLUMNS else "<f4"
        rank = RANKS.get(name, 1 if name in (*FLAG_COLUMNS, "prey_rewards") else 2)
        if info.dtype != dtype or len(info.shape) != rank or min(info.shape) < 1:
            raise SettingError(
                f"columns.{name}", f"must be {dtype} of rank {rank}, got {info.dtype!r} {list(info.shape)}"
            )
        if info.shape[0] != self.transitions:
            raise SettingError(f"columns.{name}", f"has {info.shape[0]} rows instead of {self.transitions}")

    def to_json(self) -> str:
        """The manifest's text, the same for the same contents."""
        return json.dumps(seal(asdict(self)), indent=2, sort_keys=True, allow_nan=False) + "\n"


def is_name(text: str) -> bool:
    """Whether a text may name a task or a quality: it becomes part of paths."""
    return _NAME.fullmatch(text) is not None


def seal(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries with their `checksum`."""
    others = {name: value for name, value in entries.items() if name != "checksum"}
    return others | {"checksum": digest(others)}


def whole_sha256(columns: Mapping[str, ColumnInfo]) -> str:
    """Checksum of a dataset: of the lines "name sha256" of its columns in order of name."""
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(f"{name} {columns[name].sha256}\n".encode())
    return digest.hexdigest()


def recipe_sha256(recipe: Mapping[str, Any]) -> str:
    """Checksum of a recipe: names the folder that a generated dataset is cached in."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """Checksum of a file; `advance` is told the bytes on the way."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


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
    return parse_manifest(load_json(path), str(path))


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that another program may have written.

    Raises:
        DatasetError: Damaged, not an object, or it cannot be read.
    """
    try:
        return read_json(path)
    except OmarError as error:
        raise DatasetError(str(error)) from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None


def parse_manifest(raw: Mapping[str, Any], where: str) -> Manifest:
    """The manifest of JSON entries; `where` is the file's name for messages.

    Raises:
        DatasetError: Damaged, changed by hand, or of another version.
    """
    if raw.get("format") != FORMAT:
        raise DatasetError(f"{where} is not the manifest of a dataset: its `format` is not {FORMAT!r}")
    version = raw.get("format_version")
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{where} has format version {version!r}, this version of omar reads {FORMAT_VERSION}: "
            "generate or import the set again"
        )
    if not _is_shallow(raw, DEEPEST):
        raise DatasetError(f"{where} is damaged: its entries are nested more than {DEEPEST} levels deep")
    if seal(raw)["checksum"] != raw.get("checksum"):
        raise DatasetError(f"{where} is damaged: its checksum does not match its entries")
    entries = {name: value for name, value in raw.items() if name != "checksum"}
    try:
        return decode(Manifest, entries, f"{where} is damaged")
    except OmarError as error:
        raise DatasetError(str(error)) from None


def _is_shallow(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return all(levels > 0 and _is_shallow(each, levels - 1) for each in inner)
