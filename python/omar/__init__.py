"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from ._versions import check_torch
from .terminal.imports import quiet_interrupts

quiet_interrupts()
check_torch()

import torch as _torch  # noqa: E402, F401  (loads LibTorch before the compiled core asks for it)

from .threads import settle_vector_math  # noqa: E402

settle_vector_math()

from . import cem, envs, nets  # noqa: E402
from .errors import OmarError  # noqa: E402
from .replay import ReplayBuffer  # noqa: E402

if TYPE_CHECKING:
    from .behaviors import Policy, load_policies, load_policy, load_prey
    from .offline.config import TrainConfig
    from .offline.result import Result
    from .offline.runs import resume, train

__version__ = metadata.version("omar")

__all__ = [
    "OmarError",
    "Policy",
    "ReplayBuffer",
    "Result",
    "TrainConfig",
    "__version__",
    "cem",
    "envs",
    "load_policies",
    "load_policy",
    "load_prey",
    "nets",
    "resume",
    "train",
]

# Names that are imported when they are first asked for, and where they are. `omar.train` is the command's
# module, which can be called: a package has room for one of that name.
_LATER = {
    "Policy": "behaviors",
    "Result": "offline.result",
    "TrainConfig": "offline.config",
    "load_policies": "behaviors",
    "load_policy": "behaviors",
    "load_prey": "behaviors",
    "resume": "offline.runs",
}


def __getattr__(name: str) -> Any:
    """Imports what is not needed by everyone when it is first asked for."""
    from importlib import import_module

    if name == "train":
        return import_module(".train", __name__)
    if name in _LATER:
        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
