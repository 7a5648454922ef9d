"""A model of one step of the world, learned from the data: the next state from state and actions.

The state is the joint observation of the N agents without what is redundant in it: most of its numbers are
linear functions of a few others (the offsets between agents follow from their positions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..errors import OmarError
from ..nets import StackedMlp
from .base import Stage
from .batch import by_member, by_row
from .optimizer import falling_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ..nets import Kernels
    from .base import LossTerms
    from .batch import Batch
    from .statistics import Facts

REDUNDANT = 1e-4  # deviation of a direction, as a share of the largest, below which it holds nothing
TINY = 1e-8  # squared length below which a vector has no direction
RIDGE = 1e-9
REWEIGHTED = 8  # rounds of the linear fit
HUBER = 0.3  # error, in deviations of a step, from which on the loss grows linearly
LAST_RATE = 0.02  # of the first learning rate
ENCODER, HEAD = 2, 3  # network numbers of the random initial weights
FIRST_HEAD = 0.1  # scale of the head's first weights: at first the model is about its linear part


class States:
    """Joint observations as states `z` `[S, B, Z]` of mean 0 and covariance 1: `o = mean + z decode`.

    Attributes:
        size: Z.
        varying: Which numbers of an agent's observation are not constant.
    """

    def __init__(self, facts: Facts, *, fovea: float) -> None:
        """Finds the directions in which a sample of the data varies.

        Args:
            facts: With the sample.
            fovea: Of `features`.

        Raises:
            OmarError: Datasets of seeds that vary in a different number of directions.
        """
        observations = facts.observations  # [S, R, N, O]
        seeds, rows, learners, obs = observations.shape
        flat = observations.flatten(2).double()
        mean = flat.mean(dim=1, keepdim=True)
        centred = flat - mean
        spread, directions = torch.linalg.eigh(centred.transpose(1, 2) @ centred / rows)
        deviation = spread.clamp_min(0).sqrt()
        wanted = deviation > REDUNDANT * deviation[:, -1:]
        sizes = {int(n) for n in wanted.sum(dim=1)}
        if len(sizes) != 1:
            raise OmarError("the datasets of the seeds vary in a different number of directions")
        (self.size,) = sizes
        kept, scale = directions[..., -self.size :], deviation[:, None, -self.size :]
        self.encode, self.decode = (kept / scale).float(), (kept * scale).transpose(1, 2).float().contiguous()
        self.mean = mean.float()
        self.learners, self.obs_size, self.fovea = learners, obs, fovea
        pooled = flat.reshape(seeds, rows * learners, obs)
        center, std = pooled.mean(dim=1), pooled.std(dim=1, correction=0)
        varying = std > REDUNDANT
        if not bool((varying == varying[0]).all()):
            raise OmarError("the datasets of the seeds vary in different numbers of the observations")
        self.varying = varying[0].nonzero()[:, 0]
        self.center, self.std = (x[:, self.varying].float()[:, None] for x in (center, std))

    def tensors(self) -> dict[str, Tensor]:
        """What a model learned in these states belongs to, by name, `[S, ...]` each."""
        names = ("mean", "encode", "decode", "center", "std")
        return {f"states.{name}": getattr(self, name) for name in names}

    def of(self, observations: Tensor) -> Tensor:
        """States `[S, B, Z]` of the observations `[S N, B, O]` of all agents."""
        states: Tensor = (by_row(observations, self.learners).flatten(2) - self.mean) @ self.encode
        return states

    def observations(self, states: Tensor) -> Tensor:
        """Observations `[S, B, N, O]` of states `[S, B, Z]`."""
        joint = torch.baddbmm(self.mean, states, self.decode)
        return joint.view(*states.shape[:2], self.learners, self.obs_size)

    def normalized(self, states: Tensor) -> Tensor:
        """What varies in each agent's observation, normalised: `[S, B N, O]`, row by row."""
        varying = self.observations(states)[..., self.varying].flatten(1, 2)
        numbers: Tensor = (varying - self.center) / self.std
        return numbers

    @property
    def num_features(self) -> int:
        """F of `features`."""
        return len(self.varying) + len(self.varying) // 2 * 3

    def features(self, states: Tensor) -> Tensor:
        """What networks see of each agent in states `[S, B, Z]`: `[S, B N, F]`, row by row.

        Its normalised observation, and for each vector of two numbers in it the logarithm of the length and
        the direction, in which what is near stands out: `log(|v| + l)` and `v / (|v| + l)`, where l is
        `fovea` times the vector's usual length.
        """
        numbers = self.normalized(states)
        vectors = _pairs(torch.addcmul(self.center, numbers, self.std))
        usual = _pairs(self.std.square() + self.center.square()).sum(dim=3).sqrt()
        length = (vectors.square().sum(dim=3) + TINY).sqrt() + self.fovea * usual
        return torch.cat([numbers, length.log(), (vectors / length[..., None]).flatten(2)], dim=2)


