"""Behaviour policies: stacked tanh networks on raw observations, and their files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from .. import _core
from ..errors import OmarError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from ..nets import StackedMlp


@dataclass(frozen=True, slots=True, eq=False)
class Behavior:
    """Deterministic policies of N learners on raw observations: `a_n = tanh(mlp_n(o_n))`.

    Attributes:
        layers: `weights.i` [N, in, out] and `biases.i` [N, out] of every layer.
    """

    layers: Mapping[str, Tensor]

    @property
    def weights(self) -> list[Tensor]:
        """Per layer [N, in, out]."""
        return [self.layers[f"weights.{i}"] for i in range(len(self.layers) // 2)]

    @property
    def biases(self) -> list[Tensor]:
        """Per layer [N, out]."""
        return [self.layers[f"biases.{i}"] for i in range(len(self.layers) // 2)]

    @property
    def learners(self) -> int:
        """N."""
        return int(self.weights[0].shape[0])

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return hashlib.sha256(to_bytes(self.layers)).hexdigest()

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """Actions `[E, N, A]` for observations `[E, N, O]`."""
        by_learner = observations.transpose(0, 1).contiguous()
        return torch.tanh(_core.nn_forward(self.weights, self.biases, by_learner)).transpose(0, 1)

    def __call__(self, observations: Tensor) -> Tensor:
        """Actions `[S, W, N, A]` for observations `[S, W, N, O]`, as `evaluate.episode_returns` asks."""
        actions = self.act(observations.flatten(0, 1))
        return actions.view(*observations.shape[:3], -1)


def network(mlp: StackedMlp, members: Sequence[int]) -> dict[str, Tensor]:
    """A copy of some members' layers by name: `weights.i` [N, in, out], `biases.i` [N, out]."""
    return {name: tensor.detach()[list(members)].clone() for name, tensor in mlp.named_parameters()}


def fold(layers: Mapping[str, Tensor], mean: Tensor, std: Tensor, obs_size: int) -> dict[str, Tensor]:
    """Moves the normalisation of the inputs into the first layer, and drops the inputs beyond `obs_size`.

    Args:
        layers: Of N networks on `(o - mean) / std`.
        mean: [N, O].
        std: [N, O].
        obs_size: Inputs that remain; those after it are padding, always zero.

    Returns:
        Layers of N networks on o, with the same outputs.
    """
    weight, bias = layers["weights.0"].double(), layers["biases.0"].double()
    weight = weight / std.double()[:, :, None]
    bias = bias - torch.einsum("no,noh->nh", mean.double(), weight)
    return {
        **layers,
        "weights.0": weight[:, :obs_size].float().contiguous(),
        "biases.0": bias.float(),
    }


def to_bytes(layers: Mapping[str, Tensor]) -> bytes:
    """The layers as a safetensors file."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in layers.items()})


def read(path: Path, *, networks: int, obs_size: int, action_size: int) -> dict[str, Tensor]:
    """Layers from a file of `to_bytes`.

    Raises:
        OmarError: Damaged, or not N networks of these sizes.
        OSError: The file cannot be read.
    """
    try:
        layers = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise OmarError(f"{path} is damaged: {error}") from None
    depth = len(layers) // 2
    names = {f"{kind}.{i}" for kind in ("weights", "biases") for i in range(depth)}
    width = obs_size
    if not layers or layers.keys() != names:
        raise OmarError(f"{path} is not a policy file: it holds {', '.join(sorted(layers)) or 'no tensors'}")
    for i in range(depth):
        out = action_size if i == depth - 1 else layers[f"biases.{i}"].shape[-1]
        for kind, shape in (("weights", (networks, width, out)), ("biases", (networks, out))):
            found = layers[f"{kind}.{i}"]
            if found.shape != shape or found.dtype != torch.float32:
                raise OmarError(
                    f"{path} is not a policy of {networks} networks from {obs_size} to {action_size} "
                    f"numbers: {kind}.{i} is {found.dtype} {list(found.shape)}, expected float32 "
                    f"{list(shape)}"
                )
        width = out
    return layers
