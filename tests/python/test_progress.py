"""Progress shows for long work only, as a bar or as lines, and never changes standard output."""

from __future__ import annotations

import pytest

from omar.terminal import progress


def errors_of(capsys, *, enabled=True, steps=4):
    with progress.progress_bar("Working", 100, enabled=enabled) as advance:
        for _ in range(steps):
            advance(25)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture
def clock(monkeypatch):
    """Time that moves by hand."""
    now = [0.0]
    monkeypatch.setattr(progress, "QUIET_SECONDS", 2.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("quiet", "enabled", "terminal", "shown"),
    [
        (60.0, True, True, False),
        (0.0, True, True, True),
        (0.0, False, True, False),
        (60.0, True, False, False),
        (0.0, True, False, True),
        (0.0, False, False, False),
    ],
)
def test_it_shows_after_the_quiet_time_if_wanted(capsys, monkeypatch, quiet, enabled, terminal, shown):
    monkeypatch.setattr(progress, "QUIET_SECONDS", quiet)
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    said = errors_of(capsys, enabled=enabled)
    assert ("Working" in said) is shown
    assert shown or said == ""


def test_off_a_terminal_it_says_a_line_now_and_then_and_one_at_the_end(capsys, clock):
    with progress.progress_bar("Working", 100) as advance:
        for _ in range(25):
            clock[0] += 1.0
            advance(4)
    assert capsys.readouterr().err.splitlines() == [
        "Working: 12%, 22 s left",
        "Working: 56%, 11 s left",
        "Working: done in 25 s",
    ]


def test_work_that_fails_is_not_called_done(capsys, clock):
    def fail():
        with progress.progress_bar("Working", 100) as advance:
            clock[0] += 5.0
            advance(50)
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail()
    assert capsys.readouterr().err == "Working: 50%, 5 s left\n"
