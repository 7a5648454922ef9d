"""The training command: what it writes, that it repeats itself, and what it says when something is wrong."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import omar
from data_cases import make_dataset, save_authors_prey
from hostile import JSON_VALUES
from omar.algorithms import ALGORITHMS
from omar.behaviors.find import read_prey
from omar.behaviors.policy_file import load_policies
from omar.behaviors.shipped import shipped_prey
from omar.data import Dataset, ensure_dataset
from omar.errors import OmarError
from omar.evaluate import main as evaluate
from omar.export import main as export
from omar.offline.config import RunConfig, TrainConfig, resolve
from omar.offline.minibatches import Minibatches
from omar.offline.options import NewRun, Resumption, parse
from omar.runs.files import seal, to_json, unseal
from omar.runs.reporting import Silent
from omar.tasks import ALL_TASKS, get_task
from omar.terminal import progress
from omar.terminal.cli import INTERRUPTED
from omar.train import main

SMALL = ["--batch-size", "32", "--hidden", "8", "--eval-episodes", "3", "--seeds", "2"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A small random dataset of simple_spread, in a cache of its own."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMAR_HOME", str(home))
        return ensure_dataset("simple_spread", "random", steps=1000, progress=False).path


def train(dataset, out, *arguments):
    return main(["--dataset", str(dataset), "--out", str(out), *SMALL, *map(str, arguments)])


def lines(out):
    """The metrics without what every run has of its own: the time, and the checksum over it."""
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "crc32")} for line in found
    ]


def weights(out, seed=0):
    newest = max((out / "checkpoint").glob(f"*.seed-{seed}.safetensors"))
    return {name: tensor.clone() for name, tensor in load_file(newest).items()}  # not a view of the file


def checkpoints(out):
    """Bytes of every checkpoint file by name."""
    return {path.name: path.read_bytes() for path in (out / "checkpoint").glob("*.safetensors")}


def same_weights(a, b):
    return checkpoints(a) == checkpoints(b)


@pytest.mark.parametrize("algorithm", ["omar", "cql"])
def test_outputs(dataset, tmp_path, capsys, algorithm):
    out = tmp_path / "run"
    arguments = ("--algorithm", algorithm, "--updates", 20, "--eval-every", 8, "--gamma", 0.9)
    assert train(dataset, out, *arguments) == 0
    assert [line["update"] for line in lines(out)] == [0, 8, 16, 20]
    for line in lines(out):
        assert len(line["returns"]) == len(line["scores"]) == 2
        expected = [100 * (value - 159.8) / (516.8 - 159.8) for value in line["returns"]]
        assert line["scores"] == pytest.approx(expected)
    assert set(lines(out)[-1]["losses"]) >= {"critic/td", "critic/conservatism", "actor/action"}
    result = json.loads((out / "result.json").read_text())
    assert result["returns"] == lines(out)[-1]["returns"]
    assert result["scores"] == lines(out)[-1]["scores"]
    assert result["mean"] == pytest.approx(sum(result["scores"]) / 2)
    assert (result["episodes"], result["updates"]) == (3, 20)
    assert {"omar", "torch"} <= result["versions"].keys()
    config = json.loads((out / "config.json").read_text())
    assert config["backbone"]["gamma"] == 0.9
    assert config["backbone"]["hidden"] == 8
    assert config["options"]["algorithm"] == algorithm
    assert config["datasets"][0]["path"] == str(dataset)
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "update 8/20" in said
    assert re.search(r"paper, omar +│ +│ +34\.4 ± 5\.3", said)


def test_events_hold_every_evaluation_once(dataset, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 4, "--eval-every", 2) == 0
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("score/mean")] == [0, 2, 4]
    assert events.Scalars("score/seed_1")[2].value == pytest.approx(lines(out)[2]["scores"][1], rel=1e-5)


def test_weights_move_and_differ_between_seeds(dataset, tmp_path):
    assert train(dataset, tmp_path / "none", "--updates", 0) == 0
    assert train(dataset, tmp_path / "some", "--updates", 20) == 0
    before, after = weights(tmp_path / "none"), weights(tmp_path / "some")
    moved = (after["actor.weights.0"] - before["actor.weights.0"]).abs().amax(dim=(1, 2))
    assert bool((moved > 0.01).all())
    other = weights(tmp_path / "some", seed=1)
    assert not torch.equal(after["actor.weights.0"], other["actor.weights.0"])


def test_zero_updates_only_evaluate(dataset, tmp_path):
    assert train(dataset, tmp_path / "run", "--updates", 0) == 0
    assert [line["update"] for line in lines(tmp_path / "run")] == [0]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["updates"] == 0


def test_the_same_command_twice_gives_the_same_weights(dataset, tmp_path):
    for name in ("first", "second"):
        assert train(dataset, tmp_path / name, "--updates", 6, "--eval-every", 3) == 0
    assert same_weights(tmp_path / "first", tmp_path / "second")
    assert lines(tmp_path / "first") == lines(tmp_path / "second")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("critic", ["independent", "centralized"])
def test_every_algorithm_trains_with_both_kinds_of_critic(dataset, tmp_path, capsys, algorithm, critic):
    arguments = ("--algorithm", algorithm, "--critic", critic, "--updates", 5, *short(algorithm))
    if algorithm in {"afterstate", "asymmetric"} and critic == "centralized":
        assert "--critic must be independent" in fails(capsys, ["--dataset", dataset, *map(str, arguments)])
        return
    assert train(dataset, tmp_path / "two", *arguments) == 0
    assert train(dataset, tmp_path / "one", *arguments, "--seeds", 1) == 0
    two, one = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert all(torch.equal(two[name], tensor) for name, tensor in one.items())
    if ALGORITHMS[algorithm].has_critics:
        inputs = 18 + 2 if critic == "independent" else 3 * (18 + 2)
        assert one["critic.weights.0"].shape == (6, inputs, 8)
    else:
        assert not [name for name in one if name.startswith("critic.")]
    assert main(["--resume", str(tmp_path / "one")]) == 0


def test_members_of_a_seed_share_their_rows_under_a_centralized_critic(dataset):
    opened, device = Dataset.open(dataset), torch.device("cpu")
    batch = Minibatches([opened] * 2, device, joint=True).sample(32, seed=7, step=3)
    observations = torch.from_numpy(opened.column("observations").copy())
    rewards = torch.from_numpy(opened.column("rewards").copy())
    for s in range(2):
        rows = [int((observations[:, 0] == o).all(dim=1).nonzero()[0]) for o in batch.observations[3 * s]]
        for i in range(3):
            assert torch.equal(batch.observations[3 * s + i], observations[rows, i])
            assert torch.equal(batch.rewards[3 * s + i], rewards[rows, i])
    assert not torch.equal(batch.rewards[0], batch.rewards[3])


def test_each_seed_may_have_a_dataset_of_its_own(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    other = ensure_dataset("simple_spread", "random", 7, steps=1250, progress=False).path
    out = tmp_path / "run"
    own = ["--out", str(out), *SMALL, "--updates", "5"]
    assert main(["--dataset", str(dataset), str(other), *own]) == 0
    paths = [entry["path"] for entry in json.loads((out / "config.json").read_text())["datasets"]]
    assert paths == [str(dataset), str(other)]
    assert train(other, tmp_path / "other", "--updates", 5) == 0
    assert train(dataset, tmp_path / "first", "--updates", 5) == 0
    for seed, alone in enumerate(("first", "other")):
        mixed, own = weights(out, seed), weights(tmp_path / alone, seed)
        assert torch.equal(mixed["actor.weights.0"], own["actor.weights.0"])
    assert main(["--resume", str(out)]) == 0


def test_another_seed_gives_other_weights(dataset, tmp_path):
    assert train(dataset, tmp_path / "first", "--updates", 2) == 0
    assert train(dataset, tmp_path / "second", "--updates", 2, "--seed", 1) == 0
    assert not same_weights(tmp_path / "first", tmp_path / "second")


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("threads", [1, 2])
def test_a_seed_has_the_same_checkpoint_bytes_whatever_is_trained_beside_it(
    dataset, tmp_path, algorithm, threads
):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        arguments = ("--updates", 12, *short(algorithm), "--hidden", 64, "--batch-size", 256)
        arguments += ("--algorithm", algorithm)
        for seeds in (1, 5):
            assert train(dataset, tmp_path / f"{seeds}", *arguments, "--seeds", seeds) == 0
    finally:
        torch.set_num_threads(before)
    alone, beside = checkpoints(tmp_path / "1"), checkpoints(tmp_path / "5")
    assert len(beside) == 5 * len(alone)
    assert {name: data for name, data in beside.items() if name in alone} == alone


def short(algorithm):
    """Options that make what comes before the first update short."""
    model = ("--model-updates", 3, "--model-batch-size", 16, "--model-hidden", 8)
    clone = ("--clone-updates", 4)
    return {"afterstate": (*model, *clone), "asymmetric": clone}.get(algorithm, ())


@contextmanager
def process(dataset, out, *arguments):
    command = [sys.executable, "-m", "omar.train", "--dataset", str(dataset), "--out", str(out), *SMALL]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command += map(str, arguments)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def wait_for_checkpoint(out, running, least=1):
    for _ in range(6000):  # five minutes: starting torch takes long on a busy machine
        if any(int(path.stem.split("-")[1]) >= least for path in (out / "checkpoint").glob("*.json")):
            return
        assert running.poll() is None, running.stdout.read()
        time.sleep(0.05)
    raise AssertionError("no checkpoint came")


def test_resume_after_a_kill_is_bit_identical(dataset, tmp_path):
    arguments = ("--updates", 400, "--eval-every", 70, "--checkpoint-every", 10)
    with process(dataset, tmp_path / "killed", *arguments) as running:
        wait_for_checkpoint(tmp_path / "killed", running)
        running.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "result.json").exists()
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 399, "seco')  # a line that the kill cut short
    assert main(["--resume", str(tmp_path / "killed")]) == 0
    assert train(dataset, tmp_path / "whole", *arguments) == 0
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
    assert len(list((tmp_path / "killed" / "tensorboard").iterdir())) == 1


def test_a_lost_line_is_evaluated_again(dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 8, "--eval-every", 4) == 0
    before = lines(out)
    text = (out / "metrics.jsonl").read_text()
    (out / "metrics.jsonl").write_text(text[:-30])
    assert main(["--resume", str(out)]) == 0
    assert lines(out) == before


def test_a_damaged_line_is_refused_and_nothing_is_lost(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 8, "--eval-every", 4) == 0
    metrics = out / "metrics.jsonl"
    damaged = metrics.read_text().replace('"update": 4', '"update": 5')
    metrics.write_text(damaged)
    assert "metrics.jsonl, line 2, is damaged" in fails(capsys, ["--resume", out])
    assert metrics.read_text() == damaged


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_finished_run_can_be_extended(dataset, tmp_path, capsys, algorithm):
    arguments = ("--eval-every", 4, "--checkpoint-every", 4, "--algorithm", algorithm, *short(algorithm))
    assert train(dataset, tmp_path / "run", "--updates", 8, *arguments) == 0
    assert main(["--resume", str(tmp_path / "run"), "--updates", "12"]) == 0
    assert train(dataset, tmp_path / "whole", "--updates", 12, *arguments) == 0
    assert same_weights(tmp_path / "run", tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["updates"] == 12
    message = f"--updates 6 is less than the 12 updates of {tmp_path / 'run'}"
    assert message in fails(capsys, ["--resume", tmp_path / "run", "--updates", 6])


def test_the_deviation_of_icq_is_checkpointed_and_its_mean_acts(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(dataset, out, "--algorithm", "icq", "--updates", 20) == 0
    tensors = weights(out)
    assert tensors["actor.deviation"].shape == (3, 2)
    assert bool((tensors["actor.deviation"].abs() > 0.01).all())
    assert evaluate(["--run", str(out), "--episodes", "3"]) == 0
    assert "seed 1  return" in capsys.readouterr().out
    target = tmp_path / "policy.pt"
    assert export(["--run", str(out), "--format", "torchscript", "--out", str(target)]) == 0
    assert target.is_file()


def test_a_moved_run_goes_on_with_a_moved_dataset(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    first = tmp_path / "data"
    shutil.copytree(dataset, first)
    assert train(first, tmp_path / "run", "--updates", 4) == 0
    first.rename(tmp_path / "moved")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert "unknown dataset" in fails(capsys, ["--resume", tmp_path / "elsewhere", "--updates", 8])
    again = ["--resume", tmp_path / "elsewhere", "--updates", 8, "--dataset"]
    other = ensure_dataset("simple_spread", "random", 1, steps=1000, progress=False).path
    assert "its checksum differs" in fails(capsys, [*again, other])
    assert main([str(a) for a in [*again, tmp_path / "moved"]]) == 0
    assert main(["--resume", str(tmp_path / "elsewhere")]) == 0  # it knows the new place
    assert lines(tmp_path / "elsewhere")[-1]["update"] == 8


def test_the_library_shows_progress_of_data_to_those_who_ask(dataset, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))  # where no check is remembered
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    settings = {"batch_size": 32, "hidden": 8}
    config = TrainConfig(dataset=str(dataset), seeds=1, updates=0, eval_episodes=3, settings=settings)
    for reporter, shown in ((None, False), (Silent(), True)):
        path = omar.train(replace(config, out=tmp_path / str(shown)), reporter).path
        assert ("Checking simple_spread random: done in" in capsys.readouterr().err) is shown
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        omar.resume(path, updates=1, reporter=reporter)
        assert ("Checking simple_spread random: done in" in capsys.readouterr().err) is shown
        shutil.rmtree(tmp_path / "home", ignore_errors=True)


def test_a_run_can_start_from_the_networks_of_another(dataset, tmp_path, capsys):
    assert train(dataset, tmp_path / "first", "--updates", 20) == 0
    start = ("--init-from", tmp_path / "first")
    assert train(dataset, tmp_path / "second", "--updates", 0, *start) == 0
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert torch.equal(first["actor.weights.1"], second["actor.weights.1"])
    assert torch.equal(first["critic.target.weights.0"], second["critic.target.weights.0"])
    assert not second["actor.adam.first"].any()
    arguments = ["--dataset", dataset, "--out", tmp_path / "third", *SMALL, "--hidden", 9, *start]
    assert "was made with other settings" in fails(capsys, arguments)
    assert "is not the folder of a run" in fails(
        capsys, ["--dataset", dataset, *SMALL, "--init-from", tmp_path / "nowhere"]
    )


def test_a_second_process_is_told_that_the_run_is_taken(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    with process(
        dataset, out, "--updates", 100000, "--eval-every", 100000, "--checkpoint-every", 2
    ) as running:
        wait_for_checkpoint(out, running)
        assert f"another process is working on {out}" in fails(capsys, ["--resume", out])
        assert running.poll() is None


def test_without_its_checkpoints_a_run_does_not_begin_again(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 3) == 0
    shutil.rmtree(out / "checkpoint")
    assert f"{out} has no checkpoint to go on from" in fails(capsys, ["--resume", out])


def test_the_library_tells_a_reporter_and_prints_nothing(dataset, tmp_path, capsys):
    told = []

    class Notes(Silent):
        def updated(self, update, losses):
            told.append(update)

        def evaluated(self, evaluation):
            told.append(f"evaluated {evaluation.update}")

    settings = {"batch_size": 32, "hidden": 8}
    config = omar.TrainConfig(
        dataset=str(dataset),
        seeds=2,
        updates=4,
        eval_every=2,
        eval_episodes=3,
        out=tmp_path / "run",
        settings=settings,
    )
    result = omar.train(config, Notes())
    assert told == ["evaluated 0", 1, 2, "evaluated 2", 3, 4, "evaluated 4"]
    assert result.finished
    assert result.scores == lines(tmp_path / "run")[-1]["scores"]
    observations = torch.randn(5, 3, 18)
    again = omar.load_policy(tmp_path / "run" / "policy.safetensors", seed=1)
    assert torch.equal(result.policies[1](observations), again(observations))
    stopped = omar.train(replace(config, out=tmp_path / "stopped"), stop=lambda: len(told) > 0)
    assert (stopped.finished, stopped.update) == (False, 1)
    assert omar.resume(tmp_path / "stopped").finished
    whole, parts = (checkpoints(tmp_path / name) for name in ("run", "stopped"))
    assert whole["update-00000004.seed-1.safetensors"] == parts["update-00000004.seed-1.safetensors"]
    assert capsys.readouterr() == ("", "")


def test_a_run_needs_neither_its_dataset_nor_its_old_place(dataset, tmp_path, capsys):
    shutil.copytree(dataset, tmp_path / "data")
    assert train(tmp_path / "data", tmp_path / "run", "--updates", 3) == 0
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "run").rename(tmp_path / "moved")
    capsys.readouterr()
    assert evaluate(["--run", str(tmp_path / "moved"), "--episodes", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 2


def test_ctrl_c_saves_and_says_how_to_go_on(dataset, tmp_path):
    out = tmp_path / "run"
    with process(
        dataset, out, "--updates", 100000, "--eval-every", 100000, "--checkpoint-every", 2
    ) as running:
        wait_for_checkpoint(out, running)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=300)
    assert running.returncode == INTERRUPTED
    assert f"python -m omar.train --resume {out}" in said
    update = int(max((out / "checkpoint").glob("*.json")).stem.split("-")[1])
    assert f"stopped at update {update}" in said


def test_resuming_a_finished_run_changes_nothing(dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 3) == 0
    before = lines(out), checkpoints(out)
    assert main(["--resume", str(out)]) == 0
    assert (lines(out), checkpoints(out)) == before


def test_a_damaged_checkpoint_gives_way_to_the_one_before(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 6, "--checkpoint-every", 3) == 0
    reference = checkpoints(out)
    newest = max((out / "checkpoint").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert main(["--resume", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"the checkpoint of update 6: .*update-00000006.seed-1.safetensors is damaged: .*; using update 3",
        said,
    )
    assert checkpoints(out) == reference
    assert [line["update"] for line in lines(out)] == [0, 6]


def test_config_round_trip(tmp_path):
    config = resolve(TrainConfig(out=tmp_path, settings={"tau": 0.25}), "random")
    again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())), tmp_path)
    assert again == config
    assert again.algorithm.tau == 0.25


@pytest.mark.parametrize(
    ("preset", "quality", "expected"),
    [("released", "random", (0.95, 1.0, 0.5)), ("paper", "medium", (0.99, 0.7, 5.0))],
)
def test_presets(preset, quality, expected):
    config = resolve(TrainConfig(preset=preset), quality)
    assert (config.backbone.gamma, config.algorithm.tau, config.algorithm.alpha) == expected
    assert (config.backbone.batch_size, config.backbone.learning_rate, config.backbone.hidden) == (
        1024,
        0.01,
        64,
    )


def test_no_arguments_mean_the_main_job():
    command = parse([])
    assert isinstance(command, NewRun)
    config = resolve(command.config, "random")
    assert (config.options.task, config.options.dataset, config.options.algorithm) == (
        "simple_spread",
        "random",
        "omar",
    )
    assert (config.options.seeds, config.updates, config.options.preset) == (3, 6000, "released")


def fails(capsys, arguments):
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "best"], "unknown dataset 'best'"),
        (["--dataset", "~nosuchuser/x"], "~nosuchuser/x: this machine knows no home folder for it"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--updates", "-1"], "--updates must be in [0, 4294967295], got -1"),
        (["--updates", str(2**64)], "--updates must be in [0, 4294967295], got 18446744073709551616"),
        (["--eval-every", "0"], "--eval-every must be at least 1, got 0"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be at least 1, got 0"),
        (["--eval-episodes", "0"], "--eval-episodes must be at least 1, got 0"),
        (["--eval-episodes", str(2**64)], "the worlds of an evaluation need at least"),
        (["--seed", "-3"], "--seed must be in [0, 18446744073709551615], got -3"),
        (["--seed", str(2**64)], "--seed must be in [0, 18446744073709551615], got 18446744073709551616"),
        (["--data-seed", "-3"], "--data-seed must be in [0, 18446744073709551615], got -3"),
        (["--tau", "2"], "--tau must be in [0, 1], got 2"),
        (["--gamma", "1.5"], "--gamma must be in [0, 1), got 1.5"),
        (["--learning_rate=0"], "--learning-rate must be greater than 0, got 0"),
        (["--learning-rate", "inf"], "--learning-rate must be a finite number, got Infinity"),
        (["--alpha", "nan"], "--alpha must be a finite number, got NaN"),
        (["--batch-size", "0"], "--batch-size must be in [2, 16777216], got 0"),
        (["--hidden", "10000000"], "the networks and minibatches need at least"),
        (["--hidden", str(2**64)], "lower --hidden, --batch-size or --seeds"),
        (
            ["--algorithm=afterstate", "--model-hidden=65536", "--seeds=1000"],
            "lower --hidden, --batch-size, --model-hidden, --model-batch-size, --imagined or --seeds",
        ),
        (["--seeds", str(2**64)], "--seeds must be in [1, 65536], got 18446744073709551616"),
        (["--samples", str(2**64)], "--samples must be in [1, 1024], got 18446744073709551616"),
        (["--rounds", "0"], "--rounds must be in [1, 48], got 0"),
        (["--refit", "elite", "--elites", "11"], "--elites must be in [2, 10], got 11"),
        (["--algorithm", "cql", "--tau", "0.5"], "--tau is an option of omar, not of cql"),
        (["--algorithm", "cql", "--beta-q", "5"], "--beta-q is an option of icq, not of cql"),
        (["--algorithm", "cql", "--beta", "5"], "--beta is an option of omar and icq, not of cql"),
        (["--algorithm=bc", "--alpha=1"], "--alpha is an option of omar, cql and td3bc, not of bc"),
        (["--device", "tpu"], "unknown device 'tpu': expected auto, cpu, cuda or cuda:1"),
        (["--device", "meta"], "unknown device 'meta': expected auto, cpu, cuda or cuda:1"),
        (["--device", "cpu:1"], "unknown device 'cpu:1': expected auto, cpu, cuda or cuda:1"),
        (["--device", "cuda:9"], "--device cuda:9: torch finds no such CUDA device on this machine"),
        (["--dataset", "a", "b"], "--dataset must name one dataset or one for each of 3 seeds, got 2"),
        (["--resume", "nowhere"], "nowhere is not the folder of a run: it has no config.json"),
        (["--resume", "nowhere", "--tau", "1"], "leave out --tau"),
        (["--resume", "nowhere", "--seeds", "5"], "leave out --seeds"),
    ],
)
def test_messages(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMAR_HOME", str(tmp_path))
    assert message in fails(capsys, arguments)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("--task", "chess", "', '".join(ALL_TASKS)),
        ("--algorithm", "ppo", "', '".join(ALGORITHMS)),
        ("--preset", "mine", "released', 'paper"),
        ("--critic", "shared", "independent', 'centralized"),
        ("--refit", "best", "softmax', 'elite"),
    ],
)
def test_choices(capsys, option, value, choices):
    with pytest.raises(SystemExit) as exit_:
        main([option, value])
    assert exit_.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert f"invalid choice '{value}' for argument '{option}'. Expected one of ('{choices}')" in said


def shown(capsys, *arguments):
    """Default of every option in the help."""
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    found = re.findall(r"(--[a-z-]+) (?:(?!--[a-z]).)*?\(default: ([^)]*)\)", text)
    return dict(found)


@pytest.mark.parametrize(
    ("arguments", "expected", "absent"),
    [
        ([], {"algorithm": "omar", "updates": "6000", "tau": "1.0", "gamma": "0.95", "alpha": "0.5"}, []),
        (
            ["--algorithm", "cql", "--task=simple_tag", "--dataset", "medium"],
            {"algorithm": "cql", "task": "simple_tag", "updates": "2000", "alpha": "5.0"},
            ["tau", "rounds"],
        ),
        (
            ["--task", "simple_world", "--dataset", "medium", "--preset", "paper"],
            {"updates": "1000", "tau": "0.7", "gamma": "0.99", "preset": "paper"},
            [],
        ),
        (["--algorithm", "bc"], {"updates": "6000", "hidden": "64"}, ["alpha", "tau"]),
    ],
)
def test_help_shows_the_options_of_the_algorithm_with_their_true_defaults(
    capsys, arguments, expected, absent
):
    defaults = shown(capsys, *arguments)
    assert {name: defaults.get(f"--{name}") for name in expected} == expected
    assert not [name for name in absent if f"--{name}" in defaults]


def test_help_takes_the_quality_of_a_folder(capsys, dataset):
    assert shown(capsys, "--dataset", str(dataset))["--updates"] == "6000"


def test_given_options_are_known():
    command = parse(["--tau=0.5", "--eval_every", "3", "--updates", "6000", "--dataset", "medium"])
    assert command.config.settings == {"tau": 0.5}
    assert command.config.updates == 6000
    assert resolve(command.config, "medium").algorithm.alpha == 5.0


def test_a_run_is_taken_up_with_its_own_settings():
    assert parse(["--resume", "a"]) == Resumption(Path("a"), None, None)
    command = parse(["--resume", "a", "--updates", "9", "--dataset", "b", "c"])
    assert command == Resumption(Path("a"), ("b", "c"), 9)


def test_python_settings_are_checked_by_name():
    with pytest.raises(OmarError, match="bc has no setting 'tau': expected one of gamma, batch_size, "):
        resolve(TrainConfig(algorithm="bc", settings={"tau": 1.0}), "random")
    with pytest.raises(OmarError, match=r'gamma must be a finite number, got "0.9"'):
        resolve(TrainConfig(settings={"gamma": "0.9"}), "random")
    with pytest.raises(OmarError, match=r"task must be 'simple_spread', .*_5', got \"chess\""):
        TrainConfig(task="chess")
    with pytest.raises(OmarError, match=r"algorithm must be 'omar', .* or 'asymmetric', got \"ppo\""):
        TrainConfig(algorithm="ppo")
    with pytest.raises(OmarError, match="preset must be 'released' or 'paper', got \"mine\""):
        TrainConfig(preset="mine")
    with pytest.raises(OmarError, match="seeds must be an integer, got true"):
        TrainConfig(seeds=True)


def test_paths_and_texts_name_datasets_and_runs_alike(tmp_path):
    assert TrainConfig(dataset=tmp_path) == TrainConfig(dataset=str(tmp_path))
    assert TrainConfig(dataset=[tmp_path], seeds=1).datasets == (str(tmp_path),)
    with pytest.raises(OmarError, match="nowhere is not the folder of a run"):
        omar.resume("nowhere")


def test_the_module_that_is_a_function_travels_to_other_processes():
    assert pickle.loads(pickle.dumps(omar.train)) is omar.train


def test_a_preset_trains_its_own_number_of_updates(dataset, tmp_path):
    """`--updates` that is not given is the preset's, 6,000 for random data of simple_spread."""
    config = parse(["--dataset", str(dataset), "--out", str(tmp_path / "run"), *SMALL]).config
    result = omar.train(config, stop=lambda: True)
    assert (result.finished, result.config.updates) == (False, 6000)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"]["updates"] == 6000


