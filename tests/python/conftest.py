"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omar.terminal import progress

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def no_progress() -> Iterator[None]:
    """Commands on a slow machine say what they say on a fast one; tests of progress choose their own time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "QUIET_SECONDS", float("inf"))
        yield
