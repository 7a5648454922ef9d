"""Chooses which policies of a training make its recording, and for how long each of them acts.

The published medium-replay sets hold what a training collected until it reached the medium level. Recorded
are policies at even distances from the training's start to its medium policy. The last six of them play
the last tenth, in equal parts. The other nine tenths go to uniform actions, 0.6 of them beforehand, and to
the other policies in equal parts; these shares are then weighed by exp(lambda x return), so that the set has
the published set's mean return: of all shares with that mean, they are the nearest to those beforehand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..behaviors.recording import Recording, record
from ..evaluation.policies import NoisyPolicy, UniformPolicy
from ..random import mix
from .measures import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..behaviors.policy import Policy
    from ..tasks import Task

LARGEST = 680_000  # bytes of the policies of a recording
MOST = 20  # policies of a recording
LAST = 6  # policies that share the last tenth
UNIFORM = 0.6  # of the first nine tenths, by uniform actions, before they are weighed
STEEPEST = 5.0  # largest |lambda| in units of one over the spread of the returns
RECORDING = 0x7265636F  # episodes that the recorded policies are measured in


def spaced(updates: Sequence[int], params: int) -> list[int]:
    """Positions of as many of these updates, in even distances and with the last one, as a file holds.

    Args:
        updates: Of the policies to choose from, in order.
        params: Numbers of a policy, of two bytes each.
    """
    count = min(MOST, len(updates), LARGEST // (2 * params))
    last = len(updates) - 1
    return sorted({round(last * (i + 1) / count) for i in range(count)})


def weigh(returns: Sequence[float], aim: float) -> list[float]:
    """Shares of K + 1 actors, uniform actions first, so that the mean return is as near to `aim` as can be.

    Args:
        returns: [K + 1].
        aim: Mean return of the whole set.
    """
    last = min(LAST, len(returns) - 1)
    early = list(returns[:-last])
    wanted = (aim - 0.1 * sum(returns[-last:]) / last) / 0.9
    ramp = len(early) - 1
    before = [UNIFORM, *([(1 - UNIFORM) / ramp] * ramp)] if ramp else [1.0]
    spread = max(early) - min(early) or 1.0
    low, high = -STEEPEST / spread, STEEPEST / spread
    for _ in range(100):
        middle = (low + high) / 2
        weights = _tilted(before, early, middle)
        if sum(w * r for w, r in zip(weights, early, strict=True)) < wanted:
            low = middle
        else:
            high = middle
    return [0.9 * weight for weight in _tilted(before, early, (low + high) / 2)] + [0.1 / last] * last


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
    returns = [measure(UniformPolicy(task.action_size), task, prey, episodes, RECORDING)]
    for policy in rounded.policies:
        returns.append(measure(NoisyPolicy(policy, noise, mix(RECORDING)), task, prey, episodes, RECORDING))
    means = [found.mean for found in returns]
    shares = weigh(means, task.qualities["medium-replay"].returns.mean)
    recording = Recording(rounded.policies, rounded.updates, tuple(shares))
    return recording, describe(recording, returns)


def describe(recording: Recording, returns: Sequence[Measured]) -> dict[str, Any]:
    """The card's entry of a recording."""
    names = ["uniform", *(f"update {update}" for update in recording.updates)]
    means = [found.mean for found in returns]
    return {
        "sha256": recording.sha256,
        "return": sum(share * mean for share, mean in zip(recording.shares, means, strict=True)),
        "how": "evenly spaced policies of the training up to the medium one; the last six share the last "
        "tenth; the others and uniform actions, 0.6 of the rest beforehand, are weighed by exp(lambda x "
        "return) so that the set has the published mean",
        "actors": [
            {"actor": name, "share": share, "return": mean}
            for name, share, mean in zip(names, recording.shares, means, strict=True)
        ],
    }
