"""Contents are checked before training, once: what changed is refused, what did not costs nothing again."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_cases import make_columns, make_dataset, make_spec
from omar.data import Dataset, DatasetSpec, ensure_dataset, resolve_datasets, verification, write_dataset
from omar.data.manifest import MANIFEST, ColumnInfo, file_sha256, seal, whole_sha256
from omar.errors import DatasetError, OmarError


@pytest.fixture(autouse=True)
def omar_home(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def train_on(path):
    return resolve_datasets("simple_spread", str(path), [0])[0]


def settle(monkeypatch):
    """As if files were never younger than a clock's tick."""
    monkeypatch.setattr(verification, "SETTLED_NS", 0)


def count_reads(monkeypatch):
    reads = []

    def counted(path, advance=lambda _: None):
        reads.append(path.name)
        return file_sha256(path, advance)

    monkeypatch.setattr(verification, "file_sha256", counted)
    return reads


def test_columns_are_read_the_first_time_only(tmp_path, monkeypatch):
    settle(monkeypatch)
    reads = count_reads(monkeypatch)
    path = make_dataset(tmp_path / "set").path
    train_on(path)
    assert len(reads) == 6
    train_on(path)
    assert len(reads) == 6
    shutil.copytree(path, tmp_path / "copy")
    train_on(tmp_path / "copy")
    assert len(reads) == 12


def test_a_set_that_was_just_written_is_read_again(tmp_path, monkeypatch, omar_home):
    """Within a tick of the clock a file can change without a new time."""
    reads = count_reads(monkeypatch)
    path = make_dataset(tmp_path / "set").path
    train_on(path)
    train_on(path)
    assert len(reads) == 12
    assert not (omar_home / "verified").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff" * 100])
def test_a_damaged_record_is_ignored(tmp_path, monkeypatch, omar_home, content):
    settle(monkeypatch)
    reads = count_reads(monkeypatch)
    path = make_dataset(tmp_path / "set").path
    train_on(path)
    (record,) = (omar_home / "verified").iterdir()
    record.write_bytes(content)
    train_on(path)
    assert len(reads) == 12
    train_on(path)
    assert len(reads) == 12


def test_a_home_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    settle(monkeypatch)
    path = make_dataset(tmp_path / "set").path
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "file"))
    reads = count_reads(monkeypatch)
    train_on(path)
    train_on(path)
    assert len(reads) == 12


