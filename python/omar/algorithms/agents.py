"""The backbone that all algorithms share: independent TD3-style agents ("ITD3"), stacked.

Member m = (seed m // N, agent m % N) has its own deterministic tanh policy, twin critics on its own
observation and action, and target copies of both. No target-policy noise and no delayed actor, as in
the released code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..nets import Path, StackedMlp, candidate_values, core_path
from . import losses
from .optimizer import StackedOptimizer
from .settings import check_learner, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from .statistics import Statistics

ACTOR, CRITIC = 0, 1  # network numbers of the random initial weights
LAST_POLICY_LAYER = 3e-3  # first weights of the policy's last layer, so that no tanh starts saturated


@dataclass(frozen=True, slots=True)
class Backbone:
    """Settings of the shared backbone. The defaults are the released code's for the particle tasks."""

    gamma: float = setting(0.95, "discount factor; appendix: 0.99, released code: 0.95")
    batch_size: int = setting(1024, "transitions in each member's minibatch")
    learning_rate: float = setting(0.01, "Adam's, for actors and critics")
    polyak_rate: float = setting(0.01, "share of the new weights mixed into the targets at each update")
    hidden: int = setting(64, "width of both hidden layers")
    clip_norm: float = setting(0.5, "largest gradient norm of an actor, and of a pair of twin critics")
    action_penalty: float = setting(1e-3, "weight of mean(pi(o)^2) in every actor loss")
    path: Path = setting("auto", "fused: the CPU kernels; plain: LibTorch ops; auto: fused where it can")

    def __post_init__(self) -> None:
        """Raises ValueError where a setting is out of range."""
        positive = ("batch_size", "hidden", "learning_rate", "clip_norm")
        check_learner(self, positive=positive, penalty="action_penalty")
        core_path(self.path)


@dataclass(frozen=True, slots=True)
class Batch:
    """Minibatches of M members: each member has its own rows and sees its own agent's columns."""

    observations: Tensor  # [M, B, O], as they are: the networks normalise them
    actions: Tensor  # [M, B, A]
    rewards: Tensor  # [M, B]
    next_observations: Tensor  # [M, B, O]
    terminated: Tensor | None = None  # [M, B], 1 where the episode ended; None where the data has no such row


class Agents:
    """M stacked agents: networks, targets and their optimisers.

    Attributes:
        actor: M policies.
        critic: 2 M critics; network t * M + m is Q^(t+1) of member m.
    """

    def __init__(
        self,
        settings: Backbone,
        *,
        seeds: Sequence[int],
        obs_size: int,
        action_size: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        observation_statistics: Statistics | None = None,
        action_statistics: Statistics | None = None,
    ) -> None:
        """Draws the first weights.

        Args:
            settings: Of the backbone.
            seeds: Seed of every member, M of them; members of one seed differ.
            obs_size: O.
            action_size: A.
            observation_statistics: Of the data's observations, `[M, O]` each, with which actors and critics
                normalise them; None leaves them as they are.
            action_statistics: Of the data's actions, `[M, A]` each, with which critics normalise them; None
                leaves them as they are.
            device: Where the networks live.
            dtype: Of the networks.
        """
        self.settings = settings
        self.members = len(seeds)
        self.obs_size, self.action_size = obs_size, action_size
        h = settings.hidden
        actor = StackedMlp(
            self.members,
            (obs_size, h, h, action_size),
            seeds=seeds,
            network=ACTOR,
            last_layer_scale=LAST_POLICY_LAYER * h**0.5,
            device=device,
            dtype=dtype,
        )
        critic = StackedMlp(
            2 * self.members,
            (obs_size + action_size, h, h, 1),
            seeds=[*seeds, *seeds],
            network=CRITIC,
            device=device,
            dtype=dtype,
        )
        if observation_statistics is not None:
            actor.standardize(*observation_statistics)
        if observation_statistics is not None or action_statistics is not None:
            parts = (
                observation_statistics or _no_statistics(self.members, obs_size, device),
                action_statistics or _no_statistics(self.members, action_size, device),
            )
            mean, std = (torch.cat(columns, dim=1).repeat(2, 1) for columns in zip(*parts, strict=True))
            critic.standardize(mean, std)
        self.actor, self.critic = (
            StackedOptimizer(
                networks,
                members=self.members,
                learning_rate=settings.learning_rate,
                polyak_rate=settings.polyak_rate,
                clip_norm=settings.clip_norm,
            )
            for networks in (actor, critic)
        )

    def act(self, observations: Tensor) -> Tensor:
        """`pi(o)`: `[M, B, O]` to actions `[M, B, A]`."""
        return torch.tanh(self.actor.networks(observations, self.settings.path))

    def values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Both critics' values of one action per state, `[2, M, B]`."""
        return self._values(self.critic.networks, observations, actions)

    def first_values(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Q^1 of one action per state, `[M, B]`."""
        return self._values(self.critic.networks, observations, actions, critics=1)[0]

    def _values(
        self, networks: StackedMlp, observations: Tensor, actions: Tensor, critics: int | None = None
    ) -> Tensor:
        candidates = actions[:, :, None]
        path = self.settings.path
        return candidate_values(networks, observations, candidates, critics=critics, path=path).squeeze(-1)

    def targets(self, batch: Batch) -> Tensor:
        """`y = r + gamma min_k Qbar^k(o', pibar(o'))`, `[M, B]`."""
        with torch.no_grad():
            next_actions = torch.tanh(self.actor.target(batch.next_observations, self.settings.path))
            next_values = self._values(self.critic.target, batch.next_observations, next_actions)
            return losses.td_target(batch.rewards, next_values, self.settings.gamma, batch.terminated)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name."""
        named = {f"actor.{name}": tensor for name, tensor in self.actor.tensors().items()}
        return named | {f"critic.{name}": tensor for name, tensor in self.critic.tensors().items()}

    def load(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Takes over a state that `tensors` gave after `updates` updates."""
        for kind, stack in (("actor.", self.actor), ("critic.", self.critic)):
            stack.load({n.removeprefix(kind): t for n, t in tensors.items() if n.startswith(kind)}, updates)


def _no_statistics(members: int, size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """A mean and a deviation `[M, size]` that leave numbers as they are."""
    return torch.zeros(members, size, device=device), torch.ones(members, size, device=device)
