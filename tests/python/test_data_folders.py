"""Folders appear whole: rebuilds replace in one step, and what killed processes leave is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from data_cases import make_columns, make_dataset, make_spec
from omar.data import Dataset, DatasetWriter, ensure_dataset, folders, generate
from omar.data.formats import FORMATS, export_dataset
from omar.errors import DatasetError

STEPS = 2_500


@pytest.fixture(autouse=True)
def omar_home(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def build(**options):
    return ensure_dataset("simple_spread", "random", steps=STEPS, **options)


def left(folder):
    return [entry.name for entry in folder.rglob("*") if ".partial-" in entry.name]


def test_a_failed_rebuild_leaves_the_old_set(monkeypatch, omar_home):
    dataset = build()

    def fail(plan):
        yield from ()
        raise RuntimeError("no more")

    monkeypatch.setattr(generate, "acting", fail)
    with pytest.raises(RuntimeError, match="no more"):
        build(rebuild=True)
    build().verify()
    assert build().manifest == dataset.manifest
    assert left(omar_home) == []


@pytest.mark.parametrize("exchange", [True, False])
def test_readers_find_a_set_while_it_is_rebuilt(monkeypatch, omar_home, exchange):
    if not exchange:  # as on a file system that cannot
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    path = build().path
    done = threading.Event()
    failures = []

    def read():
        while not done.is_set():
            try:
                build()
                if exchange:
                    Dataset.open(path)
            except DatasetError as error:
                failures.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        made = (path / "manifest.json").stat().st_mtime_ns
        for _ in range(20):
            build(rebuild=True)
        assert (path / "manifest.json").stat().st_mtime_ns > made
    finally:
        done.set()
        reader.join()
    assert failures == []
    assert left(omar_home) == []


def test_the_system_swaps_folders_in_one_step(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("")
    if not folders._exchange(tmp_path / "a", tmp_path / "b"):
        assert sys.platform != "linux"
        return
    assert (tmp_path / "a" / "b").exists()
    with pytest.raises(OSError, match="No such file"):
        folders._exchange(tmp_path / "a", tmp_path / "none")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from data_cases import make_columns, make_dataset, make_spec
from omar.data import DatasetWriter, folders
from omar.data.formats import export_dataset
root = Path(sys.argv[2])
if sys.argv[3] == "import":
    with DatasetWriter(root / "set", make_spec()) as writer:
        writer.append(make_columns())
        print("writing", flush=True)
        sys.stdin.read()
dataset = make_dataset(root / "set")
def stop(folder):
    print("writing", flush=True)
    sys.stdin.read()
folders.sync_tree = stop
export_dataset(sys.argv[3], dataset, root / "out")
"""


def kill_while_writing(tmp_path, what):
    command = [sys.executable, "-c", KILLED, os.path.dirname(__file__), str(tmp_path), what]  # noqa: PTH120
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)


def test_what_a_killed_import_leaves_is_swept_by_the_next(tmp_path):
    kill_while_writing(tmp_path, "import")
    assert len(left(tmp_path)) == 1
    with DatasetWriter(tmp_path / "other", make_spec()) as writer:
        assert len(left(tmp_path)) == 1  # its own
        with DatasetWriter(tmp_path / "third", make_spec()):
            assert len(left(tmp_path)) == 2  # those of a living process stay
        writer.append(make_columns())
        writer.finish()
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_killed_export_does_not_block_its_own_repeat(tmp_path, name):
    kill_while_writing(tmp_path, name)
    assert len(left(tmp_path / "out")) == 1
    export_dataset(name, Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert left(tmp_path / "out") == []
    with pytest.raises(DatasetError, match="exists already: remove it or choose another place"):
        export_dataset(name, Dataset.open(tmp_path / "set"), tmp_path / "out")


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    dataset = make_dataset(tmp_path / "set")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "sync_tree", full)
    with pytest.raises(DatasetError, match=r"cannot export to .*out: No space left on device"):
        export_dataset("authors", dataset, tmp_path / "out")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_folders_of_other_machines_and_users_are_left_alone(tmp_path):
    names = [
        ".set.partial-elsewhere-1-00000000",
        f".set.partial-{folders._HOST}-1-00000000",  # process 1 lives
        f".set.partial-{folders._HOST}-99999999999999999999-00000000",
        ".set.partial-7",
        "set.partial-x",
    ]
    for name in names:
        (tmp_path / name).mkdir()
    folders.sweep(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(names)


@pytest.mark.parametrize("seed", ["../../x", -1, True, None, 7])
def test_an_export_never_leaves_its_destination(tmp_path, seed):
    from omar.data import write_dataset

    dataset = write_dataset(tmp_path / "set", make_spec(recipe={"seed": seed}), make_columns())
    export_dataset("authors", dataset, tmp_path / "a" / "b" / "out")
    (found,) = tmp_path.rglob("obs_0.npy")
    expected = f"seed_{7 if seed == 7 else 0}_data"
    assert found.parent == tmp_path / "a" / "b" / "out" / "simple_spread" / "random" / expected
