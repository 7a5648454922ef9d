"""`python -m omar.bench NAME...`: times the hot paths, beside what the machine can do at most."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
import tyro

from .benchmarks.measure import Record, Setup
from .errors import OmarError
from .runs.files import check_writable, write_atomically
from .terminal.cli import OptionalFile, run

Name = Literal["particle", "half_cheetah", "rollout", "dataset", "replay", "cem", "critics", "learner"]
MOST_THREADS = 1024
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """What to time and how."""

    names: Annotated[tuple[Name, ...], tyro.conf.Positional] = NAMES
    """Benchmarks to run."""
    json: OptionalFile = None
    """File for the records, as a JSON list."""
    threads: Annotated[tuple[int, ...], tyro.conf.arg(help_behavior_hint="(default: 1 and all cores)")] = ()
    """Numbers of threads."""
    seconds: float = 1.0
    """Time spent on each figure."""
    device: str = "cpu"
    """Torch device of the buffers, worlds and networks; rollouts and datasets are made on the CPU alone."""
    peers: bool = False
    """Also time other libraries where they are installed: VMAS, JaxMARL and mpe2 with the name particle,
    Gymnasium with half_cheetah, cpprb and flashbax with replay."""


def check(config: BenchConfig) -> None:
    """Finds what would fail only after minutes of timing.

    Raises:
        OmarError: Threads or seconds that are not positive, or no such device.
        OSError: The records cannot be written.
    """
    if not all(1 <= threads <= MOST_THREADS for threads in config.threads):
        given = " ".join(map(str, config.threads))
        raise OmarError(f"--threads must be in 1..{MOST_THREADS}, got {given}")
    if not 0 < config.seconds < float("inf"):
        raise OmarError(f"--seconds must be positive, got {config.seconds}")
    if config.json is not None:
        check_writable(config.json)
    try:
        kind = torch.device(config.device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise OmarError(f"--device must be cpu or cuda, got {config.device!r}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise OmarError(f"--device {config.device}: torch {torch.__version__} sees no GPU")


def cpu_model() -> str:
    """The processor's name as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Commit of the source tree this package runs from, "-dirty" after it when files differ from it.

    "unknown" for an installed wheel.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    tracked = [*git, "ls-files", "--error-unmatch", Path(__file__).name]  # not so in another project's folder
    try:
        for command in (tracked, [*git, "describe", "--always", "--dirty", "--exclude=*"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode != 0:
                return "unknown"
    except OSError:  # no git here
        return "unknown"
    return done.stdout.strip()


def version(package: str) -> str:
    """Version of an installed package; "unknown" for one that is not installed or runs from a folder."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def circumstances(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Machine, versions, commit and date: what a reader needs to place the figures.

    Args:
        packages: Other libraries whose versions belong there.
    """
    from . import __version__, _core

    return {
        "machine": {
            "cpu": cpu_model(),
            "cores": os.cpu_count(),
            "cpu_level": _core.cpu_level(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "omar": __version__,
            "torch": torch.__version__,
            "numpy": version("numpy"),
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def records(config: BenchConfig) -> Iterator[Record]:
    """Runs the chosen benchmarks one after another; torch's number of threads is restored at the end."""
    cores = torch.get_num_threads()
    threads = config.threads or ((1, cores) if cores > 1 else (1,))
    setup = Setup(seconds=config.seconds, threads=threads, device=config.device)
    try:
        for name in config.names:
            yield from importlib.import_module(f"omar.benchmarks.{name}").run(setup)
        if config.peers:
            yield from importlib.import_module("omar.benchmarks.peers").run(setup, config.names)
    finally:
        torch.set_num_threads(cores)


def text(value: float) -> str:
    """Three significant digits with a metric prefix where it helps."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def show(found: list[Record]) -> None:
    """Prints a table: figure, spread, and the share of the bound that it reaches."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"omar on {cpu_model()}, {os.cpu_count()} cores")
    for column in ("name", "setting", "threads", "median", "min..max", "unit", "bound", "of bound"):
        side: Literal["left", "right"] = "left" if column in ("name", "setting", "unit") else "right"
        table.add_column(column, justify=side, overflow="fold")
    for r in found:
        bound = "" if r.bound is None else text(r.bound)
        share = "" if r.share is None else f"{100 * r.share:.0f}%"
        spread = f"{text(r.min)}..{text(r.max)}"
        table.add_row(r.name, r.setting, str(r.threads), text(r.median), spread, r.unit, bound, share)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def save(found: list[Record], path: Path, packages: tuple[str, ...] = ()) -> None:
    """Writes the records as a JSON list, each with its circumstances; the file is whole or not there."""
    place = circumstances(packages)
    text = json.dumps([{**asdict(r), **place} for r in found], indent=1) + "\n"
    write_atomically(path, text.encode())


def measure(config: BenchConfig) -> int:
    """Runs the benchmarks, with a line on standard error for each record; then the table and the file."""
    from rich.console import Console

    check(config)
    found = []
    # Lines alone: a live display would take the processor from what is being timed.
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for r in records(config):
        found.append(r)
        share = "" if r.share is None else f", {100 * r.share:.0f}% of the bound"
        console.print(f"{r.name} ({r.setting}), {r.threads} threads: {text(r.median)} {r.unit}{share}")
    show(found)
    if config.json is not None:
        packages: tuple[str, ...] = ()
        if config.peers:
            from .benchmarks.peers import installed

            packages = (*installed(), "jax")  # which two of them run on
        save(found, config.json, packages)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    return run(
        lambda: measure(
            tyro.cli(BenchConfig, args=arguments, prog="python -m omar.bench", description=__doc__)
        )
    )


if __name__ == "__main__":
    sys.exit(main())
