"""Mutations of bytes and of JSON values: the same generator gives the same ones."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

NUMBERS = (0, 1, -1, 2**7, 2**15, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
TEXTS = ("", "../x", "/etc/passwd", "~nosuchuser/x", "a\0b", "a\nb", "\ud800", "x" * 300, "NaN", "simple_tag")


def mutate(rng: Random, content: bytes) -> bytes:
    """One to four changes of a file's bytes."""
    found = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        rng.choice(BYTES)(rng, found)
    return bytes(found)


def _place(rng: Random, found: bytearray) -> int:
    """A place, half of the time among the first bytes, where headers are."""
    return rng.randrange(max(1, min(len(found), 200) if rng.random() < 0.5 else len(found)))


def _flip(rng: Random, found: bytearray) -> None:
    if found:
        found[_place(rng, found)] ^= 1 << rng.randrange(8)


def _set(rng: Random, found: bytearray) -> None:
    if found:
        found[_place(rng, found)] = rng.choice((0, 1, 10, 32, 48, 57, 91, 123, 127, 128, 255))


def _number(rng: Random, found: bytearray) -> None:
    width, place = rng.choice((2, 4, 8)), _place(rng, found)
    value = rng.choice(NUMBERS) % (1 << 8 * width)
    found[place : place + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _digits(rng: Random, found: bytearray) -> None:
    """Another number where the file has one as text."""
    digits = [i for i in range(min(len(found), 4096)) if 48 <= found[i] <= 57]
    if digits:
        place = rng.choice(digits)
        found[place : place + 1] = str(rng.choice(NUMBERS)).encode()


def _cut(rng: Random, found: bytearray) -> None:
    place = _place(rng, found)
    del found[place : place + rng.choice((1, 8, 64, len(found)))]


def _double(rng: Random, found: bytearray) -> None:
    place, width = _place(rng, found), rng.choice((1, 8, 64, 512))
    found[place:place] = found[place : place + width]


def _swap(rng: Random, found: bytearray) -> None:
    a, b, width = _place(rng, found), _place(rng, found), rng.choice((1, 8, 64))
    found[a : a + width], found[b : b + width] = found[b : b + width], found[a : a + width]


BYTES = (_flip, _flip, _set, _number, _digits, _cut, _double, _swap)


def json_value(rng: Random, depth: int = 0) -> Any:
    """Any JSON value, and numbers that JSON does not have."""
    kind = rng.randrange(8 if depth < 2 else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind <= 2:
        return rng.choice(NUMBERS) * rng.choice((1, -1, 10**20))
    if kind == 3:
        return rng.choice((0.0, -0.5, 1e308, -1e-320, math.inf, math.nan, sys.float_info.max))
    if kind <= 5:
        return rng.choice(TEXTS)
    values = [json_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return values if kind == 6 else {rng.choice(TEXTS): value for value in values}


def mutate_entries(rng: Random, raw: Any) -> None:
    """Replaces, removes or doubles an entry of JSON values, at any depth."""
    place, key = raw, _key(rng, raw)
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
        place, key = place[key], _key(rng, place[key])
    kind = rng.random()
    if kind < 0.7:
        place[key] = json_value(rng)
    elif kind < 0.85:
        del place[key]
    elif isinstance(place, dict):
        place[rng.choice(TEXTS)] = place[key]
    else:
        place.append(place[key])


def _key(rng: Random, place: Any) -> Any:
    return rng.choice(sorted(place)) if isinstance(place, dict) else rng.randrange(len(place))
