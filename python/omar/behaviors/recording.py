"""The recording of an online training: the policies that acted in it, and how long each of them did.

One safetensors file, whose tensors are float16: `weights.i` [K, N, in, out] and `biases.i` [K, N, out] of
layer i of the N learners' policies, K of them in order of the training. Its metadata has one entry,
`recording`, a JSON object: `task`, `updates` [K], `shares` [K + 1] and `sha256`, the checksum of the policies
and the shares.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import safetensors
import safetensors.torch
import torch

from ..errors import OmarError
from ..runs.files import write_atomically
from .policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

ENTRY = "recording"


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What acted in an online training: uniform actions, then K policies in turn.

    Attributes:
        policies: [K], in order of the training; their weights are float16 numbers.
        updates: [K]: the updates that they are of.
        shares: [K + 1]: of all transitions, those by uniform actions first; they sum to 1.
    """

    policies: tuple[Policy, ...]
    updates: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises OmarError where the entries do not belong together."""
        count = len(self.policies)
        if not count or len(self.updates) != count or len(self.shares) != count + 1:
            raise OmarError("a recording needs an update for each policy, and a share more")
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise OmarError("the shares of a recording must sum to 1, and none may be negative")

    @property
    def sha256(self) -> str:
        """Checksum of the policies and the shares."""
        lines = [*(policy.sha256 for policy in self.policies), json.dumps(self.shares)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def recipe(self) -> dict[str, str]:
        """What of the recording decides a dataset's bytes."""
        return {"source": "recording", "sha256": self.sha256}

    def parts(self, episodes: int) -> list[tuple[Policy | None, int]]:
        """Who acts for how many of these episodes, in order; None: uniform actions. Nobody acts for none."""
        bounds = [0, *(round(share * episodes) for share in accumulate(self.shares))]
        counts = [later - earlier for earlier, later in pairwise(bounds)]
        actors = (None, *self.policies)
        return [(actor, count) for actor, count in zip(actors, counts, strict=True) if count]


def record(policies: list[Policy], updates: list[int], shares: list[float]) -> Recording:
    """The recording of these policies, their weights rounded to what its file holds."""
    rounded = [
        Policy(
            tuple(weight.half().float() for weight in policy.weights),
            tuple(bias.half().float() for bias in policy.biases),
            policy.task,
            policy.references,
            policy.prey,
            policy.source,
        )
        for policy in policies
    ]
    return Recording(tuple(rounded), tuple(updates), tuple(shares))


def save_recording(path: Path, recording: Recording) -> None:
    """Writes a recording, whole or not at all; the same recording gives the same bytes.

    Raises:
        OSError: The file cannot be written.
    """
    policies = recording.policies
    tensors: dict[str, Tensor] = {}
    for kind in ("weights", "biases"):
        for i, layers in enumerate(zip(*(getattr(policy, kind) for policy in policies), strict=True)):
            tensors[f"{kind}.{i}"] = torch.stack(layers).half()
    entry = {
        "task": policies[0].task,
        "updates": recording.updates,
        "shares": recording.shares,
        "sha256": recording.sha256,
    }
    write_atomically(path, safetensors.torch.save(tensors, {ENTRY: json.dumps(entry)}))


def load_recording(path: Path, prey: Policy | None) -> Recording:
    """Reads a recording.

    Args:
        path: Of the file.
        prey: Of the training, where the task has one.

    Raises:
        OmarError: A damaged file.
        OSError: The file cannot be read.
    """
    data = path.read_bytes()
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        entry = json.loads(header["__metadata__"][ENTRY])
        depth = len(tensors) // 2
        weights, biases = (
            [tensors[f"{kind}.{i}"].float() for i in range(depth)] for kind in ("weights", "biases")
        )
        policies = tuple(
            Policy(tuple(w[k] for w in weights), tuple(b[k] for b in biases), entry["task"], None, prey)
            for k in range(len(entry["updates"]))
        )
        found = Recording(policies, tuple(entry["updates"]), tuple(entry["shares"]))
        whole = found.sha256 == entry["sha256"]
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, IndexError) as error:
        raise OmarError(f"{path} is not a whole recording: {str(error).splitlines()[0][:160]}") from None
    if not whole:
        raise OmarError(f"{path} is damaged: its checksum does not belong to its contents")
    return found
