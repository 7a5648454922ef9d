"""The fuzz harness itself: it runs, finds planted faults, and the seed that it prints shows them again."""

from __future__ import annotations

import dataclasses
import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omar.errors import OmarError

FUZZ = Path(__file__).parents[1] / "fuzz"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(FUZZ))
    found = importlib.import_module("run")
    yield found
    for name in ("run", "corpus", "mutate"):
        sys.modules.pop(name, None)


def test_it_runs():
    words = [sys.executable, str(FUZZ / "run.py"), "--seconds", "1", "--seed", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.startswith("seed 1; ")
    assert len(done.stdout.splitlines()) == 17


def no_dictionary(folder):
    raise KeyError("x")


def two_lines(folder):
    raise OmarError("one\ntwo")


def slow(folder):
    time.sleep(5)


def much_memory(folder):
    return len(bytearray(2**32))


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (no_dictionary, "KeyError"),
        (two_lines, "the message is no sentence"),
        (lambda folder: (folder / "metrics.jsonl").read_bytes(), "read as if it were whole"),
        (slow, "took more than 1 seconds"),
        (much_memory, "MemoryError"),
    ],
)
def test_planted_faults_are_found_and_shown_again(run, monkeypatch, capsys, tmp_path, read, said):
    whole = []

    def planted(folder):
        if not whole:  # the corpus itself, at the start
            whole.append(True)
            return (folder / "metrics.jsonl").read_bytes()
        return read(folder)

    target = dataclasses.replace(run.TARGETS["metrics"], read=planted, means=lambda folder: [])
    monkeypatch.setitem(run.TARGETS, "metrics", target)
    monkeypatch.setattr(run, "SECONDS", 1)
    monkeypatch.setenv("OMAR_HOME", "unset")
    before = signal.getsignal(signal.SIGALRM)
    try:
        with pytest.raises(SystemExit) as stop:
            run.main(["--seed", "3", "--only", "metrics", "--seconds", "9"])
        assert stop.value.code == 1
        printed = capsys.readouterr()
        assert said in printed.err
        again = printed.out.splitlines()[-1].split()
        assert again[:2] == ["python", "tests/fuzz/run.py"]
        whole.clear()
        with pytest.raises(SystemExit):
            run.main(again[2:])
        assert capsys.readouterr().out.splitlines()[-1].split() == again
    finally:
        signal.signal(signal.SIGALRM, before)
