"""Afterstate actor-critic: values of where actions lead, by a model of one step learned from the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from ..errors import OmarError, SettingError
from ..nets import StackedMlp
from ..random import Draw, mix, normal_like, uniform_actions
from ..runs import ranges
from ..runs.decode import check_types
from ..runs.memory import COPIES
from . import losses
from .backbone import Backbone
from .base import Algorithm, Preset, Stage, take_steps
from .batch import by_member, by_row
from .cloning import LEAST, Anchor, Clone
from .dynamics import Dynamics, LearnModel, States
from .presets import by_quality
from .shared import check_shared_critics, share_critics

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ..tasks import Task
    from .agents import Agents
    from .base import LossTerms
    from .batch import Batch
    from .presets import PresetName
    from .statistics import Facts

NOISE, RESET = 0x6E6F6973, 0x72657365  # keys of the imagined states' random numbers
DECAY = 2000  # updates until the learning rate stays where it is
UPDATES = by_quality(4000, 2000, 2000, 2000)  # uniform actions take longer to learn from
MOST = 2**16  # imagined states, and units of the model's layers
FARTHEST = 12.0  # deviations from which on an imagined state is none


@dataclass(frozen=True, slots=True)
class AfterstateSettings:
    """Settings of the model, of the cloning beforehand, and of the actors' losses."""

    model_updates: int = 6000
    """Updates of the model, before those of the agents."""
    model_batch_size: int = 256
    """Transitions in each minibatch of the model."""
    model_hidden: int = 128
    """Width of the model's network."""
    model_learning_rate: float = 4e-3
    """Adam's for the model at first; it falls linearly to a fiftieth."""
    clone_updates: int = 300
    """Updates in which the policies imitate the data, before those of the agents."""
    anchor: float = 0.003
    """Weight of the imitation in the actors' loss, for each unit that the behaviour's precision (one over its
    variance around the clone) is above that of uniform actions."""
    imagined: int = 128
    """Imagined states in each minibatch, beside the data's."""
    imagined_noise: float = 0.1
    """Standard deviation of the noise on actions in imagined steps."""
    restart: float = 0.1
    """Probability with which an imagined state starts anew from the data."""
    fovea: float = 0.03
    """Length, as a share of a vector's usual one, below which networks see little more of it."""
    logit_penalty: float = 0.01
    """Weight of the mean square of what the policies' tanh is taken of."""

    def __post_init__(self) -> None:
        """Raises SettingError where a setting has the wrong type or is out of range."""
        check_types(self)
        ranges.at_least(self, 1, "model_updates", "model_batch_size", "clone_updates")
        ranges.between(self, 1, MOST, "imagined", "model_hidden")
        ranges.at_least(self, 0, "anchor", "imagined_noise", "logit_penalty")
        ranges.positive(self, "model_learning_rate", "fovea")
        ranges.between(self, 0, 1, "restart")


