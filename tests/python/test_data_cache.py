"""Generated datasets: the same bytes for the same seed, built once, never used when damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from data_cases import some_prey
from omar.behaviors import load
from omar.behaviors.shipped import shipped_prey
from omar.data import ensure_dataset, home, replay_buffer, resolve_datasets
from omar.data.manifest import FLOAT_COLUMNS
from omar.envs import ParticleEnv
from omar.errors import DatasetError
from omar.tasks import TASKS, get_task

STEPS = 2_500
TASK_NAMES = ["simple_spread", "simple_tag", "simple_world"]


@pytest.fixture(autouse=True)
def omar_home(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def build(task="simple_spread", seed=0, **options):
    return ensure_dataset(task, "random", seed, steps=STEPS, **options)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_random_sets_are_whole_and_of_the_task(task):
    dataset = build(task)
    dataset.verify()
    found = get_task(task)
    columns = dataset.columns()
    assert columns["observations"].shape == (STEPS, found.num_learners, found.obs_size)
    assert not columns["terminated"].any()
    assert np.flatnonzero(columns["truncated"]).tolist() == list(range(24, STEPS, 25))
    assert dataset.manifest.episodes == STEPS // 25
    assert dataset.manifest.recipe["behaviour"] == {"source": "uniform", "noise": 0.0}
    actions = np.asarray(columns["actions"])
    assert -1.0 <= actions.min() < -0.99
    assert 0.99 < actions.max() <= 1.0
    assert abs(actions.mean()) < 0.02
    assert actions.std() == pytest.approx(1 / np.sqrt(3), abs=0.01)


def all_agents(dataset, name):
    """A column [n, A, ...] of the learners and the prey, zero padded on the right."""
    column = dataset.column(name)
    if not get_task(dataset.task).has_prey:
        return torch.from_numpy(np.array(column))
    prey = dataset.column(f"prey_{name}")[:, None]
    sizes = zip(column.shape[2:], prey.shape[2:], strict=True)
    pad = [(0, 0), (0, 0), *((0, wide - narrow) for wide, narrow in sizes)]
    return torch.from_numpy(np.concatenate((column, np.pad(prey, pad)), axis=1))


@pytest.mark.parametrize("quality", ["random", "medium"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_transitions_are_those_of_the_environment(task, quality):
    """Replays stored episodes step by step from their stored starts."""
    dataset = ensure_dataset(task, quality, steps=STEPS)
    observations, actions, rewards, following = (all_agents(dataset, name) for name in FLOAT_COLUMNS)
    env = ParticleEnv(task, num_envs=1, seed=9)
    env.reset()
    for episode in (0, 57):
        start = observations[25 * episode]
        positions = start[None, :, 2:4]
        landmarks = positions[:, :1] + start[0, 4 : 4 + 2 * env.num_landmarks].reshape(1, -1, 2)
        env.set_state(positions.contiguous(), start[None, :, :2].contiguous(), landmarks)
        for row in range(25 * episode, 25 * episode + 25):
            step = env.step(actions[row, None])
            after = step.final_observations if bool(step.truncated) else step.observations
            np.testing.assert_allclose(after[0], following[row], atol=1e-3)
            np.testing.assert_allclose(step.rewards[0], rewards[row], atol=2e-2)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_actions_are_those_of_the_shipped_policies_with_noise(task):
    dataset = ensure_dataset(task, "expert", steps=50_000)
    chosen = load(task, "expert")(torch.from_numpy(np.array(dataset.column("observations"))))
    noise = dataset.column("actions") - chosen.numpy()
    inside = np.abs(chosen.numpy()) < 0.5
    assert noise[inside].std() == pytest.approx(0.1, abs=0.002)
    assert noise[inside].mean() == pytest.approx(0.0, abs=0.002)
    assert np.abs(dataset.column("actions")).max() == 1.0
    if get_task(task).has_prey:
        prey = shipped_prey(task)(np.array(dataset.column("prey_observations"))[:, None])
        np.testing.assert_allclose(dataset.column("prey_actions"), prey[:, 0], atol=1e-5)


@pytest.mark.parametrize("quality", ["random", "medium"])
@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(tmp_path, monkeypatch, task, quality):
    first = ensure_dataset(task, quality, steps=STEPS)
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "other"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        second = ensure_dataset(task, quality, steps=STEPS)
    finally:
        torch.set_num_threads(threads)
    assert first.path != second.path
    assert first.manifest == second.manifest


def test_other_seeds_give_other_sets():
    assert build(seed=0).manifest.sha256 != build(seed=1).manifest.sha256


def test_fewer_steps_give_the_same_beginning():
    sets = [ensure_dataset("simple_spread", "random", steps=steps) for steps in (STEPS, 2 * STEPS, 102_500)]
    assert len({dataset.path for dataset in sets}) == 3
    for longer in sets[1:]:
        np.testing.assert_array_equal(sets[0].column("rewards"), longer.column("rewards")[:STEPS])
    for name in ("actions", "rewards"):  # no episode comes twice
        episodes = sets[2].column(name).reshape(102_500 // 25, -1)
        assert len(np.unique(episodes, axis=0)) == len(episodes)


def test_a_second_call_opens_what_is_there():
    first = build()
    stamp = (first.path / "manifest.json").stat().st_mtime_ns
    assert build().path == first.path
    assert (first.path / "manifest.json").stat().st_mtime_ns == stamp


def test_a_damaged_set_is_refused_and_rebuilt_on_request():
    dataset = build()
    path = dataset.path / "actions.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        DatasetError, match=r"actions.npy has .* bytes instead of .*; rebuild it with .*--rebuild"
    ):
        build()
    assert build(rebuild=True).manifest == dataset.manifest
    build().verify()


def test_another_prey_makes_another_set():
    prey = some_prey()
    shipped, own = build("simple_tag"), build("simple_tag", prey=prey)
    assert own.path != shipped.path
    assert own.manifest.recipe["prey"] == {"source": "network", "sha256": prey.sha256}
    assert own.manifest.sha256 != shipped.manifest.sha256


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("simple_spreed", "random"), {}, "unknown task 'simple_spreed'"),
        (("simple_tag", "rnd"), {}, "unknown quality 'rnd' of simple_tag"),
        (("simple_tag", "random"), {"steps": 2501}, "multiple of the episode length 25, got 2501"),
        (("simple_tag", "random"), {"steps": 0}, "positive multiple of the episode length 25, got 0"),
        (("simple_tag", "random", -1), {}, "the seed must not be negative, got -1"),
        (("simple_spread", "random"), {"prey": some_prey()}, "simple_spread has no prey, but one was given"),
    ],
)
def test_what_cannot_be_generated_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ensure_dataset(*arguments, **options)


def test_resolving_a_quality_gives_one_set_for_each_seed():
    for task in (name for name, found in TASKS.items() if STEPS % found.episode_length == 0):
        ensure_dataset(task, "random", 0, steps=STEPS)
    folder = str(build(seed=3).path)
    assert [found.path for found in resolve_datasets("simple_spread", folder, [0, 1])] == [
        build(seed=3).path
    ] * 2
    with pytest.raises(DatasetError, match="is a dataset of simple_spread, not of simple_tag"):
        resolve_datasets("simple_tag", folder, [0])
    with pytest.raises(
        DatasetError, match=r"unknown dataset 'nothing': it is neither a quality \(random, .*nor a folder"
    ):
        resolve_datasets("simple_tag", "nothing", [0])


def test_home_is_the_platforms_unless_chosen(monkeypatch, omar_home):
    assert home() == omar_home
    monkeypatch.delenv("OMAR_HOME")
    assert home().name == "omar"


def test_an_unwritable_home_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match=r"cannot write a dataset to .*file"):
        build()


SLOW_BUILD = """
import sys, time
import omar.data.generate as generate
from omar.data import ensure_dataset
chunks = generate.acting
def slow(plan):
    for chunk in chunks(plan):
        print("chunk", flush=True)
        time.sleep(float(sys.argv[1]))
        yield chunk
