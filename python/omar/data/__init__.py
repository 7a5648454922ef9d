"""Datasets: on disk, generated on first use, and in the formats of others."""

from .cache import ensure_dataset, home, resolve_datasets
from .dataset import Dataset
from .errors import DatasetError
from .prey import Prey, load_prey
from .replay import replay_buffer
from .writer import DatasetSpec, DatasetWriter, write_dataset

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetSpec",
    "DatasetWriter",
    "Prey",
    "ensure_dataset",
    "home",
    "load_prey",
    "replay_buffer",
    "resolve_datasets",
    "write_dataset",
]
