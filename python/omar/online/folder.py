"""The folder of an online training: a run's folder with every evaluated policy and the replay buffers.

| file | what it holds |
|---|---|
| prey.safetensors | the frozen prey of the training, where there is one |
| policies/ | the policies of every evaluation, a file for each seed, and preys that are trained too |
| policy.safetensors, best-prey.safetensors | the best policy so far, and its prey where that is trained too |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.policy_file import POLICY, load_policy, save_policies
from ..errors import OmarError
from ..replay import ReplayBuffer
from ..runs import checkpoint
from ..runs.decode import decode, encode
from ..runs.folder import RunFolder

if TYPE_CHECKING:
    from ..behaviors.policy import Policy
    from ..runs.metrics import Evaluation
    from ..runs.reporting import Reporter
    from .training import OnlineTraining

KIND = "online"
POLICIES = "policies"
BEST, BEST_PREY = POLICY, "best-prey.safetensors"
PREY = "prey.safetensors"
PART = "networks"  # of a checkpoint


@dataclass(frozen=True, slots=True)
class Progress:
    """What a checkpoint holds beside tensors."""

    step: int  # of all worlds
    seconds: float  # of training until then
    evaluated: tuple[int, ...]  # updates of the evaluations until then


def policy_file(seed: int, update: int, who: str = "update") -> str:
    """Name of the file of an evaluated policy, or of its prey (`who` = "prey")."""
    return f"seed-{seed}-{who}-{update:08d}.safetensors"


def best_seed(evaluation: Evaluation) -> tuple[float, int]:
    """The highest return of an evaluation and the first seed that has it."""
    value = max(evaluation.returns)
    return value, evaluation.returns.index(value)


class OnlineFolder(RunFolder):
    """Reads and writes the files of an online training."""

    def __init__(self, path: Path) -> None:
        """Args: `path` is the folder."""
        super().__init__(path, KIND)

    def frozen_prey(self) -> Policy | None:
        """The training's own copy of its frozen prey; None where it has none."""
        path = self.path / PREY
        return load_policy(path) if path.exists() else None

    def restore(self, training: OnlineTraining, reporter: Reporter) -> float:
        """Brings a training to the newest whole checkpoint.

        Returns:
            The seconds that the training took until then.

        Raises:
            OmarError: All checkpoints are damaged, or belong to another training.
        """
        ready: list[tuple[Progress, ReplayBuffer]] = []

        def read_rest(found: checkpoint.Checkpoint) -> None:
            done = decode(Progress, found.state, f"{self.checkpoints}, update {found.update}")
            self.check_evaluations(found.update, done.evaluated)
            file, own = self._buffer(found.update), training.buffer
            try:
                buffer = ReplayBuffer.load(file)
            except ValueError as error:
                raise OmarError(str(error)) from None
            rows = min(own.capacity, done.step * training.collection.worlds)
            wanted = (own.fields, own.capacity, own.datasets, own.storage, rows)
            if (buffer.fields, buffer.capacity, buffer.datasets, buffer.storage, len(buffer)) != wanted:
                raise OmarError(f"{file} is not the replay buffer of this checkpoint")
            ready.append((done, buffer))

        found = checkpoint.load(self.checkpoints, usable=read_rest)
        if found is None:
            if any(line.update for line in self.lines()):
                raise OmarError(
                    f"{self.path} has no checkpoint to go on from: {self.checkpoints} is empty or missing"
                )
            return 0.0
        whole, problems = found
        for problem in problems:
            reporter.note(f"{problem}; using update {whole.update}")
        shapes = {name: tensor.shape for name, tensor in training.tensors().items()}
        tensors = whole.parts.get(PART, {})
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise OmarError(f"the checkpoint in {self.checkpoints} was made with other settings")
        done, buffer = ready[-1]
        training.load(tensors, buffer, step=done.step, updates=whole.update)
        return done.seconds

    def save(self, training: OnlineTraining, seconds: float) -> None:
        """Writes a checkpoint; the training must be between two episodes."""
        self.checkpoints.mkdir(exist_ok=True)
        training.buffer.save(self._buffer(training.updates))
        evaluated = tuple(evaluation.update for evaluation in self.evaluations)
        state = encode(Progress(training.step, round(seconds, 3), evaluated))
        checkpoint.save(self.checkpoints, training.updates, {PART: training.tensors()}, state)

    def _buffer(self, updates: int) -> Path:
        return self.checkpoints / f"update-{updates:08d}.replay"

    def record(self, training: OnlineTraining, evaluation: Evaluation) -> None:
        """Keeps the evaluated policies of all seeds, and the best policy of all so far under its own name."""
        folder = self.path / POLICIES
        folder.mkdir(exist_ok=True)
        value, winner = best_seed(evaluation)
        record = max((best_seed(e)[0] for e in self.evaluations), default=float("-inf"))
        for seed in range(len(evaluation.returns)):
            policy = training.policy(seed)
            files = {policy_file(seed, evaluation.update): policy}
            if training.prey is None and policy.prey is not None:
                files[policy_file(seed, evaluation.update, "prey")] = policy.prey
            for name, one in files.items():
                save_policies(folder / name, [one])
            if value > record and seed == winner:
                for name, one in zip((BEST, BEST_PREY), files.values(), strict=False):
                    save_policies(self.path / name, [one])
        self.append(evaluation)

    def conclude(self) -> dict[str, Any]:
        """Writes and returns the result: the best evaluation and its seed."""
        best = max(self.evaluations, key=lambda evaluation: best_seed(evaluation)[0])
        value, seed = best_seed(best)
        result = {"return": value, "seed": seed, "update": best.update, "policy": BEST}
        self.finish(result)
        return result
