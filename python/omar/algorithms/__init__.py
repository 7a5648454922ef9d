"""Algorithms by name. A new one is a file with its settings and class, and a row in ALGORITHMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..random import Draw
from .agents import Agents, Backbone, Batch
from .base import Algorithm, Terms, update
from .cql import Cql
from .omar import Omar

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHMS: Mapping[str, type[Algorithm]] = {"omar": Omar, "cql": Cql}


def get_algorithm(name: str) -> type[Algorithm]:
    """The algorithm of that name.

    Raises:
        ValueError: No algorithm has that name.
    """
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise ValueError(f"unknown algorithm {name!r}: expected one of {', '.join(ALGORITHMS)}") from None


__all__ = [
    "ALGORITHMS",
    "Agents",
    "Algorithm",
    "Backbone",
    "Batch",
    "Draw",
    "Terms",
    "get_algorithm",
    "update",
]
