"""The prey of the authors' `pretrained_adv_model.pt`, read without executing what a pickle may hold."""

from __future__ import annotations

import io
import pickletools
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from ..errors import OmarError
from .policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..tasks import Task


BATCH_NORM_EPS = 1e-5
PREY_INDEX = 3  # the prey's place among the agents of the authors' checkpoint
LAYERS = ("fc1", "fc2", "fc3")
STATISTICS = ("weight", "bias", "running_mean", "running_var")
LARGEST = 64 * 2**20  # bytes of a checkpoint, packed or not; the authors' has less than 1 MiB


def read_authors_prey(path: Path, task: Task) -> Policy:
    """The prey of the authors' `pretrained_adv_model.pt`, without executing what a pickle may hold.

    The checkpoint's normalisation of observations is folded into the first layer. The paper's references are
    those of this prey.

    Raises:
        OmarError: A file that is not such a checkpoint, or a prey of another task.
    """
    weights, biases = fold(_tensors(_load(path), path))
    expected = (task.obs_sizes[-1], task.action_size)
    found = (weights[0].shape[1], weights[-1].shape[2])
    if found != expected:
        raise OmarError(
            f"{path} is not a prey of {task.name}: it maps {found[0]} numbers to {found[1]}, "
            f"{expected[0]} to {expected[1]} are needed"
        )
    try:
        return Policy(weights, biases, task.name, source={"file": path.name})
    except OmarError as error:
        raise OmarError(f"{path} is not the authors' prey: {error}") from None


def fold(policy: Mapping[str, Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Weights [1, in, out] and biases [1, out], the batch normalisation folded into the first layer.

    Args:
        policy: `in_fn.*` (weight, bias, running_mean, running_var) and `fc1.*`, `fc2.*`, `fc3.*` as torch.nn
            names them, weights [out, in].
    """
    tensors = {name: tensor.to(torch.float64) for name, tensor in policy.items()}
    scale = tensors["in_fn.weight"] / torch.sqrt(tensors["in_fn.running_var"] + BATCH_NORM_EPS)
    shift = tensors["in_fn.bias"] - tensors["in_fn.running_mean"] * scale
    weights = [tensors[f"{layer}.weight"].T for layer in LAYERS]
    biases = [tensors[f"{layer}.bias"] for layer in LAYERS]
    biases[0] = biases[0] + shift @ weights[0]
    weights[0] = scale[:, None] * weights[0]
    return (
        tuple(weight[None].float().contiguous() for weight in weights),
        tuple(bias[None].float().contiguous() for bias in biases),
    )


def _load(path: Path) -> Any:
    _check_size(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not a checkpoint
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise OmarError(f"{path} is not a checkpoint of tensors and plain values: {reason}") from None


def _check_size(path: Path) -> None:
    """Refuses what would take much memory to load: large files, and small ones that unpack to large ones.

    Raises:
        OmarError: Names the file and the limit.
    """
    size, pickles = path.stat().st_size, []
    try:
        if size <= LARGEST and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
                if size <= LARGEST:
                    pickles = [archive.read(n) for n in archive.namelist() if n.endswith(".pkl")]
        elif size <= LARGEST:
            pickles = [path.read_bytes()]
    except Exception as error:  # zipfile raises many kinds for a damaged archive
        raise OmarError(f"{path} is not a checkpoint of tensors and plain values: {error}") from None
    if size > LARGEST:
        raise OmarError(f"{path} is not the authors' prey: it holds {size} bytes, at most {LARGEST} are read")
    if any(map(_makes_bytes, pickles)):
        raise OmarError(f"{path} is not a checkpoint of tensors and plain values: it asks for a bytearray")


def _makes_bytes(data: bytes) -> bool:
    """Whether pickles call bytearray, the one call that torch allows and that fills any amount of memory."""
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):  # the old format is several pickles, then the tensors' bytes
            if any("bytearray" in str(value) for _, value, _ in pickletools.genops(stream)):
                return True
    except Exception:  # not a pickle any more: what is left is for torch to judge
        return False
    return False


def _tensors(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    """The prey's tensors by name, their kinds, shapes and values checked."""
    try:
        policy = checkpoint["agent_params"][PREY_INDEX]["policy"]
        names = [f"in_fn.{name}" for name in STATISTICS]
        names += [f"{layer}.{name}" for layer in LAYERS for name in ("weight", "bias")]
        found = {name: policy[name] for name in names}
    except (KeyError, IndexError, TypeError) as error:
        raise OmarError(
            f"{path} is not the authors' prey: agent_params[{PREY_INDEX}]['policy'] lacks {error}"
        ) from None
    if not all(map(_is_plain, found.values())):
        raise OmarError(
            f"{path} is not the authors' prey: its policy must hold dense tensors of real numbers"
        )
    _check_shapes(found, path)
    if not all(bool(tensor.isfinite().all()) for tensor in found.values()):
        raise OmarError(f"{path} is not the authors' prey: its policy must hold finite tensors")
    if bool((found["in_fn.running_var"] < 0).any()):
        raise OmarError(f"{path} is not the authors' prey: in_fn.running_var must not be negative")
    return found


def _is_plain(tensor: Any) -> bool:
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()  # a quantized tensor is not
        and tensor.numel() <= LARGEST // 8  # a view may repeat a few numbers without end
    )


def _check_shapes(policy: Mapping[str, Tensor], path: Path) -> None:
    size = policy["in_fn.weight"].numel()
    for name in STATISTICS:
        if policy[f"in_fn.{name}"].shape != (size,):
            raise OmarError(f"{path} is not the authors' prey: in_fn.{name} must be [{size}]")
    for layer in LAYERS:
        weight, bias = policy[f"{layer}.weight"], policy[f"{layer}.bias"]
        if weight.ndim != 2 or weight.shape[1] != size or bias.shape != weight.shape[:1]:
            raise OmarError(f"{path} is not the authors' prey: {layer}.weight must be [out, {size}]")
        size = weight.shape[0]
