"""Datasets: on disk, generated on first use, and in the formats of others."""

from ..errors import DatasetError
from .cache import ensure_dataset, resolve_datasets
from .dataset import Dataset
from .home import home
from .replay import replay_buffer
from .spec import DatasetSpec
from .writer import DatasetWriter, write_dataset

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetSpec",
    "DatasetWriter",
    "ensure_dataset",
    "home",
    "replay_buffer",
    "resolve_datasets",
    "write_dataset",
]
