"""Cells on a Ray cluster: a node that dies, and states that travel."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import omar.matrix.cluster
from matrix_cases import small_cell
from omar.errors import OmarError
from omar.matrix.archive import pack, unpack
from omar.matrix.cluster import RayCluster, task_device
from omar.matrix.document import Document
from omar.matrix.events import Event
from omar.matrix.work import Relay, reached, training_folder, work
from omar.reproduce import main

HERE = Path(__file__).parent
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the optional package ray is not installed")


def quietly(cell, folder, stop=lambda: False):
    return work(cell, folder, Relay(lambda *_, **__: None), stop)


@needs_ray
@pytest.mark.slow
def test_a_cell_of_a_node_that_dies_goes_on_elsewhere_and_comes_to_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, str(HERE / "ray_case.py"), str(tmp_path / "matrix")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"]
    ends = [event for event in found["events"] if event["kind"] in ("done", "stopped", "failed")]
    assert [event["kind"] for event in ends] == ["done", "done"]
    notes = [event for event in found["events"] if event["kind"] == "note"]
    assert len(notes) == 1
    assert notes[0]["update"] >= 25
    assert notes[0]["text"] == f"taken up at update {notes[0]['update']}"
    order = [event["kind"] for event in found["events"] if event["kind"] in ("done", "note")]
    assert order == ["done", "note", "done"]  # one CPU was left, and a task does not share it
    cells = {cell.key: cell for cell in (small_cell("cql", updates=u, eval_every=200) for u in (600, 601))}
    assert {event["key"] for event in ends} == set(cells)
    killed = next(event for event in ends if event["key"] == notes[0]["key"])
    document = Document.parse(killed["text"].encode(), "the result")
    assert document.result == quietly(cells[killed["key"]], tmp_path / "alone").result
    assert (tmp_path / "matrix" / "work" / killed["key"] / "policy.safetensors").is_file()


def test_a_state_travels(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    cell = small_cell("cql", updates=4, eval_every=1, checkpoint_every=1)
    first, second = (training_folder(tmp_path / name, cell) for name in ("first", "second"))
    count = iter(range(9))
    assert quietly(cell, first, lambda: next(count) == 1) == 2
    unpack(pack(first), second)
    assert reached(second) == 2
    assert quietly(cell, second).result == quietly(cell, tmp_path / "whole").result
    unpack(pack(first), second)  # what was there is replaced
    assert reached(second) == 2


def test_message_a_damaged_state(tmp_path):
    with pytest.raises(OmarError, match="the state of an unfinished cell is damaged"):
        unpack(b"no archive", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_message_ray_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--out", str(tmp_path), "--ray", "local"]) == 2
    assert "--ray needs the package ray: pip install 'omar[ray]'" in capsys.readouterr().err


class FakeRay:
    """As much of Ray as a `RayCluster` asks for: tasks run one after another, when they are waited for."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause):
                super().__init__("a long traceback")
                self.cause = cause

    util = SimpleNamespace(
        scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda **_: None)
    )

    def __init__(self):
        self.most = 0  # tasks at the same time
        self.gpus = []  # of every task
        self._tasks, self._done = {}, {}

    def is_initialized(self):
        return True

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "here")

    def remote(self, num_cpus, num_gpus=0, max_retries=0):
        def wrap(what):
            if isinstance(what, type):
                actor = what()
                methods = (name for name in dir(actor) if not name.startswith("_"))
                handle = SimpleNamespace(**{name: self._calls(getattr(actor, name)) for name in methods})
                return SimpleNamespace(
                    options=lambda **_: SimpleNamespace(remote=lambda: handle),
                )
            self.gpus.append(num_gpus)
            return SimpleNamespace(remote=lambda *given: self._later(what, given))

        return wrap

    def _calls(self, method):
        def call(*given):
            reference = object()
            self._done[reference] = method(*given)
            return reference

        return SimpleNamespace(remote=call)

    def _later(self, task, given):
        reference = object()
        self._tasks[reference] = task, given
        return reference

    def wait(self, references, timeout):
        self.most = max(self.most, len(references))
        task, given = self._tasks[references[0]]
        try:
            self._done[references[0]] = task(*given)
        except self.exceptions.RayError as error:
            self._done[references[0]] = error
        except Exception as error:
            self._done[references[0]] = self.exceptions.RayTaskError(error)
        return references[:1], references[1:]

    def get(self, reference):
        found = self._done[reference]
        if isinstance(found, Exception):
            raise found
        return found

    def cancel(self, reference, force):
        pass

    def kill(self, actor):
        pass


