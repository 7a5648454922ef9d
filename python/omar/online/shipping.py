"""Chooses the medium and expert policies of an online training, and writes them with their card."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.policy_file import load_policy, save_policies
from ..behaviors.shipped import CARD, PREY
from ..errors import OmarError
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..random import mix
from ..runs import ranges
from ..runs.decode import check_types
from ..runs.files import to_json, write_atomically
from ..runs.folder import versions
from ..runs.memory import check_worlds
from ..tasks import References, Task, get_task
from .folder import POLICIES, OnlineFolder, policy_file
from .measures import Measured, measure
from .recorded import replay_recipe
from .runs import COTRAINED, FROZEN, SHIPPED, read_config, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..behaviors.policy import Policy

CHOOSING, REPORTING = 0x63686F6F, 0x7265706F  # episodes that choose a policy are not those that report it


@dataclass(frozen=True, slots=True)
class ShipOptions:
    """Chooses behaviour policies from a training and writes them with a card, as the package ships them."""

    run: Path
    """Folder of a training by `python -m omar.collect train`, against the frozen prey where there is one."""
    out: Path
    """Folder of the task: its files are replaced."""
    prey_run: Path | None = None
    """Folder of the training that the prey comes from."""
    noise: float = 0.1
    """Standard deviation of the noise that the datasets' actions get."""
    episodes: int = 10_000
    """Episodes of every reported return."""
    candidates: int = 6
    """Policies of the training that are measured with noise before one is chosen."""

    def check(self) -> None:
        """Raises SettingError where an option has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 0, "noise")
        ranges.at_least(self, 1, "candidates")
        ranges.at_least(self, 2, "episodes")  # one has no standard error


def ship(options: ShipOptions) -> dict[str, Any]:
    """Chooses the policies, measures them, and writes everything.

    Returns:
        The card: how the policies were trained, their returns, and what scores 0 and 100.

    Raises:
        OmarError: No training there, or one whose prey was trained too.
        OSError: The files cannot be written.
    """
    options.check()
    source = Source.open(options.run)
    task, prey = source.task, source.prey
    check_worlds(sum(task.obs_sizes), options.episodes, "--episodes")
    selection = PolicySelection(options, source)
    names = {"expert": selection.best()}
    random = measure(UniformPolicy(task.action_size), task, prey, options.episodes, REPORTING)
    returns = {"expert": selection.report(names["expert"])}
    references = make_references(task, random, returns["expert"])
    span = references["expert"]["mean"] - references["random"]["mean"]
    aim = references["random"]["mean"] + span * task.qualities["medium"].normalized / 100
    names["medium"] = selection.nearest(aim)
    returns["medium"] = selection.report(names["medium"])
    entry = {
        "task": task.name,
        "noise": options.noise,
        "references": references,
        "uniform": dataclasses.asdict(random),
        "command": source.command(),
        "training": source.settings,
        "medium_replay": dataclasses.asdict(replay_recipe(task.name)),
    }
    scale = to_references(references) if task.has_prey else None  # None: the paper's
    shipped_prey = None if prey is None else replace(prey, references=scale)
    options.out.mkdir(parents=True, exist_ok=True)
    for quality in ("medium", "expert"):
        policy = source.policy(names[quality])
        origin = {**policy.source, "quality": quality}
        whole = replace(policy, references=scale, prey=shipped_prey, source=origin)
        save_policies(options.out / f"{quality}.safetensors", [whole])
        noiseless = measure(policy, task, prey, options.episodes, REPORTING)
        entry[quality] = {
            "sha256": policy.sha256,
            "update": source.update(names[quality]),
            "return": dataclasses.asdict(returns[quality]),
            "return_without_noise": dataclasses.asdict(noiseless),
            "normalized": 100 * (returns[quality].mean - references["random"]["mean"]) / span,
        }
    if shipped_prey is not None:
        save_policies(options.out / f"{PREY}.safetensors", [shipped_prey])
        entry["prey"] = {"sha256": shipped_prey.sha256} | prey_origin(shipped_prey, options.prey_run)
    entry["versions"] = versions()
    write_atomically(options.out / CARD, to_json(entry))
    return entry


@dataclass(frozen=True, slots=True)
class Source:
    """The policies of a training."""

    folder: Path
    settings: dict[str, Any]
    task: Task
    prey: Policy | None

    @staticmethod
    def open(folder: Path) -> Source:
        """Reads what a training left.

        Raises:
            OmarError: No training is there, or its prey was trained too: no two policies had the same one.
        """
        config = read_config(folder)
        task = get_task(config.task)
        prey = OnlineFolder(folder).frozen_prey()
        if task.has_prey and prey is None:
            raise OmarError(
                f"the prey of {folder} was trained together with the predators: behaviour policies "
                f"need a training against a frozen prey"
            )
        source = Source(folder, recorded(config), task, prey)
        if not source.evaluations():
            raise OmarError(f"{folder} has no evaluated policy yet")
        return source

    def command(self) -> str:
        """The command line that began the training, all of its settings spelled out."""
        return training_command(self.settings)

    def evaluations(self) -> dict[str, float]:
        """Return of every policy by its file's name."""
        return {
            policy_file(seed, e.update): value
            for e in OnlineFolder(self.folder).lines()
            for seed, value in enumerate(e.returns)
        }

    def policy(self, name: str) -> Policy:
        """The policy of that file."""
        return load_policy(self.folder / POLICIES / name)

    @staticmethod
    def update(name: str) -> int:
        """The update that a policy's file is of."""
        return int(name.removesuffix(".safetensors").rsplit("-", 1)[1])


@dataclass(slots=True)
class PolicySelection:
    """Chooses among a training's policies by their returns with the noise of the datasets."""

    options: ShipOptions
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


def training_command(settings: Mapping[str, Any]) -> str:
    """The command of a training from the settings in its folder; a frozen prey is the shipped one."""
    flat = {**settings, **settings["collection"], **settings["matd3"]}
    prey = {None: [], FROZEN: [f"--prey {SHIPPED}"], COTRAINED: [f"--prey {COTRAINED}"]}[settings["prey"]]
    left_out = {"prey", "collection", "matd3", "versions"}
    options = [f"--{n.replace('_', '-')} {v}" for n, v in flat.items() if n not in left_out]
    return " ".join(["python -m omar.collect train", *options, *prey])


def prey_origin(prey: Policy, run: Path | None) -> dict[str, Any]:
    """Which training the prey comes from, and from which of its updates.

    Raises:
        OmarError: The training has no such prey.
    """
    if run is None:
        return {}
    for path in sorted((run / POLICIES).glob("*-prey-*.safetensors")):
        if load_policy(path).sha256 == prey.sha256:
            settings = recorded(read_config(run))
            command = training_command(settings)
            return {"command": command, "training": settings, "update": Source.update(path.name)}
    raise OmarError(f"{run / POLICIES} does not hold this prey")


def to_references(entry: Mapping[str, Any]) -> References:
    """A card's `references` as a policy has them."""
    return References(entry["random"]["mean"], entry["expert"]["mean"], entry["source"])


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
