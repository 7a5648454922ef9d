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
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from .benchmarks.measure import Record, Setup

Name = Literal["particle", "replay", "cem", "learner"]
NAMES: tuple[Name, ...] = ("particle", "replay", "cem", "learner")


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """What to time and how."""

    names: Annotated[tuple[Name, ...], tyro.conf.Positional] = NAMES
    """Benchmarks to run."""
    json: Path | None = None
    """File for the records, as a JSON list."""
    threads: tuple[int, ...] = ()
    """Numbers of threads; 1 and all cores when none is given."""
    seconds: float = 1.0
    """Time spent on each figure."""
    device: str = "cpu"
    """Torch device of the buffers, worlds and networks."""
    peers: bool = False
    """Also time other libraries (VMAS, JaxMARL, mpe2, cpprb, flashbax) where they are installed."""


def cpu_model() -> str:
    """The processor's name as the operating system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str:
    """Commit of the source tree this package runs from, or "unknown" for an installed wheel."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or "unknown"


def circumstances() -> dict[str, Any]:
    """Machine, versions and commit: what a reader needs to place the figures."""
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
            "python": platform.python_version(),
        },
        "commit": commit(),
    }


def records(config: BenchConfig) -> Iterator[Record]:
    """Runs the chosen benchmarks one after another."""
    cores = torch.get_num_threads()
    threads = config.threads or ((1, cores) if cores > 1 else (1,))
    setup = Setup(seconds=config.seconds, threads=threads, device=config.device, peers=config.peers)
    for name in config.names:
        yield from importlib.import_module(f"omar.benchmarks.{name}").run(setup)
    if config.peers:
        yield from importlib.import_module("omar.benchmarks.peers").run(setup)
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
        table.add_column(column, justify="left" if column in ("name", "setting", "unit") else "right")
    for r in found:
        if r.bound is None:
            bound, share = "", ""
        else:
            bound = text(r.bound)
            share = f"{100 * (r.bound / r.median if r.unit == 'ms' else r.median / r.bound):.0f}%"
        spread = f"{text(r.min)}..{text(r.max)}"
        table.add_row(r.name, r.setting, str(r.threads), text(r.median), spread, r.unit, bound, share)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def main(arguments: list[str] | None = None) -> None:
    """Entry point."""
    config = tyro.cli(BenchConfig, args=arguments, prog="python -m omar.bench", description=__doc__)
    found = []
    for record in records(config):
        found.append(record)
        line = (
            f"{record.name} ({record.setting}), {record.threads} threads: {text(record.median)} {record.unit}"
        )
        print(line, file=sys.stderr)  # noqa: T201
    show(found)
    if config.json is not None:
        place = circumstances()
        partial = config.json.with_name(config.json.name + ".partial")
        partial.write_text(json.dumps([{**asdict(r), **place} for r in found], indent=1) + "\n")
        partial.replace(config.json)


if __name__ == "__main__":
    main()
