"""The replay buffer against a ring that writes row by row and against a permutation in plain Python."""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import re
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import omar
from oracles.permutation import sample_rows
from oracles.ring import Ring

FIELDS = {"observations": (3, 18), "actions": (3, 2), "rewards": (3,), "next_observations": (3, 18)}
SMALL = {"x": (3,), "y": ()}


def make_columns(fields, n, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((n, *shape)).astype(np.float32) for name, shape in fields.items()}


def filled(n=100, capacity=128, fields=FIELDS, datasets=1, **options):
    buffer = omar.ReplayBuffer(capacity, fields, datasets=datasets, **options)
    for dataset in range(datasets):
        buffer.extend(make_columns(fields, n, seed=dataset), dataset)
    return buffer


# ---- storage


@settings(deadline=None, max_examples=60)
@given(
    capacity=st.integers(1, 40),
    pieces=st.lists(st.integers(0, 90), max_size=5),
    fields=st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=3),
        st.lists(st.integers(1, 4), max_size=3).map(tuple),
        min_size=1,
        max_size=4,
    ),
)
def test_ring_holds_what_a_row_by_row_ring_holds(capacity, pieces, fields):
    buffer, ring = omar.ReplayBuffer(capacity, fields), Ring(capacity, fields)
    for i, n in enumerate(pieces):
        columns = make_columns(fields, n, seed=i)
        buffer.extend(columns)
        ring.extend(columns)
    assert len(buffer) == buffer.size == ring.size
    assert buffer.fields == fields
    for name, column in buffer.columns().items():
        np.testing.assert_array_equal(column.numpy(), ring.columns()[name])
    if ring.size:
        batch = buffer.sample(ring.size, seed=3, step=4)
        rows = buffer.sample_indices(ring.size, seed=3, step=4)[0].numpy()
        for name, column in batch.items():
            np.testing.assert_array_equal(column[0].numpy(), ring.rows[name][rows])


def test_parallel_fill_and_gather_of_many_rows():
    columns = make_columns(FIELDS, 20_000)
    buffer = omar.ReplayBuffer(15_000, FIELDS)
    buffer.extend(columns)
    for name, column in buffer.columns().items():
        np.testing.assert_array_equal(column.numpy(), columns[name][-15_000:])
    kept = {name: np.roll(column[-15_000:], 5_000, axis=0) for name, column in columns.items()}
    batch = buffer.sample(3_000, members=2, seed=0, step=0)
    rows = buffer.sample_indices(3_000, members=2, seed=0, step=0).numpy()
    for name, column in batch.items():
        np.testing.assert_array_equal(column.numpy(), kept[name][rows])


def test_rows_fill_cache_lines():
    assert omar.ReplayBuffer(4, FIELDS).row_bytes == 512  # 468 bytes
    assert omar.ReplayBuffer(4, {"x": (16,)}).row_bytes == 64
    assert omar.ReplayBuffer(4, {"x": (5,)}).row_bytes == 32
    assert omar.ReplayBuffer(4, {"x": ()}).row_bytes == 4


def test_extend_accepts_tensors_arrays_memory_maps_and_views(tmp_path: Path):
    columns = make_columns(SMALL, 50)
    np.save(tmp_path / "x.npy", columns["x"])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    frozen = columns["y"].copy()
    frozen.flags.writeable = False
    wide = np.zeros((50, 6), np.float32)
    wide[:, ::2] = columns["x"]
    tensor = torch.from_numpy(columns["x"]).requires_grad_()
    for x, y in [(mapped, frozen), (wide[:, ::2], columns["y"]), (tensor, torch.from_numpy(columns["y"]))]:
        buffer = omar.ReplayBuffer(50, SMALL)
        buffer.extend({"y": y, "x": x})  # in any order
        for name, column in buffer.columns().items():
            np.testing.assert_array_equal(column.numpy(), columns[name])
            assert not column.requires_grad


