"""The folder of an online training: settings, metrics, every evaluated policy, and the newest checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..behaviors.policy import to_bytes
from ..behaviors.prey import prey_layers
from ..errors import OmarError
from ..replay import ReplayBuffer
from ..runs import checkpoint
from ..runs.files import read_json, to_json, write_atomically
from ..runs.folder import versions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..behaviors.prey import Prey
    from .training import OnlineTraining

CONFIG, METRICS, RESULT, CHECKPOINT, POLICIES = (
    "config.json",
    "metrics.jsonl",
    "result.json",
    "checkpoint",
    "policies",
)
BEST, BEST_PREY = "best.safetensors", "best-prey.safetensors"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One line of metrics.jsonl."""

    update: int
    transitions: int  # of each seed, the warm-up included
    seconds: float  # since the training began, interruptions left out
    returns: list[float]  # mean episode return of each seed's policies, without noise
    losses: dict[str, float]  # terms of the last update, mean over members

    @property
    def best(self) -> tuple[float, int]:
        """The highest return and its seed."""
        return max((value, -seed) for seed, value in enumerate(self.returns))


class OnlineFolder:
    """Reads and writes the files of an online training."""

    def __init__(self, path: Path) -> None:
        """Args: `path` is the folder; `create` and `settings` check it."""
        self.path = path
        self.evaluations: list[Evaluation] = []

    @staticmethod
    def create(path: Path, settings: Mapping[str, Any], prey: Prey | None) -> OnlineFolder:
        """Makes the folder of a new training.

        Raises:
            OmarError: Something is there already.
        """
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise OmarError(
                f"{path} is not an empty folder: choose another --out, or continue with --resume {path}"
            )
        path.mkdir(parents=True, exist_ok=True)
        if prey is not None:  # the training reads its own copy when it goes on
            write_atomically(path / "prey.safetensors", to_bytes(prey_layers(prey)))
        write_atomically(path / CONFIG, to_json({**settings, "versions": versions()}))
        return OnlineFolder(path)

    def settings(self) -> dict[str, Any]:
        """What `create` was given.

        Raises:
            OmarError: No training is there, or its settings cannot be read.
        """
        file = self.path / CONFIG
        if not file.is_file():
            raise OmarError(f"{self.path} is not the folder of an online training: it has no {CONFIG}")
        raw = read_json(file)
        if "collection" not in raw:
            raise OmarError(f"{file} does not describe an online training")
        return raw

    def restore(self, training: OnlineTraining) -> float:
        """Brings a training to the newest whole checkpoint, and drops the evaluations after it.

        Returns:
            The seconds that the training took until then.
        """
        found = checkpoint.load(self.path / CHECKPOINT)
        if found is None:
            self._keep(0)
            return 0.0
        tensors, state, _ = found
        buffer = ReplayBuffer.load(self._buffer(state["update"]))
        training.load(tensors, buffer, step=int(state["step"]), updates=int(state["update"]))
        self._keep(training.updates)
        return float(state["seconds"])

    def _keep(self, updates: int) -> None:
        file = self.path / METRICS
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        self.evaluations = []
        for line in lines:
            try:
                evaluation = Evaluation(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                break  # a line that a kill cut short; nothing whole follows it
            if evaluation.update <= updates:
                self.evaluations.append(evaluation)
        write_atomically(file, "".join(map(_line, self.evaluations)).encode())

    def save(self, training: OnlineTraining, seconds: float) -> None:
        """Writes a checkpoint; the training must be between two episodes."""
        folder = self.path / CHECKPOINT
        folder.mkdir(exist_ok=True)
        training.buffer.save(self._buffer(training.updates))
        state = {"step": training.step, "seconds": seconds}
        checkpoint.save(folder, training.tensors(), training.updates, state)
        whole = {path.stem for path in folder.glob("update-*.json")}
        for buffer in folder.glob("update-*.replay"):
            if buffer.stem not in whole:
                buffer.unlink()

    def _buffer(self, updates: int) -> Path:
        return self.path / CHECKPOINT / f"update-{updates:08d}.replay"

    def record(self, training: OnlineTraining, evaluation: Evaluation) -> None:
        """Keeps the evaluated policies of all seeds, and the best policy of all so far under its own name."""
        folder = self.path / POLICIES
        folder.mkdir(exist_ok=True)
        value, negative_seed = evaluation.best
        record = max((e.best[0] for e in self.evaluations), default=float("-inf"))
        for seed in range(len(evaluation.returns)):
            policy = to_bytes(training.behavior(seed).layers)
            files = {f"seed-{seed}-update-{evaluation.update:08d}.safetensors": policy}
            prey = training.current_prey(seed)
            if training.prey is None and prey is not None:
                files[f"seed-{seed}-prey-{evaluation.update:08d}.safetensors"] = to_bytes(prey_layers(prey))
            for name, data in files.items():
                write_atomically(folder / name, data)
            if value > record and seed == -negative_seed:
                for name, data in zip((BEST, BEST_PREY), files.values(), strict=False):
                    write_atomically(self.path / name, data)
        self.evaluations.append(evaluation)
        with (self.path / METRICS).open("a", encoding="utf-8") as file:
            file.write(_line(evaluation))

    def finish(self) -> dict[str, Any]:
        """Writes and returns the result: the best evaluation and its seed."""
        best = max(self.evaluations, key=lambda evaluation: evaluation.best[0])
        value, negative_seed = best.best
        result = {"return": value, "seed": -negative_seed, "update": best.update, "policy": BEST}
        write_atomically(self.path / RESULT, to_json({**result, "versions": versions()}))
        return result


def _line(evaluation: Evaluation) -> str:
    return json.dumps(asdict(evaluation)) + "\n"
