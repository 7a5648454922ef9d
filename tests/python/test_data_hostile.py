"""Files that are damaged or made to harm: one sentence that names the file, and nothing else is read."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import h5py
import numpy as np
import pytest
import tensorstore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_cases import make_columns, make_dataset, make_spec
from hostile import CHANGES, JSON_VALUES, changed, little_memory, replace_entry
from omar.data import Dataset, write_dataset
from omar.data.card import make_card
from omar.data.formats import export_dataset
from omar.data.importing import import_dataset
from omar.data.manifest import MANIFEST, seal
from omar.data.npy import open_npy
from omar.errors import DatasetError
from omar.tasks import get_task


def export(tmp_path, name, task="simple_spread"):
    dataset = make_dataset(tmp_path / "set", task)
    export_dataset(name, dataset, tmp_path / "out")
    path = {"authors": "*/*/seed_*", "minari": "", "vault": "*.vlt/*"}[name]
    return next((tmp_path / "out").glob(path)) if path else tmp_path / "out"


def refuse(tmp_path, name, source, message):
    with pytest.raises(DatasetError, match=message) as caught:
        import_dataset(name, source, None, None, tmp_path / "back")
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    assert not (tmp_path / "back").exists()


# .npy


HEADERS = [
    b"{'descr': 'tb1', 'fortran_order': False, 'shape': (100,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (100, }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (100,), ",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % 2**70,
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-5,), }",
    b"{'descr': '<f4', 'fortran_order': 7, 'shape': (100,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (100,), }",
    b"{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
    b"{'descr': '<f4'}",
    b"(" * 900,
    b"\xff\xfe\x00",
    b"__import__('os')",
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_damaged_npy_header_is_one_sentence(tmp_path, header):
    source = export(tmp_path, "authors")
    path = source / "rews_1.npy"
    text = header + b" " * (127 - 10 - len(header) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 400)
    with little_memory():
        refuse(tmp_path, "authors", source, r"rews_1.npy cannot be read as a .npy file: ")


def test_an_archive_and_a_folder_are_no_npy_files(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(DatasetError, match=r"x.npz cannot be read as a .npy file: it is an archive"):
        open_npy(tmp_path / "x.npz")
    with pytest.raises(DatasetError, match="set cannot be read: Is a directory"):
        open_npy(make_dataset(tmp_path / "set").path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_npy_header_is_read_or_refused(tmp_path_factory, changes):
    root = tmp_path_factory.mktemp("header")
    path = root / "x.npy"
    np.save(path, np.arange(100, dtype=np.float32))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place] = value
    path.write_bytes(content)
    try:
        open_npy(path)
    except DatasetError as error:
        assert str(path) in str(error)
    shutil.rmtree(root)


# HDF5


def with_file(source, change):
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        change(file)


def replaced(name, make):
    """A change that puts another dataset at a place of episode 1."""

    def change(file):
        del file["episode_1"][name]
        make(file["episode_1"], name)

    return change


def external(group, name):
    group.create_dataset(name, shape=(25,), dtype="f8", external=[("/etc/passwd", 0, 200)])


def virtual(group, name):
    layout = h5py.VirtualLayout(shape=(25,), dtype="f8")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", shape=(25,))
    group.create_virtual_dataset(name, layout)


def soft(group, name):
    group[name] = h5py.SoftLink("/episode_0/rewards")


def elsewhere(group, name):
    group[name] = h5py.ExternalLink("/etc/other.h5", "/x")


def many_rows(group, name):
    group.create_dataset(name, shape=(2**40,), dtype="f8", chunks=(1024,), compression="gzip")
    group[name][:10] = 1.0


def never_written(group, name):
    group.create_dataset(name, shape=(25,), dtype="f8")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (external, "episode_1: rewards is refused: its numbers lie in other files"),
        (virtual, "episode_1: rewards is refused: its numbers lie in other files"),
        (soft, "is refused: episode_1/rewards is a link to another place"),
        (elsewhere, "is refused: episode_1/rewards is a link to another place"),
        (many_rows, "episode_1: rewards claims 1,099,511,627,776 rows, which the file does not hold"),
        (never_written, "episode_1: rewards claims 25 rows, which the file does not hold"),
        (lambda g, n: g.create_dataset(n, data=b"text"), "rewards holds a single number instead of a column"),
        (lambda g, n: g.create_dataset(n, data=[b"text"] * 25), "rewards must hold numbers, got"),
        (lambda g, n: g.create_dataset(n, data=["text"] * 25), "rewards must hold numbers, got object"),
        (
            lambda g, n: g.create_dataset(n, data=np.zeros(25, "c8")),
            "rewards must hold numbers, got complex64",
        ),
        (
            lambda g, n: g.create_dataset(n, data=np.zeros((25, 7))),
            r"must be \[100, 3\]|of episode_1 is \[25",
        ),
    ],
)
def test_arrays_that_are_not_what_they_seem(tmp_path, make, message):
    source = export(tmp_path, "minari")

    def change(file):
        for episode in file.values():
            del episode["infos"]
        replaced("rewards", make)(file)

    with_file(source, change)
    with little_memory():
        refuse(tmp_path, "minari", source, message)


def test_a_group_of_linked_episodes_is_refused(tmp_path):
    source = export(tmp_path, "minari")
    with_file(source, lambda file: file.__setitem__("episode_4", h5py.ExternalLink("other.h5", "/episode_0")))
    refuse(tmp_path, "minari", source, "is refused: episode_4 is a link to another place")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_hdf5_file_is_read_or_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("hdf5")
    source = export(root, "minari")
    path = source / "data" / "main_data.hdf5"
    path.write_bytes(changed(path.read_bytes(), data.draw(CHANGES)))
    try:
        import_dataset("minari", source, None, None, root / "back")
    except DatasetError as error:
        assert str(source) in str(error)
        assert "\n" not in str(error)
    shutil.rmtree(root)


# Vaults


def rewrite_leaf(source, name, array):
    kvstore = {"driver": "ocdbt", "base": f"file://{source}/", "path": f"{name}/"}
    tensorstore.KvStore.open(kvstore).result().delete_range(tensorstore.KvStore.KeyRange()).result()
    spec = {"driver": "zarr", "kvstore": kvstore}
    store = tensorstore.open(spec, create=True, dtype=array.dtype, shape=array.shape).result()
    store.write(array).result()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("rewards.", np.zeros(5, np.float32), r"leaf 'rewards' must be \[1, 100, ...\] of numbers"),
        ("rewards.", np.zeros((2, 100, 3), np.float32), r"leaf 'rewards' must be \[1, 100, ...\] of numbers"),
        (
            "rewards.",
            np.zeros((1, 50, 3), np.float32),
            r"must be \[1, 100, ...\] of numbers, got float32 \[1, 50",
        ),
        ("rewards.", np.zeros((1, 100, 3), np.complex64), r"of numbers, got complex64 \[1, 100, 3\]"),
        ("rewards.", np.zeros((1, 100, 3, 2), np.float32), r"rewards must be \[100, 3\], got \[100, 3, 2\]"),
        ("terminals.", np.full((1, 100, 3), 5, np.int32), "terminals must hold only 0 and 1"),
        (
            "vault_index",
            np.array([2**30], np.int32),
            r"must be \[1, 1073741824, ...\]|claims 1,073,741,824 rows",
        ),
        ("vault_index", np.array([-1], np.int32), "is an empty vault"),
        ("vault_index", np.array([[100]], np.int32), "its vault_index must be one integer"),
        ("vault_index", np.array([100.0]), "its vault_index must be one integer"),
    ],
)
def test_leaves_of_the_wrong_form(tmp_path, name, array, message):
    source = export(tmp_path, "vault")
    rewrite_leaf(source, name, array)
    with little_memory():
        refuse(tmp_path, "vault", source, message)


def test_metadata_that_is_too_deep_is_refused(tmp_path):
    source = export(tmp_path, "vault")
    (source / "metadata.json").write_text("[" * 100_000)
    refuse(tmp_path, "vault", source, r"metadata.json is damaged: it is not JSON")


# Values and names


def test_float64_that_float32_cannot_hold_is_refused(tmp_path):
    source = export(tmp_path, "authors")
    for agent in range(3):
        np.save(source / f"rews_{agent}.npy", np.full(100, 1e300))
    refuse(tmp_path, "authors", source, "column 'rewards' has a value that is not finite in row 0")


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", ".x", "a\0b", "a\nb"])
def test_a_manifest_cannot_lead_an_export_elsewhere(tmp_path, name):
    path = write_dataset(tmp_path / "set", make_spec(), make_columns()).path
    raw = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(seal(raw | {"quality": name})))
    with pytest.raises(
        DatasetError, match=r"manifest.json is damaged: `quality` is not a valid name"
    ) as caught:
        Dataset.open(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_entry_of_a_manifest_is_read_or_refused(tmp_path_factory, data):
    """A checksum keeps accidents out, not a manifest that somebody made."""
    root = tmp_path_factory.mktemp("manifest")
    path = make_dataset(root / "set", "simple_tag", episodes=1).path
    raw = json.loads((path / MANIFEST).read_text())
    replace_entry(raw, data.draw(JSON_VALUES), lambda of: data.draw(st.sampled_from(of)))
    with suppress(ValueError):  # no checksum of what is no JSON
        raw = seal(raw)
    (path / MANIFEST).write_text(json.dumps(raw))
    try:
        dataset = Dataset.open(path)
        dataset.check_task(get_task("simple_tag"))
        dataset.verify()
        make_card(dataset)
        assert dataset.prey is None or isinstance(dataset.prey, str)
        export_dataset("authors", dataset, root / "out")
    except DatasetError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    assert {entry.name for entry in root.iterdir()} <= {"set", "out"}
    shutil.rmtree(root)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_vault_is_read_or_refused(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("vault")
    source = export(root, "vault")
    which, changes = data.draw(st.integers(0, 99)), data.draw(CHANGES)
    files = sorted(entry for entry in source.rglob("*") if entry.is_file())
    path = files[which % len(files)]  # their names and sizes differ from one export to the next
    path.write_bytes(changed(path.read_bytes(), changes))
    try:
        import_dataset("vault", source, None, None, root / "back")
    except DatasetError as error:
        assert str(source) in str(error)
        assert "\n" not in str(error)
    shutil.rmtree(root)
