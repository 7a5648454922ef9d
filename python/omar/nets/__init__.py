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
from .options import Kernels, Precision, Step, core_kernels, draw, scoring
from .stacked import StackedMlp

__all__ = [
    "BatchNorm",
    "Candidates",
    "Kernels",
    "Observations",
    "Precision",
    "StackedMlp",
    "Step",
    "candidate_values",
    "core_kernels",
    "cql_penalty",
    "draw",
    "fused_obstacle",
    "joined",
    "mean_logsumexp",
    "normal_candidates",
    "scoring",
    "uniform_candidates",
]
