"""The folder of a run, offline or online: its config, its metrics, its checkpoints and its result.

| file | what it holds |
|---|---|
| config.json | everything that decides the run, sealed with a checksum |
| metrics.jsonl | a line for every evaluation |
| checkpoint/ | the two newest states of the training |
| policy.safetensors | the policies of the newest checkpoint, which need nothing else to act |
| result.json | the final scores, sealed with a checksum |
| curve.png | the learning curve |
| video.mp4 | episodes of the final policies, where they were asked for |
| tensorboard/ | the metrics as events |
"""

from __future__ import annotations

import platform
import shlex
import time
from contextlib import ExitStack
from importlib import metadata
from typing import TYPE_CHECKING, Any, Self

from ..errors import OmarError
from . import metrics
from .events import EventFile
from .files import read_json, seal, sweep_partial, to_json, unseal, write_atomically
from .lock import LOCK, owned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .metrics import Evaluation

CONFIG, METRICS, RESULT, CHECKPOINT, CURVE, VIDEO, EVENTS = (
    "config.json",
    "metrics.jsonl",
    "result.json",
    "checkpoint",
    "curve.png",
    "video.mp4",
    "tensorboard",
)


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    packages = {name: metadata.version(name) for name in ("omar", "torch", "numpy")}
    return {**packages, "python": platform.python_version(), "machine": platform.machine()}


class RunFolder:
    """A run's folder, owned by this process while it is used as a context manager.

    Attributes:
        path: The folder.
        evaluations: Those of metrics.jsonl, in order of updates; filled by `begin`.
    """

    def __init__(self, path: Path, kind: str) -> None:
        """Args: `path` is the folder, `kind` the kind of run: "offline" or "online"."""
        self.path = path
        self.kind = kind
        self.checkpoints = path / CHECKPOINT
        self.evaluations: list[Evaluation] = []
        self._events: EventFile | None = None
        self._held = ExitStack()

    def __enter__(self) -> Self:
        """Owns the folder.

        Raises:
            OmarError: Another process does.
        """
        self._held.enter_context(owned(self.path))
        sweep_partial(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the events and gives the folder back."""
        events, self._events = self._events, None
        try:
            if events is not None:
                events.close()
        finally:  # a full disk must not keep the folder owned
            self._held.close()

    def create(self, config: Mapping[str, Any]) -> None:
        """Writes the config of a new run.

        Raises:
            OmarError: A run or anything else is there already.
        """
        refuse_used(self.path)
        self.write_config(config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the config, whether the run is new or goes on with another length or place of its data."""
        entries = {"kind": self.kind, **config, "versions": versions()}
        write_atomically(self.path / CONFIG, to_json(seal(entries)))

    def config(self) -> dict[str, Any]:
        """The entries of the config.

        Raises:
            OmarError: There is no run of this kind, or its config was changed.
        """
        file = self.path / CONFIG
        if not file.is_file():
            raise OmarError(f"{self.path} is not the folder of a run: it has no {CONFIG}")
        entries = unseal(read_json(file), str(file))
        if entries.get("kind") != self.kind:
            raise OmarError(f"{self.path} is not the folder of an {self.kind} training")
        return entries

    def begin(self, update: int) -> None:
        """Opens the metrics at an update: evaluations after it belong to work that was lost, and are dropped.

        The TensorBoard events are written anew from what is kept, so no step stands in them twice.

        Raises:
            OmarError: A line of the metrics is damaged.
        """
        kept = [line for line in self.lines() if line.update <= update]
        metrics.write(self.path / METRICS, kept)
        self._events = EventFile(self.path / EVENTS)
        for evaluation in kept:
            self._add_events(evaluation)
        self.evaluations = kept

    def lines(self) -> list[Evaluation]:
        """The evaluations on disk, before `begin` drops any."""
        return metrics.read(self.path / METRICS)

    def check_evaluations(self, update: int, updates: Sequence[int]) -> None:
        """Checks that the metrics have what a checkpoint followed; its own evaluation can be made again.

        Args:
            update: Of the checkpoint.
            updates: That were evaluated until then.

        Raises:
            OmarError: An evaluation is missing.
        """
        missing = set(updates) - {update, *(line.update for line in self.lines())}
        if missing:
            raise OmarError(f"{self.path / METRICS} lacks the evaluation of update {min(missing)}")

    def has_evaluation(self, update: int) -> bool:
        """Whether the policies after this update were evaluated."""
        return any(evaluation.update == update for evaluation in self.evaluations)

    def append(self, evaluation: Evaluation) -> None:
        """Adds an evaluation to the metrics and the events."""
        metrics.append(self.path / METRICS, evaluation)
        self.evaluations.append(evaluation)
        self._add_events(evaluation)

    def _add_events(self, evaluation: Evaluation) -> None:
        values = {"score/mean": evaluation.mean}
        for seed, (score, value) in enumerate(zip(evaluation.scores, evaluation.returns, strict=True)):
            values |= {f"score/seed_{seed}": score, f"return/seed_{seed}": value}
        values |= {f"loss/{name}": loss for name, loss in evaluation.losses.items()}
        if self._events is not None:
            self._events.add(evaluation.update, values)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Writes the result."""
        write_atomically(self.path / RESULT, to_json(seal({**result, "versions": versions()})))


def refuse_used(path: Path) -> None:
    """Refuses a place for a new run that holds something already.

    Raises:
        OmarError: A run or anything else is there.
    """
    if (path / CONFIG).exists():
        quoted = shlex.quote(str(path))
        raise OmarError(
            f"{path} holds a run already: continue it with --resume {quoted}, or choose another --out"
        )
    if path.is_file() or (
        path.is_dir() and any(file.name != LOCK for file in path.iterdir() if not _partial(file))
    ):
        raise OmarError(f"{path} is not an empty folder: choose another --out")


def _partial(file: Path) -> bool:
    return ".partial-" in file.name


def make_folder(out: Path | None, name: str, root: Path) -> Path:
    """Makes the folder of a new run.

    Args:
        out: The folder that was asked for; None: a new one in `root`.
        name: What the run is, for the name of a new folder.
        root: Where new folders go.

    Raises:
        OmarError: `out` holds something already.
    """
    if out is not None:
        refuse_used(out)
        out.mkdir(parents=True, exist_ok=True)
        return out
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):  # runs that start in the same second get folders of their own
        path = root / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise OmarError(f"{root} has a thousand runs of this second: choose a folder with --out")
