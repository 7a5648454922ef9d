"""Writes a policy as a model of one file: `python -m omar.export --run DIR --format onnx --out FILE`.

The model maps observations [B, N, O] of the policy's N agents to actions [B, N, A], for any B. It is compared
with the policy before the file appears.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .behaviors.exports import to_onnx, to_torchscript
from .behaviors.policy_file import choose_seed, load_policies, run_policies
from .errors import OmarError
from .runs.files import check_writable, write_atomically
from .terminal.cli import OptionalFile, OptionalFolder, run_options, say

WRITERS = {"onnx": to_onnx, "torchscript": to_torchscript}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """Writes the policy of one training seed as an ONNX or a TorchScript model."""

    run: OptionalFolder = None
    """Folder of a run: the policy of its newest checkpoint is exported."""
    policy: OptionalFile = None
    """Policy file."""
    format: Literal["onnx", "torchscript"]
    """Kind of file: onnx (needs the package onnx), or torchscript, for torch.jit.load."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write; one that is there is replaced."""
    seed: int = 0
    """Training seed of the policy."""

    def __call__(self) -> int:
        """Runs the command; returns the exit status.

        Raises:
            OmarError: Not exactly one of a run and a file, or no such seed.
        """
        if (self.run is None) == (self.policy is None):
            raise OmarError("give either --run DIR or --policy FILE")
        check_writable(self.out)
        source = self.run or self.policy or Path()
        policies = load_policies(source) if self.run is None else run_policies(self.run)
        policy = choose_seed(policies, self.seed, source)
        data = WRITERS[self.format](policy)
        write_atomically(self.out, data)
        shapes = f"[B, {policy.agents}, {policy.obs_size}] to [B, {policy.agents}, {policy.action_size}]"
        say(f"{self.out}: {self.format}, {len(data):,} bytes, {shapes}, agrees with the policy to 1e-6")
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run_options(ExportOptions, arguments, prog="python -m omar.export", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
