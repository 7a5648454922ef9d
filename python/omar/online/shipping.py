"""Chooses the medium and expert policies of an online training, and writes them with their card."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..behaviors.policy_file import load_policy, save_policies
from ..behaviors.recording import save_recording
from ..behaviors.shipped import BEHAVIORS, CARD, PREY, RECORDING
from ..errors import OmarError
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..random import mix
from ..runs import ranges
from ..runs.decode import check_types
from ..runs.files import read_json, to_json, write_atomically
from ..runs.folder import versions
from ..runs.memory import check_worlds
from ..tasks import Score, Task, get_task, normalized_score
from ..terminal.cli import OptionalFolder
from .folder import POLICIES, OnlineFolder, policy_file
from .imitation import REPORT
from .measures import Measured, measure
from .recording import choose_recording
from .runs import COTRAINED, FROZEN, SHIPPED, read_config, recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..behaviors.policy import Policy

# Of a deviation that is too large: a policy may have the right mean because half of its episodes fail.
SPREAD = 0.5
CHOOSING, REPORTING = 0x63686F6F, 0x7265706F  # episodes that choose a policy are not those that report it


@dataclass(frozen=True, slots=True)
class ShipOptions:
    """Chooses behaviour policies from a training and writes them with a card, as the package ships them."""

    run: Path
    """Folder of a training by `python -m omar.collect train`, against the frozen prey where there is one."""
    out: Path
    """Folder of the task: its files are replaced."""
    imitation: OptionalFolder = None
    """Folder of `python -m omar.collect imitate` that the prey comes from."""
    noise: float = 0.1
    """Standard deviation of the noise that the datasets' actions get."""
    episodes: int = 10_000
    """Episodes of every reported return."""
    candidates: int = 24
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
    names = {quality: selection.nearest(task.qualities[quality].returns) for quality in BEHAVIORS}
    scale = task.references if prey is None else prey.scale
    uniform = measure(UniformPolicy(task.action_size), task, prey, options.episodes, REPORTING, progress=True)
    entry: dict[str, Any] = {
        "task": task.name,
        "noise": options.noise,
        "references": dataclasses.asdict(scale),
        "uniform": dataclasses.asdict(uniform),
        "command": source.command(),
        "training": source.settings,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for quality, name in names.items():
        policy = source.policy(name)
        whole = replace(policy, source={**policy.source, "quality": quality})
        save_policies(options.out / f"{quality}.safetensors", [whole])
        found = selection.report(name)
        noiseless = measure(policy, task, prey, options.episodes, REPORTING, progress=True)
        entry[quality] = {
            "sha256": policy.sha256,
            "update": source.update(name),
            "return": dataclasses.asdict(found),
            "return_without_noise": dataclasses.asdict(noiseless),
            "normalized": normalized_score(task, found.mean, scale),
        }
    recording, entry["medium_replay"] = choose_recording(
        *source.until(names["medium"]), task, noise=options.noise, episodes=options.episodes
    )
    save_recording(options.out / RECORDING, recording)
    if prey is not None:
        save_policies(options.out / f"{PREY}.safetensors", [prey])
        entry["prey"] = {"sha256": prey.sha256} | prey_origin(prey, options.imitation)
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

    def until(self, name: str) -> tuple[list[Policy], list[int]]:
        """The policies of the same seed that were evaluated up to that file's, and their updates."""
        seed, last = name.split("-update-", maxsplit=1)[0], self.update(name)
        names = [other for other in self.evaluations() if other.startswith(f"{seed}-update-")]
        updates = sorted(update for update in map(self.update, names) if update <= last)
        number = int(seed.removeprefix("seed-"))
        return [self.policy(policy_file(number, update)) for update in updates], updates

    @staticmethod
    def update(name: str) -> int:
        """The update that a policy's file is of."""
        return int(name.removesuffix(".safetensors").rsplit("-", 1)[1])


@dataclass(slots=True)
class PolicySelection:
    """Chooses among a training's policies by their returns with the noise of the datasets."""

    options: ShipOptions
    source: Source

    def nearest(self, aim: Score) -> str:
        """The policy whose noisy returns are most like these among the nearest of the training's evaluations.

        How far off it is: the difference of the means, and SPREAD of what the deviation is too large.
        """
        returns = self.source.evaluations()
        names = sorted(returns, key=lambda name: abs(returns[name] - aim.mean))[: self.options.candidates]

        def off(name: str) -> float:
            found = self._return(name, CHOOSING)
            largest = math.inf if aim.std is None else aim.std
            return abs(found.mean - aim.mean) + SPREAD * max(found.std - largest, 0.0)

        return min(names, key=off)

    def report(self, name: str) -> Measured:
        """Its return on episodes that had no part in choosing it."""
        return self._return(name, REPORTING)

    def _return(self, name: str, key: int) -> Measured:
        source, options = self.source, self.options
        policy = NoisyPolicy(source.policy(name), options.noise, mix(key))
        return measure(policy, source.task, source.prey, options.episodes, key, progress=True)


def training_command(settings: Mapping[str, Any]) -> str:
    """The command of a training from the settings in its folder; a frozen prey is the shipped one."""
    flat = {**settings, **settings["collection"], **settings["matd3"]}
    prey = {None: [], FROZEN: [f"--prey {SHIPPED}"], COTRAINED: [f"--prey {COTRAINED}"]}[settings["prey"]]
    left_out = {"prey", "collection", "matd3", "versions"}
    options = [f"--{n.replace('_', '-')} {v}" for n, v in flat.items() if n not in left_out]
    return " ".join(["python -m omar.collect train", *options, *prey])


def prey_origin(prey: Policy, imitation: Path | None) -> dict[str, Any]:
    """Who the prey is, and how alike it is to the one that it imitates.

    Raises:
        OmarError: The folder has no such prey.
    """
    origin: dict[str, Any] = {"source": dict(prey.source)}
    if imitation is None:
        return origin
    if load_policy(imitation / f"{PREY}.safetensors").sha256 != prey.sha256:
        raise OmarError(f"{imitation} does not hold the prey of this training")
    return origin | {"imitation": read_json(imitation / REPORT)}