def test_message_batch_larger_than_dataset(capsys, dataset, tmp_path):
    arguments = ["--dataset", dataset, "--out", tmp_path / "run", "--batch-size", 5000]
    assert "--batch-size 5000 is more than the dataset's 1000 transitions" in fails(capsys, arguments)
    assert not (tmp_path / "run").exists()


def test_message_dataset_of_another_task(capsys, dataset, tmp_path):
    arguments = ["--dataset", dataset, "--out", tmp_path / "run", "--task", "simple_tag"]
    assert "is a dataset of simple_spread, not of simple_tag" in fails(capsys, arguments)


def test_message_out_is_taken(capsys, dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 0) == 0
    arguments = ["--dataset", dataset, "--out", out]
    assert f"{out} holds a run already: continue it with --resume {out}" in fails(capsys, arguments)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    assert "is not an empty folder" in fails(capsys, ["--dataset", dataset, "--out", tmp_path / "full"])


def test_message_all_checkpoints_damaged(capsys, dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 1) == 0
    for path in (out / "checkpoint").glob("*.safetensors"):
        path.write_bytes(b"no")
    assert "no checkpoint in" in fails(capsys, ["--resume", out])


def test_message_checkpoint_of_other_settings(capsys, dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 1) == 0
    reseal(out / "config.json", lambda entries: entries["backbone"].update(hidden=9))
    assert "was made with other settings" in fails(capsys, ["--resume", out])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged: it is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "config.json is damaged or was edited: its checksum does not match its contents"),
        (json.dumps(seal({"kind": "offline"})), "config.json does not describe a run: `options` is missing"),
        (json.dumps(seal({"kind": "online"})), "is not the folder of an offline training"),
    ],
)
def test_message_config_damaged(capsys, tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    assert message in fails(capsys, ["--resume", tmp_path])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": 5}, "config.json: `options` must be a JSON object, got 5"),
        ({"options": {"speed": 1}}, "config.json: `options.speed` is not a known entry"),
        ({"options": {"seeds": "2"}}, 'config.json: `options.seeds` must be an integer, got "2"'),
        ({"options": {"seeds": 0}}, "config.json: `options.seeds` must be at least 1, got 0"),
        ({"options": {"updates": None}}, "config.json: `options.updates` must be an integer, got null"),
        (
            {"options": {"algorithm": "ppo"}},
            "`options.algorithm` must be 'omar', 'cql', 'td3bc', 'icq', 'bc', 'afterstate' or 'asymmetric'",
        ),
        ({"options": {"dataset": []}}, "`options.dataset` must name one dataset or one for each"),
        ({"backbone": []}, "config.json: `backbone` must be a JSON object, got []"),
        ({"backbone": {"gamma": True}}, "config.json: `backbone.gamma` must be a finite number, got true"),
        ({"backbone": {"gamma": 2}}, "config.json: `backbone.gamma` must be in [0, 1), got 2.0"),
        ({"algorithm": {"tau": 10**400}}, "`algorithm.tau` must be a finite number, got 1000"),
        ({"datasets": 3}, "`datasets` must be a list"),
        ({"datasets": [{}]}, "`path` is missing"),
        ({"algorithm": {"refit": ["elite"]}}, "`algorithm.refit` must be 'softmax' or 'elite'"),
    ],
)
def test_message_config_of_the_wrong_form(capsys, tmp_path, change, message):
    raw = {**json.loads(json.dumps(resolve(TrainConfig(), "random").to_dict())), "datasets": []}
    for name, value in change.items():
        raw[name] = raw[name] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(seal({"kind": "offline", **raw})))
    assert message in fails(capsys, ["--resume", tmp_path])