generate.acting = slow
ensure_dataset("simple_spread", "random", steps=100_000)
print("built", flush=True)
"""


def start(pause: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_BUILD, str(pause)], stdout=subprocess.PIPE, text=True, env=os.environ
    )


def test_a_killed_build_leaves_nothing_that_looks_complete(omar_home):
    process = start(60.0)
    with process:
        assert process.stdout.readline() == "chunk\n"
        process.send_signal(signal.SIGKILL)
    folder = omar_home / "datasets" / "simple_spread" / "random"
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []
    assert any(".partial-" in path.name for path in folder.iterdir())
    dataset = ensure_dataset("simple_spread", "random", steps=100_000)
    dataset.verify()
    assert not any(".partial-" in path.name for path in folder.iterdir())


def test_two_processes_at_once_build_once():
    with start(0.5) as first, start(0.5) as second:
        outputs = [process.communicate(timeout=300)[0].split() for process in (first, second)]
    assert sorted(outputs) == [["built"], ["chunk", "chunk", "built"]]


def test_replay_buffer_holds_the_columns():
    datasets = [build(seed=0), ensure_dataset("simple_spread", "random", 1, steps=STEPS // 2)]
    buffer = replay_buffer(datasets, next_actions=True)
    for index, dataset in enumerate(datasets):
        stored = buffer.columns(index)
        for name in ("observations", "actions", "rewards", "next_observations"):
            np.testing.assert_array_equal(stored[name], dataset.column(name))
        np.testing.assert_array_equal(stored["terminated"], np.zeros((len(dataset), 3), np.float32))
        mask = 1.0 - dataset.episode_ends().astype(np.float32)
        np.testing.assert_array_equal(stored["next_mask"], np.repeat(mask[:, None], 3, axis=1))
        expected = np.roll(dataset.column("actions"), -1, axis=0) * mask[:, None, None]
        np.testing.assert_array_equal(stored["next_actions"], expected)


def test_replay_buffer_holds_the_returns_of_episodes():
    dataset = build(seed=0)
    stored = replay_buffer([dataset], returns=True).columns(0)["returns"]
    by_episode = stored.reshape(-1, 25, 3)
    np.testing.assert_allclose(
        by_episode, np.broadcast_to(dataset.episode_returns()[:, None, None], by_episode.shape), rtol=1e-6
    )


def test_replay_buffer_refuses_datasets_that_differ():
    with pytest.raises(DatasetError, match="needs at least one dataset"):
        replay_buffer([])
    with pytest.raises(DatasetError, match="datasets of one training must be alike"):
        replay_buffer([build("simple_spread"), build("simple_tag")])
