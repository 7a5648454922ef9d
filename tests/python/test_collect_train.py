"""Online training: what is collected, resuming, repeating, choosing what ships, errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_cases import some_policy, some_prey
from omar.behaviors.policy import Policy
from omar.behaviors.policy_file import load_policy, save_policies
from omar.behaviors.recording import load_recording
from omar.behaviors.shipped import BEHAVIORS, FOLDER, RECORDING, card, load, recording, shipped_prey
from omar.collect import ShipBehaviors, TrainBehaviors, main
from omar.data import ensure_dataset
from omar.data.generate import acting, make_plan
from omar.envs import HalfCheetahEnv, ParticleEnv
from omar.envs.half_cheetah import OWN_LEG, TORSO
from omar.errors import OmarError
from omar.evaluation.policies import NoisyPolicy
from omar.evaluation.returns import episode_returns
from omar.nets import StackedMlp
from omar.online.collection import CollectionSettings
from omar.online.matd3 import Matd3Settings
from omar.online.measures import Measured
from omar.online.runs import recorded
from omar.online.shipping import CHOOSING, PolicySelection, ShipOptions, Source, prey_origin
from omar.online.training import STARTS, OnlineTraining, training_blocks
from omar.random import mix
from omar.runs.files import seal
from omar.tasks import Score, get_task, normalized_score

COLLECTION = CollectionSettings(updates=80, worlds=10, warmup=500, capacity=1_000)
MATD3 = Matd3Settings(batch_size=64, hidden=16)
TASK_NAMES = ("simple_spread", "simple_tag", "simple_world")
CHEETAH = "half_cheetah"  # a thousand steps an episode, stepped by MuJoCo: fewer of them
SHIPPED = (*TASK_NAMES, CHEETAH)  # tasks whose behaviours ship
TASKS = pytest.mark.parametrize("name", TASK_NAMES)


def training(name="simple_spread", *, prey=None, seed=0, seeds=1, collection=COLLECTION):
    return OnlineTraining(get_task(name), MATD3, collection, seed=seed, seeds=seeds, prey=prey)


def command(out, **options):
    small = {"eval_every": 40, "eval_episodes": 50, "checkpoint_every": 20}
    return TrainBehaviors(**{"out": out, "collection": COLLECTION, "matd3": MATD3, **small, **options})


def policies(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "policies").iterdir())}


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("simple_spread", False), *((n, f) for n in TASK_NAMES[1:] for f in (False, True))],
)
def test_transitions_follow_the_environment(name, frozen):
    task = get_task(name)
    prey = some_prey(name) if frozen else None
    run = training(name, prey=prey)
    env = ParticleEnv(name, num_envs=10)
    for block in training_blocks(run):
        obs, acts = block["observations"], block["actions"]
        assert obs.shape == (10, 25, task.num_agents, max(task.obs_sizes))
        assert torch.equal(obs[:, 1:], block["next_observations"][:, :-1])
        assert acts.abs().max() <= 1.0
        if prey is not None:
            own = obs[:, :, -1:, : task.obs_sizes[-1]]
            torch.testing.assert_close(acts[:, :, -1:], prey(own))
    # The last block again, world by world, from its start states.
    landmarks = env.num_landmarks
    positions = obs[:, 0, :, 2:4]
    marks = obs[:, 0, 0, 4 : 4 + 2 * landmarks].reshape(10, landmarks, 2) + positions[:, :1]
    env.set_state(positions.contiguous(), torch.zeros_like(positions).contiguous(), marks.contiguous())
    for t in range(25):
        step = env.step(acts[:, t].contiguous())
        torch.testing.assert_close(step.rewards, block["rewards"][:, t], rtol=1e-3, atol=1e-3)
        after = step.final_observations if t == 24 else step.observations
        torch.testing.assert_close(after, block["next_observations"][:, t], rtol=1e-4, atol=1e-4)


def test_cheetahs_critics_see_the_torso_and_its_policies_their_own_leg():
    task = get_task(CHEETAH)
    run = training(CHEETAH, collection=replace(COLLECTION, worlds=2, warmup=64, updates=8))
    legs, whole = (HalfCheetahEnv(2, mix(run.keys[0], STARTS, 0), obs) for obs in ("omar", "mamujoco"))
    for _ in range(40):
        seen = legs.observe()
        [transitions], _ = run.advance()
        torch.testing.assert_close(transitions.observations, whole.observe(), rtol=0, atol=0)
        torch.testing.assert_close(transitions.observations[..., :6], seen, rtol=0, atol=0)
        step = legs.step(transitions.actions)
        torch.testing.assert_close(transitions.rewards, step.rewards, rtol=0, atol=0)
        whole.step(transitions.actions)
    assert run.finished
    policy = run.policy(0)
    assert policy.weights[0].shape[1] == task.obs_size == 6
    assert policy(seen).shape == (2, 2, 3)


def test_buffer_holds_what_was_collected():
    run = training(collection=replace(COLLECTION, capacity=10_000))
    blocks = list(training_blocks(run))
    collected = torch.cat([block["actions"].transpose(0, 1).flatten(0, 1) for block in blocks])
    assert torch.equal(run.buffer.columns()["actions"], collected)


def test_warmup_is_uniform_and_noise_has_its_deviation():
    still = training(collection=CollectionSettings(updates=75, worlds=200, warmup=5_000, capacity=20_000))
    blocks = [block["actions"] for block in training_blocks(still)]
    uniform = blocks[0][:, :24]  # 24 steps of 200 worlds come before the step that completes the warm-up
    assert abs(float(uniform.std()) - 3**-0.5) < 0.01
    assert abs(float(uniform.abs().mean()) - 0.5) < 0.01
    assert float(uniform.abs().max()) > 0.999
    before = training(collection=CollectionSettings(updates=1, worlds=200, warmup=5_000, capacity=20_000))
    while before.step < 25:
        before.advance()
    (step,), _ = before.advance()
    policy = before.policy(0)(step.observations)
    noise = step.actions - policy
    assert abs(float(noise.std()) - 0.1) < 0.01
    assert abs(float(noise.mean())) < 0.02


def test_same_seed_same_bytes_and_another_seed_others():
    runs = [training(seed=seed) for seed in (5, 5, 6)]
    buffers = []
    for run in runs:
        while not run.finished:
            run.advance()
        buffers.append(run.buffer.columns()["observations"])
    assert torch.equal(buffers[0], buffers[1])
    assert not torch.equal(buffers[0], buffers[2])
    assert runs[0].policy(0).sha256 == runs[1].policy(0).sha256 != runs[2].policy(0).sha256


def test_a_seed_is_the_same_beside_others():
    alone, stacked = training(), training(seeds=2)
    for _ in range(60):
        (first,), _ = alone.advance()
        (same, other), _ = stacked.advance()
    torch.testing.assert_close(first.actions, same.actions, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(same.actions, other.actions, atol=1e-2)
    assert alone.evaluate(100)[0] == pytest.approx(stacked.evaluate(100)[0], abs=0.1)


@pytest.mark.parametrize("name", ["simple_spread", "simple_tag"])
def test_interrupted_training_ends_like_an_uninterrupted_one(tmp_path, monkeypatch, name):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(whole, task=name)() == 0
    advance = OnlineTraining.advance

    def killed(run):
        if run.updates == 55:
            raise RuntimeError("killed")
        return advance(run)

    monkeypatch.setattr(OnlineTraining, "advance", killed)
    with pytest.raises(RuntimeError, match="killed"):
        command(parts, task=name)()
    monkeypatch.undo()
    assert (
        len(list((parts / "checkpoint").glob("*.replay")))
        == len(list((parts / "checkpoint").glob("*.json")))
        > 0
    )
    assert TrainBehaviors(resume=parts)() == 0
    assert policies(whole) == policies(parts)
    lines = [[json.loads(x) for x in (p / "metrics.jsonl").read_text().splitlines()] for p in (whole, parts)]
    assert [x["returns"] for x in lines[0]] == [x["returns"] for x in lines[1]]
    assert [x["update"] for x in lines[1]] == [0, 40, 80]


def test_a_diverged_training_names_its_seeds_and_keeps_no_checkpoint_of_it(tmp_path):
    matd3 = replace(MATD3, learning_rate=1e20, final_learning_rate=1e20)
    with pytest.raises(OmarError, match=r"the training of seed 0, 1 diverged: at update \d+ the loss"):
        command(tmp_path / "run", matd3=matd3, seeds=2)()
    assert not list((tmp_path / "run").glob("checkpoint/*"))


def test_best_policy_is_kept(tmp_path, capsys):
    out = tmp_path / "run"
    assert command(out, seeds=2)() == 0
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    value, update, seed = max((v, m["update"], s) for m in metrics for s, v in enumerate(m["returns"]))
    result = json.loads((out / "result.json").read_text())
    assert (result["return"], result["update"], result["seed"]) == (value, update, seed)
    name = f"seed-{seed}-update-{update:08d}.safetensors"
    assert (out / "policy.safetensors").read_bytes() == (out / "policies" / name).read_bytes()
    assert f"best return {value:.1f}" in capsys.readouterr().out


def test_folding_moves_the_normalisation_into_the_first_layer():
    task = get_task("simple_tag")
    mlp = StackedMlp(3, (16, 8, 8, 2), seed=1)
    g = torch.Generator().manual_seed(0)
    mean, std, obs = (
        torch.randn(3, 16, generator=g),
        torch.rand(3, 16, generator=g) + 0.2,
        torch.randn(9, 3, 16),
    )
    wanted = torch.tanh(mlp(((obs - mean) / std).transpose(0, 1))).transpose(0, 1)
    mlp.standardize(mean, std)
    policy = Policy.of_networks(mlp, range(3), task, prey=some_prey())
    torch.testing.assert_close(policy(obs), wanted, rtol=1e-4, atol=1e-5)


def test_ship_chooses_and_writes_a_card(tmp_path, capsys):
    prey, prey_file, out = some_prey(), tmp_path / "prey.safetensors", tmp_path / "ship"
    save_policies(prey_file, [prey])
    assert command(tmp_path / "run", task="simple_tag", prey=str(prey_file), eval_every=20)() == 0
    options = ["--run", str(tmp_path / "run"), "--out", str(out), "--episodes", "200", "--candidates", "2"]
    assert main(["ship", *options]) == 0
    assert "medium: update" in capsys.readouterr().out
    card = json.loads((out / "card.json").read_text())
    assert (card["references"]["random"], card["references"]["expert"]) == (-4.1, 185.6)
    assert card["expert"]["return"]["episodes"] == 200
    medium, shipped_prey = load_policy(out / "medium.safetensors"), load_policy(out / "prey.safetensors")
    assert medium.sha256 == card["medium"]["sha256"]
    assert medium.source["quality"] == "medium"
    assert shipped_prey.sha256 == medium.prey.sha256 == prey.sha256 == card["prey"]["sha256"]
    assert medium.references is shipped_prey.references is None
    replay = load_recording(out / "replay.safetensors", shipped_prey)
    assert replay.sha256 == card["medium_replay"]["sha256"]
    assert replay.updates[-1] == card["medium"]["update"]
    assert [row["share"] for row in card["medium_replay"]["actors"]] == list(replay.shares)
    last, whole = replay.policies[-1].weights[1], medium.weights[1]
    assert torch.equal(last, whole.half().float())


def test_ship_takes_the_policy_whose_noisy_return_is_nearest(tmp_path):
    assert command(tmp_path / "run", eval_every=20)() == 0
    selection = PolicySelection(
        ShipOptions(tmp_path / "run", tmp_path, episodes=100), Source.open(tmp_path / "run")
    )
    names = [f"seed-0-update-{update:08d}.safetensors" for update in (0, 20, 40, 60, 80)]
    returns = [selection._return(name, CHOOSING).mean for name in names]
    for name, value in zip(names, returns, strict=True):
        assert selection.nearest(Score(value + 0.01, None)) == name


def test_ship_prefers_a_policy_whose_episodes_are_alike(tmp_path, monkeypatch):
    assert command(tmp_path / "run", eval_every=40)() == 0
    selection = PolicySelection(ShipOptions(tmp_path / "run", tmp_path), Source.open(tmp_path / "run"))
    names = [f"seed-0-update-{update:08d}.safetensors" for update in (0, 40, 80)]
    found = dict(zip(names, ((100.0, 90.0), (104.0, 10.0), (300.0, 1.0)), strict=True))
    monkeypatch.setattr(
        PolicySelection, "_return", lambda _, name, key: Measured(found[name][0], 1.0, found[name][1], 100)
    )
    assert selection.nearest(Score(100.0, 12.0)) == names[1]
    assert selection.nearest(Score(100.0, 95.0)) == names[0]


def test_ship_names_the_prey_that_was_imitated(tmp_path):
    prey, folder = some_prey(), tmp_path / "imitation"
    folder.mkdir()
    save_policies(folder / "prey.safetensors", [prey])
    (folder / "imitation.json").write_text('{"action_error": 0.25}')
    entry = prey_origin(prey, folder)
    assert entry == {"source": dict(prey.source), "imitation": {"action_error": 0.25}}
    with pytest.raises(OmarError, match="imitation does not hold the prey of this training"):
        prey_origin(some_prey(seed=1), folder)


def test_ship_refuses_a_training_whose_prey_was_trained_too(tmp_path):
    assert command(tmp_path / "run", task="simple_tag", prey="train")() == 0
    assert any("prey" in name for name in policies(tmp_path / "run"))
    with pytest.raises(ValueError, match="behaviour policies need a training against a frozen prey"):
        ShipBehaviors(run=tmp_path / "run", out=tmp_path / "ship")()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "chess"}, "task must be 'simple_spread', 'simple_tag', 'simple_world', 'half_cheetah'"),
        ({"prey": "train"}, "simple_spread has no prey: leave out --prey"),
        (
            {"task": "simple_tag", "prey": "nowhere.safetensors"},
            "no prey at nowhere.safetensors: expected train",
        ),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be in \[0, 18446744073709551615\], got -1"),
        ({"eval_every": 0}, "eval_every must be at least 1, got 0"),
        ({"matd3": Matd3Settings(batch_size=501)}, "batch_size must be at most warmup = 500, got 501"),
    ],
)
def test_refused_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        command(tmp_path / "run", **options)()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"updates": -1}, r"updates must be in \[0, 4294967295\], got -1"),
        ({"worlds": 0}, "worlds must be at least 1, got 0"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"warmup": 10, "capacity": 9}, "capacity must be at least warmup = 10, got 9"),
    ],
)
def test_collection_settings_out_of_range(change, message):
    with pytest.raises(ValueError, match=message):
        CollectionSettings(**change)


def test_folders_that_hold_no_training(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is not an empty folder: choose another --out"):
        command(tmp_path)()
    with pytest.raises(ValueError, match=r"is not the folder of a run: it has no config.json"):
        TrainBehaviors(resume=tmp_path)()
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged: it is not JSON"):
        TrainBehaviors(resume=tmp_path)()
    (tmp_path / "config.json").write_text(json.dumps(seal({"kind": "offline"})))
    with pytest.raises(ValueError, match="is not the folder of an online training"):
        TrainBehaviors(resume=tmp_path)()
    (tmp_path / "config.json").write_text(json.dumps(seal({"kind": "online"})))
    with pytest.raises(ValueError, match="does not describe an online training"):
        TrainBehaviors(resume=tmp_path)()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": "1"}, 'config.json: `seeds` must be an integer, got "1"'),
        ({"speed": 1}, "config.json: `speed` is not a known entry"),
        ({"collection": 5}, "config.json: `collection` must be a JSON object, got 5"),
        ({"collection": {"worlds": 0}}, "config.json: `collection.worlds` must be at least 1, got 0"),
        ({"matd3": {"gamma": None}}, "config.json: `matd3.gamma` must be a finite number, got null"),
    ],
)
def test_configs_of_the_wrong_form(tmp_path, change, message):
    raw = recorded(command(tmp_path))
    for name, value in change.items():
        raw[name] = raw[name] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(seal({"kind": "online", "training": raw})))
    with pytest.raises(OmarError, match=message):
        TrainBehaviors(resume=tmp_path)()


def test_qualities_without_a_policy():
    with pytest.raises(
        ValueError, match="no behaviour policy ships for 'random': expected one of medium, expert"
    ):
        load("simple_spread", "random")


def test_only_a_prey_of_the_task_is_an_opponent():
    with pytest.raises(ValueError, match="simple_spread cannot be trained against a policy of simple_tag"):
        training("simple_spread", prey=some_prey())
    with pytest.raises(ValueError, match="simple_tag cannot be trained against a policy of simple_tag"):
        training("simple_tag", prey=some_policy("simple_tag"))
    assert np.isfinite(training("simple_tag", prey=some_prey()).evaluate(20)).all()


def shipped():
    return [(name, quality) for name in SHIPPED for quality in BEHAVIORS]


@pytest.mark.parametrize(("name", "quality"), shipped())
def test_shipped_policies_are_those_of_the_card(name, quality):
    task, entry = get_task(name), card(name)
    policy = load(name, quality)
    assert policy.sha256 == entry[quality]["sha256"]
    episodes = 20 if name == CHEETAH else 1_000
    noisy = NoisyPolicy(policy, entry["noise"], seed=1)
    returns = episode_returns(noisy, task, episodes=episodes, seed=99, prey=policy.prey)
    figure = entry[quality]["return"]
    assert abs(float(returns.mean()) - figure["mean"]) < 4.5 * figure["std"] / episodes**0.5


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_levels_are_those_of_the_published_sets(name):
    task, entry = get_task(name), card(name)
    prey = shipped_prey(name) if task.has_prey else None
    for quality in BEHAVIORS:
        policy = load(name, quality)
        assert policy.scale == task.references
        assert (policy.prey and policy.prey.sha256) == (prey and prey.sha256)
        found, published = entry[quality], task.qualities[quality]
        assert found["return"]["mean"] == pytest.approx(
            published.returns.mean, rel=0.06 if name == CHEETAH else 0.03
        )
        assert found["normalized"] == pytest.approx(published.normalized, abs=2)
        assert found["normalized"] == pytest.approx(normalized_score(task, found["return"]["mean"]))
    assert abs(normalized_score(task, entry["uniform"]["mean"])) < (0.7 if name == CHEETAH else 0.2)
    if prey is not None:
        assert prey.sha256 == entry["prey"]["sha256"]


@pytest.mark.parametrize("name", TASK_NAMES[1:])
def test_shipped_preys_name_whom_they_imitate(name):
    prey, entry = shipped_prey(name), card(name)["prey"]
    assert prey.source["imitates"] == "pretrained_adv_model.pt"
    assert "OG-MARL" in prey.source["origin"]
    assert "Apache License 2.0" in prey.source["origin"]
    assert entry["imitation"]["of"] == prey.source["imitates_sha256"]
    assert entry["imitation"]["action_error"] < 0.01
    for row in entry["imitation"]["returns"]:
        theirs, ours = row["imitated"]["mean"], row["imitation"]["mean"]
        assert abs(theirs - ours) < (0.3 if row["predators"] == "uniform" else max(0.3, 0.03 * theirs))


@pytest.mark.parametrize("name", SHIPPED)
def test_recordings_are_those_of_the_card(name):
    task, replay, entry = get_task(name), recording(name), card(name)
    assert (FOLDER / name / RECORDING).stat().st_size <= 700_000
    assert replay.sha256 == entry["medium_replay"]["sha256"]
    assert replay.updates[-1] == entry["medium"]["update"]
    assert all(policy.task == name for policy in replay.policies)
    published = task.qualities["medium-replay"].normalized
    assert normalized_score(task, entry["medium_replay"]["return"]) == pytest.approx(published, abs=2.5)


@pytest.mark.parametrize(("name", "quality"), shipped())
def test_generated_sets_have_the_level_of_their_behaviour(tmp_path, monkeypatch, name, quality):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    dataset = ensure_dataset(name, quality, steps=25_000, progress=False)
    figure = card(name)[quality]["return"]
    returns = dataset.manifest.returns
    episodes = 25_000 // get_task(name).episode_length
    assert abs(returns.mean - figure["mean"]) < 4.5 * figure["std"] / episodes**0.5
    behaviour = dataset.manifest.recipe["behaviour"]
    assert behaviour == {"source": "network", "sha256": load(name, quality).sha256, "noise": 0.1}
    if get_task(name).has_prey:
        prey = shipped_prey(name)
        assert dataset.manifest.recipe["prey"]["sha256"] == prey.sha256
        assert dataset.manifest.references == get_task(name).references


def test_rows_of_half_cheetah_follow_each_other_whatever_the_threads():
    before = torch.get_num_threads()
    sets = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            [chunk] = acting(make_plan(CHEETAH, "expert", steps=2_000))
            sets.append({column: numbers.copy() for column, numbers in chunk.items()})
    finally:
        torch.set_num_threads(before)
    one, two = sets
    assert all(np.array_equal(one[column], two[column]) for column in one)
    after, before_it = one["next_observations"], one["observations"]
    inner = [row for row in range(1_999) if row != 999]
    assert np.array_equal(after[inner], before_it[1:][inner])
    assert not np.array_equal(after[999], before_it[1_000])
    assert one["truncated"].nonzero()[0].tolist() == [999, 1_999]
    assert np.array_equal(one["next_states"][inner], one["states"][1:][inner])
    for states, observations in (("states", "observations"), ("next_states", "next_observations")):
        legs = [list(leg) for leg in OWN_LEG]
        assert np.array_equal(one[states][:, legs], one[observations])
    torso = one["states"][:, list(TORSO)]
    assert torso[:, 2].mean() > 1.0  # the expert runs forward
    assert np.abs(torso[[0, 1_000]]).max() < 0.5  # and starts at rest


@pytest.mark.parametrize("name", SHIPPED)
def test_medium_replay_sets_grow_from_random_to_the_medium_level(tmp_path, monkeypatch, name):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    task = get_task(name)
    published = task.qualities["medium-replay"]
    steps = 100_000 if name == CHEETAH else published.transitions
    first = ensure_dataset(name, "medium-replay", steps=steps, progress=False)
    assert len(first) == steps
    assert first.manifest.recipe["behaviour"] == {**recording(name).recipe(), "noise": 0.1}
    scores = normalized_score(task, first.episode_returns())
    assert scores.mean() == pytest.approx(published.normalized, abs=3)
    tenth = len(scores) // 10
    medium = card(name)["medium"]["normalized"]
    assert abs(scores[:tenth].mean()) < 1.5
    assert 0.6 * medium < scores[-tenth:].mean() < 1.1 * medium
    assert scores[:tenth].mean() < scores[-3 * tenth : -tenth].mean() + 1 < scores[-tenth:].mean()
    other = ensure_dataset(name, "medium-replay", 1, steps=steps, progress=False)
    assert other.manifest.sha256 != first.manifest.sha256
    assert scores.mean() == pytest.approx(normalized_score(task, other.episode_returns()).mean(), abs=3)


def test_a_smaller_or_larger_medium_replay_set_has_the_same_shares(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    replay = recording("simple_spread")
    for episodes in (1, 40, 3_900, 8_000):
        parts = replay.parts(episodes)
        assert sum(count for _, count in parts) == episodes
        by_policy = {id(policy): count for policy, count in parts}
        for policy, share in zip((None, *replay.policies), replay.shares, strict=True):
            assert abs(by_policy.get(id(policy), 0) - share * episodes) <= 1
    small = ensure_dataset("simple_spread", "medium-replay", steps=1_000, progress=False)
    small.verify()
    again = ensure_dataset("simple_spread", "medium-replay", steps=1_000, progress=False, rebuild=True)
    assert small.manifest.sha256 == again.manifest.sha256
