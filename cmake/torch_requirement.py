"""Run-time dependencies of the wheel, and the one place where torch's minor version is pinned.

LibTorch has no stable C++ ABI between minor versions, so the wheel must run against the minor it was built
with. `TORCH_MINOR` is the version that an isolated build fetches. A build without isolation against another
torch is allowed, and then the wheel requires that minor instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

TORCH_MINOR = "2.13"

RUN_TIME = (
    "numpy>=2.0",
    "safetensors>=0.4.5",
    "tyro>=0.9",
    "rich>=13",
    "tensorboard>=2.17",
    "matplotlib>=3.8",
    "pillow>=10.1",
    "mujoco-core>=4.0.1,<5",
    "filelock>=3.13",
    "platformdirs>=4",
)


def build_minor() -> str:
    """Minor version (such as "2.13") of the torch that this build sees, or the pinned one without any."""
    try:
        installed = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return TORCH_MINOR
    return ".".join(installed.split("+")[0].split(".")[:2])


def get_requires_for_dynamic_metadata(settings: Mapping[str, Any]) -> list[str]:
    """Build requirements: the torch to compile against."""
    return [f"torch=={TORCH_MINOR}.*"]


def dynamic_metadata(settings: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """The `dependencies` field of the wheel's metadata."""
    return {"dependencies": [f"torch=={build_minor()}.*", *RUN_TIME]}