def test_nan_is_data():
    buffer = omar.ReplayBuffer(2, {"x": ()})
    buffer.extend({"x": np.array([np.nan, np.inf], np.float32)})
    np.testing.assert_array_equal(buffer.columns()["x"].numpy(), [np.nan, np.inf])


# ---- sampling


@settings(deadline=None, max_examples=80)
@given(
    size=st.integers(1, 3_000),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 2**32 - 1),
    members=st.integers(1, 4),
    data=st.data(),
)
def test_rows_are_distinct_and_those_of_the_plain_permutation(size, seed, step, members, data):
    batch = data.draw(st.integers(1, size))
    buffer = omar.ReplayBuffer(size, {"x": ()})
    buffer.extend({"x": np.zeros(size, np.float32)})
    rows = buffer.sample_indices(batch, members=members, seed=seed, step=step)
    assert rows.shape == (members, batch)
    assert rows.dtype == torch.int64
    for m in range(members):
        assert len(set(rows[m].tolist())) == batch
        assert rows[m].tolist() == sample_rows(size, batch, seed, m, step)


def chi_square_is_plausible(counts, expected):
    """Two-sided, at six standard deviations of the statistic."""
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = counts.size - 1
    assert abs(statistic - freedom) < 6 * math.sqrt(2 * freedom), (statistic, freedom)


def draws(size, batch, steps, members=1, seed=11):
    buffer = omar.ReplayBuffer(size, {"x": ()})
    buffer.extend({"x": np.zeros(size, np.float32)})
    return np.stack(
        [buffer.sample_indices(batch, members=members, seed=seed, step=s).numpy() for s in range(steps)]
    )


@pytest.mark.parametrize("size", [2, 3, 5, 16, 33, 100, 1000])
def test_every_row_is_equally_likely_at_every_place(size):
    rows = draws(size, 2, steps=max(4_000, 40 * size))[:, 0]
    for place in range(2):
        chi_square_is_plausible(np.bincount(rows[:, place], minlength=size), len(rows) / size)


@pytest.mark.parametrize("size", [3, 5, 8, 12, 33])
def test_every_ordered_pair_is_equally_likely(size):
    rows = draws(size, 2, steps=max(20_000, 40 * size * size))[:, 0]
    counts = np.bincount(rows[:, 0] * size + rows[:, 1], minlength=size * size).reshape(size, size)
    assert np.trace(counts) == 0
    off_diagonal = counts[~np.eye(size, dtype=bool)]
    chi_square_is_plausible(off_diagonal, len(rows) / off_diagonal.size)


def test_every_order_of_four_rows_is_equally_likely():
    rows = draws(4, 4, steps=12_000)[:, 0]
    orders = np.unique(rows, axis=0, return_counts=True)[1]
    assert len(orders) == math.factorial(4)
    chi_square_is_plausible(orders, len(rows) / 24)


def test_batch_overlaps_of_steps_members_and_seeds_are_those_of_independent_draws():
    size, batch = 4_096, 512
    rows = draws(size, batch, steps=300, members=2)
    other = draws(size, batch, steps=300, members=2, seed=12)
    # Overlap of two independent batches: hypergeometric.
    mean = batch * batch / size
    deviation = math.sqrt(mean * (1 - batch / size) * (size - batch) / (size - 1))
    for first, second in [
        (rows[:-1, 0], rows[1:, 0]),
        (rows[:, 0], rows[:, 1]),
        (rows[:, 0], other[:, 0]),
    ]:
        overlaps = np.array([len(np.intersect1d(a, b)) for a, b in zip(first, second, strict=True)])
        assert abs(overlaps.mean() - mean) < 6 * deviation / math.sqrt(len(overlaps))
        assert 0.8 < overlaps.std() / deviation < 1.2