class TestCrew:
    """A `RayCluster` without Ray; `attempt` does what a test says."""

    CELLS = tuple(small_cell(updates=u) for u in (3, 4, 5))

    @pytest.fixture
    def ray(self, monkeypatch):
        fake = FakeRay()
        monkeypatch.setitem(sys.modules, "ray", fake)
        return fake

    def run(self, tmp_path, monkeypatch, attempt, *, cells=CELLS, workers=None, stop=lambda: False):
        monkeypatch.setattr(omar.matrix.cluster, "attempt", attempt)
        crew = RayCluster(tmp_path, address="x", threads=torch.get_num_threads(), workers=workers)
        return [event for event in crew.run(cells, stop) if event is not None]

    @staticmethod
    def stopped(cell, root, tell, *_):
        tell(Event("stopped", cell.key))

    @pytest.mark.parametrize(("workers", "most"), [(None, 3), (1, 1), (2, 2), (9, 3)])
    def test_no_more_cells_at_the_same_time_than_workers(self, tmp_path, monkeypatch, ray, workers, most):
        events = self.run(tmp_path, monkeypatch, self.stopped, workers=workers)
        assert [event.key for event in events] == [cell.key for cell in self.CELLS]
        assert ray.most == most

    def test_cells_that_wait_are_not_begun_after_a_stop(self, tmp_path, monkeypatch, ray):
        asked = iter((False, True, True))
        events = self.run(tmp_path, monkeypatch, self.stopped, workers=1, stop=lambda: next(asked))
        assert [event.key for event in events] == [self.CELLS[0].key]
        assert len(ray.gpus) == 1

    def test_a_gpu_for_every_cell_that_asks_for_one(self, tmp_path, monkeypatch, ray):
        cells = [small_cell(updates=3, device="cuda"), small_cell(updates=4, device="cpu")]
        self.run(tmp_path, monkeypatch, self.stopped, cells=cells)
        assert ray.gpus == [1, 0]

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (OmarError("the state is damaged"), "the state is damaged"),
            (OSError(28, "No space left on device", "/tmp/x"), "/tmp/x: No space left on device"),
            (RuntimeError("no package omar\nand more"), "RuntimeError: no package omar"),
            (FakeRay.exceptions.RayError("a node\nis gone"), "its worker died 11 times: a node"),
        ],
    )
    def test_message_of_a_failure(self, tmp_path, monkeypatch, ray, error, text):
        def fail(*_):
            raise error

        (event,) = self.run(tmp_path, monkeypatch, fail, cells=self.CELLS[:1])
        assert event == Event("failed", self.CELLS[0].key, text=text)

    def test_the_command_passes_its_options_on(self, tmp_path, monkeypatch):
        found = []

        def crew(root, **options):
            found.append(options)
            return SimpleNamespace(run=lambda cells, stop: found.append(cells) or iter(()))

        monkeypatch.setattr("omar.reproduce.RayCluster", crew)
        few = ["--only", "task=simple_spread,quality=random,algorithm=bc", "--seeds", "1"]
        assert main(["--out", str(tmp_path), *few, "--ray", "x", "--workers", "3", "--threads", "2"]) == 130
        options, (cell,) = found
        assert options == {"address": "x", "threads": 2, "workers": 3}
        assert cell.device == "cpu"


@pytest.mark.parametrize(("name", "device"), [("auto", "cpu"), ("cpu", "cpu"), ("cuda", "cuda")])
def test_devices_of_tasks(name, device):
    assert task_device(name) == device


def test_message_a_gpu_of_several(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "new"), "--ray", "local", "--device", "cuda:1"]) == 2
    said = "--ray gives every cell a GPU of its own: --device must be cuda, got cuda:1"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
