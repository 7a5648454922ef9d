"""What commands say when something goes wrong: a sentence to users, a traceback of bugs, nothing to pipes."""

import subprocess
import sys

import pytest
import torch

from omar import bench, collect, evaluate
from omar.errors import OmarError, SettingError
from omar.terminal import cli


def raises(error):
    def command():
        raise error

    return command


def not_there():
    with open("nowhere/file") as file:  # noqa: PTH123 - as any library would
        return len(file.read())


def test_a_commands_status_is_its_own():
    assert cli.run(lambda: 3) == 3


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (raises(OmarError("no such set")), 2, "error: no such set\n"),
        (raises(OmarError("no set at a\nb")), 2, "error: no set at a\\nb\n"),
        (
            raises(SettingError("eval_every", "must be at least 1")),
            2,
            "error: --eval-every must be at least 1\n",
        ),
        (not_there, 2, "error: nowhere/file: No such file or directory\n"),
        (raises(OSError("the disk is full")), 2, "error: the disk is full\n"),
        (raises(MemoryError()), 2, "error: there is not enough memory for these sizes\n"),
        (raises(torch.OutOfMemoryError("CUDA")), 2, "error: there is not enough memory for these sizes\n"),
        (raises(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
)
def test_what_users_cause_is_one_line(capsys, command, status, said):
    assert cli.run(command) == status
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "error", [ValueError("x < 0"), TypeError("no len()"), KeyError("k"), RuntimeError("r")]
)
def test_bugs_show_where_they_happened(capsys, error):
    assert cli.run(raises(error)) == cli.BUG
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in command" in said
    assert said.endswith("this is a bug in omar: please report it with the lines above\n")


def test_a_closed_pipe_ends_a_command_silently():
    code = """
from omar.terminal import cli
raise SystemExit(cli.run(lambda: len([cli.say("x" * 99) for _ in range(9999)])))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == cli.BROKEN_PIPE


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (collect.main, ["train", "--worlds", "0"], "--worlds must be at least 1, got 0"),
        (collect.main, ["train", "--gamma", "2"], "--gamma must be in [0, 1), got 2.0"),
        (collect.main, ["train", "--seeds", "0"], "--seeds must be at least 1, got 0"),
        (collect.main, ["train", "--seed", str(2**64)], "--seed must be in [0, 18446744073709551615]"),
        (collect.main, ["train", "--eval-every", "0"], "--eval-every must be at least 1, got 0"),
        (collect.main, ["train", "--noise", "nan"], "--noise must be a finite number, got NaN"),
        (collect.main, ["train", "--capacity", "9"], "--capacity must be at least warmup = 50000, got 9"),
        (collect.main, ["train", "--batch-size", "50001"], "--batch-size must be at most warmup = 50000"),
        (collect.main, ["train", "--capacity", str(2**62)], "the replay buffers need at least"),
        (collect.main, ["train", "--worlds", str(2**62)], "the worlds need at least"),
        (collect.main, ["train", "--hidden", "10000000"], "the networks need at least"),
        (collect.main, ["train", "--resume", "nowhere"], "nowhere is not the folder of a run"),
        (
            evaluate.main,
            ["--task", "simple_spread", "--episodes", str(2**62)],
            "the worlds of an evaluation need",
        ),
        (bench.main, ["--threads", "0"], "--threads must be in 1..1024, got 0"),
        (bench.main, ["--device", "meta"], "--device must be cpu or cuda, got 'meta'"),
    ],
)
def test_refused_command_lines(capsys, tmp_path, monkeypatch, main, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
