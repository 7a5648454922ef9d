"""`python -m omar.collect ship`: chooses the medium and expert policies of a training, with their card."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.policy import Behavior, read, to_bytes
from ..behaviors.prey import make_prey, prey_layers
from ..behaviors.shipped import CARD, FOLDER, PREY
from ..errors import OmarError
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..evaluation.returns import episode_returns
from ..random import mix
from ..runs.files import to_json, write_atomically
from ..runs.folder import versions
from ..tasks import Task, get_task
from ..terminal.cli import say
from .behaviors import COTRAINED, FROZEN, SHIPPED
from .folder import METRICS, POLICIES, Evaluation, OnlineFolder
from .recorded import replay_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..behaviors.prey import Prey
    from ..evaluation.policies import Policy

CHOOSING, REPORTING = 0x63686F6F, 0x7265706F  # episodes that choose a policy are not those that report it


@dataclass(frozen=True, slots=True)
class Measured:
    """Returns of a policy over many episodes."""

    mean: float
    stderr: float
    std: float
    episodes: int


@dataclass(frozen=True, slots=True)
class ShipBehaviors:
    """Chooses behaviour policies from a training and writes them with a card where the package finds them."""

    run: Path
    """Folder of a training by `python -m omar.collect train`, against the frozen prey where there is one."""
    prey_run: Path | None = None
    """Folder of the training that the prey comes from."""
    out: Path | None = None
    """Where the files go; the package's own folder of the task when not given."""
    noise: float = 0.1
    """Standard deviation of the noise that the datasets' actions get."""
    episodes: int = 10_000
    """Episodes of every reported return."""
    candidates: int = 6
    """Policies of the training that are measured with noise before one is chosen."""

    def __call__(self) -> int:
        """Runs the command."""
        source = Source.open(self.run)
        task, prey = source.task, source.prey
        selection = PolicySelection(self, source)
        expert = selection.best()
        random = measure(UniformPolicy(task.action_size), task, prey, self.episodes, REPORTING)
        returns = {"expert": selection.report(expert)}
        references = make_references(task, random, returns["expert"])
        span = references["expert"]["mean"] - references["random"]["mean"]
        aim = references["random"]["mean"] + span * task.qualities["medium"].normalized / 100
        medium = selection.nearest(aim)
        returns["medium"] = selection.report(medium)
        entry = {
            "task": task.name,
            "noise": self.noise,
            "references": references,
            "uniform": dataclasses.asdict(random),
            "command": source.command(),
            "training": source.settings,
            "medium_replay": dataclasses.asdict(replay_recipe(task.name)),
        }
        out = FOLDER / task.name if self.out is None else self.out
        out.mkdir(parents=True, exist_ok=True)
        for quality, name in (("medium", medium), ("expert", expert)):
            policy = source.policy(name)
            write_atomically(out / f"{quality}.safetensors", to_bytes(policy.layers))
            normalized = 100 * (returns[quality].mean - references["random"]["mean"]) / span
            entry[quality] = {
                "sha256": policy.sha256,
                "update": source.update(name),
                "return": dataclasses.asdict(returns[quality]),
                "return_without_noise": dataclasses.asdict(
                    measure(policy, task, prey, self.episodes, REPORTING)
                ),
                "normalized": normalized,
            }
            say(f"{quality}: {name}, return {returns[quality].mean:.1f}, normalized {normalized:.1f}")
        if prey is not None:
            write_atomically(out / f"{PREY}.safetensors", to_bytes(prey_layers(prey)))
            entry["prey"] = {"sha256": prey.sha256()} | prey_origin(prey, self.prey_run)
        write_atomically(out / CARD, to_json({**entry, "versions": versions()}))
        say(f"wrote {out}")
        return 0


