"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""

from importlib import metadata

from ._versions import check_torch

check_torch()

import torch as _torch  # noqa: E402, F401  (loads LibTorch before the compiled core asks for it)

from .threads import settle_vector_math  # noqa: E402

settle_vector_math()

from . import cem, envs, nets  # noqa: E402
from .replay import ReplayBuffer  # noqa: E402

__version__ = metadata.version("omar")

__all__ = ["ReplayBuffer", "__version__", "cem", "envs", "nets"]
