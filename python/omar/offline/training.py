"""Training all seeds of an algorithm on datasets as one stack, with evaluations and checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..algorithms import Agents, Algorithm, LossTerms, get_algorithm, update
from ..behaviors.find import check_prey, choose_prey
from ..data import Dataset, resolve_datasets
from ..errors import OmarError
from ..evaluation.policies import StackedPolicy
from ..evaluation.returns import EVALUATION, episode_returns
from ..random import Draw, mix
from ..runs import checkpoint
from ..runs.files import expand_user
from ..runs.folder import Evaluation, RunFolder
from ..tasks import QUALITIES, References, get_task, normalized_score
from ..terminal import cli
from ..terminal.display import Display, by_name
from .config import RunConfig, TrainConfig, device, resolve
from .memory import check_memory
from .minibatches import Minibatches, Normalizer

if TYPE_CHECKING:
    import torch

    from ..behaviors.prey import Prey
    from ..runs.interrupts import Interrupts


@dataclass(slots=True)
class Training:
    """A run in memory: what is trained, on what, and how far it is."""

    config: RunConfig
    folder: RunFolder
    datasets: list[Dataset]
    device: torch.device
    prey: Prey | None
    normalizer: Normalizer
    agents: Agents
    algorithm: Algorithm[Any]
    update: int = 0
    seconds: float = 0.0  # before this process

    @staticmethod
    def build(config: RunConfig, folder: RunFolder, datasets: list[Dataset]) -> Training:
        """Networks, losses and normalisation of a run at update 0."""
        options = config.options
        where = device(options.device)
        task = get_task(options.task)
        keys = [mix(options.seed, seed) for seed in range(options.seeds) for _ in range(task.num_learners)]
        actions = Normalizer.of(datasets, where, "actions")
        kind = get_algorithm(options.algorithm)
        agents = Agents(
            config.backbone,
            seeds=keys,
            obs_size=task.obs_size,
            action_size=task.action_size,
            learners=task.num_learners,
            critics=kind.critics,
            device=where,
            action_statistics=(actions.mean, actions.std),
        )
        algorithm = kind(config.algorithm, agents)
        prey = choose_prey(task, options.prey)
        check_prey(datasets[0], prey)
        normalizer = Normalizer.of(datasets, where)
        return Training(config, folder, datasets, where, prey, normalizer, agents, algorithm)

    def restore(self) -> None:
        """Takes over the newest whole checkpoint of the folder, where there is one.

        Raises:
            OmarError: All checkpoints are damaged, or belong to another run.
        """
        found = checkpoint.load(self.folder.checkpoints)
        if found is None:
            return
        tensors, state, problems = found
        for problem in problems:
            cli.say(f"{problem}; using update {state['update']}")
        expected = {name: tensor.shape for name, tensor in self.agents.tensors().items()}
        if {name: tensor.shape for name, tensor in tensors.items()} != expected:
            raise OmarError(f"the checkpoint in {self.folder.checkpoints} is not one of this run's settings")
        self.agents.load(tensors, state["update"])
        self.update, self.seconds = state["update"], float(state["seconds"])

    @staticmethod
    def open(path: Path) -> Training:
        """A run from its folder, at its newest checkpoint.

        Raises:
            OmarError: No run there, a damaged one, or one whose dataset has changed.
        """
        config, folder, datasets = resume(path)
        training = Training.build(config, folder, datasets)
        training.restore()
        return training

    def policy(self) -> StackedPolicy:
        """The policies of all seeds."""
        task = get_task(self.config.options.task)
        return StackedPolicy(self.agents.actor.networks, self.normalizer, task.num_learners)

    def evaluate(self, losses: LossTerms, seconds: float) -> Evaluation:
        """Evaluates all seeds."""
        options = self.config.options
        task = get_task(options.task)
        returns = episode_returns(
            self.policy(),
            task,
            seeds=options.seeds,
            episodes=options.eval_episodes,
            seed=mix(options.seed, EVALUATION, self.update),
            prey=self.prey,
        ).mean(dim=1)
        scores = normalized_score(task, returns, self.references())
        return Evaluation(self.update, round(seconds, 3), returns.tolist(), scores.tolist(), by_name(losses))

    def references(self) -> References:
        """Returns that score 0 and 100: the datasets' own references, which depend on their prey."""
        return References(**self.datasets[0].manifest.references)

    def save(self, seconds: float) -> None:
        """Writes a checkpoint."""
        checkpoint.save(self.folder.checkpoints, self.agents.tensors(), self.update, {"seconds": seconds})


