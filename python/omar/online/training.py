"""Online training of behaviour policies: collect in parallel worlds, store, update; again.

All randomness is counted: what happens at a step is a function of the seed, of the step's number and of the
state that a checkpoint holds, so a resumed training ends as an uninterrupted one does, and the same settings
give the same buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import torch

from ..algorithms.statistics import Statistics
from ..behaviors.policy import Policy, act
from ..envs import task_env
from ..errors import OmarError, SettingError
from ..evaluation.returns import episode_returns
from ..random import Draw, mix, normal_like, uniform_actions
from ..replay import ReplayBuffer
from .collection import CollectionSettings
from .matd3 import JointBatch, Matd3, Matd3Settings, Roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from ..algorithms.base import LossTerms
    from ..tasks import References, Task

# Streams of random numbers of a seed.
WEIGHTS, STARTS, WARMUP, NOISE, SAMPLES, STATISTICS, EVALUATION = range(7)
STATISTICS_STEPS = 100_000  # by uniform actions, in whole episodes


@dataclass(frozen=True, slots=True)
class Transitions:
    """One step of all worlds of a seed."""

    observations: Tensor  # [E, A, O], with what critics alone see behind an agent's own numbers
    actions: Tensor  # [E, A, U]
    rewards: Tensor  # [E, A]
    next_observations: Tensor  # [E, A, O], of the same episode also where it ended

    def columns(self) -> dict[str, Tensor]:
        """By the name of the replay buffer's field."""
        return {
            name: getattr(self, name) for name in ("observations", "actions", "rewards", "next_observations")
        }


