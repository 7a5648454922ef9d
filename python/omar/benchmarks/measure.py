"""Timing: repeats of a call, their median and spread, and the record that a benchmark yields."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

TIME_UNITS = ("s", "ms")  # less is better; in every other unit more is


@dataclass(frozen=True, slots=True)
class Setup:
    """What the command line chose."""

    seconds: float = 1.0  # time spent on each figure
    threads: tuple[int, ...] = (1,)
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, minimum and maximum of repeated measurements."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, found: Sequence[float]) -> Spread:
        """Of one measurement or more."""
        return cls(statistics.median(found), min(found), max(found))


@dataclass(frozen=True, slots=True)
class Record:
    """One figure; `bound` is the machine's limit in the same unit and run (None: there is none)."""

    name: str
    setting: str
    threads: int
    median: float
    min: float
    max: float
    unit: str
    bound: float | None = None
    bound_is: str = ""

    @property
    def share(self) -> float | None:
        """How much of the bound the median reaches, 1 at the bound; None without a bound."""
        if self.bound is None:
            return None
        return self.bound / self.median if self.unit in TIME_UNITS else self.median / self.bound

    @classmethod
    def of(
        cls,
        name: str,
        setting: str,
        spread: Spread,
        unit: str,
        bound: float | None = None,
        bound_is: str = "",
        threads: int | None = None,
    ) -> Record:
        """A record of `spread` at so many threads, torch's current number when None."""
        threads = torch.get_num_threads() if threads is None else threads
        return cls(name, setting, threads, spread.median, spread.min, spread.max, unit, bound, bound_is)


def flop_bound(precision: str) -> str:
    """What a bound of FLOPs is, for work whose products are float32 or bf16."""
    text = "FLOPs at the fp32 FMA peak"
    return text if precision == "float32" else f"{text}, which bf16 products can pass"


def synchronize(device: str) -> None:
    """Waits for queued work on a CUDA device; nothing on the CPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def durations(
    call: Callable[[], object], seconds: float, device: str = "cpu", repeats: int = 9
) -> list[float]:
    """Seconds per call, for `repeats` blocks of calls that together last about `seconds`, after a warm-up."""
    call()
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    once = max(time.perf_counter() - start, 1e-7)
    inner = max(1, int(seconds / repeats / once))
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(inner):
            call()
        synchronize(device)
        found.append((time.perf_counter() - start) / inner)
    return found


def rate(call: Callable[[], object], work: float, setup: Setup) -> Spread:
    """Units of `work` per second."""
    return Spread.of([work / d for d in durations(call, setup.seconds, setup.device)])


def milliseconds(call: Callable[[], object], setup: Setup, per: float = 1.0) -> Spread:
    """Milliseconds per call, divided by `per`."""
    return Spread.of([1e3 * d / per for d in durations(call, setup.seconds, setup.device)])
