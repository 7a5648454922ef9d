"""Training all seeds of an algorithm on datasets as one stack, with evaluations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from ..algorithms import Agents, Algorithm, LossTerms, get_algorithm, update
from ..algorithms.divergence import LOG_EVERY, refuse_divergence
from ..behaviors.policy import Policy
from ..behaviors.policy_file import POLICY, save_policies
from ..errors import OmarError
from ..evaluation.returns import EVALUATION, episode_returns
from ..random import Draw, mix
from ..runs import checkpoint
from ..runs.decode import decode, encode
from ..runs.metrics import Evaluation
from ..tasks import References, get_task, normalized_score
from .config import RunConfig, device
from .minibatches import Minibatches, facts, statistics
from .seeds import join, split
from .stages import prepare
from .values import critic_values

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from torch import Tensor

    from ..data import Dataset
    from ..runs.folder import RunFolder
    from ..runs.reporting import Reporter

VALUES = 1  # sets the episodes that values are compared on apart from those that are scored


@dataclass(frozen=True, slots=True)
class Progress:
    """What a checkpoint holds beside tensors."""

    seconds: float  # of training until then
    losses: Mapping[str, float]  # at the last look
    evaluated: tuple[int, ...]  # updates of the evaluations until then


@dataclass(slots=True)
class Training:
    """A run in memory: what is trained, on what, and how far it is."""

    config: RunConfig
    datasets: Sequence[Dataset]  # one for each seed
    prey: Policy | None
    device: torch.device
    agents: Agents
    algorithm: Algorithm[Any]
    update: int = 0
    seconds: float = 0.0  # of training before this process
    losses: dict[str, float] = field(default_factory=dict)  # at the last look
    prepared: bool = False  # whether a checkpoint holds what comes before the first update

    @staticmethod
    def build(config: RunConfig, datasets: Sequence[Dataset], prey: Policy | None) -> Training:
        """Networks and losses at update 0, with the datasets' statistics where they normalise by them."""
        options = config.options
        task, where = get_task(options.task), device(options.device)
        keys = [mix(options.seed, seed) for seed in range(options.seeds) for _ in range(task.num_learners)]
        algorithm = get_algorithm(options.algorithm)
        normal = config.backbone.input_norm == "dataset"
        agents = Agents(
            config.backbone,
            seeds=keys,
            learners=task.num_learners,
            obs_size=task.obs_size,
            action_size=task.action_size,
            has_critics=algorithm.has_critics,
            learned_deviation=algorithm.learned_deviation,
            device=where,
            observation_statistics=statistics(datasets, "observations") if normal else None,
            action_statistics=statistics(datasets, "actions") if normal else None,
        )
        scale, states = config.backbone.reward_scale, algorithm.needs_states
        known = facts(datasets, scale, where, states=states) if algorithm.needs_facts else None
        return Training(config, datasets, prey, where, agents, algorithm(config.algorithm, agents, known))

    @property
    def learners(self) -> int:
        """N."""
        return get_task(self.config.options.task).num_learners

    def minibatches(self) -> Minibatches:
        """What the algorithm learns from."""
        joint = self.config.backbone.critic == "centralized" or self.algorithm.joint_rows
        return Minibatches(self.datasets, self.device, joint=joint, **self.algorithm.columns())

    def restore(self, folder: RunFolder, reporter: Reporter) -> bool:
        """Takes over the newest whole checkpoint of the folder.

        Returns:
            Whether there is one.

        Raises:
            OmarError: All checkpoints are damaged, or belong to another run.
        """
        progress: list[Progress] = []

        def read_progress(found: checkpoint.Checkpoint) -> None:
            done = decode(Progress, found.state, f"{folder.checkpoints}, update {found.update}")
            folder.check_evaluations(found.update, done.evaluated)
            progress.append(done)

        found = checkpoint.load(folder.checkpoints, usable=read_progress)
        if found is None:
            return False
        state, problems = found
        for problem in problems:
            reporter.note(f"{problem}; using update {state.update}")
        self.agents.load(self._joined(state, folder), state.update)
        self.update, self.seconds = state.update, progress[-1].seconds
        self.losses = dict(progress[-1].losses)
        self.prepared = True
        return True

    def start_from(self, folder: RunFolder) -> None:
        """Takes over the networks of another run's newest checkpoint; optimisers and counters start afresh.

        Raises:
            OmarError: No whole checkpoint there, or networks of other shapes.
        """
        if self.algorithm.stages():
            name = self.config.options.algorithm
            raise OmarError(f"{name} prepares its networks from its data and cannot start from another run")
        folder.config()  # a run of this kind
        found = checkpoint.load(folder.checkpoints)
        if found is None:
            raise OmarError(f"{folder.path} has no checkpoint to start from")
        fresh = self.agents.tensors()
        joined = self._joined(found[0], folder)
        moments = {name: tensor for name, tensor in fresh.items() if ".adam." in name}
        self.agents.load(joined | moments, 0)

    def _joined(self, state: checkpoint.Checkpoint, folder: RunFolder) -> dict[str, Tensor]:
        parts = [state.parts.get(_part(seed), {}) for seed in range(self.config.options.seeds)]
        if len(state.parts) != len(parts):
            raise OmarError(f"{folder.path} has {len(state.parts)} seeds, not {len(parts)}")
        try:
            return join(parts, self.agents.tensors(), self.learners)
        except OmarError as error:
            where = folder.checkpoints
            raise OmarError(f"the checkpoint in {where} was made with other settings: {error}") from None

    def save(self, folder: RunFolder, seconds: float) -> None:
        """Writes a checkpoint, a file for each seed, and the policies, which stand alone."""
        by_seed = split(self.agents.tensors(), self.config.options.seeds, self.learners)
        parts = {_part(seed): tensors for seed, tensors in enumerate(by_seed)}
        evaluated = tuple(evaluation.update for evaluation in folder.evaluations)
        progress = Progress(round(seconds, 3), self.losses, evaluated)
        checkpoint.save(folder.checkpoints, self.update, parts, encode(progress))
        self.save_policies(folder)

    def save_policies(self, folder: RunFolder) -> None:
        """Writes the policies as they are now, which stand alone."""
        save_policies(folder.path / POLICY, self.policies())

    def policies(self) -> tuple[Policy, ...]:
        """The policies of all seeds as they are now."""
        options = self.config.options
        task = get_task(options.task)
        return tuple(
            Policy.of_networks(
                self.agents.actor.networks,
                range(seed * self.learners, (seed + 1) * self.learners),
                task,
                references=self.references(),
                prey=self.prey,
                source={
                    "algorithm": options.algorithm,
                    "update": str(self.update),
                    "seed": str(seed),
                    "quality": dataset.quality,
                    "dataset": dataset.manifest.sha256,
                    "version": metadata.version("omar"),
                },
            )
            for seed, dataset in enumerate(self.datasets)
        )

    def references(self) -> References:
        """What counts as 0 and 100: the datasets' references, or the prey's where they do not know theirs."""
        manifest = self.datasets[0].manifest
        if self.prey is not None and manifest.recipe.get("prey") is None:
            return self.prey.scale
        return manifest.references

    def evaluate(self, seconds: float) -> Evaluation:
        """Evaluates all seeds."""
        options = self.config.options
        task = get_task(options.task)
        key = mix(options.seed, EVALUATION, self.update)
        policies, episodes = self.policies(), self.config.eval_episodes
        returns = episode_returns(policies, task, episodes=episodes, seed=key)
        means = returns.mean(dim=1)
        errors = None if episodes < 2 else (returns.std(dim=1) / episodes**0.5).tolist()
        scores = normalized_score(task, means, self.references()).tolist()
        found = critic_values(
            self.algorithm, self.agents, policies, task, episodes=episodes, seed=mix(key, VALUES)
        )
        values, discounted = (None, None) if found is None else found
        return Evaluation(
            self.update,
            round(seconds, 3),
            means.tolist(),
            scores,
            self.losses,
            errors=errors,
            values=values,
            discounted=discounted,
        )

    def look(self, losses: LossTerms) -> None:
        """Reads the losses.

        Raises:
            OmarError: One is not finite: the training of that seed diverged.
        """
        refuse_divergence(losses, self.config.options.seeds, self.update)
        self.losses = {name: float(term.mean()) for name, term in losses.items()}


