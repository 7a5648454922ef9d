"""`python -m omar`: what is installed, and where builds that link the C++ core find it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from . import __doc__ as about
from . import __version__, _core


def cmake_prefix() -> str:
    """Value for CMAKE_PREFIX_PATH: the installed core and the LibTorch that it was built with."""
    core = _core.__file__
    assert core is not None  # noqa: S101  (a compiled module always has a file)
    folders = (Path(core).parent, Path(torch.__file__).parent)
    return ";".join(folder.resolve().as_posix() for folder in folders)


def main(arguments: list[str] | None = None) -> int:
    """Prints what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m omar", description=about)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--cmake-prefix",
        action="store_true",
        help='for builds of C++ programs: cmake -DCMAKE_PREFIX_PATH="$(python -m omar --cmake-prefix)"',
    )
    if parser.parse_args(arguments).cmake_prefix:
        sys.stdout.write(cmake_prefix() + "\n")
    else:
        parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
