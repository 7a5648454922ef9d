"""The error of everything that can be wrong with a dataset."""

from __future__ import annotations


class DatasetError(ValueError):
    """A dataset, or a file to import, is missing, damaged, of the wrong form, or cannot be made."""
