"""Runs on disks that fill up, with bytes that changed, and with an impatient user."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_cases import make_dataset
from omar import ReplayBuffer, export
from omar.errors import OmarError
from omar.runs import files
from omar.runs.files import check_writable, write_atomically
from omar.terminal.cli import INTERRUPTED
from run_cases import evaluation, make_stopped_online_run, make_stopped_run, online_outcome, outcome


def stopped_run(folder, make, read):
    """A stopped run, and what it comes to and is worth when nothing changed."""
    make(folder)
    whole = folder / "whole"
    shutil.copytree(folder / "run", whole / "run")
    worth = evaluation(whole)
    return folder, read(whole), worth


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return stopped_run(tmp_path_factory.mktemp("stopped"), make_stopped_run, outcome)


@pytest.fixture(scope="module")
def stopped_online(tmp_path_factory):
    return stopped_run(tmp_path_factory.mktemp("online"), make_stopped_online_run, online_outcome)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 99), place=st.floats(0, 1), flip=st.integers(1, 255))
def test_any_changed_byte_of_a_run_is_refused_falls_back_or_changes_nothing(
    stopped, tmp_path_factory, which, place, flip
):
    change_a_byte(stopped, tmp_path_factory.mktemp("damaged"), outcome, which, place, flip)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 99), place=st.floats(0, 1), flip=st.integers(1, 255))
def test_so_is_one_of_an_online_training(stopped_online, tmp_path_factory, which, place, flip):
    folder = tmp_path_factory.mktemp("damaged")
    change_a_byte(stopped_online, folder, online_outcome, which, place, flip)


def change_a_byte(stopped, folder, resumed, which, place, flip):
    source, expected, worth = stopped
    shutil.copytree(source / "run", folder / "run")
    names = sorted(path for path in (folder / "run").rglob("*") if path.is_file() and path.stat().st_size)
    file = names[which % len(names)]
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= flip
    file.write_bytes(content)
    for read, meaning in ((evaluation, worth), (resumed, expected)):
        try:
            assert read(folder) == meaning, file
        except OmarError as error:
            assert str(folder) in str(error)
            assert "\n" not in str(error)
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoint/update-00000004.json", "policy.safetensors"])
def test_a_file_that_is_gone_is_refused_or_made_again(stopped, tmp_path, name):
    source, expected, _ = stopped
    shutil.copytree(source / "run", tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if name == "metrics.jsonl":
        with pytest.raises(
            OmarError, match=r"is whole: the checkpoint of update 4: .*metrics.jsonl lacks the eval"
        ):
            outcome(tmp_path)
    else:
        assert outcome(tmp_path) == expected
        assert (tmp_path / "run" / "policy.safetensors").is_file()


def test_without_its_checkpoints_a_run_is_worth_the_same_and_does_not_go_on(stopped, tmp_path):
    source, _, worth = stopped
    shutil.copytree(source / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    assert evaluation(tmp_path) == worth
    with pytest.raises(OmarError, match="has no checkpoint to go on from"):
        outcome(tmp_path)


def test_a_replay_buffer_of_another_checkpoint_is_not_used(stopped_online, tmp_path):
    source, expected, _ = stopped_online
    shutil.copytree(source / "run", tmp_path / "run")
    _, newer = sorted((tmp_path / "run" / "checkpoint").glob("*.replay"))
    buffer = ReplayBuffer(500, {"x": (3,)})
    buffer.save(newer)
    assert online_outcome(tmp_path) == expected


def test_evaluations_that_are_gone_are_made_again_from_the_checkpoint_before(stopped, tmp_path):
    source, expected, _ = stopped
    shutil.copytree(source / "run", tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    first, second, _ = metrics.read_bytes().splitlines(keepends=True)
    metrics.write_bytes(first + second)  # the one of the checkpoint itself
    assert outcome(tmp_path) == expected
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(source / "run", tmp_path / "run")
    metrics.write_bytes(first)  # and the one before
    assert outcome(tmp_path) == expected


def test_the_policies_follow_the_checkpoint_that_a_run_goes_on_from(stopped, tmp_path):
    """A kill between the checkpoint and the policies leaves those of the one before."""
    source, expected, _ = stopped
    shutil.copytree(source / "run", tmp_path / "run")
    assert outcome(tmp_path) == expected
    policy = tmp_path / "run" / "policy.safetensors"
    whole = policy.read_bytes()
    shutil.copy(source / "run" / "policy.safetensors", policy)
    assert policy.read_bytes() != whole
    outcome(tmp_path)
    assert policy.read_bytes() == whole


def command(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, check=False, **options
    )


def test_a_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    data = make_dataset(tmp_path / "set").path
    out = tmp_path / "run"
    words = ["omar.train", "--dataset", data, "--out", out, "--batch-size", 8, "--updates", 0, "--seeds", 1]
    done = command(*words, "--eval-episodes", 1, preexec_fn=little_room)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: {out}/checkpoint/update-00000000.seed-0.safetensors: File too large"
    )
    assert done.stderr.count("\n") == 1
    assert not list(out.rglob(".*.partial-*"))


def test_a_device_is_written_to_and_not_replaced(tmp_path, capsys, stopped):
    run = ["--run", str(stopped[0] / "run"), "--format", "torchscript", "--out"]
    assert export.main([*run, "/dev/full"]) == 2
    assert capsys.readouterr().err == "error: /dev/full: No space left on device\n"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"text")
    assert os.read(reader, 9) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomically(path, b"x")])
@pytest.mark.parametrize(
    ("name", "reason"),
    [("no/file", "No such file or directory"), ("x" * 300, "File name too long"), (".", "Is a dir")],
)
def test_a_place_that_cannot_be_written_has_the_users_name(tmp_path, write, name, reason):
    with pytest.raises(OSError, match=reason) as caught:
        write(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files.os, "fsync", full)
    for write in (write_atomically, files.append_line):
        with pytest.raises(OSError, match="No space left") as caught:
            write(tmp_path / "file", b"x" if write is write_atomically else "x")
        assert caught.value.filename == str(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}  # that of append_line


@pytest.mark.parametrize("module", ["omar.train", "omar.data", "omar.collect", "omar.evaluate", "omar.bench"])
def test_ctrl_c_while_modules_are_imported_is_one_word(tmp_path, module):
    (tmp_path / "tyro.py").write_text("raise KeyboardInterrupt\n")
    done = command(module, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.stderr == "interrupted\n"
    assert done.returncode in (-signal.SIGINT, INTERRUPTED)


def test_other_programs_keep_their_tracebacks(tmp_path):
    (tmp_path / "program.py").write_text("import omar\nraise KeyboardInterrupt\n")
    done = command("program", cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert "KeyboardInterrupt" in done.stderr


def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path):
    data = make_dataset(tmp_path / "set").path
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    shutil.move(data, odd)
    done = command("omar.data", "verify", "--folder", odd)
    assert done.returncode == 0, done.stderr
    assert "is whole: 100 transitions" in done.stdout
