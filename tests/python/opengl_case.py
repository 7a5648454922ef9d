"""What draws HalfCheetah needs a library of OpenGL, which not every machine has."""

from __future__ import annotations

import ctypes.util
import os
import sys

import pytest

REQUIRED = "OMAR_REQUIRE_OPENGL"  # .ci/run sets it: nothing is skipped there


def is_skipped() -> bool:
    """Only where no library is installed; one that does not work fails the tests."""
    found = sys.platform != "linux" or any(map(ctypes.util.find_library, ("EGL", "OSMesa")))
    return not found and not os.environ.get(REQUIRED)


needs_opengl = pytest.mark.skipif(is_skipped(), reason="neither libEGL nor libOSMesa is installed")
CHEETAH = pytest.param("half_cheetah", marks=needs_opengl)