def test_neighbouring_places_hold_unrelated_rows():
    size = 100_000
    rows = draws(size, 1_000, steps=40)[:, 0].astype(np.float64) / size
    differences = (np.diff(rows, axis=1) % 1.0 * 50).astype(np.int64).ravel()
    chi_square_is_plausible(np.bincount(differences, minlength=50), differences.size / 50)


def test_one_thread_and_two_give_the_same_bits():
    buffer = filled(n=5_000, capacity=5_000, datasets=2)
    threads = torch.get_num_threads()
    try:
        results = []
        for n in (1, 2):
            torch.set_num_threads(n)
            refilled = filled(n=5_000, capacity=5_000, datasets=2)
            results.append((buffer.sample(1_000, members=6, seed=1, step=2), refilled.columns(1)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        for name in FIELDS:
            assert torch.equal(one[name], two[name])


def test_a_draw_depends_on_seed_step_and_member_alone():
    buffer = filled(n=128)
    sampled = buffer.sample_indices(64, members=6, seed=1, step=2)
    assert torch.equal(sampled[:3], buffer.sample_indices(64, members=3, seed=1, step=2))
    assert torch.equal(sampled[:, :10], buffer.sample_indices(10, members=6, seed=1, step=2))
    assert not torch.equal(sampled, buffer.sample_indices(64, members=6, seed=1, step=3))
    assert not torch.equal(sampled, buffer.sample_indices(64, members=6, seed=2, step=2))


def test_member_draws_from_its_dataset():
    buffer = omar.ReplayBuffer(10, {"x": ()}, datasets=3)
    for dataset in range(3):
        buffer.extend({"x": np.full(4 + dataset, dataset, np.float32)}, dataset)
    assert buffer.size == 15
    batch = buffer.sample(4, members=6, seed=0, step=0)["x"]
    assert torch.equal(batch, torch.tensor([0.0, 0, 1, 1, 2, 2])[:, None].expand(6, 4))


def test_agents_give_each_member_its_slice():
    buffer = filled(datasets=2)
    whole = buffer.sample(40, members=6, seed=5, step=6)
    parts = buffer.sample(40, members=6, seed=5, step=6, agents=3)
    for name, column in parts.items():
        assert column.is_contiguous()
        for m in range(6):
            assert torch.equal(column[m], whole[name][m, :, m % 3])


# ---- files


def test_saved_buffer_comes_back_whole(tmp_path: Path):
    buffer = omar.ReplayBuffer(64, FIELDS, datasets=2)
    buffer.extend(make_columns(FIELDS, 100), 0)  # wrapped
    buffer.extend(make_columns(FIELDS, 30, seed=1), 1)
    buffer.save(tmp_path / "buffer")
    loaded = omar.ReplayBuffer.load(tmp_path / "buffer")
    assert (loaded.capacity, loaded.datasets, loaded.fields) == (64, 2, FIELDS)
    for both in (buffer, loaded):
        both.extend(make_columns(FIELDS, 50, seed=2), 0)  # the ring goes on where it was
    for dataset in range(2):
        for name, column in buffer.columns(dataset).items():
            assert torch.equal(column, loaded.columns(dataset)[name])
    one, two = (b.sample(20, members=4, seed=1, step=1) for b in (buffer, loaded))
    assert all(torch.equal(one[name], two[name]) for name in FIELDS)
    assert [path.name for path in tmp_path.iterdir()] == ["buffer"]


def test_equal_buffers_make_equal_files(tmp_path: Path):
    for name in "ab":
        filled(fields=SMALL, n=5, capacity=7).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_failed_save_leaves_the_old_file(tmp_path: Path):
    with pytest.raises(OSError, match=re.escape("[replay::save]")):
        filled().save(tmp_path / "no" / "folder")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(OSError, match=re.escape("[replay::save]")):
        filled().save(tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_missing_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=re.escape("[replay::load]")):
        omar.ReplayBuffer.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b"", "is not a replay buffer"),
        (lambda b: b"PK" + b[2:], "is not a replay buffer"),
        (lambda b: b[:2000], "ends inside its header"),
        (lambda b: b[:60] + b"\x01" + b[61:], "checksum of its header is wrong"),
        (lambda b: b[:-100], "truncated or damaged: it has"),
        (lambda b: b + b"x", "truncated or damaged: it has"),
        (lambda b: b[:6000] + bytes([b[6000] ^ 1]) + b[6001:], "checksum of its rows is wrong"),
        (lambda b: b[:4096] + b[4608:5120] + b[4096:4608] + b[5120:], "checksum of its rows is wrong"),
    ],
)
def test_damaged_file_is_refused(tmp_path: Path, damage, message):
    path = tmp_path / "buffer"
    filled().save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"buffer' .*{message}"):
        omar.ReplayBuffer.load(path)


