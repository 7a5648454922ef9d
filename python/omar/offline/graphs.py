"""The update as a CUDA graph: captured once, then replayed as one launch instead of hundreds.

A graph repeats its kernels with the arguments of the capture. So what changes from update to update stands
in memory: the minibatch is copied into tensors that the graph reads, the step of the random numbers is a
tensor that the draws read, and Adam's step and learning rate are tensors (`optim.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Protocol

import torch

from .. import _core
from ..algorithms import Agents, Algorithm, Batch, Terms, update
from ..random import Draw

if TYPE_CHECKING:
    from torch import Tensor

Update = Callable[[Algorithm, Agents, Batch, Draw], Terms]
Work = Callable[[], Terms]

SETTINGS = ("auto", "on", "off")
WARM_UP = 3  # updates before the capture, in which libraries choose kernels and allocate workspaces


class Recorder(Protocol):
    """Captures work and repeats it."""

    def warm_up(self, work: Work) -> Terms:
        """Runs the work as it is."""
        ...

    def capture(self, work: Work) -> Terms:
        """Records the work without running it; every replay overwrites the terms."""
        ...

    def replay(self) -> None:
        """Runs what was recorded."""
        ...


class CudaRecorder:
    """A CUDA graph of one device."""

    def __init__(self, device: torch.device) -> None:
        """Args: `device` is where the work runs."""
        self._device = device
        # Captures need a stream other than the default one.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, work: Work) -> Terms:
        """Runs the work on the stream of the capture."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            terms = work()
        current.wait_stream(self._stream)
        return terms

    def capture(self, work: Work) -> Terms:
        """Records the work without running it; every replay overwrites the terms."""
        with torch.cuda.device(self._device), torch.cuda.graph(self._graph, stream=self._stream):
            return work()

    def replay(self) -> None:
        """Runs what was recorded, on the current stream."""
        with torch.cuda.device(self._device):
            self._graph.replay()


class GraphedUpdate:
    """Called like `update`, for one algorithm, its agents and one seed; the first calls run as they are."""

    def __init__(self, recorder: Recorder) -> None:
        """Args: `recorder` captures the update and repeats it."""
        self._recorder = recorder
        self._calls = 0
        self._terms: Terms = {}

    def __call__(self, algorithm: Algorithm, agents: Agents, batch: Batch, draw: Draw) -> Terms:
        """One update of all members.

        Returns:
            All terms of both losses, `[M]` each; the next call may overwrite them.

        Raises:
            ValueError: Another algorithm, seed or shape of minibatch than that of the first call.
        """
        if self._calls == 0:
            self._begin(algorithm, agents, batch, draw)
        elif algorithm is not self._algorithm or agents is not self._agents:
            raise ValueError(
                "[graphs.GraphedUpdate] the algorithm and its agents must be those of the first call"
            )
        if draw.seed != self._seed:
            raise ValueError(
                f"[graphs.GraphedUpdate] the seed must be that of the first call, "
                f"{self._seed}, got {draw.seed}"
            )
        self._take(batch, draw)
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._recorder.warm_up(self._work)
        if self._calls == WARM_UP + 1:
            self._terms = self._recorder.capture(self._work)
        self._recorder.replay()
        return self._terms

    def _begin(self, algorithm: Algorithm, agents: Agents, batch: Batch, draw: Draw) -> None:
        """Makes the tensors that the work reads."""
        self._algorithm, self._agents, self._seed = algorithm, agents, draw.seed
        self._columns = {name: column.clone() for name, column in _columns(batch).items()}
        self._step = torch.zeros((), dtype=torch.int64, device=batch.observations.device)

    def _take(self, batch: Batch, draw: Draw) -> None:
        """Puts the minibatch and the step where the work reads them."""
        columns = _columns(batch)
        given = {name: list(column.shape) for name, column in columns.items()}
        expected = {name: list(column.shape) for name, column in self._columns.items()}
        if given != expected:
            raise ValueError(
                f"[graphs.GraphedUpdate] the minibatch must have the shapes of the first call, "
                f"{expected}, got {given}"
            )
        for name, column in self._columns.items():
            column.copy_(columns[name])
        self._step.fill_(draw.step)

    def _work(self) -> Terms:
        return update(self._algorithm, self._agents, Batch(**self._columns), Draw(self._seed, self._step))


def _columns(batch: Batch) -> dict[str, Tensor]:
    """The columns that the minibatch has."""
    named = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: column for name, column in named.items() if column is not None}


def obstacle(device: torch.device) -> str | None:
    """Why updates on `device` cannot be captured; None where they can."""
    if device.type != "cuda":
        return f"the device is {device}"
    if not _core.nn_draws_on_cuda():
        return "this build of omar has no CUDA kernels"
    return None


def check_setting(setting: str, device: torch.device) -> None:
    """Checks the setting of `choose_update`.

    Raises:
        ValueError: No such setting, or "on" where nothing can be captured.
    """
    if setting not in SETTINGS:
        raise ValueError(f"unknown --cuda-graph {setting!r}: expected one of {', '.join(SETTINGS)}")
    reason = obstacle(device)
    if setting == "on" and reason is not None:
        raise ValueError(f"--cuda-graph on cannot be had: {reason}")


def choose_update(setting: str, device: torch.device) -> Update:
    """The update of a run: on: captured; off: as it is; auto: captured where that can be.

    Raises:
        ValueError: As `check_setting`.
    """
    check_setting(setting, device)
    if setting == "off" or obstacle(device) is not None:
        return update
    return GraphedUpdate(CudaRecorder(device))
