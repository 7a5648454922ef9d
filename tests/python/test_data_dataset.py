"""Datasets on disk: what is written is read back, and what is damaged is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest

from data_cases import LENGTH, make_columns, make_dataset, make_spec
from omar.data import Dataset, DatasetWriter, write_dataset
from omar.data.card import return_bins
from omar.data.manifest import MANIFEST, file_sha256, seal, whole_sha256
from omar.errors import DatasetError
from omar.tasks import References


def edit_manifest(dataset, change):
    path = dataset.path / MANIFEST
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(seal(raw)))


def rewrite(dataset, name, array):
    """Replaces a column and makes the manifest agree: what only a look at the contents can find."""
    path = dataset.path / f"{name}.npy"
    np.save(path, array)

    def change(raw):
        raw["columns"][name] |= {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        columns = {key: info["sha256"] for key, info in raw["columns"].items()}
        raw["sha256"] = whole_sha256(
            {key: namedtuple("C", "sha256")(value) for key, value in columns.items()}
        )

    edit_manifest(dataset, change)


def test_columns_come_back_bit_for_bit_and_mapped(tmp_path):
    columns = make_columns()
    dataset = Dataset.open(write_dataset(tmp_path / "set", make_spec(), columns).path)
    for name, column in dataset.columns().items():
        assert isinstance(column, np.memmap)
        assert not column.flags.writeable
        assert column.dtype == columns[name].dtype
        np.testing.assert_array_equal(column, columns[name])
    assert len(dataset) == 4 * LENGTH
    dataset.verify()


def test_manifest_states_what_numpy_and_hashlib_say(tmp_path):
    columns = make_columns("simple_tag")
    dataset = make_dataset(tmp_path / "set", "simple_tag")
    manifest = dataset.manifest
    returns = columns["rewards"].mean(axis=1, dtype=np.float64).reshape(-1, LENGTH).sum(axis=1)
    assert (manifest.task, manifest.quality, manifest.transitions, manifest.episodes) == (
        "simple_tag",
        "random",
        4 * LENGTH,
        4,
    )
    assert manifest.returns.mean == pytest.approx(returns.mean())
    assert manifest.returns.std == pytest.approx(returns.std())
    np.testing.assert_allclose(dataset.episode_returns(), returns)
    for name, info in manifest.columns.items():
        assert file_sha256(dataset.path / f"{name}.npy") == info.sha256
        assert (dataset.path / f"{name}.npy").stat().st_size == info.bytes
    assert manifest.references == References(-4.1, 185.6, "paper, with its authors' prey")
    assert {"omar", "torch", "numpy"} <= manifest.versions.keys()


def test_the_same_columns_give_the_same_folder_whatever_the_chunks(tmp_path):
    columns = make_columns()
    first = write_dataset(tmp_path / "a", make_spec(), columns)
    second = write_dataset(tmp_path / "b", make_spec(), columns, rows=7)
    assert first.manifest == second.manifest
    assert len(list(first.path.iterdir())) == 7
    for file in first.path.iterdir():
        assert file.read_bytes() == (second.path / file.name).read_bytes()


def test_one_changed_value_changes_the_checksum(tmp_path):
    columns = make_columns()
    first = write_dataset(tmp_path / "a", make_spec(), columns)
    columns["rewards"][3, 1] += 1.0
    assert write_dataset(tmp_path / "b", make_spec(), columns).manifest.sha256 != first.manifest.sha256


def test_observation_statistics_are_those_of_numpy(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    observations = make_columns()["observations"].astype(np.float64)
    mean, std = dataset.statistics("observations")
    np.testing.assert_allclose(mean, observations.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(std, observations.std(axis=0), rtol=1e-5)


def test_episodes_of_unequal_length(tmp_path):
    columns = make_columns()
    columns["truncated"][:] = False
    columns["truncated"][[9, 59]] = True
    columns["terminated"][79] = True
    dataset = write_dataset(tmp_path / "set", make_spec(), columns)
    team = columns["rewards"].mean(axis=1, dtype=np.float64)
    expected = [team[:10].sum(), team[10:60].sum(), team[60:80].sum(), team[80:].sum()]
    np.testing.assert_allclose(dataset.episode_returns(), expected)
    assert dataset.manifest.episodes == 4


@pytest.mark.parametrize("name", ["actions", "truncated"])
def test_a_truncated_or_longer_file_is_refused_on_opening(tmp_path, name):
    dataset = make_dataset(tmp_path / "set")
    path = dataset.path / f"{name}.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(
        DatasetError, match=rf"is damaged: {name}.npy has {len(data) - 1} bytes instead of {len(data)}"
    ):
        Dataset.open(dataset.path)
    path.write_bytes(data + b"\0")
    with pytest.raises(DatasetError, match=rf"{name}.npy has {len(data) + 1} bytes"):
        Dataset.open(dataset.path)


def test_a_flipped_bit_is_found_by_verify(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    path = dataset.path / "rewards.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"is damaged: the checksum of rewards.npy is not the manifest's"):
        Dataset.open(dataset.path).verify()


def test_missing_pieces_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no dataset at .*nowhere: there is no such folder"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"the folder has no manifest.json"):
        Dataset.open(tmp_path)
    dataset = make_dataset(tmp_path / "set")
    (dataset.path / "actions.npy").unlink()
    with pytest.raises(DatasetError, match=r"is damaged: actions.npy is missing"):
        Dataset.open(dataset.path)
    with pytest.raises(DatasetError, match="has no column 'colour': it has actions, next"):
        make_dataset(tmp_path / "other").column("colour")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.pop("episodes"), "is damaged: `episodes` is missing"),
        (lambda raw: raw.update(format="other"), "is not the manifest of a dataset"),
        (lambda raw: raw.update(format_version=1), "has format version 1, this version of omar reads 2"),
        (lambda raw: raw["columns"]["actions"].pop("sha256"), "`columns.actions.sha256` is missing"),
        (lambda raw: raw["columns"].pop("actions"), "`columns` has no column 'actions'"),
        (
            lambda raw: raw["columns"].update({"../x": raw["columns"].pop("actions")}),
            "`columns` has no column 'actions'",
        ),
        (
            lambda raw: raw["columns"].update({"../x": raw["columns"]["actions"]}),
            "`columns` has an unknown column '../x'",
        ),
        (lambda raw: raw["columns"]["actions"].update(sha256="0" * 64), "`sha256` is not the checksum of"),
        (lambda raw: raw.update(transitions=7), "`columns.actions` has 100 rows instead of 7"),
        (
            lambda raw: raw["columns"]["actions"].update(dtype="<f8"),
            "`columns.actions` must be <f4 of rank 3",
        ),
        (lambda raw: raw["columns"]["actions"].update(shape=[100]), r"rank 3, got '<f4' \[100\]"),
        (
            lambda raw: raw["columns"]["actions"].update(shape=[100, 3, 1]),
            r"manifest.json says <f4 \[100, 3, 1",
        ),
        (lambda raw: raw.update(quality="../x"), r"`quality` is not a valid name, got '\.\./x'"),
        (lambda raw: raw.update(task="/etc"), "`task` is not a valid name, got '/etc'"),
        (lambda raw: raw.update(quality=""), "`quality` is not a valid name, got ''"),
        (lambda raw: raw.update(episodes=0), "`episodes` must be at least 1, got 0"),
        (lambda raw: raw.update(episodes=True), "`episodes` must be an integer, got true"),
        (lambda raw: raw.update(recipe=None), "`recipe` must be a JSON object, got null"),
        (lambda raw: raw.update(recipe=[]), r"`recipe` must be a JSON object, got \[\]"),
        (lambda raw: raw.update(columns=5), "`columns` must be a JSON object, got 5"),
        (lambda raw: raw["references"].update(random="x"), "`references.random` must be a finite number"),
        (lambda raw: raw["references"].update(random=516.8), "`references` must give different returns"),
        (lambda raw: raw["references"].update(random=1.7e308), "`references` must give different returns"),
        (
            lambda raw: raw["references"].update(random=516.8 + 1e-9),
            "`references` must give different returns",
        ),
        (lambda raw: raw.update(colour="blue"), "`colour` is not a known entry"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, change, message):
    dataset = make_dataset(tmp_path / "set")
    edit_manifest(dataset, change)
    with pytest.raises(DatasetError, match=message):
        Dataset.open(dataset.path)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "\x00\xff", "[" * 100_000, '{"a": ' * 100_000, '{"a": %s}' % ("1" * 5_000)]
)
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path, text):
    dataset = make_dataset(tmp_path / "set")
    (dataset.path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(
        DatasetError, match=r"manifest.json is damaged: it (is not JSON|holds no JSON object)"
    ):
        Dataset.open(dataset.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["references"].update(random=0.0),
        lambda raw: raw.update(quality="expert"),
        lambda raw: raw["recipe"].update(prey={"source": "uniform"}),
        lambda raw: raw["returns"].update(mean=1.0),
        lambda raw: raw["versions"].update(torch="9"),
        lambda raw: raw.update(episode_length=7),
        lambda raw: raw.pop("checksum"),
        lambda raw: raw.update(checksum=5),
    ],
)
def test_no_entry_of_a_manifest_changes_unseen(tmp_path, change):
    path = make_dataset(tmp_path / "set").path
    raw = json.loads((path / MANIFEST).read_text())
    change(raw)
    (path / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(DatasetError, match=r"manifest.json is damaged: its checksum does not match its"):
        Dataset.open(path)


@pytest.mark.parametrize("depth", [17, 400, 980, 990])
def test_a_manifest_that_is_nested_too_deep_is_refused(tmp_path, depth):
    path = make_dataset(tmp_path / "set").path / MANIFEST
    deep = '{"a": ' * depth + "1" + "}" * depth
    path.write_text(path.read_text().replace('"source": "test"', f'"source": {deep}'))
    with pytest.raises(
        DatasetError, match=r"manifest.json is damaged: (its entries are nested|it is not JSON)"
    ):
        Dataset.open(path.parent)


def test_a_value_that_json_does_not_have_is_refused(tmp_path):
    path = make_dataset(tmp_path / "set").path / MANIFEST
    path.write_text(path.read_text().replace('"expert": 516.8', '"expert": NaN'))
    with pytest.raises(DatasetError, match=r"manifest.json is damaged: it is not JSON"):
        Dataset.open(path.parent)


def test_pickled_columns_are_never_loaded(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    rewrite(dataset, "actions", np.array([{"a": 1}], dtype=object))
    with pytest.raises(DatasetError, match=r"is damaged: .*actions.npy cannot be read as a .npy file"):
        Dataset.open(dataset.path)


def test_verify_finds_nan_shuffled_rows_and_a_wrong_episode_count(tmp_path):
    columns = make_columns()
    dataset = make_dataset(tmp_path / "nan")
    columns["rewards"][30, 2] = np.nan
    rewrite(dataset, "rewards", columns["rewards"])
    with pytest.raises(DatasetError, match="column 'rewards' has a value that is not finite in row 30"):
        Dataset.open(dataset.path).verify()

    dataset = make_dataset(tmp_path / "shuffled")
    rewrite(dataset, "observations", np.roll(make_columns()["observations"], 5, axis=0))
    with pytest.raises(DatasetError, match=r"not in order: row 1 does not start where row 0 ended"):
        Dataset.open(dataset.path).verify()

    dataset = make_dataset(tmp_path / "episodes")
    edit_manifest(dataset, lambda raw: raw.update(episodes=3))
    with pytest.raises(DatasetError, match="it has 4 episodes, its manifest says 3"):
        Dataset.open(dataset.path).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(actions=c["actions"].astype(np.float64)),
            "column 'actions' must be float32, got float64",
        ),
        (
            lambda c: c.update(actions=c["actions"][..., :1]),
            r"column 'actions' must be \[100, 3, 2\], got \[100, 3, 1\]",
        ),
        (
            lambda c: c.update(truncated=c["truncated"][:-1]),
            r"column 'truncated' must be \[100\], got \[99\]",
        ),
        (
            lambda c: c["rewards"].__setitem__((5, 0), np.inf),
            "column 'rewards' has a value that is not finite in row 5",
        ),
        (
            lambda c: c.pop("terminated"),
            "expected the columns observations, .*terminated.*, got observations",
        ),
    ],
)
def test_malformed_columns_are_refused_and_leave_nothing(tmp_path, change, message):
    columns = make_columns()
    change(columns)
    with pytest.raises(DatasetError, match=message):
        write_dataset(tmp_path / "set", make_spec(), columns)
    assert list(tmp_path.iterdir()) == []


def test_too_few_or_too_many_rows_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="100 rows were written, 125 were announced"):
        write_dataset(tmp_path / "few", make_spec(episodes=5), make_columns())
    with pytest.raises(DatasetError, match="more rows than the 75 that were announced"):
        write_dataset(tmp_path / "many", make_spec(episodes=3), make_columns())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    with pytest.raises(DatasetError, match="set exists already"):
        make_dataset(tmp_path / "set", seed=1)
    Dataset.open(dataset.path).verify()


def test_an_unfinished_dataset_is_not_there(tmp_path):
    with DatasetWriter(tmp_path / "set", make_spec()) as writer:
        writer.append(make_columns())
        assert not (tmp_path / "set").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 2**20))
    with pytest.raises(
        DatasetError, match=r"not enough disk space in .*: the dataset needs 64 MiB, 1 MiB are free"
    ):
        make_dataset(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_on_the_way_is_one_sentence(tmp_path, monkeypatch):
    def no_space(_):
        raise OSError(28, "No space left on device")

    message = "cannot write a dataset to .*set: No space left on device"
    with pytest.raises(DatasetError, match=message), DatasetWriter(tmp_path / "set", make_spec()) as writer:
        writer.append(make_columns())
        monkeypatch.setattr(os, "fsync", no_space)
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot write a dataset to .*file"):
        make_dataset(tmp_path / "file" / "set")


@pytest.mark.parametrize("step", [0.0, 0.013, 5.0, 10.0, 17.0])
def test_the_histogram_of_returns_has_round_bins_that_hold_everything(step):
    """Returns that come in steps of 10 fill every bin alike."""
    returns = -8.0 + step * np.random.default_rng(0).integers(0, 21, 5_000)
    edges = return_bins(returns)
    assert np.histogram(returns, edges)[0].sum() == len(returns)
    width = edges[1] - edges[0]
    assert any(np.isclose(np.log10(width / digit) % 1, (0, 1)).any() for digit in (1, 2, 5))
    assert len(edges) <= 41
    if step == 10.0:
        assert width == step