# ---- storage in bfloat16, views, memory


def test_bfloat16_storage_rounds_as_torch_does():
    fields = {"x": (3, 7), "y": (), "z": (40,)}
    columns = make_columns(fields, 300)
    columns["y"][:6] = [np.nan, np.inf, -np.inf, 3.4e38, 1e-45, 1.00390625]
    buffer = omar.ReplayBuffer(256, fields, storage=torch.bfloat16)
    buffer.extend(columns)
    assert buffer.storage == torch.bfloat16
    assert buffer.row_bytes == 128
    rounded = {name: torch.from_numpy(column[-256:]).bfloat16().float() for name, column in columns.items()}
    for name, column in buffer.columns().items():
        assert column.dtype == torch.float32
        torch.testing.assert_close(column, rounded[name], rtol=0, atol=0, equal_nan=True)
    ring = {name: column.roll(300 % 256, 0) for name, column in rounded.items()}
    rows = buffer.sample_indices(200, members=2, seed=1, step=1)
    for name, column in buffer.sample(200, members=2, seed=1, step=1).items():
        assert column.dtype == torch.float32
        torch.testing.assert_close(column, ring[name][rows], rtol=0, atol=0, equal_nan=True)


def test_bfloat16_buffer_is_saved_and_gives_slices(tmp_path: Path):
    buffer = filled(storage=torch.bfloat16)
    buffer.save(tmp_path / "buffer")
    loaded = omar.ReplayBuffer.load(tmp_path / "buffer")
    assert loaded.storage == torch.bfloat16
    whole = buffer.sample(50, members=3, seed=5, step=6)
    parts = loaded.sample(50, members=3, seed=5, step=6, agents=3)
    for name, column in parts.items():
        assert torch.equal(column, torch.stack([whole[name][m, :, m] for m in range(3)]))


@pytest.mark.parametrize("agents", [None, 3])
def test_view_samples_what_a_copy_samples(tmp_path: Path, agents):
    columns = [make_columns(FIELDS, n, seed=n) for n in (700, 900)]
    copy = omar.ReplayBuffer(1_000, FIELDS, datasets=2)
    mapped = []
    for dataset, named in enumerate(columns):
        copy.extend(named, dataset)
        for name, column in named.items():
            np.save(tmp_path / f"{name}{dataset}.npy", column)
        mapped.append({name: np.load(tmp_path / f"{name}{dataset}.npy", mmap_mode="r") for name in named})
    view = omar.ReplayBuffer.view(*mapped)
    del mapped  # the view keeps what it needs
    assert (view.size, view.datasets, view.capacity, view.fields) == (1_600, 2, 900, FIELDS)
    assert view.row_bytes == 4 * (54 + 6 + 3 + 54)
    for expected, got in zip(
        copy.sample(600, members=6, seed=2, step=3, agents=agents).items(),
        view.sample(600, members=6, seed=2, step=3, agents=agents).items(),
        strict=True,
    ):
        assert expected[0] == got[0]
        assert torch.equal(expected[1], got[1])
    assert torch.equal(view.columns(1)["rewards"], torch.from_numpy(columns[1]["rewards"]))


