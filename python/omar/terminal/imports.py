"""Ctrl-C while a command imports its modules, which takes seconds: one word, as from then on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


def quiet_interrupts() -> None:
    """Lets Ctrl-C end `python -m omar.COMMAND` without a traceback; does nothing in other programs."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    if sys.argv[:1] == ["-m"] and module and module[0].split(".")[0] == "omar":
        sys.excepthook = _say


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, trace)


__all__ = ["quiet_interrupts"]
