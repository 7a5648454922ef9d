"""The progress bar shows for long work only, and never changes standard output."""

from __future__ import annotations

import pytest

from omar.terminal import progress


@pytest.mark.parametrize(
    ("quiet", "enabled", "terminal", "shown"),
    [
        (60.0, True, True, False),
        (0.0, True, True, True),
        (0.0, False, True, False),
        (0.0, True, False, False),
    ],
)
def test_the_bar_shows_after_the_quiet_time_if_wanted(capsys, monkeypatch, quiet, enabled, terminal, shown):
    monkeypatch.setattr(progress, "QUIET_SECONDS", quiet)
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    with progress.progress_bar("Working", 100, enabled=enabled) as advance:
        for _ in range(4):
            advance(25)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("Working" in captured.err) is shown
    assert shown or captured.err == ""
