"""Data of others: what they leave out is derived and said; what this package exported comes back whole."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tensorstore

from data_cases import LENGTH, make_columns, make_spec
from omar.data import Dataset, write_dataset
from omar.data.foreign import ORIGIN_FILE
from omar.data.formats import FORMATS, export_dataset
from omar.data.importing import UNNAMED, import_dataset
from omar.data.minari_agents import natural
from omar.errors import DatasetError
from omar.tasks import References

OWN = References(-1.5, 33.0, "measured here")
RECIPE = {"generator": 3, "seed": 4, "prey": {"source": "network", "sha256": "ab" * 32}}


def export(tmp_path, name, task="simple_spread", *, columns=None, **changes):
    """Exports a small set; returns the folder to import and the dataset."""
    dataset = write_dataset(tmp_path / "set", make_spec(task, **changes), columns or make_columns(task))
    export_dataset(name, dataset, tmp_path / "out")
    path = {"authors": "*/*/seed_*", "minari": "", "vault": "*.vlt/*"}[name]
    return (next((tmp_path / "out").glob(path)) if path else tmp_path / "out"), dataset


def forget_origin(source):
    """As if another program had written the files."""
    (source / ORIGIN_FILE).unlink(missing_ok=True)
    path = source / "data" / "metadata.json"
    if path.exists():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"omar": None, "dataset_id": "x/y-v0"}))


def bring(tmp_path, name, source, task=None, quality=None, **options):
    return import_dataset(name, source, task, quality, tmp_path / "back", **options)


def said(notes, text):
    return sum(text in note for note in notes) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_comes_back_with_its_whole_manifest(tmp_path, name):
    source, dataset = export(
        tmp_path,
        name,
        "simple_tag",
        quality="my-demonstrations",
        references=OWN,
        recipe=RECIPE,
        versions={"omar": "0.0.1"},
    )
    back, notes = bring(tmp_path, name, source)
    assert back.manifest == dataset.manifest
    assert back.prey == "ab" * 32
    assert notes == ()
    other, _ = import_dataset(name, source, "simple_tag", "expert", tmp_path / "other")
    assert other.quality == "expert"
    assert other.manifest.sha256 == dataset.manifest.sha256


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_export_keeps_its_scale_and_says_so(tmp_path, name):
    columns = make_columns("simple_tag")
    source, _ = export(tmp_path, name, "simple_tag", quality="expert", references=OWN, recipe=RECIPE)
    other = write_dataset(
        tmp_path / "b", make_spec("simple_tag"), columns | {"rewards": columns["rewards"] + 1}
    )
    export_dataset(name, other, tmp_path / "more")
    stored = next((tmp_path / "out").rglob(ORIGIN_FILE if name != "minari" else "metadata.json"))
    target = next((tmp_path / "more").rglob(stored.name))
    target.write_bytes(stored.read_bytes())
    back, notes = bring(tmp_path, name, target.parent.parent if name == "minari" else target.parent)
    assert said(notes, "the files differ from those that were exported")
    assert (back.quality, back.manifest.references, back.prey) == ("expert", OWN, "ab" * 32)
    assert back.manifest.recipe["source"] == "import"
    assert source.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_stored_manifest_that_is_damaged_is_not_used_and_that_is_said(tmp_path, name):
    source, dataset = export(tmp_path, name, quality="expert")
    path = source / ORIGIN_FILE if name != "minari" else source / "data" / "metadata.json"
    path.write_text(path.read_text().replace('"expert": 516.8', '"expert": 500.0'))
    back, notes = bring(tmp_path, name, source)
    assert said(notes, "what the export stored about the set is not used")
    assert back.manifest.references == References(159.8, 516.8, "paper")
    assert back.manifest.sha256 == dataset.manifest.sha256


@pytest.mark.parametrize("name", FORMATS)
def test_a_foreign_set_with_a_prey_does_not_know_which(tmp_path, name):
    source, _ = export(tmp_path, name, "simple_tag", quality="medium")
    forget_origin(source)
    back, notes = bring(tmp_path, name, source, "simple_tag")
    assert said(notes, "the set does not say which prey moved in it")
    assert back.prey is None
    assert back.manifest.recipe["prey"] is None
    assert back.manifest.references.source == "paper, with its authors' prey"


@pytest.mark.parametrize(("name", "quality"), [("authors", "medium-replay"), ("vault", "medium-replay")])
def test_folders_name_the_quality(tmp_path, name, quality):
    source, _ = export(tmp_path, name, quality=quality)
    forget_origin(source)
    assert bring(tmp_path, name, source)[0].quality == quality


def test_a_set_that_nobody_names_is_called_imported(tmp_path):
    source, _ = export(tmp_path, "minari")
    forget_origin(source)
    back, notes = bring(tmp_path, "minari", source)
    assert back.quality == UNNAMED
    assert said(
        notes, "'imported' is not one of the paper's qualities: training takes the settings of 'random'"
    )


@pytest.mark.parametrize("quality", ["../x", "/etc/x", ".hidden", "a b", "x" * 65])
def test_a_name_that_is_no_name_is_refused(tmp_path, quality):
    source, _ = export(tmp_path, "authors")
    with pytest.raises(DatasetError, match="cannot name a quality: expected up to 64 letters, digits"):
        bring(tmp_path, "authors", source, quality=quality)


# Time limits


def dones_of(source, dones):
    for path in source.glob("dones_*.npy"):
        np.save(path, dones)


@pytest.mark.parametrize(
    ("mode", "terminated", "note"),
    [
        ("auto", 0, "4 of 4 dones mark the time limit of 25 steps and count as truncations"),
        ("truncate", 0, "4 of 4 dones mark the time limit of 25 steps and count as truncations"),
        ("keep", 4, "4 of 4 dones lie at the time limit of 25 steps and count as terminations"),
    ],
)
def test_dones_at_the_time_limit(tmp_path, mode, terminated, note):
    source, dataset = export(tmp_path, "authors")
    dones_of(source, make_columns()["truncated"].astype(np.float32))
    back, notes = bring(tmp_path, "authors", source, time_limits=mode)
    assert said(notes, note)
    assert back.column("terminated").sum() == terminated
    assert (back.manifest.sha256 == dataset.manifest.sha256) is (terminated == 0)


@pytest.mark.parametrize("name", FORMATS)
def test_exported_terminations_at_the_limit_stay_unless_told_otherwise(tmp_path, name):
    columns = make_columns()
    columns["terminated"] = columns["truncated"]
    columns["truncated"] = np.zeros(100, np.bool_)
    source, dataset = export(tmp_path, name, columns=columns)
    assert bring(tmp_path, name, source)[0].manifest == dataset.manifest
    back, _ = import_dataset(name, source, None, None, tmp_path / "cut", time_limits="truncate")
    assert back.column("truncated").sum() == 4
    assert not back.column("terminated").any()


def test_dones_elsewhere_are_terminations_unless_told_otherwise(tmp_path):
    columns = make_columns()
    columns["truncated"][[9, 24]] = True, False
    columns["terminated"][[9]] = True
    columns["observations"][10:25] += 100.0  # the next episode of 15 steps
    columns["next_observations"][10:25] += 100.0
    columns["truncated"][24] = True
    source, _ = export(tmp_path, "authors", columns=columns)
    dones = (columns["truncated"] | columns["terminated"]).astype(np.int64)
    dones_of(source, dones)
    back, notes = bring(tmp_path, "authors", source)
    assert said(notes, "3 of 5 dones lie at the time limit of 25 steps and count as terminations")
    assert np.flatnonzero(back.column("terminated")).tolist() == [9, 24, 49, 74, 99]
    back, notes = import_dataset("authors", source, None, None, tmp_path / "cut", time_limits="truncate")
    assert said(notes, "3 of 5 dones mark the time limit of 25 steps and count as truncations")
    assert np.flatnonzero(back.column("terminated")).tolist() == [9, 24]
    assert np.flatnonzero(back.column("truncated")).tolist() == [49, 74, 99]


def test_next_observations_of_the_next_episode_are_no_next_observations(tmp_path):
    """Environments that reset by themselves return the first observation of the next episode."""
    source, dataset = export(tmp_path, "authors")
    dones_of(source, make_columns()["truncated"])
    for agent in range(3):
        observations = np.load(source / f"obs_{agent}.npy")
        np.save(source / f"next_obs_{agent}.npy", np.concatenate((observations[1:], observations[-1:] + 1)))
    back, notes = bring(tmp_path, "authors", source)
    assert said(
        notes, "the last step of 3 episodes was left out: the observation after it is that of the next"
    )
    kept = np.setdiff1d(np.arange(100), [24, 49, 74])
    np.testing.assert_array_equal(back.column("rewards"), dataset.column("rewards")[kept])
    assert np.flatnonzero(back.column("truncated")).tolist() == [23, 47, 71, 96]
    back.verify()


# What files leave out


def test_files_without_next_observations(tmp_path):
    source, dataset = export(tmp_path, "authors", "simple_tag")
    forget_origin(source)
    for path in source.glob("next_obs_*.npy"):
        path.unlink()
    back, notes = bring(tmp_path, "authors", source, "simple_tag")
    assert said(notes, "nothing marks the ends of episodes: every 25 rows were taken for one")
    assert said(notes, "the last step of 4 episodes was left out: the observation after it is not stored")
    kept = np.setdiff1d(np.arange(100), [24, 49, 74, 99])
    for name in dataset.manifest.columns:
        if name not in ("truncated", "terminated"):
            np.testing.assert_array_equal(back.column(name), dataset.column(name)[kept], err_msg=name)
    assert back.manifest.episodes == 4
    back.verify()
    for path in source.glob("*.npy"):
        np.save(path, np.load(path)[:90])
    with pytest.raises(
        DatasetError, match="neither next observations nor dones say where episodes end, and 90"
    ):
        import_dataset("authors", source, "simple_tag", None, tmp_path / "cut")


def test_episodes_of_unequal_length_without_next_observations(tmp_path):
    columns = make_columns()
    source, dataset = export(tmp_path, "authors", columns=columns)
    for path in source.glob("next_obs_*.npy"):
        path.unlink()
    ends = [3, 20, 45, 46, 60, 80, 99]  # one has a single step
    dones = np.zeros((100, 1), np.int8)
    dones[ends] = 1
    dones_of(source, dones)
    back, notes = bring(tmp_path, "authors", source)
    assert np.flatnonzero(back.column("terminated")).tolist() == ends
    np.testing.assert_array_equal(back.column("actions"), dataset.column("actions"))
    assert said(notes, "1 of 7 dones lie at the time limit")
    np.testing.assert_array_equal(back.column("next_observations")[0], back.column("observations")[1])
    back.verify()


def test_states_without_next_states_are_left_out(tmp_path):
    source, _ = export(tmp_path, "authors")
    for agent in range(3):
        np.save(source / f"states_{agent}.npy", np.zeros((100, 17), np.float32))
    back, notes = bring(tmp_path, "authors", source)
    assert said(notes, "the global states were left out: next_states are not stored")
    assert "states" not in back.manifest.columns


def test_a_prey_without_rewards_is_left_out(tmp_path):
    source, _ = export(tmp_path, "minari", "simple_tag")
    forget_origin(source)
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        for episode in file.values():
            del episode["infos/prey_rewards"]
    back, notes = bring(tmp_path, "minari", source, "simple_tag")
    assert said(notes, "the prey's columns were left out: prey_rewards are not stored")
    assert "prey_actions" not in back.manifest.columns


@pytest.mark.parametrize("rewards", [np.float64, np.int32, np.uint8])
@pytest.mark.parametrize("dones", [np.float32, np.int64, np.bool_])
def test_columns_of_one_number_and_other_types(tmp_path, rewards, dones):
    columns = make_columns("simple_tag")
    columns["rewards"] = np.abs(columns["rewards"] * 10).astype(np.uint8).astype(np.float32)
    columns["prey_rewards"] = columns["rewards"][:, 0].copy()
    source, dataset = export(tmp_path, "authors", "simple_tag", columns=columns)
    for path in source.glob("rews_*.npy"):
        np.save(path, np.load(path).astype(rewards)[:, None])
    for path in source.glob("dones_*.npy"):
        np.save(path, np.load(path).astype(dones)[:, None])
    assert bring(tmp_path, "authors", source)[0].manifest.sha256 == dataset.manifest.sha256


# Vaults


def write_vault(folder, leaves):
    """A vault as OG-MARL publishes it: four agents, and none of this package's leaves."""
    folder.mkdir(parents=True)
    rows = len(leaves["rewards"])
    for name, leaf in (
        {f"{n}.": v[None] for n, v in leaves.items()} | {"vault_index": np.array([rows])}
    ).items():
        spec = {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": f"file://{folder}", "path": name}}
        store = tensorstore.open(spec, create=True, dtype=leaf.dtype, shape=leaf.shape).result()
        store.write(leaf).result()
    shapes = {name: str((1, *leaf.shape)) for name, leaf in leaves.items()}
    types = {name: leaf.dtype.name for name, leaf in leaves.items()}
    metadata = {"version": 1.2, "structure_shape": shapes, "structure_dtype": types}
    (folder / "metadata.json").write_text(json.dumps(metadata))


def four_agents(task, padding):
    columns = make_columns(task)
    width = columns["prey_observations"].shape[1]
    prey = np.full((100, 1, columns["observations"].shape[2]), padding, np.float32)
    prey[:, 0, :width] = columns["prey_observations"]
    return columns, {
        "observations": np.concatenate((columns["observations"], prey), axis=1),
        "actions": np.concatenate((columns["actions"], columns["prey_actions"][:, None]), axis=1),
        "rewards": np.concatenate((columns["rewards"], columns["prey_rewards"][:, None]), axis=1),
        "terminals": np.zeros((100, 4), np.bool_),
        "truncations": np.repeat(columns["truncated"][:, None], 4, axis=1),
    }


@pytest.mark.parametrize("padding", [-np.inf, np.nan, 0.0, 7.0])
@pytest.mark.parametrize("task", ["simple_tag", "simple_world"])
def test_a_vault_of_four_agents(tmp_path, task, padding):
    columns, leaves = four_agents(task, padding)
    write_vault(tmp_path / f"{task}.vlt" / "Medium", leaves)
    back, notes = bring(tmp_path, "vault", tmp_path / f"{task}.vlt" / "Medium", task)
    assert said(notes, "the last step of 4 episodes was left out")
    assert back.quality == "medium"
    kept = np.setdiff1d(np.arange(100), [24, 49, 74, 99])
    for name in back.manifest.columns:
        if name not in ("truncated", "terminated"):
            np.testing.assert_array_equal(back.column(name), columns[name][kept], err_msg=name)
    assert {"prey_actions", "prey_next_observations"} <= back.manifest.columns.keys()
    back.verify()


def test_padding_of_learners_is_cut_off_and_numbers_are_not(tmp_path):
    columns = make_columns()
    wide = np.concatenate((columns["observations"], np.zeros((100, 3, 4), np.float32)), axis=2)
    leaves = {
        "observations": wide,
        "actions": columns["actions"],
        "rewards": columns["rewards"][:, :, None],
        "terminals": columns["truncated"],  # time limits as dones
        "truncations": np.zeros(100, np.bool_),
    }
    write_vault(tmp_path / "a", leaves)
    back, notes = bring(tmp_path, "vault", tmp_path / "a")
    assert said(notes, "4 of 4 dones mark the time limit")
    assert said(notes, "the last step of 4 episodes was left out")
    np.testing.assert_array_equal(back.column("observations")[:24], columns["observations"][:24])
    wide[50, 1, 20] = 3.0
    write_vault(tmp_path / "b", leaves)
    with pytest.raises(DatasetError, match="observations has 22 numbers for each agent instead of 18"):
        import_dataset("vault", tmp_path / "b", None, None, tmp_path / "wide")


def test_a_vault_at_a_place_with_an_odd_name(tmp_path):
    dataset = write_dataset(tmp_path / "set", make_spec(), make_columns())
    export_dataset("vault", dataset, tmp_path / "50% #1?")
    back, _ = bring(tmp_path, "vault", tmp_path / "50% #1?" / "simple_spread.vlt" / "Random")
    assert back.manifest == dataset.manifest


# Minari


def rename(source, names):
    """Gives the agents of an exported set PettingZoo's names, and rewards, ends by agent."""
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        for episode in file.values():
            for group in ("observations", "actions"):
                for old, new in names.items():
                    episode.move(f"{group}/{old}", f"{group}/{new}")
            rewards = episode["infos/agent_rewards"][1:]
            ends = {name: episode[name][()] for name in ("terminations", "truncations")}
            prey = episode["infos/prey_rewards"][1:] if "infos/prey_rewards" in episode else None
            for name in ("infos", "rewards", *ends):
                del episode[name]
            for index, new in enumerate(names.values()):
                episode[f"rewards/{new}"] = rewards[:, index] if index < 3 else prey
                for name, flags in ends.items():
                    episode[f"{name}/{new}"] = flags


def test_the_agents_of_pettingzoo(tmp_path):
    source, dataset = export(tmp_path, "minari", "simple_tag")
    forget_origin(source)
    names = {"agent_0": "adversary_0", "agent_1": "adversary_1", "agent_2": "adversary_2", "prey": "agent_0"}
    rename(source, names)
    back, notes = bring(tmp_path, "minari", source, "simple_tag")
    assert said(
        notes,
        "the learners were taken in the order adversary_0, adversary_1, adversary_2, and agent_0 is the prey",
    )
    assert back.manifest.sha256 == dataset.manifest.sha256


@pytest.mark.parametrize("stated", [True, False])
def test_the_order_of_agents_is_stated_or_natural(tmp_path, stated):
    source, dataset = export(tmp_path, "minari")
    forget_origin(source)
    rename(source, {"agent_0": "a_10", "agent_1": "a_2", "agent_2": "a_1"})
    if stated:
        path = source / "data" / "metadata.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"possible_agents": ["a_10", "a_2", "a_1"]})
        )
    back, notes = bring(tmp_path, "minari", source)
    order = [0, 1, 2] if stated else [2, 1, 0]
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(back.column(name), dataset.column(name)[:, order])
    assert said(notes, f"in the order {'a_10, a_2, a_1' if stated else 'a_1, a_2, a_10'}")


