"""Algorithms by name. A new one is a file with its settings, presets and losses, and a row in ALGORITHMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import OmarError
from ..random import Draw
from .afterstate import Afterstate
from .agents import Agents
from .asymmetric import Asymmetric
from .backbone import Backbone
from .base import Algorithm, LossTerms, Preset, update
from .batch import Batch
from .bc import Bc
from .cql import Cql
from .icq import Icq
from .omar import Omar
from .presets import PRESETS, PresetName
from .td3bc import Td3Bc

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHMS: Mapping[str, type[Algorithm[Any]]] = {
    "omar": Omar,
    "cql": Cql,
    "td3bc": Td3Bc,
    "icq": Icq,
    "bc": Bc,
    "afterstate": Afterstate,
    "asymmetric": Asymmetric,
}

if TYPE_CHECKING:
    AlgorithmName: TypeAlias = str
else:  # so that the command line lists the registered algorithms
    AlgorithmName = Literal[tuple(ALGORITHMS)]


def get_algorithm(name: str) -> type[Algorithm[Any]]:
    """The algorithm of that name.

    Raises:
        OmarError: No algorithm has that name.
    """
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise OmarError(f"unknown algorithm {name!r}: expected one of {', '.join(ALGORITHMS)}") from None


__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "Agents",
    "Algorithm",
    "AlgorithmName",
    "Backbone",
    "Batch",
    "Draw",
    "LossTerms",
    "Preset",
    "PresetName",
    "get_algorithm",
    "update",
]
