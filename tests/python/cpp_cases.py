"""Builds of C++ programs that tests run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CMAKE = shutil.which("cmake")


def run(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    """Standard output of a command that succeeds."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | environment,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refused(*command: str | Path, **environment: str) -> str:
    """Standard error, in one line, of a command that fails."""
    result = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert result.returncode != 0, result.stdout
    return " ".join(result.stderr.split())


def cmake_prefix() -> str:
    """Where the installed core and LibTorch are."""
    return run(sys.executable, "-m", "omar", "--cmake-prefix").strip()


def build(source: str, folder: Path, *options: str) -> Path:
    """Builds a program of this repository against the installed core."""
    assert CMAKE is not None
    run(
        CMAKE,
        "-S",
        ROOT / source,
        "-B",
        folder,
        f"-DCMAKE_PREFIX_PATH={cmake_prefix()}",
        "-DCMAKE_BUILD_TYPE=Release",
        *options,
    )
    run(CMAKE, "--build", folder)
    return folder