def train(training: Training, display: Display, interrupts: Interrupts) -> bool:
    """Trains to the end.

    Returns:
        False where an interrupt came first; a checkpoint holds all work then.
    """
    config = training.config
    options, backbone, updates = config.options, config.backbone, config.updates
    began = time.monotonic() - training.seconds
    losses: LossTerms = {}
    if not training.folder.evaluations:
        _evaluate(training, display, losses, began)
        training.save(time.monotonic() - began)
    if training.update == updates:
        return True
    minibatches = Minibatches(
        training.datasets,
        training.normalizer,
        training.device,
        joint=backbone.critic == "centralized",
    )
    display.paused()
    while training.update < updates:
        draw = Draw(options.seed, training.update)
        batch = minibatches.sample(backbone.batch_size, seed=options.seed, step=training.update)
        losses = update(training.algorithm, training.agents, batch, draw)
        training.update += 1
        display.updated(training.update, losses)
        last = training.update == updates
        if last or training.update % options.eval_every == 0:
            _evaluate(training, display, losses, began)
        if last or interrupts.stop or training.update % options.checkpoint_every == 0:
            training.save(time.monotonic() - began)
            display.paused()
        if interrupts.stop and not last:
            return False
    return True


def _evaluate(training: Training, display: Display, losses: LossTerms, began: float) -> None:
    evaluation = training.evaluate(losses, time.monotonic() - began)
    training.folder.append(evaluation)
    display.evaluated(evaluation)
    display.paused()


def start(config: TrainConfig) -> tuple[RunConfig, RunFolder, list[Dataset]]:
    """Checks a new run, makes its datasets where they are missing, and its folder."""
    name = config.dataset_name
    where, task = device(config.device), get_task(config.task)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    out = config.out or Path("runs") / f"{config.task}-{name}-{config.algorithm}-{stamp}"
    out = expand_user(out)
    RunFolder.refuse_used(out)
    check_memory(resolve(config, name), task, where)  # settings are refused before a dataset is made
    datasets = _datasets(config)
    run = resolve(replace(config, dataset=_absolute(config.dataset)), datasets[0].quality)
    smallest = min(len(dataset) for dataset in datasets)
    if run.backbone.batch_size > smallest:
        raise OmarError(
            f"--batch-size {run.backbone.batch_size} is more than the dataset's {smallest} transitions"
        )
    return run, RunFolder.create(out, run, _identities(datasets)), datasets


def _absolute(dataset: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """The same dataset named so that the run can be resumed from anywhere."""
    if isinstance(dataset, tuple):
        return tuple(str(_absolute(each)) for each in dataset)
    return dataset if dataset in QUALITIES else str(expand_user(dataset).resolve())


def resume(path: Path) -> tuple[RunConfig, RunFolder, list[Dataset]]:
    """Opens a run and the datasets that it was trained on."""
    folder, config, identities = RunFolder.open(path)
    datasets = _datasets(config.options)
    if [identity["sha256"] for identity in _identities(datasets)] != [i["sha256"] for i in identities]:
        raise OmarError(f"the dataset of {path} has another checksum than the one the run began with")
    return config, folder, datasets


def _datasets(config: TrainConfig) -> list[Dataset]:
    """One for each seed."""
    seeds = range(config.seeds)
    data_seeds = list(seeds) if config.data_seed is None else [config.data_seed] * config.seeds
    prey = choose_prey(get_task(config.task), config.prey)
    names = config.datasets
    if len(names) == 1:
        return resolve_datasets(config.task, names[0], data_seeds, prey=prey)
    return [
        dataset
        for name, data_seed in zip(names, data_seeds, strict=True)
        for dataset in resolve_datasets(config.task, name, [data_seed], prey=prey)
    ]


def _identities(datasets: list[Dataset]) -> list[dict[str, str]]:
    return [{"path": str(dataset.path), "sha256": dataset.manifest.sha256} for dataset in datasets]
