"""Critics that all agents of a seed share: T for each seed, not for each member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SettingError
from ..nets import StackedMlp
from .agents import CRITIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .agents import Agents
    from .backbone import Backbone
    from .optimizer import StackedOptimizer
    from .statistics import Statistics


def share_critics(
    agents: Agents,
    *,
    inputs: int,
    outputs: int,
    kept: Callable[[], dict[str, Tensor]],
    statistics: Statistics | None = None,
) -> StackedOptimizer:
    """Makes the critics and takes them into the agents' state.

    Args:
        agents: Whose.
        inputs: Numbers that the critics see.
        outputs: Numbers that they say.
        kept: Further tensors of the state by name, `[S, ...]` each.
        statistics: By which the critics normalise what they see, `[S, inputs]` each; None: not at all.

    Returns:
        T S critics; network t * S + s is the (t+1)-th of seed s.
    """
    settings, seeds = agents.settings, agents.seeds[:: agents.learners]
    like = agents.actor.networks.weights[0]
    networks = StackedMlp(
        settings.num_critics * len(seeds),
        (inputs, settings.hidden, settings.hidden, outputs),
        seeds=[*seeds] * settings.num_critics,
        network=CRITIC,
        layer_norm=settings.critic_norm == "layer",
        device=like.device,
        dtype=like.dtype,
    )
    if statistics is not None:
        networks.standardize(*(column.repeat(settings.num_critics, 1) for column in statistics))
    critics = agents.optimizer(networks, networks.members)
    agents.share(critics, kept)
    return critics


def check_shared_critics(algorithm: str, backbone: Backbone) -> None:
    """Refuses settings of the backbone that mean nothing to an algorithm with shared critics.

    Raises:
        SettingError: Names the setting and what it must be.
    """
    if backbone.critic == "centralized":
        raise SettingError("critic", f"must be independent: the critics of {algorithm} see all agents anyway")
    if backbone.input_norm != "dataset":
        raise SettingError("input_norm", f"must be dataset: {algorithm} normalises by the data alone")
    if backbone.action_penalty:
        raise SettingError("action_penalty", f"must be 0: {algorithm} has --logit-penalty instead")
