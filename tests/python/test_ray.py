"""Cells on a Ray cluster: a node that dies, and states that travel."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from matrix_cases import small_cell
from omar.errors import OmarError
from omar.matrix.archive import pack, unpack
from omar.matrix.document import Document
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
