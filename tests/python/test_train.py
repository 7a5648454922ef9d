"""The training command: what it writes, that it repeats itself, and what it says when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from data_cases import make_dataset, save_authors_prey
from omar.behaviors.find import load_prey
from omar.behaviors.policy_file import load_policies
from omar.behaviors.shipped import load_prey as load_shipped_prey
from omar.data import Dataset, ensure_dataset
from omar.offline.config import RunConfig, TrainOptions, parse
from omar.runs import checkpoint
from omar.tasks import get_task
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
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out):
    newest = max((out / "checkpoint").glob("*.safetensors"))
    return {name: tensor.clone() for name, tensor in load_file(newest).items()}  # not a view of the file


def same_weights(a, b):
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


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
    assert "paper, omar" in said
    assert "34.4 ± 5.3" not in said or "random" in said


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
    assert not torch.equal(after["actor.weights.0"][:3], after["actor.weights.0"][3:])


def test_zero_updates_only_evaluate(dataset, tmp_path):
    assert train(dataset, tmp_path / "run", "--updates", 0) == 0
    assert [line["update"] for line in lines(tmp_path / "run")] == [0]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["updates"] == 0


def test_the_same_command_twice_gives_the_same_weights(dataset, tmp_path):
    for name in ("first", "second"):
        assert train(dataset, tmp_path / name, "--updates", 6, "--eval-every", 3) == 0
    assert same_weights(tmp_path / "first", tmp_path / "second")
    without_time = [[line | {"seconds": 0} for line in lines(tmp_path / n)] for n in ("first", "second")]
    assert without_time[0] == without_time[1]


def test_another_seed_gives_other_weights(dataset, tmp_path):
    assert train(dataset, tmp_path / "first", "--updates", 2) == 0
    assert train(dataset, tmp_path / "second", "--updates", 2, "--seed", 1) == 0
    assert not same_weights(tmp_path / "first", tmp_path / "second")


def test_a_seed_does_not_depend_on_the_seeds_beside_it(dataset, tmp_path):
    assert train(dataset, tmp_path / "two", "--updates", 5) == 0
    assert train(dataset, tmp_path / "one", "--updates", 5, "--seeds", 1) == 0
    two, one = weights(tmp_path / "two")["actor.weights.0"], weights(tmp_path / "one")["actor.weights.0"]
    torch.testing.assert_close(two[:3], one, rtol=0, atol=1e-5)


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
    arguments = ("--updates", 2000, "--eval-every", 7, "--checkpoint-every", 10)
    with process(dataset, tmp_path / "killed", *arguments) as running:
        wait_for_checkpoint(tmp_path / "killed", running)
        running.send_signal(signal.SIGKILL)
    config = tmp_path / "killed" / "config.json"
    reached = max(int(p.stem.split("-")[1]) for p in (tmp_path / "killed" / "checkpoint").glob("*.json"))
    total = reached + 12
    config.write_text(config.read_text().replace('"updates": 2000', f'"updates": {total}'))
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"update": 1999, "seco')  # a line that the kill cut short
    assert main(["--resume", str(tmp_path / "killed")]) == 0
    whole = ("--updates", total, "--eval-every", 7, "--checkpoint-every", 10)
    assert train(dataset, tmp_path / "whole", *whole) == 0
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    resumed, expected = lines(tmp_path / "killed"), lines(tmp_path / "whole")
    assert [line | {"seconds": 0} for line in resumed] == [line | {"seconds": 0} for line in expected]
    assert len(list((tmp_path / "killed" / "tensorboard").iterdir())) == 1


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
    before = lines(out), weights(out)
    assert main(["--resume", str(out)]) == 0
    assert lines(out) == before[0]
    assert all(torch.equal(weights(out)[name], tensor) for name, tensor in before[1].items())


def test_a_damaged_checkpoint_gives_way_to_the_one_before(dataset, tmp_path, capsys):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 6, "--checkpoint-every", 3) == 0
    reference = weights(out)
    newest = max((out / "checkpoint").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-100])
    assert main(["--resume", str(out)]) == 0
    assert "update-00000006.safetensors is damaged" in capsys.readouterr().out
    assert all(torch.equal(weights(out)[name], tensor) for name, tensor in reference.items())
    assert [line["update"] for line in lines(out)] == [0, 6]


def test_at_most_two_checkpoints_are_kept(dataset, tmp_path):
    assert train(dataset, tmp_path / "run", "--updates", 6, "--checkpoint-every", 1) == 0
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoint").iterdir())
    assert names == [f"update-0000000{u}.{kind}" for u in (5, 6) for kind in ("json", "safetensors")]


def test_an_unwritten_json_means_no_checkpoint(tmp_path):
    tensors = {"x": torch.ones(2)}
    checkpoint.save(tmp_path, tensors, 1, {"seconds": 0.0})
    checkpoint.save(tmp_path, tensors, 2, {"seconds": 0.0})
    (tmp_path / "update-00000002.json").unlink()  # as a kill between the two files leaves it
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found[1]["update"] == 1


def test_config_round_trip(tmp_path):
    from omar.offline.config import resolve

    config = resolve(TrainOptions(out=tmp_path), {"tau": 0.25}, "random")
    again = RunConfig.from_dict(json.loads(json.dumps(config.to_dict())), tmp_path)
    assert again == config
    assert again.algorithm.tau == 0.25


@pytest.mark.parametrize(
    ("preset", "quality", "expected"),
    [("released", "random", (0.95, 1.0, 0.5)), ("paper", "medium", (0.99, 0.7, 5.0))],
)
def test_presets(preset, quality, expected):
    from omar.offline.config import resolve

    config = resolve(TrainOptions(preset=preset), {}, quality)
    assert (config.backbone.gamma, config.algorithm.tau, config.algorithm.alpha) == expected
    assert (config.backbone.batch_size, config.backbone.learning_rate, config.backbone.hidden) == (
        1024,
        0.01,
        64,
    )


def test_no_arguments_mean_the_main_job():
    options, given = parse([])
    assert given == {}
    assert (options.task, options.dataset, options.algorithm) == ("simple_spread", "random", "omar")
    assert (options.seeds, options.updates, options.preset) == (3, 2000, "released")


def fails(capsys, arguments):
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "chess"],
            "unknown task 'chess': expected one of simple_spread, simple_tag, simple_world",
        ),
        (["--dataset", "best"], "unknown dataset 'best'"),
        (["--algorithm", "ppo"], "unknown algorithm 'ppo': expected one of omar, cql"),
        (["--preset", "mine"], "unknown preset 'mine': expected one of released, paper"),
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--updates", "-1"], "--updates must be at least 0, got -1"),
        (["--eval-every", "0"], "--eval-every must be at least 1, got 0"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be at least 1, got 0"),
        (["--eval-episodes", "0"], "--eval-episodes must be at least 1, got 0"),
        (["--seed", "-3"], "--seed must be at least 0, got -3"),
        (["--data-seed", "-3"], "--data-seed must be at least 0, got -3"),
        (["--tau", "2"], "tau must be in [0, 1], got 2"),
        (["--gamma", "1.5"], "gamma must be in [0, 1), got 1.5"),
        (["--algorithm", "cql", "--tau", "0.5"], "--tau is no setting of cql"),
        (["--device", "tpu"], "unknown device 'tpu': expected auto, cpu, cuda or cuda:1"),
        (["--device", "cuda:9"], "--device cuda:9 was asked for, but torch sees no such CUDA device here"),
        (["--cuda-graph", "yes"], "unknown --cuda-graph 'yes': expected one of auto, on, off"),
        (
            ["--cuda-graph", "on", "--device", "cpu"],
            "--cuda-graph on cannot be had: the device is cpu",
        ),
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
    config = out / "config.json"
    config.write_text(config.read_text().replace('"hidden": 8', '"hidden": 9'))
    assert "is not one of this run's settings" in fails(capsys, ["--resume", out])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged: it is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "does not describe a run"),
        ('{"options": {"speed": 1}}', "does not describe a run"),
    ],
)
def test_message_config_damaged(capsys, tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    assert message in fails(capsys, ["--resume", tmp_path])


def test_message_dataset_changed(capsys, dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 1) == 0
    config = out / "config.json"
    checksum = json.loads(config.read_text())["datasets"][0]["sha256"]
    config.write_text(config.read_text().replace(checksum, "0" * 64))
    assert "has another checksum" in fails(capsys, ["--resume", out])


def test_message_diverged(capsys, dataset, tmp_path):
    arguments = ("--updates", 30, "--learning-rate", 1e20)
    assert train(dataset, tmp_path / "run", *arguments) == 2
    assert "its training diverged" in capsys.readouterr().err


def test_a_set_that_does_not_know_its_prey_is_scored_on_the_scale_of_the_prey_that_moves(tmp_path, capsys):
    silent = make_dataset(tmp_path / "imported", "simple_tag").path
    assert train(silent, tmp_path / "run", "--task", "simple_tag", "--updates", 0) == 0
    said = capsys.readouterr().out
    assert said.count("warning: ") == 1
    assert f"warning: {silent} does not say which prey moved in it" in said
    policies = load_policies(tmp_path / "run" / "policy.safetensors")
    shipped = load_shipped_prey("simple_tag")
    assert [policy.scale for policy in policies] == [shipped.references] * 2
    assert [policy.prey.sha256 for policy in policies] == [shipped.sha256] * 2
    file = save_authors_prey(tmp_path / "pretrained_adv_model.pt")
    chase = ("--task", "simple_tag", "--updates", 0, "--prey", file)
    assert train(silent, tmp_path / "other", *chase) == 0
    policies = load_policies(tmp_path / "other" / "policy.safetensors")
    assert [policy.scale for policy in policies] == [get_task("simple_tag").references] * 2


def test_the_policies_beside_a_checkpoint_are_its_networks(dataset, tmp_path):
    out = tmp_path / "run"
    assert train(dataset, out, "--updates", 7, "--checkpoint-every", 3) == 0
    policies = load_policies(out / "policy.safetensors")
    tensors = weights(out)
    found = Dataset.open(dataset)
    for s, policy in enumerate(policies):
        rows = slice(3 * s, 3 * s + 3)
        mean, std = tensors["actor.input_mean"][rows], tensors["actor.input_std"][rows]
        np.testing.assert_array_equal(mean, found.statistics("observations")[0])
        first = tensors["actor.weights.0"][rows]
        torch.testing.assert_close(policy.weights[0], first / std[:, :, None])
        shift = torch.einsum("no,noh->nh", mean, policy.weights[0])
        bias = tensors["actor.biases.0"][rows] - shift
        torch.testing.assert_close(policy.biases[0], bias, rtol=1e-5, atol=1e-5)
        assert torch.equal(policy.weights[1], tensors["actor.weights.1"][rows])
        assert (policy.source["update"], policy.source["dataset"]) == ("7", found.manifest.sha256)


def test_a_prey_of_the_authors_is_chased_and_scored_with_the_papers_references(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    file = save_authors_prey(tmp_path / "pretrained_adv_model.pt")
    task = get_task("simple_tag")
    own = ensure_dataset(task.name, "random", steps=1000, prey=load_prey(file, task)).path
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
