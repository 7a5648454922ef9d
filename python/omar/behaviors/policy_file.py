"""Files of policies: one safetensors file for the S training seeds of a run.

| tensor (float32) | shape | |
|---|---|---|
| `weights.i`, `biases.i` | [S, N, in, out], [S, N, out] | of layer i = 0, 1, ... of N agents; `x W + b` |
| `prey.weights.i`, `prey.biases.i` | [1, in, out], [1, out] | of the prey, where the task has one |

Layers have ReLU between them and tanh at the end, and act on raw observations. The file's `__metadata__` maps
names to text:

| name | text |
|---|---|
| `format`, `format_version` | "omar-policy", "1" |
| `task` | name of the task |
| `references` | JSON: {"random": ..., "expert": ..., "source": ...}, or null for the paper's |
| `sources` | JSON: a list of S objects of text: who made the policy of each seed |
| `prey` | JSON: {"references": ..., "source": {...}} of the prey, where the file holds one |
| `sha256` | checksum of everything above |

The checksum runs over the lines "name length-in-bytes text" of the metadata without `sha256`, in order of
name, and then, for every tensor in order of name, over the line "name [s, n, in, out]" and the tensor's
bytes. All lines are UTF-8 and end with a newline. Names are in order of their code points. The same policies
give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import _core
from ..errors import OmarError
from ..runs.files import write_atomically
from ..tasks import References
from .policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

FORMAT, FORMAT_VERSION = "omar-policy", "1"
POLICY, CONFIG = "policy.safetensors", "config.json"  # names in a run's folder
_NAME = "it"  # what the core calls the file: a path need not be text


def save_policies(path: Path | str, policies: Sequence[Policy]) -> None:
    """Writes the policies of S seeds, whole or not at all.

    Raises:
        OmarError: None, or policies that differ in more than weights and source.
        OSError: The file cannot be written.
    """
    write_atomically(Path(path), to_bytes(policies))


def load_policies(path: Path | str) -> tuple[Policy, ...]:
    """The policies of all seeds of a file.

    Raises:
        OmarError: No such file, a damaged one, or one of another format or version.
    """
    path = Path(path)
    if not path.is_file():
        raise OmarError(f"no policy at {path}: there is no such file")
    size = path.stat().st_size
    if size > _core.MOST_POLICY_BYTES:
        raise OmarError(
            f"{path} is not a policy: it has {size} bytes, a policy at most {_core.MOST_POLICY_BYTES}"
        )
    return from_bytes(path.read_bytes(), path)


def load_policy(path: Path | str, seed: int = 0) -> Policy:
    """The policy of one training seed of a file, such as a run's `policy.safetensors`.

    Args:
        path: Of the file.
        seed: Number of the training seed.

    Raises:
        OmarError: As `load_policies`, or the file has no such seed.
    """
    return choose_seed(load_policies(path), seed, path)


def choose_seed(policies: Sequence[Policy], seed: int, path: Path | str) -> Policy:
    """The policy of one training seed; `path` says where they are from.

    Raises:
        OmarError: No such seed.
    """
    if not 0 <= seed < len(policies):
        raise OmarError(f"{path} holds the training seeds 0 to {len(policies) - 1}, got {seed}")
    return policies[seed]


def run_policies(folder: Path) -> tuple[Policy, ...]:
    """The policies of a run's newest checkpoint, one of each training seed.

    Raises:
        OmarError: Not the folder of a run, one without a policy, or a damaged file.
    """
    if (folder / POLICY).is_file():
        return load_policies(folder / POLICY)
    if not (folder / CONFIG).is_file():
        raise OmarError(f"{folder} is not the folder of a run: it has neither {POLICY} nor {CONFIG}")
    raise OmarError(f"{folder} has no policy yet: {POLICY} comes with the run's first checkpoint")


def to_bytes(policies: Sequence[Policy]) -> bytes:
    """The contents of a file, the same for the same policies."""
    if not policies:
        raise OmarError("a file of policies needs at least one policy")
    first = policies[0]
    _check_alike(policies)
    tensors = _stacked(policies)
    metadata = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "task": first.task,
        "references": _to_json(_references(first)),
        "sources": _to_json([dict(policy.source) for policy in policies]),
    }
    if first.prey is not None:
        tensors |= {f"prey.{name}": tensor for name, tensor in _layers(first.prey).items()}
        entry = {"references": _references(first.prey), "source": dict(first.prey.source)}
        metadata["prey"] = _to_json(entry)
    metadata["sha256"] = _checksum(tensors, metadata)
    return _serialize(tensors, metadata)


def from_bytes(data: bytes, path: Path) -> tuple[Policy, ...]:
    """The policies of a file's contents, as the core reads them; `path` names it in errors.

    Raises:
        OmarError: As `load_policies`.
    """
    try:
        task, seeds, own = _core.parse_policies(data, _NAME)
    except ValueError as error:
        raise OmarError(f"{path} {str(error).removeprefix(f'[nn::load] {_NAME} ')}") from None
    try:
        prey = None if own is None else _policy(task, None, *own)
        return tuple(_policy(task, prey, *seed) for seed in seeds)
    except OmarError as error:
        raise OmarError(f"{path} is not a policy: {error}") from None


def _policy(
    task: str,
    prey: Policy | None,
    weights: list[Tensor],
    biases: list[Tensor],
    references: tuple[float, float, str] | None,
    source: dict[str, str],
) -> Policy:
    own = None if references is None else References(*references)
    return Policy(tuple(weights), tuple(biases), task, own, prey, source)


def _layers(policy: Policy) -> dict[str, Tensor]:
    named = {f"weights.{i}": weight for i, weight in enumerate(policy.weights)}
    return named | {f"biases.{i}": bias for i, bias in enumerate(policy.biases)}


def _stacked(policies: Sequence[Policy]) -> dict[str, Tensor]:
    layers = [_layers(policy) for policy in policies]
    return {name: torch.stack([layer[name] for layer in layers]) for name in layers[0]}


def _check_alike(policies: Sequence[Policy]) -> None:
    def entries(policy: Policy) -> tuple[Any, ...]:
        shapes = [tensor.shape for tensor in (*policy.weights, *policy.biases)]
        prey = policy.prey
        own = None if prey is None else (prey.sha256, prey.references, dict(prey.source))
        return policy.task, shapes, policy.references, own

    if any(entries(policy) != entries(policies[0]) for policy in policies[1:]):
        raise OmarError("the policies of one file must have the same task, shapes, references and prey")


def _references(policy: Policy) -> dict[str, Any] | None:
    return None if policy.references is None else asdict(policy.references)


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(metadata.keys() - {"sha256"}):
        text = metadata[name].encode()
        digest.update(f"{name} {len(text)} ".encode() + text + b"\n")
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _serialize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file; safetensors' own writer orders the metadata by chance."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    body, start = [], 0
    for name in sorted(tensors):
        data = tensors[name].contiguous().numpy().astype("<f4", copy=False).tobytes()
        offsets = [start, start + len(data)]
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": offsets}
        body.append(data)
        start += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(body)