def test_view_errors():
    column = np.zeros((4, 3), np.float32)
    view = omar.ReplayBuffer.view({"x": column})
    with pytest.raises(ValueError, match="this buffer is a view of its columns: nothing can be added"):
        view.extend({"x": column})
    with pytest.raises(ValueError, match="there is nothing of its own to save"):
        view.save("anywhere")
    with pytest.raises(ValueError, match="needs the columns of at least one dataset"):
        omar.ReplayBuffer.view()
    with pytest.raises(ValueError, match="`fields` must name at least one field"):
        omar.ReplayBuffer.view({})
    with pytest.raises(ValueError, match=r"`x` must be contiguous, got strides \[1, 4\]"):
        omar.ReplayBuffer.view({"x": np.zeros((3, 4), np.float32).T})
    with pytest.raises(ValueError, match="unknown field `y`: the fields are x"):
        omar.ReplayBuffer.view({"x": column}, {"y": column})
    with pytest.raises(ValueError, match=r"`y` must be \[n, ...\] = \[4\], got \[5\]"):
        omar.ReplayBuffer.view({"x": column, "y": np.zeros(5, np.float32)})
    with pytest.raises(ValueError, match=r"`x` must be \[n, ...\]"):
        omar.ReplayBuffer.view({"x": np.zeros((), np.float32)})
    with pytest.raises(TypeError, match="`x` must be float32"):
        omar.ReplayBuffer.view({"x": column.astype(np.float64)})
    with pytest.raises(TypeError, match="`x` must be a tensor or a numpy array, got list"):
        omar.ReplayBuffer.view({"x": [1.0]})
    with pytest.raises(ValueError, match="dataset 0 is empty"):
        omar.ReplayBuffer.view({"x": column[:0]}).sample(1, seed=0, step=0)


def test_batches_that_live_keep_their_memory():
    buffer = filled()
    first = buffer.sample(64, seed=0, step=0)
    kept = {name: column.clone() for name, column in first.items()}
    observations = first["observations"]
    del first
    for step in range(1, 10):  # the memory of dropped batches is used again, but not while a column lives
        buffer.sample(64, seed=0, step=step)
    assert torch.equal(observations, kept["observations"])
    del buffer
    assert torch.equal(observations, kept["observations"])


