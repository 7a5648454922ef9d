"""Errors that users cause: one sentence each. Anything else is a bug."""

from __future__ import annotations


class OmarError(ValueError):
    """What a user can cause and mend: a wrong option, a missing file, damaged data."""


class DatasetError(OmarError):
    """A dataset, or a file to import, is missing, damaged, of the wrong form, or cannot be made."""