@dataclass(frozen=True, slots=True)
class Source:
    """The policies of a training."""

    folder: Path
    settings: dict[str, Any]
    task: Task
    prey: Prey | None

    @staticmethod
    def open(folder: Path) -> Source:
        """Reads what a training left.

        Raises:
            OmarError: No training is there, or its prey was trained too: no two policies had the same one.
        """
        settings = OnlineFolder(folder).settings()
        task = get_task(settings["task"])
        path = folder / "prey.safetensors"
        prey = None
        if task.has_prey:
            if not path.is_file():
                raise OmarError(
                    f"the prey of {folder} was trained together with the predators: behaviour policies "
                    f"need a training against a frozen prey"
                )
            layers = read(path, networks=1, obs_size=task.obs_sizes[-1], action_size=task.action_size)
            prey = make_prey(layers, "trained")
        return Source(folder, settings, task, prey)

    def command(self) -> str:
        """The command line that began the training, all of its settings spelled out."""
        return training_command(self.settings)

    def evaluations(self) -> dict[str, float]:
        """Return of every policy by its file's name."""
        lines = (self.folder / METRICS).read_text(encoding="utf-8").splitlines()
        found = [Evaluation(**json.loads(line)) for line in lines]
        return {
            f"seed-{seed}-update-{e.update:08d}.safetensors": value
            for e in found
            for seed, value in enumerate(e.returns)
        }

    def policy(self, name: str) -> Behavior:
        """The policy of that file."""
        sizes = {"obs_size": self.task.obs_size, "action_size": self.task.action_size}
        return Behavior(read(self.folder / POLICIES / name, networks=self.task.num_learners, **sizes))

    @staticmethod
    def update(name: str) -> int:
        """The update that a policy's file is of."""
        return int(name.removesuffix(".safetensors").rsplit("-", 1)[1])


@dataclass(slots=True)
class PolicySelection:
    """Chooses among a training's policies by their returns with the noise of the datasets."""

    options: ShipBehaviors
    source: Source

    def best(self) -> str:
        """The policy with the highest return among the highest of the training's evaluations."""
        returns = self.source.evaluations()
        names = sorted(returns, key=lambda name: -returns[name])[: self.options.candidates]
        return max(names, key=lambda name: self._return(name, CHOOSING).mean)

    def nearest(self, aim: float) -> str:
        """The policy with the return nearest to `aim` among the nearest of the training's evaluations."""
        returns = self.source.evaluations()
        names = sorted(returns, key=lambda name: abs(returns[name] - aim))[: self.options.candidates]
        return min(names, key=lambda name: abs(self._return(name, CHOOSING).mean - aim))

    def report(self, name: str) -> Measured:
        """Its return on episodes that had no part in choosing it."""
        return self._return(name, REPORTING)

    def _return(self, name: str, key: int) -> Measured:
        source, options = self.source, self.options
        policy = NoisyPolicy(source.policy(name), options.noise, mix(key))
        return measure(policy, source.task, source.prey, options.episodes, key)


def measure(policy: Policy, task: Task, prey: Prey | None, episodes: int, key: int) -> Measured:
    """Returns of one policy."""
    returns = episode_returns(policy, task, seeds=1, episodes=episodes, seed=mix(key, 0), prey=prey)
    std = float(returns.std())
    return Measured(float(returns.mean()), std / math.sqrt(episodes), std, episodes)


def training_command(settings: Mapping[str, Any]) -> str:
    """The command of a training from the settings in its folder; a frozen prey is the shipped one."""
    flat = {**settings, **settings["collection"], **settings["matd3"]}
    prey = {None: [], FROZEN: [f"--prey {SHIPPED}"], COTRAINED: [f"--prey {COTRAINED}"]}[settings["prey"]]
    left_out = {"prey", "collection", "matd3", "versions"}
    options = [f"--{n.replace('_', '-')} {v}" for n, v in flat.items() if n not in left_out]
    return " ".join(["python -m omar.collect train", *options, *prey])


def prey_origin(prey: Prey, run: Path | None) -> dict[str, Any]:
    """Which training the prey comes from, and from which of its updates.

    Raises:
        OmarError: The training has no such prey.
    """
    if run is None:
        return {}
    data = to_bytes(prey_layers(prey))
    for path in sorted((run / POLICIES).glob("*-prey-*.safetensors")):
        if path.read_bytes() == data:
            settings = OnlineFolder(run).settings()
            command = training_command(settings)
            return {"command": command, "training": settings, "update": Source.update(path.name)}
    raise OmarError(f"{run / POLICIES} does not hold this prey")


def make_references(task: Task, random: Measured, expert: Measured) -> dict[str, Any]:
    """Returns that score 0 and 100.

    Without a prey: the paper's. With our prey: uniform actions count as 0, and 100 is set where the expert
    dataset gets the normalized mean that the published expert set has against its own prey.
    """
    if not task.has_prey:
        r = task.references
        return {"random": {"mean": r.random}, "expert": {"mean": r.expert}, "source": r.source}
    level = task.qualities["expert"].normalized / 100
    return {
        "random": {"mean": random.mean, "stderr": random.stderr},
        "expert": {
            "mean": random.mean + (expert.mean - random.mean) / level,
            "stderr": math.hypot(expert.stderr / level, random.stderr * (1 - 1 / level)),
        },
        "source": f"this project, with its own prey; the expert set's normalized mean is {100 * level:.0f}, "
        f"the published one's",
    }