CONFIG = resolve(TrainConfig(), "random").to_dict()
ENTRIES = [(part, name) for part, entries in CONFIG.items() for name in [None, *entries]]


@given(entry=st.sampled_from(ENTRIES), value=JSON_VALUES)
def test_a_config_with_any_entry_changed_is_read_or_refused_in_one_sentence(entry, value):
    part, name = entry
    raw = CONFIG | {part: value if name is None else CONFIG[part] | {name: value}}
    try:
        config = RunConfig.from_dict(raw, Path("run"))
    except OmarError as error:
        assert str(error).startswith("run/config.json")
        assert "\n" not in str(error)
    else:
        assert RunConfig.from_dict(config.to_dict(), Path("run")) == config


@given(entry=st.sampled_from(ENTRIES))
def test_a_config_without_an_entry_is_refused(entry):
    part, name = entry
    raw = {k: dict(v) for k, v in CONFIG.items()}
    del (raw if name is None else raw[part])[part if name is None else name]
    with pytest.raises(OmarError, match=f"`{name or part}` is missing|`{part}.{name}` is missing"):
        RunConfig.from_dict(raw, Path("run"))


def test_message_dataset_changed(capsys, dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 1) == 0
    reseal(out / "config.json", lambda entries: entries["datasets"][0].update(sha256="0" * 64))
    assert "its checksum differs" in fails(capsys, ["--resume", out])


