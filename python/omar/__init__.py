"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from ._versions import check_torch

check_torch()

import torch as _torch  # noqa: E402, F401  (loads LibTorch before the compiled core asks for it)

from .threads import settle_vector_math  # noqa: E402

settle_vector_math()

from . import cem, envs, nets  # noqa: E402
from .replay import ReplayBuffer  # noqa: E402

if TYPE_CHECKING:
    from .behaviors import Policy, load_policies, load_policy

__version__ = metadata.version("omar")

__all__ = [
    "Policy",
    "ReplayBuffer",
    "__version__",
    "cem",
    "envs",
    "load_policies",
    "load_policy",
    "nets",
]


def __getattr__(name: str) -> Any:
    """Imports what concerns policies when it is first asked for."""
    if name in ("Policy", "load_policies", "load_policy"):
        from . import behaviors

        return getattr(behaviors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
