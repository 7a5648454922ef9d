"""The prey of simple_tag and simple_world: who moves the agent that does not learn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ..tasks import References


@dataclass(frozen=True, slots=True, eq=False)
class Prey:
    """A prey: a frozen deterministic network, or uniform actions when it has no layers.

    Layers are stacked with one member, [1, in, out] and [1, out], ReLU between them and tanh at the end.
    """

    source: str  # "uniform", "shipped" or the file's name
    weights: tuple[Tensor, ...] = ()
    biases: tuple[Tensor, ...] = ()
    references: References | None = None  # S_random and S_expert against this prey; the paper's when None

    @property
    def is_uniform(self) -> bool:
        """Whether the prey acts uniformly at random instead of through a network."""
        return not self.weights

    def recipe(self) -> dict[str, Any]:
        """What of the prey decides a dataset's bytes."""
        return {"source": "uniform"} if self.is_uniform else {"source": "network", "sha256": self.sha256()}

    def sha256(self) -> str:
        """Checksum of the weights."""
        digest = hashlib.sha256()
        for layer in zip(self.weights, self.biases, strict=True):
            for tensor in layer:
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def act(self, observations: Tensor) -> Tensor:
        """Actions [E, 2] of a network prey for its observations [E, O]."""
        x = observations
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = torch.relu(torch.addmm(bias[0], x, weight[0]))
        return torch.tanh(torch.addmm(self.biases[-1][0], x, self.weights[-1][0]))


UNIFORM_PREY = Prey("uniform")


def make_prey(layers: Mapping[str, Tensor], source: str) -> Prey:
    """A prey from the layers of one network."""
    depth = len(layers) // 2
    return Prey(
        source,
        tuple(layers[f"weights.{i}"] for i in range(depth)),
        tuple(layers[f"biases.{i}"] for i in range(depth)),
    )


def prey_layers(prey: Prey) -> dict[str, Tensor]:
    """The layers that `make_prey` makes this prey from."""
    named = {f"weights.{i}": weight for i, weight in enumerate(prey.weights)}
    return named | {f"biases.{i}": bias for i, bias in enumerate(prey.biases)}
