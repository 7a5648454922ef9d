"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from ._versions import check_torch

check_torch()

import torch as _torch  # noqa: E402, F401  (loads LibTorch before the compiled core asks for it)

from .threads import settle_vector_math  # noqa: E402

settle_vector_math()

from . import cem, envs, nets  # noqa: E402
from .errors import OmarError  # noqa: E402
from .replay import ReplayBuffer  # noqa: E402

if TYPE_CHECKING:
    from .offline.config import TrainConfig

__version__ = metadata.version("omar")

__all__ = ["OmarError", "ReplayBuffer", "TrainConfig", "__version__", "cem", "envs", "nets"]


def __getattr__(name: str) -> Any:
    """What training needs is imported when it is first asked for."""
    if name == "TrainConfig":
        from .offline.config import TrainConfig

        return TrainConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