def reseal(path, change):
    """Changes a sealed file and seals it again."""
    entries = unseal(json.loads(path.read_text()), "the file")
    change(entries)
    path.write_bytes(to_json(seal(entries)))


@pytest.mark.parametrize("setting", [("--learning-rate", 1e20), ("--alpha", 1e39)])
def test_a_diverged_training_is_an_error_and_no_result(capsys, dataset, tmp_path, setting):
    assert train(dataset, tmp_path / "run", "--updates", 30, "--eval-every", 10, *setting) == 2
    said = capsys.readouterr().err
    assert re.search(
        r"the training of seed 0, 1 diverged: at update 10 the loss critic/\w+ is not finite", said
    )
    assert not (tmp_path / "run" / "result.json").exists()
    assert [line["update"] for line in lines(tmp_path / "run")] == [0]


def test_a_set_that_does_not_know_its_prey_is_scored_on_the_scale_of_the_prey_that_moves(tmp_path, capsys):
    silent = make_dataset(tmp_path / "imported", "simple_tag").path
    assert train(silent, tmp_path / "run", "--task", "simple_tag", "--updates", 0) == 0
    said = capsys.readouterr().out
    assert said.count("warning: ") == 1
    assert f"warning: {silent} does not say which prey moved in it" in said
    policies = load_policies(tmp_path / "run" / "policy.safetensors")
    shipped = shipped_prey("simple_tag")
    assert [policy.scale for policy in policies] == [shipped.scale] * 2
    assert [policy.prey.sha256 for policy in policies] == [shipped.sha256] * 2
    file = save_authors_prey(tmp_path / "pretrained_adv_model.pt")
    chase = ("--task", "simple_tag", "--updates", 0, "--prey", file)
    assert train(silent, tmp_path / "other", *chase) == 0
    policies = load_policies(tmp_path / "other" / "policy.safetensors")
    assert [policy.scale for policy in policies] == [get_task("simple_tag").references] * 2


