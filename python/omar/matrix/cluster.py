"""A Ray cluster that works on cells: tasks on its nodes, whose states a keeper beside the command holds.

A node needs this package in the same version, and makes data sets for itself, each once. Whenever a training
has written a checkpoint, its folder goes to the keeper; where a worker or its node dies, Ray runs the task
again elsewhere, and it goes on from what the keeper has.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import OmarError
from ..runs.decode import decode, encode
from ..terminal.cli import in_one_line, sentence
from .archive import pack, unpack
from .cell import Cell
from .events import ENDS, Event
from .work import reached, training_folder
from .worker import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LOCAL = "local"
BEAT = 0.25  # seconds between two looks at what happened
ASK_SECONDS = 1.0  # between two questions of a task whether to stop
RETRIES = 10  # of a cell whose workers die


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise OmarError("--ray needs the package ray: pip install 'omar[ray]'") from None
    return ray


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def task_device(name: str) -> str:
    """Where a task trains for `--device`: on CPUs unless it asks for GPUs, as Ray gives no others away.

    Raises:
        OmarError: The name is one of several GPUs, of which a task sees but its own.
    """
    if name.startswith("cuda:"):
        raise OmarError(f"--ray gives every cell a GPU of its own: --device must be cuda, got {name}")
    return "cpu" if name == "auto" else name


class Keeper:
    """What tasks tell, and the newest state of every cell. An actor on the node of the command."""

    def __init__(self) -> None:
        self._events: list[str] = []
        self._states: dict[str, bytes] = {}
        self._fresh: set[str] = set()  # states that the command has not taken yet
        self._stopped = False

    def tell(self, event: str) -> None:
        """Takes an event as JSON."""
        self._events.append(event)

    def save(self, key: str, state: bytes) -> None:
        """Takes the state of a cell."""
        self._states[key] = state
        self._fresh.add(key)

    def load(self, key: str) -> bytes | None:
        """The newest state of a cell."""
        return self._states.get(key)

    def forget(self, key: str) -> None:
        """Drops the state of a cell that has ended."""
        self._states.pop(key, None)

    def drain(self) -> tuple[list[str], dict[str, bytes]]:
        """Events and states since the last call."""
        events, self._events = self._events, []
        states = {key: self._states[key] for key in self._fresh if key in self._states}
        self._fresh = set()
        return events, states

    def stop(self) -> None:
        """Lets every task stop between two updates."""
        self._stopped = True

    def stopped(self) -> bool:
        """Whether to stop."""
        return self._stopped


class _Post:
    """What a task has to do with the keeper.

    It waits for answers on a thread of its own: a task that waits on its main thread gives its CPUs away.
    """

    def __init__(self, keeper: Any, key: str, folder: Path) -> None:
        self._ray, self._keeper, self._key, self._folder = _ray(), keeper, key, folder
        self._thread = ThreadPoolExecutor(1)
        self._saved = -1
        self._asked, self._stop = 0.0, False

    def _answer(self, reference: Any) -> Any:
        return self._thread.submit(self._ray.get, reference).result()

    def take_up(self) -> int:
        """Fetches the state that an earlier task left; returns its update."""
        state = self._answer(self._keeper.load.remote(self._key))
        if state is not None:
            unpack(state, self._folder)
        self._saved = reached(self._folder)
        return self._saved

    def save(self) -> None:
        """Sends the state if there is a new checkpoint."""
        update = reached(self._folder)
        if update > self._saved:
            self._saved = update
            self._answer(self._keeper.save.remote(self._key, pack(self._folder)))

    def tell(self, event: Event) -> None:
        """Sends an event; the state that goes with an end is sent before."""
        if event.kind in ENDS and self._folder.is_dir():
            self._answer(self._keeper.save.remote(self._key, pack(self._folder)))
        self._answer(self._keeper.tell.remote(json.dumps(encode(event))))

    def stop(self) -> bool:
        """Whether to stop; asks now and then."""
        now = time.monotonic()
        if now - self._asked >= ASK_SECONDS:
            self._asked, self._stop = now, self._answer(self._keeper.stopped.remote())
        return self._stop


def run_cell(text: str, key: str, keeper: Any, threads: int) -> None:
    """A task: works on a cell, in a folder of its own.

    Args:
        text: The cell as JSON.
        key: Of the cell, where the command is.
        keeper: The actor.
        threads: Of torch.
    """
    torch.set_num_threads(threads)
    cell = decode(Cell, json.loads(text), "a cell")
    root = Path(tempfile.mkdtemp(prefix="omar-cell-"))
    try:
        post = _Post(keeper, key, training_folder(root, cell))
        if post.stop():
            return
        if cell.key != key:
            post.tell(Event("failed", key, text="a node of the cluster runs another version of omar"))
            return
        update = post.take_up()
        if update:
            post.tell(Event("note", key, update, f"taken up at update {update}"))
        attempt(cell, root, post.tell, post.stop, post.save)
    finally:
        shutil.rmtree(root, ignore_errors=True)


class RayCluster:
    """A `Crew` of the nodes of a Ray cluster."""

    def __init__(self, root: Path, *, address: str, threads: int, workers: int | None = None) -> None:
        """Connects to a cluster.

        Args:
            root: Folder of unfinished cells on this machine.
            address: Of the cluster, or "local" to start one on this machine.
            threads: Of a task, which takes so many CPUs of its node.
            workers: Cells at the same time on all nodes together; None: as many as there are CPUs for.

        Raises:
            OmarError: Ray is not installed, or no cluster answers.
        """
        self._ray, self._root, self._threads, self._most = _ray(), root, threads, workers
        if self._ray.is_initialized():
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if address == LOCAL:
                self._ray.init(include_dashboard=False, **quiet)
            else:
                self._ray.init(address=address, **quiet)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            reason = _first_line(error)
            raise OmarError(f"--ray {address}: cannot connect to a cluster there ({reason})") from None

    def disconnect(self) -> None:
        """Leaves the cluster; one that was started here ends."""
        self._ray.shutdown()

    def run(self, cells: Sequence[Cell], stop: Callable[[], bool]) -> Iterator[Event | None]:
        """As `Crew.run`."""
        ray = self._ray
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            node_id=ray.get_runtime_context().get_node_id(), soft=False
        )
        keeper = ray.remote(num_cpus=0)(Keeper).options(scheduling_strategy=here).remote()
        running: dict[Any, str] = {}
        try:
            yield from self._oversee(keeper, deque(cells), running, stop)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            ray.kill(keeper)

    def _begin(self, cell: Cell, keeper: Any) -> Any:
        """Hands a cell to the cluster; returns its task."""
        folder = training_folder(self._root, cell)
        if reached(folder):
            self._ray.get(keeper.save.remote(cell.key, pack(folder)))
        gpus = int(cell.device == "cuda")
        task = self._ray.remote(num_cpus=self._threads, num_gpus=gpus, max_retries=RETRIES)(run_cell)
        return task.remote(json.dumps(encode(cell)), cell.key, keeper, self._threads)

    def _oversee(
        self, keeper: Any, waiting: deque[Cell], running: dict[Any, str], stop: Callable[[], bool]
    ) -> Iterator[Event | None]:
        ray = self._ray
        ended: set[str] = set()
        stopping = False
        most = len(waiting) if self._most is None else self._most
        while waiting or running:
            if not stopping and stop():
                stopping = True
                waiting.clear()
                ray.get(keeper.stop.remote())
            while waiting and len(running) < most:
                cell = waiting.popleft()
                running[self._begin(cell, keeper)] = cell.key
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=BEAT)
            yield from self._news(keeper, ended)
            for reference in ready:
                key = running.pop(reference)
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    if key not in ended:
                        ended.add(key)
                        yield Event("failed", key, text=self._why_failed(error))

    def _why_failed(self, error: Any) -> str:
        """What an error of Ray's says of a cell: the task's own error, or what became of its workers."""
        if not isinstance(error, self._ray.exceptions.RayTaskError):
            return f"its worker died {RETRIES + 1} times: {_first_line(error)}"
        cause = error.cause
        if isinstance(cause, (OmarError, OSError)):
            return in_one_line(sentence(cause))
        return f"{type(cause).__name__}: {_first_line(cause)}"  # outside of the training, which tells its own

    def _news(self, keeper: Any, ended: set[str]) -> Iterator[Event | None]:
        """What the tasks told since the last look; their states are written first."""
        events, states = self._ray.get(keeper.drain.remote())
        for key, state in states.items():
            unpack(state, self._root / key)
        for text in events:
            event = decode(Event, json.loads(text), "a task's message")
            if event.key in ended:  # a task that died after its end ran again
                continue
            if event.kind in ENDS:
                ended.add(event.key)
                self._ray.get(keeper.forget.remote(event.key))
            yield event
        if not events:
            yield None
