"""Episodes of a policy as pictures: `python -m omar.render --run DIR|--policy FILE --out FILE.mp4|.gif|.png`.

An MP4 or a GIF shows every step of the episodes, one after the other. A PNG shows a row of moments of each
episode, in particle tasks with the trails so far. No display is needed. MP4s, and pictures of HalfCheetah,
need `pip install "omar[video]"`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from .behaviors.policy_file import choose_seed, load_policies, run_policies
from .errors import OmarError
from .evaluation.clips import Clip, render
from .terminal.cli import OptionalFile, OptionalFolder, OptionalInt, run_options, say


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """Episodes of a policy as an MP4, a GIF, or a PNG with a row of pictures for each."""

    run: OptionalFolder = None
    """Folder of a run: the policy of its newest checkpoint acts."""
    policy: OptionalFile = None
    """Policy file."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write, which ends in .mp4, .gif or .png; one that is there is replaced."""
    training_seed: int = 0
    """Training seed of the policy."""
    episodes: int = 1
    """Episodes, one after the other; in a PNG, one below the other."""
    seed: int = 0
    """Seed of the start states."""
    steps: OptionalInt = None
    """Steps of each episode. (default: all, which are 25, and 1000 in half_cheetah)"""
    fps: OptionalInt = None
    """Pictures a second. (default: as fast as time passes in the task, 10 or 20)"""
    size: int = 480
    """Height of the pictures in pixels, a multiple of 4."""
    columns: int = 5
    """Pictures of each episode in a PNG; 1: its end."""

    def __call__(self) -> int:
        """Runs the command; returns the exit status.

        Raises:
            OmarError: Not exactly one of a run and a file, no such seed, or what `render` refuses.
        """
        if (self.run is None) == (self.policy is None):
            raise OmarError("give either --run DIR or --policy FILE")
        clip = Clip(self.episodes, self.seed, self.steps, self.fps, self.size, self.columns)
        source = self.run or self.policy or Path()
        policies = load_policies(source) if self.run is None else run_policies(self.run)
        policy = choose_seed(policies, self.training_seed, source)
        pictures = render(policy, self.out, clip)
        size = self.out.stat().st_size
        say(f"{self.out}: {pictures} pictures of {policy.task}, {size:,} bytes")
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; every error that a user can cause is one sentence."""
    return run_options(RenderOptions, arguments, prog="python -m omar.render", about=__doc__)


if __name__ == "__main__":
    sys.exit(main())