def test_batches_drawn_from_several_threads():
    buffer = filled(n=5_000, capacity=5_000)
    expected = [buffer.sample(500, seed=0, step=step)["observations"].clone() for step in range(40)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda step: buffer.sample(500, seed=0, step=step)["observations"], range(40)))
    assert all(torch.equal(one, two) for one, two in zip(expected, got, strict=True))


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, SMALL), "`capacity` must be at least 1, got 0"),
        ((2**60, SMALL), "more than a machine can address"),
        ((1, {}), "`fields` must name at least one field"),
        ((1, {"": (1,)}), "a field has no name"),
        ((1, {"x": (3, 0)}), r"field `x` must have sizes >= 1 .* got \[3, 0\]"),
        ((1, {"x": (-3,)}), "field `x` must have sizes >= 1"),
        ((1, {"x": (2**20, 2**20)}), "field `x` must have sizes >= 1"),
        ((1, SMALL, "cpu", 0), "`datasets` must be at least 1, got 0"),
        ((1, SMALL, "abacus"), '`device` must be "cpu" or "cuda", got \'abacus\''),
        ((1, SMALL, "meta"), "device meta is not supported"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        omar.ReplayBuffer(*arguments)


def test_storage_is_float32_or_bfloat16():
    with pytest.raises(TypeError, match="`storage` must be float32 or bfloat16, got Double"):
        omar.ReplayBuffer(1, SMALL, storage=torch.float64)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda():
    with pytest.raises(ValueError, match=r"device cuda.* is not available"):
        omar.ReplayBuffer(1, SMALL, "cuda")


X, Y = np.zeros((4, 3), np.float32), np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"x": X}, ValueError, "field `y` is missing"),
        ({"x": X, "y": Y, "z": Y}, ValueError, "unknown field `z`: the fields are x, y"),
        ({"x": X, "y": X}, ValueError, r"`y` must be \[n, ...\] = \[4\], got \[4, 3\]"),
        ({"x": X, "y": Y[:3]}, ValueError, r"`y` must be \[n, ...\] = \[4\], got \[3\]"),
        ({"x": X.T, "y": Y}, ValueError, r"`x` must be \[n, ...\] = \[3, 3\], got \[3, 4\]"),
        (
            {"x": np.zeros((), np.float32), "y": Y},
            ValueError,
            r"`x` must be \[n, ...\] = \[any, 3\], got \[\]",
        ),
        ({"x": X[::-1], "y": Y}, ValueError, "`x` has strides that tensors cannot have"),
        ({"x": X.astype(np.float64), "y": Y}, TypeError, "`x` must be float32 .*, got float64"),
        (
            {"x": X.astype(">f4"), "y": Y},
            TypeError,
            "`x` must be float32 in this machine's byte order, got >f4",
        ),
        ({"x": torch.zeros(4, 3, dtype=torch.float64), "y": Y}, TypeError, "`x` must be Float, got Double"),
        ({"x": X, "y": [0.0] * 4}, TypeError, "`y` must be a tensor or a numpy array, got list"),
    ],
)
def test_extend_errors_change_nothing(columns, error, message):
    buffer = filled(fields=SMALL)
    before = buffer.columns()
    with pytest.raises(error, match=message):
        buffer.extend(columns)
    assert buffer.size == 100
    assert all(torch.equal(column, before[name]) for name, column in buffer.columns().items())


@pytest.mark.parametrize("dataset", [-1, 2])
def test_no_such_dataset(dataset):
    buffer = filled(datasets=2)
    for call in (buffer.columns, lambda d: buffer.extend(make_columns(FIELDS, 1), d)):
        with pytest.raises(ValueError, match=rf"`dataset` must be in \[0, 2\), got {dataset}"):
            call(dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"batch_size": 101}, "`batch_size` must be at most the 100 rows of dataset 0, got 101"),
        ({"members": 0}, "`members` must be at least 1, got 0"),
        ({"members": 3}, "`members` must be a multiple of the 2 datasets, got 3"),
        ({"step": -1}, r"`step` must be in 0\.\.2\^32-1, got -1"),
        ({"step": 2**32}, r"`step` must be in 0\.\.2\^32-1, got 4294967296"),
        ({"members": 4, "agents": 3}, "`agents` must divide the 4 members, got 3"),
        ({"agents": 0}, "`agents` must be at least 1, got 0"),
        ({"agents": 2}, r"`agents` must be the first size of field `observations` \[3, 18\], got 2"),
    ],
)
def test_sample_errors(options, message):
    buffer = filled(datasets=2)
    arguments = {"batch_size": 4, "members": 2, "seed": 0, "step": 0} | options
    with pytest.raises(ValueError, match=message):
        buffer.sample(arguments.pop("batch_size"), **arguments)


def test_agents_need_an_agent_axis():
    with pytest.raises(ValueError, match=r"`agents` must be the first size of field `y` \[\], got 3"):
        filled(fields=SMALL).sample(4, members=3, seed=0, step=0, agents=3)


