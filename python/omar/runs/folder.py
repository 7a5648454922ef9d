"""The folder of a run: its config, its metrics, its checkpoints and its result."""

from __future__ import annotations

import json
import platform
import statistics
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from ..offline.config import RunConfig
from .files import read_json, to_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CONFIG, METRICS, RESULT, CHECKPOINT, CURVE, EVENTS = (
    "config.json",
    "metrics.jsonl",
    "result.json",
    "checkpoint",
    "curve.png",
    "tensorboard",
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One line of metrics.jsonl."""

    update: int
    seconds: float  # since the run began, interruptions left out
    returns: list[float]  # mean episode return of each seed
    scores: list[float]  # the same, normalized
    losses: dict[str, float]  # terms of the last update's losses, mean over members

    @property
    def mean(self) -> float:
        """Mean normalized score over the seeds."""
        return statistics.fmean(self.scores)

    @property
    def std(self) -> float:
        """Standard deviation of the normalized score over the seeds (population)."""
        return statistics.pstdev(self.scores)


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    packages = {name: metadata.version(name) for name in ("omar", "torch", "numpy")}
    return {**packages, "python": platform.python_version(), "machine": platform.machine()}


class RunFolder:
    """Reads and writes the files of one run."""

    def __init__(self, path: Path) -> None:
        """Args: `path` is the folder; `create` or `open` check it."""
        self.path = path
        self.checkpoints = path / CHECKPOINT
        self.evaluations: list[Evaluation] = []
        self._writer: Any = None

    @staticmethod
    def refuse_used(path: Path) -> None:
        """Refuses a place for a new run that holds something already.

        Raises:
            OmarError: A run or anything else is there.
        """
        if (path / CONFIG).exists():
            raise OmarError(
                f"{path} holds a run already: continue it with --resume {path}, or choose another --out"
            )
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise OmarError(f"{path} is not an empty folder: choose another --out")

    @staticmethod
    def create(path: Path, config: RunConfig, datasets: Sequence[Mapping[str, str]]) -> RunFolder:
        """Makes the folder of a new run."""
        RunFolder.refuse_used(path)
        path.mkdir(parents=True, exist_ok=True)
        entries = {**config.to_dict(), "datasets": list(datasets), "versions": versions()}
        write_atomically(path / CONFIG, to_json(entries))
        return RunFolder(path)

    @staticmethod
    def open(path: Path) -> tuple[RunFolder, RunConfig, list[dict[str, str]]]:
        """Opens the folder of a run.

        Raises:
            OmarError: There is no run, or its config cannot be read.
        """
        file = path / CONFIG
        if not file.is_file():
            raise OmarError(f"{path} is not the folder of a run: it has no {CONFIG}")
        raw = read_json(file)
        config = RunConfig.from_dict(raw, path)
        return RunFolder(path), config, list(raw.get("datasets", []))

    def begin(self, update: int) -> None:
        """Opens the metrics at an update: evaluations after it belong to work that was lost, and are dropped.

        The TensorBoard events are written anew from what is kept, so no step stands in them twice.
        """
        kept = [line for line in self._read_metrics() if line.update <= update]
        text = "".join(_line(evaluation) for evaluation in kept)
        write_atomically(self.path / METRICS, text.encode())
        for old in (self.path / EVENTS).glob("events.out.tfevents.*"):
            old.unlink()
        from torch.utils.tensorboard import SummaryWriter  # a second to import

        self._writer = SummaryWriter(str(self.path / EVENTS))
        for evaluation in kept:
            self._write_events(evaluation)
        self.evaluations = kept

    def _read_metrics(self) -> list[Evaluation]:
        path = self.path / METRICS
        if not path.is_file():
            return []
        names = {f.name for f in fields(Evaluation)}
        found = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                raw = json.loads(line)
                found.append(Evaluation(**{name: raw[name] for name in names}))
            except (json.JSONDecodeError, KeyError, TypeError):
                break  # a line that a kill cut short; nothing whole follows it
        return found

    def append(self, evaluation: Evaluation) -> None:
        """Adds an evaluation to the metrics and the events."""
        self.evaluations.append(evaluation)
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(_line(evaluation))
        self._write_events(evaluation)

    def _write_events(self, evaluation: Evaluation) -> None:
        values = {"score/mean": evaluation.mean}
        for seed, (score, value) in enumerate(zip(evaluation.scores, evaluation.returns, strict=True)):
            values |= {f"score/seed_{seed}": score, f"return/seed_{seed}": value}
        values |= {f"loss/{name}": loss for name, loss in evaluation.losses.items()}
        for name, value in values.items():
            self._writer.add_scalar(name, value, evaluation.update)
        self._writer.flush()

    def finish(self, config: RunConfig, result: Mapping[str, Any]) -> None:
        """Writes the result."""
        options = config.options
        names = {name: getattr(options, name) for name in ("task", "dataset", "algorithm", "preset")}
        write_atomically(self.path / RESULT, to_json({**names, **result, "versions": versions()}))

    def close(self) -> None:
        """Closes the events."""
        if self._writer is not None:
            self._writer.close()


def _line(evaluation: Evaluation) -> str:
    entries = asdict(evaluation) | {"mean": evaluation.mean, "std": evaluation.std}
    return json.dumps(entries) + "\n"