class OnlineTraining:
    """S seeds of MATD3 in a task. Without a frozen prey, a task that has a prey trains it along.

    Attributes:
        step: Steps of all worlds so far.
        updates: Updates so far.
        algorithm: The networks.
    """

    def __init__(
        self,
        task: Task,
        settings: Matd3Settings,
        collection: CollectionSettings,
        *,
        seed: int,
        seeds: int = 1,
        prey: Policy | None = None,
    ) -> None:
        """Starts the worlds and draws the first weights.

        Args:
            task: To train in.
            settings: Of the algorithm.
            collection: Of the worlds and the buffer.
            seed: Key of all random numbers.
            seeds: S.
            prey: A frozen prey.

        Raises:
            OmarError: A prey for a task without one; a minibatch larger than the warm-up.
        """
        if prey is not None and not (prey.moves_prey and prey.task == task.name):
            raise OmarError(f"{task.name} cannot be trained against a policy of {prey.task}")
        if settings.batch_size > collection.warmup:
            raise SettingError(
                "batch_size", f"must be at most warmup = {collection.warmup}, got {settings.batch_size}"
            )
        self.task, self.collection, self.prey = task, collection, prey
        self.step = self.updates = 0
        self.keys = [mix(seed, s) for s in range(seeds)]
        trained = task.num_agents if prey is None else task.num_learners
        self.roles = Roles(task.num_agents, trained, task.num_learners)
        self._envs = [task_env(task, num_envs=collection.worlds, informed=True) for _ in self.keys]
        seen, width = max(task.obs_sizes), max(self._envs[0].obs_sizes)
        self.algorithm = Matd3(
            settings,
            self.roles,
            seeds=[mix(key, WEIGHTS) for key in self.keys],
            obs_size=width,
            action_size=task.action_size,
            statistics=self._statistics(mix(seed, STATISTICS)),
            seen=seen,
        )
        self.buffer = ReplayBuffer(
            collection.capacity,
            {
                "observations": (task.num_agents, width),
                "actions": (task.num_agents, task.action_size),
                "rewards": (task.num_agents,),
                "next_observations": (task.num_agents, width),
            },
            datasets=seeds,
        )
        self._sample_key = mix(seed, SAMPLES)
        self._observations: list[Tensor] = []

    @property
    def finished(self) -> bool:
        """Whether all updates are done."""
        return self.updates >= self.collection.updates

    @property
    def between_episodes(self) -> bool:
        """Whether all worlds are about to start an episode: then `load` can take the state over."""
        return self.step % self.task.episode_length == 0

    def advance(self) -> tuple[list[Transitions], LossTerms]:
        """One step of all worlds, then its updates.

        Returns:
            The new transitions of every seed, and the last terms of the losses (none while warming up).
        """
        transitions = self._collect()
        for seed, new in enumerate(transitions):
            self.buffer.extend(new.columns(), dataset=seed)
        self.step += 1
        terms: LossTerms = {}
        if self.step * self.collection.worlds >= self.collection.warmup:
            for _ in range(self.collection.updates_per_step):
                if not self.finished:
                    terms = self._update()
        return transitions, terms

    @torch.no_grad()
    def _collect(self) -> list[Transitions]:
        if self.between_episodes:
            episode = self.step // self.task.episode_length
            self._observations = [
                env.reset(mix(key, STARTS, episode)) for env, key in zip(self._envs, self.keys, strict=True)
            ]
        before = torch.stack(self._observations)
        actions = self._actions(before)
        result = []
        for seed, env in enumerate(self._envs):
            step = env.step(actions[seed])
            after = step.final_observations if bool(step.truncated[0]) else step.observations
            result.append(Transitions(before[seed], actions[seed], step.rewards, after))
            self._observations[seed] = step.observations
        return result

    def _actions(self, observations: Tensor) -> Tensor:
        """Exploring actions `[S, E, A, U]` of all agents."""
        worlds, trained = self.collection.worlds, self.roles.trained
        shape = (worlds, trained, self.task.action_size)
        if self.step * worlds < self.collection.warmup:
            explored = [
                uniform_actions(shape, Draw(mix(k, WARMUP), self.step), like=observations) for k in self.keys
            ]
            chosen = torch.stack(explored)
        else:
            noise = [normal_like(shape, Draw(mix(k, NOISE), self.step), like=observations) for k in self.keys]
            logits = self.algorithm.logits(self.algorithm.actor.networks, observations)
            chosen = torch.tanh(logits).transpose(1, 2) + self.collection.noise * torch.stack(noise)
            chosen = chosen.clamp_(-1.0, 1.0)
        return torch.cat([chosen, self._frozen_actions(observations)], dim=2)

    def _frozen_actions(self, observations: Tensor) -> Tensor:
        """Actions `[S, B, A - T, U]` of agents that are not trained, for raw observations."""
        if self.prey is None:
            return observations.new_empty(*observations.shape[:2], 0, self.task.action_size)
        own = observations[:, :, self.roles.trained :, : self.task.obs_sizes[-1]]
        return act(self.prey.weights, self.prey.biases, own)

    def _update(self) -> LossTerms:
        settings = self.algorithm.settings
        rows = self.buffer.sample(
            settings.batch_size, members=len(self.keys), seed=self._sample_key, step=self.updates
        )
        batch = JointBatch(
            observations=rows["observations"],
            actions=rows["actions"],
            rewards=rows["rewards"],
            next_observations=rows["next_observations"],
            frozen_next_actions=self._frozen_actions(rows["next_observations"]),
        )
        terms = self.algorithm.update(batch, self.updates / self.collection.updates)
        self.updates += 1
        return terms

    def _statistics(self, key: int) -> Statistics:
        """Statistics `[A, O]` of the observations of uniform agents."""
        worlds = STATISTICS_STEPS // self.task.episode_length
        env = task_env(self.task, num_envs=worlds, seed=key, informed=True)
        observations = env.reset()
        seen = []
        for t in range(self.task.episode_length):
            seen.append(observations)
            shape = (worlds, self.roles.trained, self.task.action_size)
            uniform = uniform_actions(shape, Draw(key, t), like=observations)
            observations = env.step(
                torch.cat([uniform, self._frozen_actions(observations[None])[0]], dim=1)
            ).observations
        everything = torch.cat(seen).double()
        return Statistics.of(everything.mean(dim=0).float(), everything.std(dim=0).float())

    def policy(self, seed: int) -> Policy:
        """The learners' policies of a seed as they are now."""
        prey = self.current_prey(seed)
        references = None if prey is None else prey.references
        return self._policy(seed, range(self.task.num_learners), references, prey)

    def current_prey(self, seed: int) -> Policy | None:
        """The prey of a seed: frozen, or trained as far as it is now; None in a task without a prey."""
        if self.prey is not None or not self.task.has_prey:
            return self.prey
        return self._policy(seed, range(self.task.num_learners, self.roles.trained), None, None)

    def _policy(self, seed: int, agents: range, references: References | None, prey: Policy | None) -> Policy:
        first = seed * self.roles.trained
        return Policy.of_networks(
            self.algorithm.actor.networks,
            [first + agent for agent in agents],
            self.task,
            references=references,
            prey=prey,
            source={
                "algorithm": "matd3",
                "update": str(self.updates),
                "seed": str(seed),
                "version": metadata.version("omar"),
            },
        )

    def evaluate(self, episodes: int) -> list[float]:
        """Mean return of every seed's policies without noise, each against its own prey."""
        returns = []
        for seed, key in enumerate(self.keys):
            start = mix(key, EVALUATION, self.updates)
            found = episode_returns([self.policy(seed)], self.task, episodes=episodes, seed=start)
            returns.append(float(found.mean()))
        return returns

    def tensors(self) -> dict[str, Tensor]:
        """The networks' whole state by name; a checkpoint needs the buffer and `step` too."""
        return self.algorithm.tensors()

    def load(self, tensors: Mapping[str, Tensor], buffer: ReplayBuffer, *, step: int, updates: int) -> None:
        """Takes over a state between two episodes."""
        self.algorithm.load(tensors, updates)
        self.buffer, self.step, self.updates = buffer, step, updates


def training_blocks(training: OnlineTraining, seed: int = 0) -> Iterator[dict[str, Tensor]]:
    """Everything that a training collects, in order, an episode of all worlds at a time.

    Yields:
        Columns of `Transitions` as `[E, T, ...]`: world after world, the T steps of an episode in order.
    """
    length = training.task.episode_length
    while not training.finished:
        steps = [training.advance()[0][seed].columns() for _ in range(length)]
        yield {name: torch.stack([step[name] for step in steps], dim=1) for name in steps[0]}
