"""The network of an imitated prey: the states it has seen, and its updates."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..algorithms import losses
from ..algorithms.agents import ACTOR
from ..algorithms.optimizer import StackedOptimizer
from ..behaviors.policy import Policy
from ..envs import particle_env, rollout
from ..errors import OmarError
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..nets import StackedMlp
from ..random import Draw, mix, uniform_actions
from ..runs import ranges
from ..runs.decode import check_types
from ..runs.memory import COPIES, FLOAT, check_fits
from ..tasks import TaskName, get_task
from ..terminal.cli import OptionalFolder
from .measures import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LEVELS = 12  # of trained predators, from the first evaluations to the last
NOISES = (0.1, 0.3)  # on the predators' actions, in turn
TESTED = 4  # levels of predators whose returns are compared
FRESH = 1_000  # episodes of each predator whose states measure the error
WEIGHTS, STATES, MINIBATCHES, MEASURES = range(4)  # streams of random numbers


@dataclass(frozen=True, slots=True)
class ImitationConfig:
    """Fits a prey of our own to the actions of another one."""

    prey: Path
    """The prey to act as: a policy file, or the authors' pretrained_adv_model.pt."""
    task: TaskName = "simple_tag"
    """Task whose prey it is."""
    out: OptionalFolder = None
    """Folder of the result. (default: runs/imitation-TASK-TIME)"""
    origin: str = ""
    """Where the file comes from and under which licence; kept in the result."""
    predators: OptionalFolder = None
    """Folder of a training of predators against this prey. (default: they are trained first)"""
    predator_updates: int = 16_000
    """Updates of the predators that are trained here."""
    seed: int = 0
    """Base seed of all random numbers."""
    rounds: int = 3
    """Rounds of new states and updates; from the second on, the fitted network moves the prey."""
    updates: int = 8_000
    """Updates in each round."""
    batch_size: int = 2048
    """States of an update."""
    worlds: int = 3_000
    """Episodes of each predator in each round."""
    hidden: int = 64
    """Width of both hidden layers."""
    learning_rate: float = 2e-3
    """Adam's at the first update; it falls to 0 along a cosine."""
    episodes: int = 10_000
    """Episodes of every reported return."""

    def check(self) -> None:
        """Raises OmarError where an option is one that no imitation can have."""
        check_types(self)
        task = get_task(self.task)
        if not task.has_prey:
            raise OmarError(f"{self.task} has no prey to imitate")
        names = ("predator_updates", "rounds", "updates", "batch_size", "worlds", "hidden", "episodes")
        ranges.at_least(self, 1, *names)
        ranges.positive(self, "learning_rate")
        ranges.between(self, 0, 2**64 - 1, "seed")
        numbers = task.obs_sizes[-1] + task.action_size
        states = self.rounds * self.worlds * (1 + LEVELS) * task.episode_length
        for count, what, remedy in (
            (states * numbers, "states of all rounds", "--worlds or --rounds"),
            (self.batch_size * numbers, "minibatches", "--batch-size"),
            (COPIES * self.hidden * (self.hidden + numbers), "networks", "--hidden"),
            (self.episodes * sum(task.obs_sizes), "worlds of a report", "--episodes"),
        ):
            check_fits(FLOAT * count, None, what, remedy)