class Dynamics:
    """`f(z, a)`: a linear step, fitted to the data, and what a network adds to it.

    The network sees every agent's observation and action by itself (one network for all agents of a seed),
    and a linear layer makes the step out of what it says of all of them.
    """

    def __init__(
        self, states: States, facts: Facts, *, seeds: Sequence[int], hidden: int, kernels: Kernels = "auto"
    ) -> None:
        """Fits the linear part.

        Args:
            states: Of the same facts.
            facts: Of the data.
            seeds: Keys of the S seeds' first weights.
            hidden: Width of the network.
            kernels: How networks run.
        """
        self.states, self.kernels = states, kernels
        learners, action_size = facts.actions.shape[2:]
        before, after = (
            states.of(by_member(facts.observations)),
            states.of(by_member(facts.next_observations)),
        )
        self.linear = _robust_fit(before, facts.actions.flatten(2), after - before)
        self.scale = (after - before).std(dim=1, keepdim=True)
        size = states.num_features + action_size
        self.encoder = StackedMlp(len(seeds), (size, hidden, hidden), seeds=seeds, network=ENCODER)
        self.head = StackedMlp(
            len(seeds),
            (learners * hidden, states.size),
            seeds=seeds,
            network=HEAD,
            last_layer_scale=FIRST_HEAD,
        )
        for stack in (self.encoder, self.head):
            stack.requires_grad_(False)  # but while it is learned

    def __call__(self, states: Tensor, actions: Tensor) -> Tensor:
        """Next states `[S, B, Z]` of states `[S, B, Z]` and actions `[S, B, N, A]`."""
        rows = torch.cat([self.states.features(states), actions.flatten(1, 2)], dim=2)
        said = torch.relu(self.encoder(rows, self.kernels)).view(*states.shape[:2], -1)
        straight = torch.baddbmm(
            self.linear[:, -1:], torch.cat([states, actions.flatten(2)], dim=2), self.linear[:, :-1]
        )
        step: Tensor = straight + self.scale * self.head(said, "plain")
        return states + step

    def error(self, batch: Batch) -> Tensor:
        """Huber loss of the step, in its deviations, mean over rows and directions: `[S]`."""
        before, after = self.states.of(batch.observations), self.states.of(batch.next_observations)
        off = (self(before, by_row(batch.actions, self.states.learners)) - after) / self.scale
        return torch.nn.functional.huber_loss(off, torch.zeros_like(off), reduction="none", delta=HUBER).mean(
            dim=(1, 2)
        )

    def tensors(self) -> dict[str, Tensor]:
        """The learned network by name, `[S, ...]` each."""
        stacks = {"encoder": self.encoder, "head": self.head}
        found = {f"{k}.{n}": p.detach() for k, stack in stacks.items() for n, p in stack.named_parameters()}
        return found | {"linear": self.linear, "scale": self.scale}


class LearnModel(Stage):
    """Learning the network of a model."""

    title = "learning the model"

    def __init__(self, model: Dynamics, *, updates: int, batch_size: int, learning_rate: float) -> None:
        """Args: Adam's rate falls linearly from `learning_rate` to LAST_RATE of it."""
        self.model, self.updates, self.batch_size = model, updates, batch_size
        self._rate = learning_rate
        for stack in (model.encoder, model.head):
            stack.requires_grad_(True)
        parameters = [*model.encoder.parameters(), *model.head.parameters()]
        self._adam = torch.optim.Adam(parameters, lr=learning_rate, fused=True)

    def update(self, batch: Batch, step: int) -> LossTerms:
        """One step of Adam on the error of the step."""
        rate = falling_rate(self._rate, LAST_RATE * self._rate, step / self.updates)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.zero_grad()
        error = self.model.error(batch)
        error.sum().backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return {"model": error.detach()}

    def finish(self) -> None:
        """From now on gradients flow through the network, but not to it."""
        for stack in (self.model.encoder, self.model.head):
            stack.requires_grad_(False)
            stack.zero_grad()


def _pairs(numbers: Tensor) -> Tensor:
    """`[S, R, O]` as vectors of two numbers, `[S, R, O // 2, 2]`; an odd one at the end is left out."""
    pairs = numbers.shape[2] // 2
    return numbers[..., : 2 * pairs].reshape(*numbers.shape[:2], pairs, 2)


def _robust_fit(states: Tensor, actions: Tensor, steps: Tensor) -> Tensor:
    """Linear steps `[S, Z + N A + 1, Z]` of least absolute error, by reweighted least squares.

    Contacts are rare and strong; least squares would spread them over all steps.
    """
    inputs = torch.cat([states, actions, torch.ones_like(states[..., :1])], dim=2).double()
    wanted, weights = steps.double(), torch.ones_like(states[..., :1]).double()
    ridge = RIDGE * torch.eye(inputs.shape[2], dtype=torch.float64)
    for _ in range(REWEIGHTED):
        weighed = inputs * weights
        fit = torch.linalg.solve(weighed.transpose(1, 2) @ inputs + ridge, weighed.transpose(1, 2) @ wanted)
        weights = 1.0 / (wanted - inputs @ fit).norm(dim=2, keepdim=True).clamp_min(1e-3)
    linear: Tensor = fit.float()
    return linear
