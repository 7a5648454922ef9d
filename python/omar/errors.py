"""Errors that users cause: one sentence each. Anything else is a bug."""

from __future__ import annotations


class OmarError(ValueError):
    """What a user can cause and mend: a wrong option, a missing file, damaged data."""


class SettingError(OmarError):
    """A setting has the wrong type or is out of range.

    The command line spells its name as it was typed: `learning_rate` is `--learning-rate` there.
    """

    def __init__(self, name: str, problem: str) -> None:
        """Args: `name` of the setting, and what is wrong: "must be at least 1, got 0"."""
        super().__init__(f"{name} {problem}")
        self.name, self.problem = name, problem


class DatasetError(OmarError):
    """A dataset, or a file to import, is missing, damaged, of the wrong form, or cannot be made."""