class Imitation:
    """The network, the states it has seen, and its updates.

    Attributes:
        updates: Updates so far.
    """

    def __init__(self, config: ImitationConfig, teacher: Policy, predators: Sequence[Policy]) -> None:
        """Draws the first weights.

        Args:
            config: Checked settings.
            teacher: The prey to act as.
            predators: Trained ones, weak to strong; uniform ones come beside them.
        """
        self.config, self.teacher, self.predators = config, teacher, list(predators)
        self.task = get_task(config.task)
        self.updates = 0
        h = config.hidden
        sizes = (teacher.obs_size, h, h, teacher.action_size)
        network = StackedMlp(1, sizes, mix(config.seed, WEIGHTS), network=ACTOR)
        self._states = torch.empty(0, teacher.obs_size)
        self._actions = torch.empty(0, teacher.action_size)
        self._network = network
        self._optimizer: StackedOptimizer | None = None  # after the first states, which it normalises by

    def collect(self, number: int) -> None:
        """Adds the states of a round: the prey is the teacher in the first, the network itself afterwards."""
        prey = self.teacher if number == 0 else self.prey()
        states = self._visited(prey, self.config.worlds, mix(self.config.seed, STATES, number))
        self._states = torch.cat([self._states, states])
        self._actions = torch.cat([self._actions, self._taught(states)])
        if self._optimizer is None:
            deviation = states.double().std(dim=0).clamp_min(1e-6).float()
            self._network.standardize(states.double().mean(dim=0).float()[None], deviation[None])
            self._optimizer = StackedOptimizer(
                self._network,
                members=1,
                learning_rate=self.config.learning_rate,
                polyak_rate=1.0,
                clip_norm=math.inf,
            )

    def _visited(self, prey: Policy, worlds: int, key: int) -> Tensor:
        """The prey's observations in whole episodes of uniform and of trained predators, `[n, O]`."""
        found = []
        for number, policy in enumerate([None, *self.predators]):
            env = particle_env(self.task, num_envs=worlds, seed=mix(key, number, 0))
            noise = NOISES[number % len(NOISES)]
            seen = rollout(
                env, self.task.episode_length, policy, prey, noise=noise, seed=mix(key, number, 1) >> 1
            )
            own = seen.observations[:, :, self.task.num_learners, : self.teacher.obs_size]
            found.append(own.flatten(0, 1))
        return torch.cat(found)

    def _taught(self, states: Tensor) -> Tensor:
        return self.teacher(states[:, None])[:, 0]

    def update(self) -> Tensor:
        """One step of Adam on the mean square of the action error; returns that, `[1]`."""
        if self._optimizer is None:
            raise OmarError("an imitation needs states before its first update")
        config = self.config
        share = self.updates / (config.rounds * config.updates)
        self._optimizer.set_learning_rate(config.learning_rate * 0.5 * (1 + math.cos(math.pi * share)))
        draw = Draw(mix(config.seed, MINIBATCHES), self.updates)
        uniform = uniform_actions((config.batch_size,), draw, like=torch.empty(0, dtype=torch.float64))
        rows = ((uniform + 1.0) * (len(self._states) / 2)).long().clamp_(max=len(self._states) - 1)
        actions = torch.tanh(self._network(self._states[rows][None]))
        error = losses.squared_distance(actions, self._actions[rows][None])
        self._optimizer.step(error)
        self.updates += 1
        return error.detach()

    def prey(self) -> Policy:
        """The network as it is now, as a policy that says whom it imitates."""
        source = {
            "algorithm": "imitation",
            "imitates": self.config.prey.name,
            "imitates_sha256": self.teacher.sha256,
            "origin": self.config.origin,
            "seed": str(self.config.seed),
            "version": metadata.version("omar"),
        }
        return Policy.of_networks(
            self._network, [0], self.task, references=self.teacher.references, source=source
        )

    def report(self) -> dict[str, Any]:
        """How alike both preys are: the root mean square action error in new states, and returns."""
        prey, key = self.prey(), mix(self.config.seed, MEASURES)
        states = self._visited(prey, min(self.config.worlds, FRESH), key)
        error = (prey(states[:, None])[:, 0] - self._taught(states)).square().mean().sqrt()
        spaced = torch.linspace(0, len(self.predators) - 1, min(TESTED, len(self.predators))).long().tolist()
        rows = []
        for policy in (None, *(self.predators[number] for number in spaced)):
            entry: dict[str, Any] = {
                "predators": "uniform" if policy is None else f"update {policy.source['update']}"
            }
            for name, opponent in (("imitated", self.teacher), ("imitation", prey)):
                actor = (
                    UniformPolicy(self.task.action_size) if policy is None else NoisyPolicy(policy, NOISES[0])
                )
                entry[name] = dataclasses.asdict(
                    measure(actor, self.task, opponent, self.config.episodes, key)
                )
            rows.append(entry)
        return {"action_error": float(error), "returns": rows}