def test_empty_dataset():
    buffer = omar.ReplayBuffer(4, SMALL, datasets=2)
    buffer.extend(make_columns(SMALL, 4), 0)
    with pytest.raises(ValueError, match="dataset 1 is empty"):
        buffer.sample(1, members=2, seed=0, step=0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_have_64_bits(seed):
    with pytest.raises(ValueError, match=rf"`seed` must be in 0\.\.2\^64-1, got {seed}"):
        filled().sample(1, seed=seed, step=0)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("step", torch.tensor(2**32), ValueError, r"`step` must be in 0\.\.2\^32-1, got 4294967296"),
        ("step", torch.tensor([1, 2]), TypeError, "`step` must be an int, got Tensor"),
        ("step", torch.tensor(1, device="meta"), TypeError, "`step` must be an int, got Tensor"),
        ("step", 1.0, TypeError, "`step` must be an int, got float"),
        ("seed", "0", TypeError, "`seed` must be an int, got str"),
        ("members", 2**64, ValueError, r"`members` must be in -2\^63\.\.2\^63-1, got 18446744073709551616"),
        ("members", True, TypeError, "`members` must be an int, got bool"),
        ("agents", 3.0, TypeError, "`agents` must be an int, got float"),
    ],
)
def test_integers_are_named_with_their_range(name, value, error, message):
    with pytest.raises(error, match=rf"\[replay::sample\] {message}"):
        filled().sample(1, **{"seed": 0, "step": 0, name: value})


def test_integers_of_other_libraries_are_integers():
    buffer = filled()
    expected = buffer.sample_indices(5, seed=3, step=4)
    assert torch.equal(buffer.sample_indices(np.int64(5), seed=np.uint64(3), step=torch.tensor(4)), expected)


def test_integers_of_the_constructor_are_named():
    with pytest.raises(ValueError, match=r"\[replay\] `capacity` must be in -2\^63\.\.2\^63-1"):
        omar.ReplayBuffer(2**64, SMALL)
    with pytest.raises(ValueError, match=r"`fields\['x'\]` must be in -2\^63\.\.2\^63-1"):
        omar.ReplayBuffer(1, {"x": (2**64,)})
    with pytest.raises(TypeError, match="`datasets` must be an int, got str"):
        omar.ReplayBuffer(1, SMALL, datasets="2")
    with pytest.raises(TypeError, match="`dataset` must be an int, got str"):
        filled().columns("0")
    with pytest.raises(ValueError, match=r"`datasets` must be at most 2\^20, got 1099511627776"):
        omar.ReplayBuffer(1, SMALL, datasets=2**40)


# ---- products of sizes


def test_sizes_whose_product_overflows_are_refused():
    """2^31 x 2^11 rows of 2^20 numbers: their bytes are 0 in 64 bits."""
    wide = np.zeros((2**11, 2**19), np.float32)  # never touched, so it takes no memory
    view = omar.ReplayBuffer.view({"x": wide, "y": wide})
    with pytest.raises(ValueError, match=r"\[replay::sample\] the minibatches are more than a machine can"):
        view.sample(2**11, members=2**31, seed=0, step=0)


def test_more_memory_than_there_is_is_one_sentence():
    buffer = filled(fields=SMALL)
    members = 2**32 - 1
    with pytest.raises(ValueError, match=r"\[replay::sample\] no memory for a minibatch of \d+ bytes"):
        buffer.sample(100, members=members, seed=0, step=0)
    with pytest.raises(
        ValueError, match=r"\[replay::sample\] no memory for indices \[4294967295, 100\]: \d+ b"
    ):
        buffer.sample_indices(100, members=members, seed=0, step=0)
    with pytest.raises(ValueError, match=r"\[replay\] no memory for 1 x 1125899906842624 rows"):
        omar.ReplayBuffer(2**50, SMALL)


# ---- threads


def test_minibatches_beside_extend_are_whole():
    """A ring is overwritten again and again; every minibatch is of one generation."""
    buffer = omar.ReplayBuffer(4096, {"x": (64,), "y": (64,)})
    rounds = 200

    def columns(value):
        return {name: np.full((4096, 64), value, np.float32) for name in ("x", "y")}

    buffer.extend(columns(0))

    def write(value):
        buffer.extend(columns(value))
        return True

    def read(step):
        batch = buffer.sample(2048, seed=0, step=step)
        return float(batch["x"].min()) == float(batch["y"].max()) == float(batch["x"].max())

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(write if i % 4 == 0 else read, i) for i in range(rounds)]
        assert all(job.result() for job in jobs)


