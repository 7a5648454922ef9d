"""Bounding torch's threads for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, then as many as before.

    For small work, whose threads would mostly wait for each other, and for bytes that must not depend on the
    number of threads, as sums of a matrix product may.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
