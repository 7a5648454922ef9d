"""Stacked networks, the normalisation of their inputs, and what critics of actions compute."""

from .batch_norm import BatchNorm
from .critics import (
    Candidates,
    candidate_values,
    cql_penalty,
    fused_obstacle,
    mean_logsumexp,
    normal_candidates,
    uniform_candidates,
)
from .observations import Observations, joined
from .options import Path, Precision, Step, core_path, draw, scoring
from .stacked import StackedMlp

__all__ = [
    "BatchNorm",
    "Candidates",
    "Observations",
    "Path",
    "Precision",
    "StackedMlp",
    "Step",
    "candidate_values",
    "core_path",
    "cql_penalty",
    "draw",
    "fused_obstacle",
    "joined",
    "mean_logsumexp",
    "normal_candidates",
    "scoring",
    "uniform_candidates",
]
