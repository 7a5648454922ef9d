"""Chooses which policies of a training make its recording, and for how long each of them acts.

The published medium-replay sets hold what a training collected until it reached the medium level. Recorded
are policies at even distances from the training's start to its medium policy. They have shares of the set
beforehand (`Shares`), which are then weighed by exp(lambda x return), so that the set has the published set's
mean return: of all shares with that mean, they are the nearest to those beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..behaviors.recording import Recording, record
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..random import mix
from .measures import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..behaviors.policy import Policy
    from ..evaluation.policies import Actor
    from ..tasks import Task

LARGEST = 680_000  # bytes of the policies of a recording
MOST = 20  # policies of a recording
STEEPEST = 5.0  # largest |lambda| in units of one over the spread of the returns
RECORDING = 0x7265636F  # episodes that the recorded policies are measured in


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of a set before they are weighed; policies that are not named have equal parts."""

    uniform: float  # of what the last policies leave: by uniform actions
    last: int = 0  # policies at the end
    of_last: float = 0.0  # what they share, in equal parts, and keep

    def described(self) -> str:
        """How the shares come about, for the card."""
        end = f"the last {self.last} share {self.of_last:g} of the set; " if self.last else ""
        return (
            f"evenly spaced policies of the training up to the medium one; {end}the others and uniform "
            f"actions, {self.uniform:g} of the rest beforehand, are weighed by exp(lambda x return) so that "
            f"the set has the published mean"
        )


# A prey is caught late in a training, all at once; a cheetah gets faster from the start.
SHARES = {"half_cheetah": Shares(0.1)}
PARTICLE_SHARES = Shares(0.6, last=6, of_last=0.1)


def spaced(updates: Sequence[int], params: int) -> list[int]:
    """Positions of as many of these updates, in even distances and with the last one, as a file holds.

    Args:
        updates: Of the policies to choose from, in order.
        params: Numbers of a policy, of two bytes each.
    """
    count = min(MOST, len(updates), LARGEST // (2 * params))
    last = len(updates) - 1
    return sorted({round(last * (i + 1) / count) for i in range(count)})


def weigh(returns: Sequence[float], aim: float, shares: Shares = PARTICLE_SHARES) -> list[float]:
    """Shares of K + 1 actors, uniform actions first, so that the mean return is as near to `aim` as can be.

    Args:
        returns: [K + 1].
        aim: Mean return of the whole set.
        shares: Beforehand.
    """
    last = min(shares.last, len(returns) - 1)
    early, late = list(returns[: len(returns) - last]), list(returns[len(returns) - last :])
    rest = 1 - shares.of_last
    wanted = (aim - shares.of_last * sum(late) / max(last, 1)) / rest
    ramp = len(early) - 1
    before = [shares.uniform, *([(1 - shares.uniform) / ramp] * ramp)] if ramp else [1.0]
    spread = max(early) - min(early) or 1.0
    low, high = -STEEPEST / spread, STEEPEST / spread
    for _ in range(100):
        middle = (low + high) / 2
        weights = _tilted(before, early, middle)
        if sum(w * r for w, r in zip(weights, early, strict=True)) < wanted:
            low = middle
        else:
            high = middle
    weighed = _tilted(before, early, (low + high) / 2)
    return [rest * weight for weight in weighed] + [shares.of_last / max(last, 1)] * last


def _tilted(before: Sequence[float], returns: Sequence[float], slope: float) -> list[float]:
    exponents = [slope * value for value in returns]
    top = max(exponents)
    weights = [b * math.exp(e - top) for b, e in zip(before, exponents, strict=True)]
    return [weight / sum(weights) for weight in weights]


def choose_recording(
    policies: Sequence[Policy], updates: Sequence[int], task: Task, *, noise: float, episodes: int
) -> tuple[Recording, dict[str, Any]]:
    """The recording of a training whose policies these are, from its start to the medium one.

    Args:
        policies: Evaluated ones, in order.
        updates: Of each of them.
        task: That they act in.
        noise: On their actions.
        episodes: That each of the recorded ones is measured in.

    Returns:
        The recording, and what the card says of it.
    """
    params = sum(tensor.numel() for tensor in (*policies[0].weights, *policies[0].biases))
    chosen = spaced(updates, params)
    picked = [policies[i] for i in chosen]
    # Rounded before they are measured: it is the rounded ones that act in the set.
    rounded = record(picked, [updates[i] for i in chosen], [1.0, *(0.0 for _ in chosen)])
    prey = policies[0].prey
    noisy = (NoisyPolicy(policy, noise, mix(RECORDING)) for policy in rounded.policies)
    actors: list[Actor] = [UniformPolicy(task.action_size), *noisy]
    returns = [measure(actor, task, prey, episodes, RECORDING, progress=True) for actor in actors]
    means = [found.mean for found in returns]
    before = SHARES.get(task.name, PARTICLE_SHARES)
    shares = weigh(means, task.qualities["medium-replay"].returns.mean, before)
    recording = Recording(rounded.policies, rounded.updates, tuple(shares))
    return recording, describe(recording, returns, before)


def describe(recording: Recording, returns: Sequence[Measured], before: Shares) -> dict[str, Any]:
    """The card's entry of a recording."""
    names = ["uniform", *(f"update {update}" for update in recording.updates)]
    means = [found.mean for found in returns]
    return {
        "sha256": recording.sha256,
        "return": sum(share * mean for share, mean in zip(recording.shares, means, strict=True)),
        "how": before.described(),
        "actors": [
            {"actor": name, "share": share, "return": mean}
            for name, share, mean in zip(names, recording.shares, means, strict=True)
        ],
    }