class Afterstate(Algorithm[AfterstateSettings]):
    """Afterstate actor-critic. z is the state of all agents, o_i what agent i sees of it, r the mean reward.

        beforehand: learn the model f(z, a) -> z'; let the policies pi_i imitate the data
        U(z) = sum_i u(o_i, i): what it is worth to come to z; R(z) likewise: the reward of coming there
        states: rows of the data, and imagined ones, which follow pi and f from the data's
        y = r + gamma min(min_k Ubar^k(f(z', pibar(z'))), largest return in the data)
        critics: descend  sum_k mean (U^k(z') - y)^2 + mean (R^k(z') - r)^2
        v = U^1(f(z, pi(z)))
        actors: descend  -mean v / std v + anchor max(0, 1 / variance - 3) mean |pi_i(o_i) - a_i|^2
                         + 0.01 mean logits^2
        targets: follow critics and actors

    The variance is that of the data's actions around the clone; that of uniform ones is 1 / 3. In imagined
    steps r is R.
    """

    Settings: ClassVar[type[AfterstateSettings]] = AfterstateSettings
    has_critics: ClassVar[bool] = False  # they are its own: they take no action
    needs_facts: ClassVar[bool] = True
    joint_rows: ClassVar[bool] = True
    estimates_values: ClassVar[bool] = True
    sized_by: ClassVar[tuple[str, ...]] = ("--model-hidden", "--model-batch-size", "--imagined")

    def __init__(self, settings: AfterstateSettings, agents: Agents, facts: Facts | None = None) -> None:
        """As `Algorithm`'s; fits the states and the linear part of the model."""
        super().__init__(settings, agents, facts)
        _check(agents)
        assert facts is not None  # noqa: S101 - the base class looks
        self.largest = facts.largest_returns[:, None]
        self.learners = agents.learners
        seeds = agents.seeds[:: self.learners]
        backbone = agents.settings
        self.states = States(facts, fovea=settings.fovea)
        self.model = Dynamics(
            self.states, facts, seeds=seeds, hidden=settings.model_hidden, kernels=backbone.kernels
        )
        self.anchor = Anchor(settings.anchor, torch.zeros(len(seeds)))
        self.pool = torch.zeros(len(seeds), settings.imagined, self.states.size)
        kept = {"weight": self.anchor.weight, "pool": self.pool} | self.states.tensors()
        self.critic = share_critics(
            agents,
            inputs=self.states.num_features + self.learners,
            outputs=2,
            kept=lambda: kept | self.model.tensors(),
        )

    @classmethod
    def preset(cls, task: str, quality: str, name: PresetName) -> Preset[AfterstateSettings]:
        """One setting for all datasets of the particle tasks; twice the updates on random data."""
        backbone = Backbone(
            batch_size=128,
            learning_rate=2e-3,
            final_learning_rate=2e-4,
            decay_updates=DECAY,
            polyak_rate=0.04,
            action_penalty=0.0,
            critic_norm="layer",
            reward_scale=0.1,
            input_norm="dataset",
        )
        updates = UPDATES.get(quality, UPDATES["random"])
        return Preset(backbone, AfterstateSettings(), updates)

    @classmethod
    def suits(cls, task: Task) -> bool:
        """Where what all agents see says where actions lead."""
        return task.state_size == 0

    @classmethod
    def footprint(cls, settings: AfterstateSettings, backbone: Backbone, task: Task) -> int:
        """The model, the critics, and the larger of the model's minibatch and the imagined rows of an update.

        How many directions the data varies in, it alone says: here they count as one.
        """
        n, h, w = task.num_learners, backbone.hidden, settings.model_hidden
        model = (COPIES - 1) * w * (w + task.action_size + n)  # it has no target
        critics = COPIES * backbone.num_critics * h * (h + n)
        learned = settings.model_batch_size * n * (2 * task.obs_size + task.action_size + 2 * w)
        imagined = settings.imagined * n * (2 * task.obs_size + task.action_size + 2 * h)
        return model + critics + max(learned, imagined)

    def stages(self) -> tuple[Stage, ...]:
        """Learning the model, and cloning."""
        s = self.settings
        learning = LearnModel(
            self.model,
            updates=s.model_updates,
            batch_size=s.model_batch_size,
            learning_rate=s.model_learning_rate,
        )
        return learning, Clone(self.agents, s.clone_updates, self.anchor.measure)

    def update(self, batch: Batch, draw: Draw) -> LossTerms:
        """One update of critics and actors, on rows of the data and as many imagined states."""
        z, after = self.states.of(batch.observations), self.states.of(batch.next_observations)
        rewards = by_row(batch.rewards, self.learners).mean(dim=2)
        imagined, led_to, imagined_rewards = self._imagine(z, draw)
        known = rewards.shape[1]
        z, after = torch.cat([z, imagined], dim=1), torch.cat([after, led_to], dim=1)
        terminated = torch.zeros_like(z[..., 0])
        if batch.terminated is not None:
            terminated[:, :known] = by_row(batch.terminated, self.learners)[..., 0]
        rewards = torch.cat([rewards, imagined_rewards], dim=1)
        return take_steps(
            self.agents.actor,
            self.critic,
            lambda: self._actor_terms(z, batch),
            lambda: self._critic_terms(after, rewards, terminated, known),
        )

    def _critic_terms(self, after: Tensor, rewards: Tensor, terminated: Tensor, known: int) -> LossTerms:
        """The TD error of all states that were come to, and the error of the rewards that the data knows.

        Args:
            after: `[S, B, Z]`.
            rewards: `[S, B]`.
            terminated: `[S, B]`, 1 where the episode ended.
            known: How many of the B, the first ones, are the data's.
        """
        with torch.no_grad():
            actions = self._act(after, self.agents.act_as_target)
            following, _ = self._worth(self.critic.target, self.model(after, actions))
            bounded = torch.minimum(following, self.largest)
            targets = losses.td_target(rewards, bounded, self.agents.settings.gamma, terminated)
        values, guessed = self._worth(self.critic.networks, after)
        reward_error = (guessed[:, :, :known] - rewards[:, :known]).square().mean(dim=2).sum(dim=0)
        return {"td": losses.td_error(values, targets), "reward": reward_error}

    def _actor_terms(self, z: Tensor, batch: Batch) -> LossTerms:
        """The value of where the policies lead, the anchor on the data's rows, and the logits' penalty."""
        agents, n = self.agents, self.learners
        logits = agents.logits(self._seen(z))
        actions = torch.tanh(logits)
        values, _ = self._worth(self.critic.networks, self.model(z, by_row(actions, n)), critics=1)
        value = -values[0].mean(dim=1) / values[0].detach().std(dim=1).clamp_min(LEAST)
        known = actions[:, : batch.actions.shape[1]]
        return {
            "value": value.repeat_interleave(n),
            "anchor": self.anchor.term(known, batch.actions) / n,
            "logits": self.settings.logit_penalty * losses.action_norm(logits) / n,
        }

    @torch.no_grad()
    def _imagine(self, z: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Imagined states, where their steps lead, and the rewards there; the pool goes a step on."""
        settings, count = self.settings, self.settings.imagined
        data = z[:, torch.arange(count) % z.shape[1]]
        states = data if draw.step == 0 else self.pool.clone()
        actions = self._act(states, self.agents.act)
        noise = normal_like(tuple(actions.shape), Draw(mix(draw.seed, NOISE), draw.step), like=actions)
        actions = (actions + settings.imagined_noise * noise).clamp(-1.0, 1.0)
        led_to = self.model(states, actions)
        _, rewards = self._worth(self.critic.networks, led_to)
        fate = uniform_actions((len(z), count, 1), Draw(mix(draw.seed, RESET), draw.step), like=z)
        lost = led_to.abs().amax(dim=2, keepdim=True) > FARTHEST
        self.pool.copy_(torch.where((fate < 2 * settings.restart - 1) | lost, data, led_to))
        return states, led_to, rewards.mean(dim=0)

    def _seen(self, z: Tensor) -> Tensor:
        """What every member sees of states `[S, B, Z]`: `[S N, B, O]`."""
        return by_member(self.states.observations(z))

    def _act(self, z: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
        """Actions `[S, B, N, A]` in states `[S, B, Z]`."""
        return by_row(act(self._seen(z)), self.learners)

    def _worth(self, networks: StackedMlp, z: Tensor, critics: int | None = None) -> tuple[Tensor, Tensor]:
        """U and R of states `[S, B, Z]` by the first critics (None: all): `[T, S, B]` each."""
        rows = self._features(z)
        count = self.agents.settings.num_critics if critics is None else critics
        said = networks(rows.repeat(count, 1, 1), self.agents.settings.kernels, count * len(z))
        summed = said.view(count, len(z), -1, self.learners, 2).sum(dim=3)
        return summed[..., 0], summed[..., 1]

    def _features(self, z: Tensor) -> Tensor:
        """What the critics see of each agent in states `[S, B, Z]`: its features, and which one it is."""
        who = torch.eye(self.learners).repeat(z.shape[1], 1).expand(len(z), -1, -1)
        return torch.cat([self.states.features(z), who], dim=2)

    def estimate(self, observations: Tensor, actions: Tensor) -> Tensor:
        """U^1 of where the actions lead, in the data's units of reward."""
        z = self.model(self.states.of(observations), by_row(actions, self.learners))
        values, _ = self._worth(self.critic.networks, z, critics=1)
        return (values[0] / self.agents.settings.reward_scale).repeat_interleave(self.learners, dim=0)


def _check(agents: Agents) -> None:
    """Refuses settings of the backbone that would mean nothing here."""
    check_shared_critics("afterstate", agents.settings)
    if agents.settings.batch_size < 2:
        raise SettingError("batch_size", f"must be at least 2, got {agents.settings.batch_size}")
    if agents.actor.networks.weights[0].device.type != "cpu":
        raise OmarError("afterstate runs on the CPU: --device cpu")
