"""The prey of the authors' `pretrained_adv_model.pt`, read without executing what a pickle may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import DatasetError
from .prey import Prey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..tasks import Task


BATCH_NORM_EPS = 1e-5


AUTHORS_PREY_INDEX = 3  # the prey's place among the agents of the authors' checkpoint


AUTHORS_LAYERS = ("fc1", "fc2", "fc3")


def load_prey(path: Path, task: Task) -> Prey:
    """Loads the prey of the authors' `pretrained_adv_model.pt`, without executing what a pickle may hold.

    The checkpoint's normalisation of observations is folded into the first layer.

    Raises:
        DatasetError: No such file, a file that is not such a checkpoint, or a prey of another task.
    """
    if not task.has_prey:
        raise DatasetError(f"{task.name} has no prey, but {path} was given")
    if not path.is_file():
        raise DatasetError(f"no prey at {path}: there is no such file")
    weights, biases = fold(_policy(_load(path), path))
    expected = (task.obs_sizes[-1], task.action_size)
    found = (weights[0].shape[1], weights[-1].shape[2])
    if found != expected:
        raise DatasetError(
            f"{path} is not a prey of {task.name}: it maps {found[0]} numbers to {found[1]}, "
            f"{expected[0]} to {expected[1]} are needed"
        )
    return Prey(path.name, weights, biases)


def fold(policy: Mapping[str, Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Weights [1, in, out] and biases [1, out], the batch normalisation folded into the first layer.

    Args:
        policy: `in_fn.*` (weight, bias, running_mean, running_var) and `fc1.*`, `fc2.*`, `fc3.*` as torch.nn
            names them, weights [out, in].
    """
    tensors = {name: tensor.to(torch.float64) for name, tensor in policy.items()}
    scale = tensors["in_fn.weight"] / torch.sqrt(tensors["in_fn.running_var"] + BATCH_NORM_EPS)
    shift = tensors["in_fn.bias"] - tensors["in_fn.running_mean"] * scale
    weights = [tensors[f"{layer}.weight"].T for layer in AUTHORS_LAYERS]
    biases = [tensors[f"{layer}.bias"] for layer in AUTHORS_LAYERS]
    biases[0] = biases[0] + shift @ weights[0]
    weights[0] = scale[:, None] * weights[0]
    return (
        tuple(weight[None].float().contiguous() for weight in weights),
        tuple(bias[None].float().contiguous() for bias in biases),
    )


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not a checkpoint
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise DatasetError(f"{path} is not a checkpoint of tensors and plain values: {reason}") from None


def _policy(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    try:
        policy = checkpoint["agent_params"][AUTHORS_PREY_INDEX]["policy"]
        names = [f"in_fn.{name}" for name in ("weight", "bias", "running_mean", "running_var")]
        names += [f"{layer}.{name}" for layer in AUTHORS_LAYERS for name in ("weight", "bias")]
        found = {name: policy[name] for name in names}
    except (KeyError, IndexError, TypeError) as error:
        raise DatasetError(
            f"{path} is not the authors' prey: agent_params[{AUTHORS_PREY_INDEX}]['policy'] lacks {error}"
        ) from None
    if not all(isinstance(tensor, torch.Tensor) and tensor.isfinite().all() for tensor in found.values()):
        raise DatasetError(f"{path} is not the authors' prey: its policy must hold finite tensors")
    _check_shapes(found, path)
    return found


def _check_shapes(policy: Mapping[str, Tensor], path: Path) -> None:
    size = policy["in_fn.weight"].numel()
    for name in ("weight", "bias", "running_mean", "running_var"):
        if policy[f"in_fn.{name}"].shape != (size,):
            raise DatasetError(f"{path} is not the authors' prey: in_fn.{name} must be [{size}]")
    for layer in AUTHORS_LAYERS:
        weight, bias = policy[f"{layer}.weight"], policy[f"{layer}.bias"]
        if weight.ndim != 2 or weight.shape[1] != size or bias.shape != weight.shape[:1]:
            raise DatasetError(f"{path} is not the authors' prey: {layer}.weight must be [out, {size}]")
        size = weight.shape[0]