def test_names_of_agents_in_any_script_have_an_order():
    names = ["a", "agent_2", "agent_10", "\u0663"]  # the last one is a digit, but not of ours
    assert sorted([names[3], *names[:3]], key=natural) == names


def test_another_number_of_agents_is_refused(tmp_path):
    source, _ = export(tmp_path, "minari", "simple_tag")
    forget_origin(source)
    rename(source, {"agent_0": "x", "agent_1": "y"} | {"agent_2": "z", "prey": "p"})
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        del file["episode_0/observations/y"], file["episode_0/observations/p"]
    with pytest.raises(
        DatasetError, match="episode_0 has the agents x, z: simple_tag has 3 learners and a prey"
    ):
        bring(tmp_path, "minari", source, "simple_tag")


def test_the_metadata_names_the_quality(tmp_path):
    source, _ = export(tmp_path, "minari")
    path = source / "data" / "metadata.json"
    metadata = json.loads(path.read_text()) | {"omar": [], "dataset_id": "particle/spread/medium-v3"}
    path.write_text(json.dumps(metadata))
    assert bring(tmp_path, "minari", source)[0].quality == "medium"
    path.write_text("{")
    with pytest.raises(DatasetError, match=r"metadata.json is damaged: it is not JSON"):
        import_dataset("minari", source, None, None, tmp_path / "other")


def test_an_unfinished_last_episode(tmp_path):
    columns = make_columns(episodes=4)
    columns["truncated"][-1] = False
    source, _ = export(tmp_path, "vault", columns=columns)
    forget_origin(source)
    back, _ = bring(tmp_path, "vault", source)
    assert len(back) == 4 * LENGTH
    assert isinstance(Dataset.open(back.path), Dataset)