def test_extends_of_several_threads_lose_no_row():
    parts, rows = 80, 5_000
    buffer = omar.ReplayBuffer(parts * rows, {"x": (16,)})
    numbers = np.arange(parts * rows, dtype=np.float32).reshape(parts, rows, 1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: buffer.extend({"x": part.repeat(16, 1)}), numbers))
    assert buffer.size == parts * rows
    columns = buffer.columns()["x"]
    assert torch.equal(columns, columns[:, :1].expand(-1, 16))
    assert torch.equal(columns[:, 0].sort().values, torch.from_numpy(numbers).flatten())


# ---- who owns what


def test_columns_of_a_view_are_copies_that_outlive_it(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    shown = omar.ReplayBuffer.view({"x": np.load(tmp_path / "x.npy", mmap_mode="r")}).columns()["x"]
    gc.collect()
    shown.add_(1)  # the map is gone, and could not be written
    assert torch.equal(shown, torch.arange(1.0, 13.0).reshape(4, 3))
    assert np.load(tmp_path / "x.npy")[0, 0] == 0


def test_a_view_keeps_its_arrays_and_lets_them_go():
    array = np.ones((4, 3), np.float32)
    gone = weakref.ref(array)
    view = omar.ReplayBuffer.view({"x": array})
    del array
    gc.collect()
    assert gone() is not None
    assert torch.equal(view.sample(4, seed=0, step=0)["x"], torch.ones(1, 4, 3))
    held = [view]
    del view
    with ThreadPoolExecutor(1) as pool:  # whichever thread drops it last
        pool.submit(held.clear).result()
    gc.collect()
    assert gone() is None


def test_memory_taken_from_a_view_is_noticed():
    column = torch.ones(4, 3)
    view = omar.ReplayBuffer.view({"x": column})
    column.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="the memory of column `x` was taken away after the view was made"):
        view.sample(1, seed=0, step=0)
    with pytest.raises(ValueError, match="the memory of column `x` was taken away after the view was made"):
        view.columns()


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_buffer_is_not_copied(copying):
    with pytest.raises(
        TypeError, match=r"^ReplayBuffer cannot be copied or pickled: `save` it and `load` the file$"
    ):
        copying(filled())


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (torch.ones(4, 3).to_sparse(), "`x` must be a dense tensor, got layout Sparse"),
        (torch.ones(4, 3, device="meta"), "`x` must be on cpu or cuda, got meta"),
    ],
)
def test_tensors_without_plain_numbers_are_refused(column, message):
    with pytest.raises((TypeError, ValueError), match=message):
        omar.ReplayBuffer(4, {"x": (3,)}).extend({"x": column})
    with pytest.raises((TypeError, ValueError), match=r"`x` must be"):
        omar.ReplayBuffer.view({"x": column})


def test_a_lazily_negated_column_is_stored_negated():
    column = torch._neg_view(torch.arange(4.0))
    assert column.is_neg()
    buffer = omar.ReplayBuffer(4, {"x": ()})
    buffer.extend({"x": column})
    expected = -torch.arange(4.0)
    assert torch.equal(buffer.columns()["x"], expected)
    assert torch.equal(omar.ReplayBuffer.view({"x": column}).columns()["x"], expected)


def test_saves_to_one_path_at_once_do_not_meet(tmp_path: Path):
    """A temporary left by a killed process of the same number is passed over, too."""
    buffer = filled()
    leftovers = [tmp_path / f"buffer.tmp-{os.getpid()}-{number}" for number in range(1000)]
    for leftover in leftovers:
        leftover.touch()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: buffer.save(tmp_path / "buffer"), range(20)))
    for leftover in leftovers:
        assert leftover.stat().st_size == 0
        leftover.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["buffer"]
    assert omar.ReplayBuffer.load(tmp_path / "buffer").size == 100
