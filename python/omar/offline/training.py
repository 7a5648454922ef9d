"""Training all seeds of an algorithm on datasets as one stack, with evaluations and checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..algorithms import Agents, Algorithm, Terms, get_algorithm
from ..behaviors.find import check_prey, choose_prey
from ..behaviors.policy import Policy
from ..behaviors.policy_file import POLICY, save_policies
from ..data import Dataset, resolve_datasets
from ..evaluation.returns import EVALUATION, episode_returns
from ..random import Draw, mix
from ..runs import checkpoint
from ..runs.folder import Evaluation, RunFolder
from ..tasks import QUALITIES, References, get_task, normalized_score
from ..terminal import cli
from ..terminal.display import Display, by_name
from .config import RunConfig, TrainOptions, check, device, resolve
from .graphs import choose_update
from .minibatches import Minibatches, statistics

if TYPE_CHECKING:
    import torch

    from ..runs.interrupts import Interrupts


@dataclass(slots=True)
class Training:
    """A run in memory: what is trained, on what, and how far it is."""

    config: RunConfig
    folder: RunFolder
    datasets: list[Dataset]
    device: torch.device
    prey: Policy | None
    agents: Agents
    algorithm: Algorithm
    update: int = 0
    seconds: float = 0.0  # before this process

    @staticmethod
    def build(config: RunConfig, folder: RunFolder, datasets: list[Dataset]) -> Training:
        """Networks, losses and normalisation of a run at update 0."""
        options = config.options
        where = device(options.device)
        task = get_task(options.task)
        keys = [mix(options.seed, seed) for seed in range(options.seeds) for _ in range(task.num_learners)]
        agents = Agents(
            config.backbone,
            seeds=keys,
            obs_size=task.obs_size,
            action_size=task.action_size,
            device=where,
            observation_statistics=statistics(datasets, "observations"),
            action_statistics=statistics(datasets, "actions"),
        )
        algorithm = get_algorithm(options.algorithm)(config.algorithm, agents)
        prey = choose_prey(task, options.prey)
        warnings = [check_prey(dataset.manifest.recipe, prey, dataset.path) for dataset in datasets]
        for warning in list(filter(None, warnings))[:1]:  # one line is enough for sets that are alike
            cli.say(f"warning: {warning}")
        return Training(config, folder, datasets, where, prey, agents, algorithm)

    def restore(self) -> None:
        """Takes over the newest whole checkpoint of the folder, where there is one.

        Raises:
            ValueError: All checkpoints are damaged, or belong to another run.
        """
        found = checkpoint.load(self.folder.checkpoints)
        if found is None:
            return
        tensors, state, problems = found
        for problem in problems:
            cli.say(f"{problem}; using update {state['update']}")
        expected = {name: tensor.shape for name, tensor in self.agents.tensors().items()}
        if {name: tensor.shape for name, tensor in tensors.items()} != expected:
            raise ValueError(f"the checkpoint in {self.folder.checkpoints} is not one of this run's settings")
        self.agents.load(tensors, state["update"])
        self.update, self.seconds = state["update"], float(state["seconds"])

    @staticmethod
    def open(path: Path) -> Training:
        """A run from its folder, at its newest checkpoint.

        Raises:
            ValueError: No run there, a damaged one, or one whose dataset has changed.
        """
        config, folder, datasets = resume(path)
        training = Training.build(config, folder, datasets)
        training.restore()
        return training

    def policies(self) -> list[Policy]:
        """The policies of all seeds as they are now."""
        options = self.config.options
        task = get_task(options.task)
        return [
            Policy.of_networks(
                self.agents.actor.networks,
                range(seed * task.num_learners, (seed + 1) * task.num_learners),
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
        ]

    def evaluate(self, losses: Terms, seconds: float) -> Evaluation:
        """Evaluates all seeds."""
        options = self.config.options
        task = get_task(options.task)
        returns = episode_returns(
            self.policies(),
            task,
            episodes=options.eval_episodes,
            seed=mix(options.seed, EVALUATION, self.update),
        ).mean(dim=1)
        scores = normalized_score(task, returns, self.references())
        return Evaluation(self.update, round(seconds, 3), returns.tolist(), scores.tolist(), by_name(losses))

    def references(self) -> References:
        """What counts as 0 and 100: the datasets' references, or the prey's where they do not know theirs."""
        manifest = self.datasets[0].manifest
        if self.prey is not None and "prey" not in manifest.recipe:
            return self.prey.scale
        return References(**manifest.references)

    def save(self, seconds: float) -> None:
        """Writes a checkpoint, and the policies beside it."""
        checkpoint.save(self.folder.checkpoints, self.agents.tensors(), self.update, {"seconds": seconds})
        save_policies(self.folder.path / POLICY, self.policies())


def train(training: Training, display: Display, interrupts: Interrupts) -> bool:
    """Trains to the end.

    Returns:
        False where an interrupt came first; a checkpoint holds all work then.
    """
    options, backbone = training.config.options, training.config.backbone
    began = time.monotonic() - training.seconds
    losses: Terms = {}
    if not training.folder.evaluations:
        _evaluate(training, display, losses, began)
        training.save(time.monotonic() - began)
    if training.update == options.updates:
        return True
    minibatches = Minibatches(training.datasets, training.device)
    update = choose_update(options.cuda_graph, training.device)
    display.paused()
    while training.update < options.updates:
        draw = Draw(options.seed, training.update)
        batch = minibatches.sample(backbone.batch_size, seed=options.seed, step=training.update)
        losses = update(training.algorithm, training.agents, batch, draw)
        training.update += 1
        display.updated(training.update, losses)
        last = training.update == options.updates
        if last or training.update % options.eval_every == 0:
            _evaluate(training, display, losses, began)
        if last or interrupts.stop or training.update % options.checkpoint_every == 0:
            training.save(time.monotonic() - began)
            display.paused()
        if interrupts.stop and not last:
            return False
    return True


def _evaluate(training: Training, display: Display, losses: Terms, began: float) -> None:
    evaluation = training.evaluate(losses, time.monotonic() - began)
    training.folder.append(evaluation)
    display.evaluated(evaluation)
    display.paused()


def start(options: TrainOptions, given: dict[str, Any]) -> tuple[RunConfig, RunFolder, list[Dataset]]:
    """Checks the options of a new run, makes its datasets where they are missing, and its folder."""
    check(options)
    name = Path(options.dataset).name
    stamp = time.strftime("%Y%m%d-%H%M%S")
    out = options.out or Path("runs") / f"{options.task}-{name}-{options.algorithm}-{stamp}"
    RunFolder.refuse_used(out)
    generated = options.dataset in QUALITIES
    if generated:  # settings are refused before a dataset is made
        resolve(options, given, options.dataset)
    elif Path(options.dataset).expanduser().exists():  # so that the run can be resumed from anywhere
        options = replace(options, dataset=str(Path(options.dataset).expanduser().resolve()))
    datasets = _datasets(options)
    config = resolve(options, given, datasets[0].quality)
    smallest = min(len(dataset) for dataset in datasets)
    if config.backbone.batch_size > smallest:
        raise ValueError(
            f"--batch-size {config.backbone.batch_size} is more than the dataset's {smallest} transitions"
        )
    return config, RunFolder.create(out, config, _identities(datasets)), datasets


def resume(path: Path) -> tuple[RunConfig, RunFolder, list[Dataset]]:
    """Opens a run and the datasets that it was trained on."""
    folder, config, identities = RunFolder.open(path)
    check(config.options)
    options = config.options
    datasets = _datasets(options)
    if [identity["sha256"] for identity in _identities(datasets)] != [i["sha256"] for i in identities]:
        raise ValueError(f"the dataset of {path} has another checksum than the one the run began with")
    return config, folder, datasets


def _datasets(options: TrainOptions) -> list[Dataset]:
    """One for each seed."""
    s = options.data_seed
    data_seeds = list(range(options.seeds)) if s is None else [s] * options.seeds
    prey = choose_prey(get_task(options.task), options.prey)
    return resolve_datasets(options.task, options.dataset, data_seeds, prey=prey)


def _identities(datasets: list[Dataset]) -> list[dict[str, str]]:
    return [{"path": str(dataset.path), "sha256": dataset.manifest.sha256} for dataset in datasets]
