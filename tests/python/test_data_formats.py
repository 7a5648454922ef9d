"""Foreign formats: what goes out comes back, and what is malformed is one clear sentence."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest

from data_cases import LENGTH, make_columns, make_dataset, make_spec
from omar.data import write_dataset
from omar.data.foreign import ORIGIN_FILE
from omar.data.formats import FORMATS, export_dataset
from omar.data.importing import import_dataset
from omar.errors import DatasetError

FOLDERS = {  # where the set lies below the export's destination
    "authors": "{task}/medium-replay/seed_0_data",
    "minari": "",
    "vault": "{task}.vlt/MediumReplay",
}


def export(tmp_path, name, task="simple_spread", **changes):
    """Writes a small dataset in a format; returns the folder to import and the dataset."""
    columns = make_columns(task)
    states = changes.pop("states", None)
    if states is not None:
        columns |= states
    for key, value in changes.items():
        columns[key] = value
    size = 0 if states is None else states["states"].shape[1]
    spec = make_spec(task, quality="medium-replay", state_size=size)
    dataset = write_dataset(tmp_path / "set", spec, columns)
    export_dataset(name, dataset, tmp_path / "out")
    return tmp_path / "out" / FOLDERS[name].format(task=task), dataset


def forget_origin(source):
    """As if another program had written the files."""
    (source / ORIGIN_FILE).unlink(missing_ok=True)
    metadata = source / "data" / "metadata.json"
    if metadata.exists():
        metadata.write_text(
            json.dumps(json.loads(metadata.read_text()) | {"omar": None, "dataset_id": "a/b-v0"})
        )


def bring_back(tmp_path, name, source, task="simple_spread"):
    return import_dataset(name, source, task, "medium-replay", tmp_path / "back")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("task", ["simple_spread", "simple_tag", "simple_world"])
def test_round_trip_is_lossless(tmp_path, name, task):
    source, dataset = export(tmp_path, name, task)
    back, _ = bring_back(tmp_path, name, source, task)
    assert set(back.manifest.columns) == set(dataset.manifest.columns)
    for column in dataset.manifest.columns:
        np.testing.assert_array_equal(back.column(column), dataset.column(column), err_msg=column)
    assert back.manifest.sha256 == dataset.manifest.sha256
    assert back.manifest.returns == dataset.manifest.returns
    back.verify()


@pytest.mark.parametrize("name", FORMATS)
def test_global_states_survive(tmp_path, name):
    walk = np.random.default_rng(3).normal(size=(4, LENGTH + 1, 17)).astype(np.float32)
    states = {"states": walk[:, :-1].reshape(-1, 17), "next_states": walk[:, 1:].reshape(-1, 17)}
    source, dataset = export(tmp_path, name, states=states)
    back, _ = bring_back(tmp_path, name, source)
    for column in ("states", "next_states"):
        np.testing.assert_array_equal(back.column(column), dataset.column(column))


@pytest.mark.parametrize("name", FORMATS)
def test_terminations_survive(tmp_path, name):
    terminated = np.zeros(100, np.bool_)
    truncated = make_columns()["truncated"].copy()
    terminated[49], truncated[49] = True, False
    source, dataset = export(tmp_path, name, terminated=terminated, truncated=truncated)
    back, _ = bring_back(tmp_path, name, source)
    assert back.manifest.sha256 == dataset.manifest.sha256


@pytest.mark.parametrize(("name", "own"), [*((name, True) for name in FORMATS), ("vault", False)])
def test_a_step_that_is_both_terminated_and_truncated_counts_as_terminated(tmp_path, name, own):
    """A value after it would be bootstrapped otherwise."""
    terminated = np.zeros(100, np.bool_)
    terminated[49] = True
    source, dataset = export(tmp_path, name, terminated=terminated)
    assert dataset.column("truncated")[49]
    if not own:
        without_next_observations(source)
    back, _ = bring_back(tmp_path, name, source)
    row = 49 if own else 48  # others' vaults lose row 24
    assert np.flatnonzero(back.column("terminated")).tolist() == [row]
    assert not back.column("truncated")[row]
    assert back.manifest.episodes == 4
    back.verify()


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_overwritten(tmp_path, name):
    _, dataset = export(tmp_path, name)
    with pytest.raises(DatasetError, match="exists already: remove it or choose another place"):
        export_dataset(name, dataset, tmp_path / "out")


@pytest.mark.parametrize("name", FORMATS)
def test_another_tasks_set_is_refused(tmp_path, name):
    source, _ = export(tmp_path, name, "simple_world")
    with pytest.raises(DatasetError, match=r"is a dataset of simple_world, not of simple_tag"):
        bring_back(tmp_path, name, source, "simple_tag")
    forget_origin(source)
    with pytest.raises(
        DatasetError,
        match=r"is not a dataset of simple_tag: observations must be \[100, 3, 16\]|has 24 numbers",
    ):
        bring_back(tmp_path, name, source, "simple_tag")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_source_is_refused(tmp_path, name):
    with pytest.raises(DatasetError, match=r"nothing to import: .*nowhere does not exist"):
        bring_back(tmp_path, name, tmp_path / "nowhere")
    with pytest.raises(
        DatasetError, match=r"is not a set of the authors'|is not a Minari dataset|is not a vault"
    ):
        bring_back(tmp_path, name, tmp_path)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="unknown format 'd4rl': expected one of authors, minari, vault"):
        bring_back(tmp_path, "d4rl", tmp_path)
    with pytest.raises(DatasetError, match="unknown format 'd4rl'"):
        export_dataset("d4rl", make_dataset(tmp_path / "set"), tmp_path / "out")
    with pytest.raises(ValueError, match="unknown task 'chess'"):
        bring_back(tmp_path, "authors", tmp_path, "chess")


@pytest.mark.parametrize(("name", "package"), [("minari", "h5py"), ("vault", "tensorstore")])
def test_a_missing_optional_package_is_named(tmp_path, monkeypatch, name, package):
    source, _ = export(tmp_path, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DatasetError, match=rf"format needs {package}: pip install 'omar\[{name}\]'"):
        bring_back(tmp_path, name, source)


# The authors' layout


def test_authors_files_are_those_of_their_code(tmp_path):
    """Their loader wants obs, acs, rews, next_obs and dones of every agent, the prey included."""
    source, dataset = export(tmp_path, "authors", "simple_tag")
    columns = dataset.columns()
    for agent in range(4):
        assert np.load(source / f"obs_{agent}.npy").shape == (100, 14 if agent == 3 else 16)
        assert np.load(source / f"next_obs_{agent}.npy").shape == (100, 14 if agent == 3 else 16)
        assert np.load(source / f"acs_{agent}.npy").shape == (100, 2)
        assert np.load(source / f"rews_{agent}.npy").shape == (100,)
        assert not np.load(source / f"dones_{agent}.npy").any()
        for stem in ("obs", "next_obs", "acs", "rews", "dones"):
            array = np.load(source / f"{stem}_{agent}.npy", mmap_mode="r")
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
    assert len(list(source.glob("*.npy"))) == 4 * 5
    np.testing.assert_array_equal(np.load(source / "acs_1.npy"), columns["actions"][:, 1])
    np.testing.assert_array_equal(np.load(source / "rews_3.npy"), columns["prey_rewards"])


def test_the_authors_prey_is_missing_and_that_is_said(tmp_path):
    dataset = make_dataset(tmp_path / "set", "simple_tag")
    notes = export_dataset("authors", dataset, tmp_path / "out")
    assert any("asks for simple_tag/pretrained_adv_model.pt" in note for note in notes)


def test_authors_float64_is_rounded_and_said(tmp_path):
    source, dataset = export(tmp_path, "authors")
    path = source / "rews_1.npy"
    np.save(path, np.load(path).astype(np.float64))
    for agent in (0, 2):
        np.save(source / f"rews_{agent}.npy", np.load(source / f"rews_{agent}.npy").astype(np.float64))
    back, notes = bring_back(tmp_path, "authors", source)
    assert "float64 values were rounded to float32" in notes
    assert back.manifest.sha256 == dataset.manifest.sha256


def change_file(source, stem, change):
    path = source / f"{stem}.npy"
    np.save(path, change(np.load(path)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "acs_1.npy").unlink(), r"acs_1.npy is missing"),
        (lambda s: (s / "acs_1.npy").write_bytes(b"not numpy"), r"acs_1.npy cannot be read as a .npy file"),
        (lambda s: (s / "acs_1.npy").write_bytes(b""), r"acs_1.npy cannot be read as a .npy file"),
        (
            lambda s: (s / "acs_1.npy").write_bytes((s / "acs_1.npy").read_bytes()[:-8]),
            r"acs_1.npy cannot be read",
        ),
        (
            lambda s: change_file(s, "acs_1", lambda a: a[:-1]),
            r"acs_1.npy is \[99, 2\], acs_0.npy is \[100, 2\]",
        ),
        (lambda s: change_file(s, "rews_0", lambda a: a[0]), r"rews_0.npy holds a single number"),
        (lambda s: change_file(s, "obs_4", lambda a: a), "it has more than 3 agents"),
        (
            lambda s: [change_file(s, f"acs_{i}", lambda a: a[:, :1]) for i in range(3)],
            r"actions must be \[100, 3, 2\]",
        ),
        (
            lambda s: [change_file(s, f"rews_{i}", lambda a: a[:50]) for i in range(3)],
            "is malformed: rewards has 50 rows, the dones have 100",
        ),
        (
            lambda s: [change_file(s, f"next_obs_{i}", lambda a: a[:50]) for i in range(3)],
            "is malformed: next_observations has 50 rows, the dones have 100",
        ),
        (
            lambda s: [change_file(s, f"acs_{i}", lambda a: a.astype(np.int64)) for i in range(3)],
            "acs must hold floats, got int64",
        ),
        (
            lambda s: [change_file(s, f"dones_{i}", lambda a: a + 2) for i in range(3)],
            "dones must hold only 0 and 1",
        ),
        (
            lambda s: change_file(s, "rews_2", lambda a: a * np.nan),
            "column 'rewards' has a value that is not finite in row 0",
        ),
        (
            lambda s: [
                change_file(s, f"{stem}_{i}", lambda a: a[np.random.default_rng(0).permutation(100)])
                for stem in ("obs", "acs", "rews", "next_obs", "dones")
                for i in range(3)
            ],
            "most episodes have 1 step instead of 25: the rows are not in order of time",
        ),
        (
            lambda s: (
                [change_file(s, f"obs_{i}", np.zeros_like) for i in range(3)]
                + [change_file(s, f"next_obs_{i}", np.zeros_like) for i in range(3)]
            ),
            "an episode has 100 steps, those of simple_spread have at most 25",
        ),
    ],
)
def test_malformed_authors_sets_are_refused(tmp_path, damage, message):
    source, _ = export(tmp_path, "authors")
    np.save(source / "obs_4.npy", np.zeros(1))
    if "more than" in message:
        (source / "obs_4.npy").rename(source / "obs_3.npy")
    else:
        damage(source)
    with pytest.raises(DatasetError, match=message):
        bring_back(tmp_path, "authors", source)
    assert not (tmp_path / "back").exists()


# Minari


def test_minari_layout(tmp_path):
    source, dataset = export(tmp_path, "minari", "simple_tag")
    metadata = json.loads((source / "data" / "metadata.json").read_text())
    assert metadata["total_steps"] == 100
    assert metadata["total_episodes"] == 4
    spaces = json.loads(metadata["observation_space"])["subspaces"]
    assert {agent: box["shape"] for agent, box in spaces.items()} == {
        "agent_0": [16],
        "agent_1": [16],
        "agent_2": [16],
        "prey": [14],
    }
    columns = dataset.columns()
    with h5py.File(source / "data" / "main_data.hdf5") as file:
        episode = file["episode_2"]
        assert episode["observations/agent_1"].shape == (26, 16)
        np.testing.assert_array_equal(episode["actions/agent_1"], columns["actions"][50:75, 1])
        np.testing.assert_allclose(episode["rewards"], columns["rewards"][50:75].mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(episode["infos/agent_rewards"][1:], columns["rewards"][50:75])
        assert episode["truncations"][:].tolist() == [False] * 24 + [True]
        assert episode["truncations"].dtype == np.bool_
        assert dict(episode.attrs) == {"id": 2, "total_steps": 25}


def test_minari_sets_of_others_may_hold_team_rewards_or_rewards_by_name(tmp_path):
    source, dataset = export(tmp_path, "minari")
    expected = np.asarray(dataset.column("rewards"))
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        for episode in file.values():
            rewards = episode["infos/agent_rewards"][1:]
            del episode["infos/agent_rewards"]
            for agent in range(3):
                episode[f"infos/agent_rewards/agent_{agent}"] = rewards[:, agent]
    back, _ = bring_back(tmp_path, "minari", source)
    np.testing.assert_array_equal(back.column("rewards"), expected)
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        for episode in file.values():
            del episode["infos"]
    back, _ = import_dataset("minari", source, "simple_spread", "medium", tmp_path / "team")
    np.testing.assert_allclose(
        back.column("rewards"), np.repeat(expected.mean(axis=1)[:, None], 3, axis=1), rtol=1e-5
    )


def replace(group, name, change):
    value = change(group[name][()])
    del group[name]
    group[name] = value


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.__delitem__("episode_1"), "episode_1 of 3 is missing"),
        (lambda f: f["episode_1"].__delitem__("rewards"), None),
        (lambda f: f["episode_1"].__delitem__("truncations"), "episode_1 has no truncations"),
        (lambda f: f["episode_1/actions"].__delitem__("agent_2"), "episode_1 has no actions/agent_2"),
        (
            lambda f: replace(f["episode_1"], "terminations", lambda a: a[:-1]),
            "episode_1 must have 25 terminated, got 24",
        ),
        (
            lambda f: replace(f["episode_1"], "infos/agent_rewards", lambda a: a[:9]),
            "must have 25 rewards, got 9",
        ),
        (
            lambda f: [
                replace(f["episode_1"], f"observations/agent_{i}", lambda a: a[:-1]) for i in range(3)
            ],
            "must have 26 observations for 25 actions, got 25",
        ),
        (
            lambda f: replace(f["episode_1"], "infos/agent_rewards", lambda a: a + np.inf),
            "column 'rewards' has a value that is not finite in row 25",
        ),
        (lambda f: [f.__delitem__(f"episode_{i}") for i in range(4)], "has no episode"),
    ],
)
def test_malformed_minari_sets_are_refused(tmp_path, damage, message):
    source, _ = export(tmp_path, "minari")
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        damage(file)
    if message is None:  # team rewards are not needed beside each learner's
        bring_back(tmp_path, "minari", source)
        return
    with pytest.raises(DatasetError, match=message):
        bring_back(tmp_path, "minari", source)


@pytest.mark.parametrize("content", [b"", b"not hdf5", None])
def test_a_minari_file_that_is_not_hdf5_is_refused(tmp_path, content):
    source, _ = export(tmp_path, "minari")
    path = source / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(DatasetError, match="cannot be read as a Minari dataset"):
        bring_back(tmp_path, "minari", source)


# Vault


def test_vault_leaves_are_those_of_og_marl(tmp_path):
    source, _ = export(tmp_path, "vault")
    metadata = json.loads((source / "metadata.json").read_text())
    shapes = metadata["structure_shape"]
    assert shapes["observations"] == "(1, 100, 3, 18)"
    assert shapes["actions"] == "(1, 100, 3, 2)"
    assert shapes["rewards"] == shapes["terminals"] == shapes["truncations"] == "(1, 100, 3)"
    assert shapes["infos"]["state"] == "(1, 100, 54)"
    assert metadata["structure_dtype"]["terminals"] == "bool"


def without_next_observations(source):
    path = source / "metadata.json"
    metadata = json.loads(path.read_text())
    for tree in ("structure_shape", "structure_dtype"):
        for leaf in [name for name in metadata[tree]["infos"] if name != "state"]:
            del metadata[tree]["infos"][leaf]
    path.write_text(json.dumps(metadata))


def test_vaults_of_others_lose_the_last_step_of_truncated_episodes(tmp_path):
    terminated = np.zeros(100, np.bool_)
    truncated = make_columns()["truncated"].copy()
    terminated[49], truncated[49] = True, False
    source, dataset = export(tmp_path, "vault", terminated=terminated, truncated=truncated)
    without_next_observations(source)
    back, notes = bring_back(tmp_path, "vault", source)
    assert any("the last step of 3 episodes was left out" in note for note in notes)
    assert any("global states" in note for note in notes)
    kept = np.setdiff1d(np.arange(100), [24, 74, 99])
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(back.column(name), dataset.column(name)[kept])
    alive = ~np.asarray(back.column("terminated"))
    np.testing.assert_array_equal(
        back.column("next_observations")[alive], dataset.column("next_observations")[kept][alive]
    )
    assert np.flatnonzero(back.column("truncated")).tolist() == [23, 72, 96]
    assert np.flatnonzero(back.column("terminated")).tolist() == [48]
    back.verify()


def edit_metadata(source, change):
    path = source / "metadata.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda s: (s / "metadata.json").write_text("{"),
            r"metadata.json is damaged: it is not JSON",
        ),
        (
            lambda s: (s / "metadata.json").write_text("[]"),
            r"metadata.json is damaged: it holds no JSON object",
        ),
        (
            lambda s: (s / "metadata.json").write_text("{}"),
            r"metadata.json is damaged: it does not describe a vault",
        ),
        (
            lambda s: edit_metadata(s, lambda m: m["structure_shape"].update(infos=[])),
            r"metadata.json is damaged: it does not describe a vault",
        ),
        (
            lambda s: edit_metadata(s, lambda m: m.update(version=[1.2])),
            r"has vault version \[1.2\], this version of omar reads 1.x",
        ),
        (
            lambda s: edit_metadata(s, lambda m: m.update(version=2.0)),
            "has vault version 2.0, this version of omar reads 1.x",
        ),
        (lambda s: edit_metadata(s, lambda m: m["structure_shape"].pop("actions")), "has no leaf 'actions'"),
        (
            lambda s: edit_metadata(s, lambda m: m["structure_shape"].update(actions="(2, 5)")),
            r"every leaf must be \[1, steps",
        ),
        (
            lambda s: edit_metadata(s, lambda m: m["structure_shape"].update(actions="import os")),
            r"every leaf must be \[1, steps",
        ),
        (lambda s: (s / "manifest.ocdbt").unlink(), "is damaged: its vault_index cannot be read"),
        (lambda s: (s / "manifest.ocdbt").write_bytes(b"x"), "is damaged: its vault_index cannot be read"),
        (
            lambda s: [file.write_bytes(file.read_bytes()[:100]) for file in (s / "d").iterdir()],
            "is damaged: .* cannot be read",
        ),
    ],
)
def test_malformed_vaults_are_refused(tmp_path, damage, message):
    source, _ = export(tmp_path, "vault")
    damage(source)
    with pytest.raises(DatasetError, match=message):
        bring_back(tmp_path, "vault", source)
