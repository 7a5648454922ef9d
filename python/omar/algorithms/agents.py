"""The backbone that all algorithms share: TD3-style agents, stacked.

Member m = (seed m // N, agent m % N) has its own deterministic tanh policy, T critics (twins unless the
settings say otherwise, none where an algorithm needs none), and target copies of both. No target-policy noise
and no delayed actor, as in the released code.

A critic maps a context and its own agent's action to a value. The context is the agent's own observation
(independent critics: "ITD3"), or the observations of all N agents and the actions of the N - 1 others
(centralised critics, the paper's table 5). Nothing but `Agents.context` knows which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..nets import StackedMlp, candidate_values, joined
from .optimizer import StackedOptimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from ..nets import Observations, Step
    from .backbone import Backbone
    from .batch import Batch
    from .statistics import Statistics

ACTOR, CRITIC = 0, 1  # network numbers of the random initial weights
LAST_POLICY_LAYER = 3e-3  # first weights of the policy's last layer, so that no tanh starts saturated


class Agents:
    """M stacked agents: networks, targets and their optimisers.

    Attributes:
        actor: M policies.
        critic: T M critics; network t * M + m is Q^(t+1) of member m. Without critics there is no such
            attribute.
        shared: Critics that the agents of a seed share, where the algorithm makes such (`shared.py`).
    """

    actor: StackedOptimizer
    critic: StackedOptimizer
    shared: StackedOptimizer

    def __init__(
        self,
        settings: Backbone,
        *,
        seeds: Sequence[int],
        obs_size: int,
        action_size: int,
        learners: int = 1,
        has_critics: bool = True,
        learned_deviation: bool = False,
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
            learners: N, agents of a seed; matters to centralised critics alone.
            has_critics: Whether members have critics; how many, T, the settings say.
            learned_deviation: Whether the policies' state holds the numbers of `deviation`.
            observation_statistics: Of the data's observations, `[M, O]` each, with which actors and critics
                normalise them where `input_norm` is "dataset"; None leaves them as they are.
            action_statistics: Of the data's actions, `[M, A]` each, with which critics normalise them where
                `input_norm` is "dataset"; None leaves them as they are.
            device: Where the networks live.
            dtype: Of the networks.
        """
        self.settings, self.seeds = settings, tuple(seeds)
        self._kept: Callable[[], dict[str, Tensor]] = dict
        self.members, self.learners = len(seeds), learners
        self.obs_size, self.action_size = obs_size, action_size
        self._others = _others(self.members, learners, device)
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
        if settings.input_norm == "batch":
            actor.normalize_batches()
        elif settings.input_norm == "dataset" and observation_statistics is not None:
            actor.standardize(*observation_statistics)
        if learned_deviation:
            shape = self.members, action_size
            actor.register_parameter(
                "deviation", nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))
            )
        self.actor = self.optimizer(actor)
        if not has_critics:
            return
        critics = settings.num_critics
        critic = StackedMlp(
            critics * self.members,
            (self.context_size + action_size, h, h, 1),
            seeds=[*seeds] * critics,
            network=CRITIC,
            layer_norm=settings.critic_norm == "layer",
            device=device,
            dtype=dtype,
        )
        if settings.input_norm == "batch":
            critic.normalize_batches(self.members)  # one for all T
        elif settings.input_norm == "dataset":
            self._standardize(critic, observation_statistics, action_statistics)
        self.critic = self.optimizer(critic)

    def _standardize(self, critic: StackedMlp, observed: Statistics | None, acted: Statistics | None) -> None:
        """Lets the critics normalise by the data's statistics, of which either may be unknown."""
        if observed is None and acted is None:
            return
        device = critic.weights[0].device
        o = observed or _no_statistics(self.members, self.obs_size, device)
        a = acted or _no_statistics(self.members, self.action_size, device)
        pairs = ((x[:, None], y[:, None]) for x, y in zip(o, a, strict=True))
        inputs = [torch.cat([joined(self.context(x, y), y), y], dim=2)[:, 0] for x, y in pairs]
        critic.standardize(*(x.repeat(critic.members // self.members, 1) for x in inputs))

    def optimizer(self, networks: StackedMlp, members: int | None = None) -> StackedOptimizer:
        """An optimiser with the settings of all; `members`: of how many the networks are, None: M."""
        return StackedOptimizer(
            networks,
            members=members or self.members,
            learning_rate=self.settings.learning_rate,
            polyak_rate=self.settings.polyak_rate,
            clip_norm=self.settings.clip_norm,
        )

    @property
    def context_size(self) -> int:
        """C: numbers of a critic's context."""
        if self.settings.critic == "independent":
            return self.obs_size
        return self.learners * (self.obs_size + self.action_size) - self.action_size

    def context(self, observations: Tensor, actions: Tensor) -> Observations:
        """What the critics see beside their own agent's action.

        Args:
            observations: `[M, B, O]`.
            actions: `[M, B, A]`; centralised critics see those of the other agents.

        Returns:
            `[M, B, C]`. Independent: the observations. Centralised: the observations of all agents, then the
            actions of the others, both in the order of the agents; the observations as parts `[S, B, O]` that
            the members of a seed share, except for batch normalisation, which wants the whole.
        """
        n = self.learners
        if self.settings.critic == "independent" or n == 1:
            return observations
        joint = observations.view(-1, n, *observations.shape[1:]).unbind(1)
        parts = [*joint, *(actions.index_select(0, others) for others in self._others)]
        return joined(parts, actions) if self.settings.input_norm == "batch" else parts

    def begin(self, update: Step) -> None:
        """Sets the learning rate for the update of that number."""
        if self.settings.decay_updates:
            for stack in self._stacks().values():
                stack.set_learning_rate(self.settings.learning_rate_at(int(update)))

    def act(self, observations: Tensor) -> Tensor:
        """`pi(o)` as updates see it, batch normalisation included: `[M, B, O]` to actions `[M, B, A]`."""
        return torch.tanh(self.logits(observations))

    def logits(self, observations: Tensor) -> Tensor:
        """What the policies take the tanh of, `[M, B, A]`."""
        numbers: Tensor = self.actor.networks(observations, self.settings.kernels)
        return numbers

    def act_as_target(self, observations: Tensor) -> Tensor:
        """`pibar(o)` of the target policies, `[M, B, A]`."""
        return torch.tanh(self.actor.target(observations, self.settings.kernels))

    @property
    def deviation(self) -> Tensor:
        """`[M, A]`, at first 0: learned with the policies, for algorithms whose policies have a deviation.

        What it means is the algorithm's affair. The target copy has one too; acting asks for none.
        """
        return self.actor.networks.get_parameter("deviation")

    def follow(self, observations: Tensor) -> None:
        """Lets the statistics that policies act with, where they have any, follow a minibatch `[M, B, O]`."""
        if self.actor.networks.batch_norm is not None:
            self.actor.networks.batch_norm.follow(observations)

    def values(self, context: Observations, actions: Tensor) -> Tensor:
        """All critics' values of one action per state, `[T, M, B]`."""
        return self.values_of(self.critic.networks, context, actions)

    def first_values(self, context: Observations, actions: Tensor) -> Tensor:
        """Q^1 of one action per state, `[M, B]`, with gradients for the actions alone."""
        return self.values_of(self.critic.networks, context, actions, critics=1, fixed=True)[0]

    @torch.no_grad()
    def next_values(self, batch: Batch) -> Tensor:
        """`Qbar^k(o', pibar(o'))` of the target networks, `[T, M, B]`.

        A centralised critic sees the target policies' actions of all agents at their o', as in MATD3.
        """
        next_actions = self.act_as_target(batch.next_observations)
        context = self.context(batch.next_observations, next_actions)
        return self.target_values(context, next_actions)

    @torch.no_grad()
    def target_values(self, context: Observations, actions: Tensor) -> Tensor:
        """The target critics' values of one action per state, `[T, M, B]`."""
        return self.values_of(self.critic.target, context, actions)

    def values_of(
        self,
        networks: StackedMlp,
        context: Observations,
        actions: Tensor,
        critics: int | None = None,
        *,
        fixed: bool = False,
    ) -> Tensor:
        """What critics say of one action per state.

        Args:
            networks: T critics of each of the members that the other arguments are of.
            context: `[M, B, C]`.
            actions: `[M, B, A]`.
            critics: How many of the T, the first ones; None: all.
            fixed: Whether gradients are for the actions alone.

        Returns:
            `[T, M, B]`.
        """
        candidates, kernels = actions[:, :, None], self.settings.kernels
        values = candidate_values(
            networks, context, candidates, critics=critics, fixed=fixed, kernels=kernels
        )
        return values.squeeze(-1)

    def share(self, critics: StackedOptimizer, kept: Callable[[], dict[str, Tensor]]) -> None:
        """Takes what the agents of a seed share into the state.

        Args:
            critics: T for each seed.
            kept: Further tensors by name, `[S, ...]` each.
        """
        self.shared, self._kept = critics, kept

    def _stacks(self) -> dict[str, StackedOptimizer]:
        names = ("actor", "critic", "shared")
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by name; what the agents of a seed share has names that begin with `shared`."""
        stacks = self._stacks().items()
        found = {f"{kind}.{name}": tensor for kind, s in stacks for name, tensor in s.tensors().items()}
        return found | {f"shared.kept.{name}": tensor for name, tensor in self._kept().items()}

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], updates: int) -> None:
        """Takes over a state that `tensors` gave after `updates` updates."""
        for kind, stack in self._stacks().items():
            own = {n.removeprefix(f"{kind}."): t for n, t in tensors.items() if n.startswith(f"{kind}.")}
            stack.load(own, updates)
        for name, tensor in self._kept().items():
            tensor.copy_(tensors[f"shared.kept.{name}"])


def _others(members: int, learners: int, device: torch.device | str) -> list[Tensor]:
    """N - 1 times `[M]`: the first, second, ... of each member's seed that is not the member itself."""
    by_agent = [[j for j in range(learners) if j != i] for i in range(learners)]
    firsts = range(0, members, learners)
    return [
        torch.tensor([first + others[k] for first in firsts for others in by_agent], device=device)
        for k in range(learners - 1)
    ]


def _no_statistics(members: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A mean and a deviation `[M, size]` that leave numbers as they are."""
    return torch.zeros(members, size, device=device), torch.ones(members, size, device=device)