def test_the_same_size_time_and_place_do_not_hide_a_change(tmp_path, monkeypatch):
    settle(monkeypatch)
    path = make_dataset(tmp_path / "set").path
    train_on(path)
    column = path / "rewards.npy"
    times = (column.stat().st_atime_ns, column.stat().st_mtime_ns)
    data = bytearray(column.read_bytes())
    data[-1] ^= 64
    column.write_bytes(data)
    os.utime(column, ns=times)  # the time of the change of the inode remains
    with pytest.raises(DatasetError, match=r"the checksum of rewards.npy is not the manifest's"):
        train_on(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path_factory, data):
    with pytest.MonkeyPatch.context() as patch:
        settle(patch)
        root = tmp_path_factory.mktemp("byte")
        patch.setenv("OMAR_HOME", str(root / "home"))
        path = make_dataset(root / "set", episodes=2).path
        before = train_on(path)
        columns = {name: np.array(column) for name, column in before.columns().items()}
        file = path / data.draw(st.sampled_from(sorted(entry.name for entry in path.iterdir())))
        content = bytearray(file.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        try:
            after = train_on(path)
        except DatasetError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
            return
        finally:
            shutil.rmtree(root, ignore_errors=True)
        assert file.name == MANIFEST  # white space, or another spelling of the same
        assert after.manifest == before.manifest
        assert columns.keys() == after.manifest.columns.keys()


def rewrite(path, name, array):
    """Replaces a column and makes the manifest agree: what only a look at the contents can find."""
    np.save(path / f"{name}.npy", array)
    raw = json.loads((path / MANIFEST).read_text())
    raw["columns"][name] |= {
        "bytes": (path / f"{name}.npy").stat().st_size,
        "sha256": file_sha256(path / f"{name}.npy"),
    }
    raw["sha256"] = whole_sha256({key: ColumnInfo(**info) for key, info in raw["columns"].items()})
    (path / MANIFEST).write_text(json.dumps(seal(raw)))


def test_values_that_cannot_be_are_refused(tmp_path):
    path = make_dataset(tmp_path / "nan").path
    rewards = make_columns()["rewards"]
    rewards[30, 2] = np.nan
    rewrite(path, "rewards", rewards)
    with pytest.raises(
        DatasetError, match=r"nan is damaged: column 'rewards' has a value that is not finite in"
    ):
        train_on(path)
    path = make_dataset(tmp_path / "flag").path
    flags = make_columns()["truncated"].view(np.uint8)
    flags[7] = 7
    rewrite(path, "truncated", flags.view(np.bool_))
    with pytest.raises(DatasetError, match=r"column 'truncated' has a flag that is neither 0 nor 1 in row 7"):
        train_on(path)


def test_a_damaged_set_of_the_cache_names_the_command_that_mends_it(monkeypatch):
    monkeypatch.setitem(ensure_dataset.__globals__, "QUALITIES", ("random",))
    make = ensure_dataset.__globals__["make_plan"]
    monkeypatch.setitem(
        ensure_dataset.__globals__,
        "make_plan",
        lambda *args, steps=None, **options: make(*args, steps=2500, **options),
    )
    path = resolve_datasets("simple_spread", "random", [0])[0].path
    data = bytearray((path / "actions.npy").read_bytes())
    data[-1] ^= 1
    (path / "actions.npy").write_bytes(data)
    with pytest.raises(
        DatasetError,
        match=r"the checksum of actions.npy .*; rebuild it with `python -m omar.collect dataset --task "
        r"simple_spread --quality random --seed 0 --steps 2500 --rebuild`",
    ):
        resolve_datasets("simple_spread", "random", [0])


def test_a_set_of_another_shape_than_its_task_is_refused(tmp_path):
    columns = make_columns()
    columns["observations"] = np.zeros((100, 3, 30), np.float32)
    columns["next_observations"] = np.zeros((100, 3, 30), np.float32)
    write_dataset(tmp_path / "wide", make_spec(obs_size=30), columns)
    with pytest.raises(
        DatasetError,
        match=r"wide is not a dataset of simple_spread: observations must be \[100, 3, 18\], got \[100, 3",
    ):
        train_on(tmp_path / "wide")


def test_several_sets_are_one_for_each_seed(tmp_path):
    paths = [str(make_dataset(tmp_path / name, seed=i).path) for i, name in enumerate("abc")]
    found = resolve_datasets("simple_spread", paths, [0, 1, 2])
    assert [str(dataset.path) for dataset in found] == paths
    found = resolve_datasets("simple_spread", [Path(paths[0])], [0, 1, 2])
    assert found[0] is found[1] is found[2]
    found = resolve_datasets("simple_spread", [paths[0], paths[1], paths[0]], [0, 1, 2])
    assert found[0] is found[2]
    with pytest.raises(
        DatasetError,
        match="--dataset takes one set for all seeds or one for each: 2 were given for 3 seeds",
    ):
        resolve_datasets("simple_spread", paths[:2], [0, 1, 2])
    with pytest.raises(DatasetError, match="0 were given for 1 seeds"):
        resolve_datasets("simple_spread", [], [0])


def test_sets_of_one_training_share_their_scale(tmp_path):
    paths = []
    for index, prey in enumerate(({"source": "uniform"}, None)):
        spec = make_spec("simple_tag", recipe={"prey": prey})
        paths.append(write_dataset(tmp_path / str(index), spec, make_columns("simple_tag")).path)
    with pytest.raises(DatasetError, match=r"must share their prey and references: .*1 differs from .*0$"):
        resolve_datasets("simple_tag", paths, [0, 1])


def test_a_users_home_that_does_not_exist_is_one_sentence(monkeypatch):
    with pytest.raises(OmarError, match="~nosuchuser/x: this machine knows no home folder for it"):
        train_on("~nosuchuser/x")
    monkeypatch.setenv("OMAR_HOME", "~nosuchuser")
    with pytest.raises(OmarError, match="~nosuchuser: this machine knows no home folder for it"):
        ensure_dataset("simple_spread", "random", steps=2500)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quality": "../x"}, "'../x' cannot name a quality: expected up to 64 letters, digits"),
        ({"quality": ""}, "'' cannot name a quality"),
        ({"task": "/etc"}, "'/etc' cannot name a task"),
        ({"task": "chess"}, "unknown task 'chess': its set needs references of its own"),
    ],
)
def test_names_that_are_no_names_are_refused(changes, message):
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(make_spec(), **changes)


def test_the_prey_of_a_set_is_its_checksum(tmp_path):
    recipes = [
        {},
        {"prey": None},
        {"prey": {"source": "uniform"}},
        {"prey": {"source": "network", "sha256": "ab"}},
    ]
    found = []
    for index, recipe in enumerate(recipes):
        spec = make_spec("simple_tag", recipe=recipe)
        assert isinstance(spec, DatasetSpec)
        found.append(write_dataset(tmp_path / str(index), spec, make_columns("simple_tag")).prey)
    assert found == [None, None, "uniform", "ab"]
    assert Dataset.open(tmp_path / "3").prey == "ab"
