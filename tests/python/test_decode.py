"""Dataclasses from JSON: what comes back, and one sentence for everything that does not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile import JSON_VALUES
from omar.errors import OmarError, SettingError
from omar.runs import ranges
from omar.runs.decode import check_types, decode, encode


@dataclass(frozen=True, slots=True)
class Inner:
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"

    def __post_init__(self):
        check_types(self)
        ranges.between(self, 0, 1, "rate", brackets="[)")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    count: int
    flag: bool
    inner: Inner
    path: Path | None = None
    names: tuple[str, ...] = ()
    pair: tuple[int, float] = (0, 0.0)
    numbers: list[float] = field(default_factory=list)
    table: Mapping[str, Inner] = field(default_factory=dict)
    place: str | tuple[str, ...] = "x"
    anything: Any = None


EXAMPLE = Outer(
    "n", 3, True, Inner(0.25, "b"), Path("a/b"), ("x", "y"), (1, 2.0), [1.0], {"k": Inner()}, ("p", "q"), [1]
)


def test_round_trip():
    again = decode(Outer, json.loads(json.dumps(encode(EXAMPLE))), "file")
    assert again == EXAMPLE
    assert isinstance(again.path, Path)
    assert isinstance(again.names, tuple)


def test_an_integer_passes_for_a_float():
    rate = decode(Inner, {"rate": 0, "kind": "a"}, "file").rate
    assert type(rate) is float


def test_missing_entries_may_take_their_defaults():
    assert decode(Inner, {}, "file", defaults=True) == Inner()
    with pytest.raises(OmarError, match="file: `name` is missing"):
        decode(Outer, {}, "file", defaults=True)


def changed(**entries):
    return encode(EXAMPLE) | entries


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], r"file must be a JSON object, got \[\]"),
        (5, "file must be a JSON object, got 5"),
        (None, "file must be a JSON object, got null"),
        ({}, "file: `name` is missing"),
        (changed(speed=1), "file: `speed` is not a known entry"),
        (changed(name=None), "file: `name` must be a string, got null"),
        (changed(count="3"), 'file: `count` must be an integer, got "3"'),
        (changed(count=True), "file: `count` must be an integer, got true"),
        (changed(count=3.0), "file: `count` must be an integer, got 3.0"),
        (changed(flag=1), "file: `flag` must be true or false, got 1"),
        (changed(inner=5), "file: `inner` must be a JSON object, got 5"),
        (changed(inner={"rate": 0.1}), "file: `inner.kind` is missing"),
        (changed(inner={"rate": "0.1", "kind": "a"}), '`inner.rate` must be a finite number, got "0.1"'),
        (changed(inner={"rate": True, "kind": "a"}), "`inner.rate` must be a finite number, got true"),
        (changed(inner={"rate": json.loads("NaN"), "kind": "a"}), "`inner.rate` must be a finite .*NaN"),
        (changed(inner={"rate": json.loads("1e400"), "kind": "a"}), "`inner.rate` must be a finite"),
        (
            changed(inner={"rate": 10**400, "kind": "a"}),
            r"`inner.rate` must be a finite number, got 10+\.\.\.",
        ),
        (changed(inner={"rate": 2, "kind": "a"}), r"file: `inner.rate` must be in \[0, 1\), got 2.0"),
        (changed(inner={"rate": 0.1, "kind": "c"}), "`inner.kind` must be 'a' or 'b', got \"c\""),
        (changed(inner={"rate": 0.1, "kind": ["a"]}), "`inner.kind` must be 'a' or 'b', got"),
        (changed(path=3), "`path` must be a path, got 3"),
        (changed(path="a\0b"), "`path` must be a path"),
        (changed(names="xy"), '`names` must be a list, got "xy"'),
        (changed(names=["x", 1]), r"`names\[1\]` must be a string, got 1"),
        (changed(pair=[1]), r"`pair` must be a list of 2, got \[1\]"),
        (changed(numbers={}), r"`numbers` must be a list, got \{\}"),
        (changed(table=[]), r"`table` must be a JSON object, got \[\]"),
        (changed(table={"k": 1}), "`table.k` must be a JSON object, got 1"),
        (changed(place=1), "`place` must be a string or a list, got 1"),
    ],
)
def test_messages(raw, message):
    with pytest.raises(OmarError, match=message):
        decode(Outer, raw, "file")


@given(name=st.sampled_from([f.name for f in dataclasses.fields(Outer)]), value=JSON_VALUES)
def test_whatever_an_entry_holds_is_decoded_or_refused_in_one_sentence(name, value):
    try:
        decode(Outer, changed(**{name: value}), "file")
    except OmarError as error:
        assert str(error).startswith("file")
        assert "\n" not in str(error)


def test_types_are_checked_where_python_builds_a_class():
    with pytest.raises(SettingError, match=r'rate must be a finite number, got "0.5"'):
        Inner(rate="0.5")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Ranged:
    n: float | None = 1


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (lambda s: ranges.at_least(s, 1, "n"), 0, "n must be at least 1, got 0"),
        (lambda s: ranges.positive(s, "n"), 0, "n must be greater than 0, got 0"),
        (lambda s: ranges.between(s, 0, 1, "n"), 1.5, r"n must be in \[0, 1\], got 1.5"),
        (lambda s: ranges.between(s, 0, 1, "n", brackets="(]"), 0, r"n must be in \(0, 1\], got 0"),
        (lambda s: ranges.between(s, 0, 1, "n", brackets="[)"), 1, r"n must be in \[0, 1\), got 1"),
    ],
)
def test_ranges(check, value, message):
    with pytest.raises(SettingError, match=message):
        check(Ranged(value))
    check(Ranged(0.5 if "in" in message else 1))
    if "greater" not in message:
        check(Ranged(None))
