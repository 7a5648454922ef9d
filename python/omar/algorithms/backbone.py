"""The settings that all algorithms share, and their values by task and preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ..nets import Kernels
from ..runs import ranges
from ..runs.decode import check_types
from .optimizer import falling_rate
from .presets import PresetName, by_quality, look_up

MOST_STATES = 2**24  # the search numbers the states of a minibatch with 24 bits
MOST_CRITICS = 64
MOST_DECAY = 2**32 - 1  # no run is longer

CriticKind: TypeAlias = Literal["independent", "centralized"]
CriticNorm: TypeAlias = Literal["none", "layer"]
InputNorm: TypeAlias = Literal["batch", "dataset", "none"]

# Discount factor by preset: the released code runs 0.95 everywhere, the appendix says 0.99.
GAMMA: dict[PresetName, float] = {"released": 0.95, "paper": 0.99}

# Updates of every agent in the released code; the appendix's 200,000 steps are 2,000 such updates.
UPDATES = {
    "simple_spread": by_quality(6000, 2000, 2000, 2000),
    "simple_tag": by_quality(2000, 1000, 2000, 2000),
    "simple_world": by_quality(1000, 1000, 1000, 1000),
    "half_cheetah": by_quality(100_000, 100_000, 100_000, 100_000),
}


@dataclass(frozen=True, slots=True)
class Backbone:
    """Settings of the shared backbone. The defaults are the released code's for the particle tasks."""

    gamma: float = 0.95
    """Discount factor; released code: 0.95, appendix: 0.99."""
    batch_size: int = 1024
    """Transitions in each member's minibatch."""
    learning_rate: float = 0.01
    """Adam's, for actors and critics; at the first update where it falls."""
    final_learning_rate: float = 0.001
    """The learning rate once it has fallen."""
    decay_updates: int = 0
    """Updates over which the learning rate falls linearly to the final one; 0: it never falls."""
    polyak_rate: float = 0.01
    """Share of the new weights mixed into the targets at each update."""
    hidden: int = 64
    """Width of both hidden layers."""
    clip_norm: float = 0.5
    """Largest gradient norm of an actor, and of a member's critics together."""
    action_penalty: float = 1e-3
    """Weight of mean(pi(o)^2) in the actor's loss; bc and icq have no such term."""
    critic: CriticKind = "independent"
    """What a critic sees: its own agent's observation and action, or those of all agents."""
    num_critics: int = 2
    """T: critics of each member. Targets take the least of their values; actors follow the first."""
    critic_norm: CriticNorm = "none"
    """layer: layer norm before each ReLU of the critics; none: as in the released code."""
    reward_scale: float = 1.0
    """Factor on the data's rewards."""
    input_norm: InputNorm = "batch"
    """How networks normalise their inputs. batch: by the statistics of each minibatch, as the released code's
    BatchNorm; dataset: by those of the data; none: not at all."""
    kernels: Kernels = "auto"
    """How networks run. fused: the CPU kernels; plain: LibTorch's operations; auto: fused where possible."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.between(self, 2 if self.input_norm == "batch" else 1, MOST_STATES, "batch_size")
        ranges.at_least(self, 1, "hidden")
        ranges.between(self, 1, MOST_CRITICS, "num_critics")
        ranges.between(self, 0, MOST_DECAY, "decay_updates")
        ranges.positive(self, "learning_rate", "clip_norm", "reward_scale")
        ranges.between(self, 0, 1, "gamma", brackets="[)")
        ranges.between(self, 0, 1, "polyak_rate", brackets="(]")
        ranges.at_least(self, 0, "action_penalty", "final_learning_rate")

    def learning_rate_at(self, update: int) -> float:
        """Adam's rate in the update of that number, counted from 0: a function of nothing else."""
        if update >= self.decay_updates:
            return self.final_learning_rate if self.decay_updates else self.learning_rate
        return falling_rate(self.learning_rate, self.final_learning_rate, update / self.decay_updates)

    @staticmethod
    def preset(task: str, name: PresetName) -> Backbone:
        """The backbone of a preset in a task; a task without a row gets the defaults."""
        return replace(BACKBONES.get(task, Backbone()), gamma=GAMMA[name])


# Rows by task: what the released code and appendix B.1 agree on.
PARTICLE = Backbone(batch_size=1024, learning_rate=0.01, polyak_rate=0.01, hidden=64)
BACKBONES = {
    "simple_spread": PARTICLE,
    "simple_tag": PARTICLE,
    "simple_world": PARTICLE,
    "half_cheetah": Backbone(batch_size=256, learning_rate=3e-4, polyak_rate=0.005, hidden=256),
}


def preset_updates(task: str, quality: str) -> int:
    """Updates of every agent on a task's dataset, the same for all algorithms."""
    return look_up(UPDATES, task, quality, otherwise=2000)