@pytest.mark.parametrize("norm", ["batch", "dataset"])
def test_the_policies_beside_a_checkpoint_are_its_networks(dataset, tmp_path, norm):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 7, "--checkpoint-every", 3, "--input-norm", norm) == 0
    policies = load_policies(out / "policy.safetensors")
    found = Dataset.open(dataset)
    for s, policy in enumerate(policies):
        tensors = weights(out, s)
        first, bias = tensors["actor.weights.0"], tensors["actor.biases.0"]
        if norm == "dataset":
            mean, std = tensors["actor.input_mean"], tensors["actor.input_std"]
            np.testing.assert_array_equal(mean, found.statistics("observations")[0])
        else:
            own = ("scale", "shift", "running_mean", "running_variance")
            scale, shift, mean, variance = (tensors[f"actor.batch_norm.{name}"] for name in own)
            assert bool((variance != 1).all())
            std = (variance + 1e-5).sqrt() / scale
            bias = bias + torch.einsum("no,noh->nh", shift, first)
        torch.testing.assert_close(policy.weights[0], first / std[:, :, None])
        bias = bias - torch.einsum("no,noh->nh", mean, policy.weights[0])
        torch.testing.assert_close(policy.biases[0], bias, rtol=1e-5, atol=1e-5)
        assert torch.equal(policy.weights[1], tensors["actor.weights.1"])
        assert (policy.source["update"], policy.source["dataset"]) == ("7", found.manifest.sha256)


def test_a_prey_of_the_authors_is_chased_and_scored_with_the_papers_references(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    file = save_authors_prey(tmp_path / "pretrained_adv_model.pt")
    task = get_task("simple_tag")
    own = ensure_dataset(task.name, "random", steps=1000, prey=read_prey(file, task)).path
    chase = ("--task", task.name, "--prey", file, "--updates", 2)
    assert train(own, tmp_path / "run", *chase) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    expected = [100 * (value + 4.1) / (185.6 + 4.1) for value in result["returns"]]
    assert result["scores"] == pytest.approx(expected)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"]["prey"] == str(file)
    other = ensure_dataset(task.name, "random", steps=1000).path
    capsys.readouterr()
    assert train(other, tmp_path / "other", *chase) == 2
    assert "prey" in capsys.readouterr().err
    assert train(own, tmp_path / "none", *chase[:3], tmp_path / "nowhere.pt") == 2
    assert "nowhere.pt: there is no such file" in capsys.readouterr().err
