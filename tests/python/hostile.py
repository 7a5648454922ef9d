"""Ways to damage files, and to bound what reading them takes: for tests with hypothesis and tests/fuzz."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
"""Whatever a JSON file may hold, and numbers that it may not."""

CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)
"""Places in a file, as shares of its length, and the bytes to put there."""


def changed(content: bytes, changes: Iterable[tuple[float, int]]) -> bytes:
    """Content with bytes replaced, as `CHANGES` says."""
    found = bytearray(content)
    for place, value in changes:
        found[int(place * (len(found) - 1))] = value
    return bytes(found)


def replace_entry(raw: dict[str, Any], value: Any, choose: Callable[[Sequence[Any]], Any]) -> None:
    """Puts a value in place of any entry of a JSON object, at any depth."""
    place, key = raw, choose(sorted(raw))
    while isinstance(place[key], dict) and place[key] and choose((True, False)):
        place, key = place[key], choose(sorted(place[key]))
    place[key] = value


@contextmanager
def little_memory(extra: int = 2**31) -> Iterator[None]:
    """Address space for 2 GiB more than there is in use: what asks for terabytes fails at once."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + extra, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