def _part(seed: int) -> str:
    return f"seed-{seed}"


def run(training: Training, folder: RunFolder, reporter: Reporter, stop: Callable[[], bool]) -> bool:
    """Trains to the end, or until `stop` says so.

    Args:
        training: From where it is.
        folder: Of the run.
        reporter: Is told of the progress.
        stop: Asked after every update.

    Returns:
        Whether the training is at its end; a checkpoint holds all work either way.

    Raises:
        OmarError: The training diverged; the newest checkpoint is from before that was seen.
    """
    options, updates = training.config.options, training.config.updates
    began = time.monotonic() - training.seconds
    minibatches: Minibatches | None = None
    stages = () if training.prepared else training.algorithm.stages()
    if stages:
        minibatches = training.minibatches()
        if not prepare(stages, training.config, minibatches, reporter, stop):
            return False
    due = training.update == updates or training.update % training.config.eval_every == 0
    if due and not folder.has_evaluation(training.update):  # the first one, or one that a kill took
        _evaluate(training, folder, reporter, began)
    if training.update == 0:
        training.save(folder, time.monotonic() - began)
    if training.update >= updates:
        return True
    backbone = training.config.backbone
    minibatches = minibatches or training.minibatches()
    reporter.paused()
    while training.update < updates:
        step = training.update
        batch = minibatches.sample(backbone.batch_size, seed=options.seed, step=step)
        losses = update(training.algorithm, training.agents, batch, Draw(options.seed, step))
        training.update += 1
        reporter.updated(training.update, losses)
        last, stopped = training.update == updates, stop()
        evaluates = last or training.update % training.config.eval_every == 0
        saves = last or stopped or training.update % options.checkpoint_every == 0
        if evaluates or saves or training.update % LOG_EVERY == 0:
            training.look(losses)
        if evaluates:
            _evaluate(training, folder, reporter, began)
        if saves:
            training.save(folder, time.monotonic() - began)
            reporter.paused()
        if stopped and not last:
            return False
    return True


def _evaluate(training: Training, folder: RunFolder, reporter: Reporter, began: float) -> None:
    evaluation = training.evaluate(time.monotonic() - began)
    folder.append(evaluation)
    reporter.evaluated(evaluation)
    reporter.paused()
