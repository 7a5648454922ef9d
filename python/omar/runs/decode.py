"""Dataclasses to JSON values and back, every field checked against its type hint.

A file that a user can edit or damage is read with `decode`, so that JSON of the wrong shape is one sentence
and never a KeyError, TypeError or AttributeError. Ranges are checked by the classes themselves.
"""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import types
from collections.abc import Mapping
from operator import index
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import OmarError, SettingError

T = TypeVar("T")

SHOWN = 40  # characters of a wrong value that a message repeats
_SCALARS = {bool: "true or false", int: "an integer", float: "a finite number", str: "a string"}


def decode(cls: type[T], raw: object, where: str, *, at: str = "", defaults: bool = False) -> T:
    """An instance of a dataclass from JSON values.

    Fields may be bool, int, float, str, Path, None, Any, Literal, unions of these, other dataclasses, and
    lists, tuples and mappings (with str keys) of all of them. A number must be finite, a bool is no number,
    and an integer passes for a float.

    Args:
        cls: The dataclass; its type hints must be importable at run time.
        raw: What `json.loads` gave.
        where: Begins the message: the file's name.
        at: Where in the file `raw` was found, such as "options".
        defaults: Whether a missing entry takes its field's default.

    Raises:
        OmarError: `raw` is no object, an entry is unknown, missing, of another type or out of range.
    """
    try:
        result: T = _dataclass(cls, raw, at, defaults)
    except SettingError as error:
        name, problem = error.name, error.problem
        raise OmarError(f"{where}: `{name}` {problem}" if name else f"{where} {problem}") from None
    return result


def encode(instance: Any) -> dict[str, Any]:
    """The JSON values of a dataclass, which `decode` takes back."""
    return {f.name: _plain(getattr(instance, f.name)) for f in dataclasses.fields(instance)}


def check_types(instance: Any) -> None:
    """Checks every field of a dataclass against its type hint, for a `__post_init__`.

    Integers and numbers of other libraries, such as numpy's, become Python's own.

    Raises:
        SettingError: A value of another type, or a number that is not finite.
    """
    hints = get_type_hints(type(instance))
    for f in dataclasses.fields(instance):
        value = _value(hints[f.name], getattr(instance, f.name), f.name, defaults=False)
        object.__setattr__(instance, f.name, value)


def _dataclass(cls: type[Any], raw: object, at: str, defaults: bool) -> Any:
    if isinstance(raw, cls):
        return raw
    if not isinstance(raw, Mapping):
        raise SettingError(at, f"must be a JSON object, got {_shown(raw)}")
    known = [f for f in dataclasses.fields(cls) if f.init]
    unknown = sorted(str(name) for name in raw.keys() - {f.name for f in known})
    if unknown:
        raise SettingError(_join(at, unknown[0]), "is not a known entry")
    hints = get_type_hints(cls)
    values = {}
    for f in known:
        if f.name in raw:
            values[f.name] = _value(hints[f.name], raw[f.name], _join(at, f.name), defaults)
        elif not defaults or (f.default is f.default_factory is dataclasses.MISSING):
            raise SettingError(_join(at, f.name), "is missing")
    try:
        return cls(**values)
    except SettingError as error:
        raise SettingError(_join(at, error.name), error.problem) from None
    except OmarError as error:
        raise SettingError(at, f"is not valid: {error}") from None


def _value(hint: Any, raw: object, at: str, defaults: bool) -> Any:
    """`raw` as what the hint says."""
    origin = get_origin(hint)
    if hint is Any:
        return raw
    if origin is Literal and not any(type(raw) is type(c) and raw == c for c in get_args(hint)):
        raise SettingError(at, f"must be {_choices(hint)}, got {_shown(raw)}")
    if origin in (Union, types.UnionType):
        return _union(hint, raw, at, defaults)
    if origin not in (None, Literal):
        return _collection(hint, raw, at, defaults)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, raw, at, defaults)  # type: ignore[arg-type]
    if hint in (int, float):
        return _number(hint, raw, at)
    if not _fits(hint, raw):
        raise SettingError(at, f"must be {_named(hint)}, got {_shown(raw)}")
    return Path(raw) if hint is Path else raw  # type: ignore[arg-type]


def _number(hint: Any, raw: Any, at: str) -> int | float:
    """`raw` as Python's own number; what says that it is an integer is one, except a bool."""
    try:
        if isinstance(raw, bool):
            raise TypeError
        if hint is int or not isinstance(raw, numbers.Real):
            raw = index(raw)
        if hint is int or math.isfinite(float(raw)):
            return hint(raw)  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError, RuntimeError):  # also an integer of more than 308 digits
        pass
    raise SettingError(at, f"must be {_named(hint)}, got {_shown(raw)}")


def _union(hint: Any, raw: object, at: str, defaults: bool) -> Any:
    if raw is None and type(None) in get_args(hint):
        return None
    options = [option for option in get_args(hint) if option is not type(None)]
    if len(options) == 1:  # its own message says more
        return _value(options[0], raw, at, defaults)
    for option in options:
        try:
            return _value(option, raw, at, defaults)
        except SettingError:
            continue
    raise SettingError(at, f"must be {_named(hint)}, got {_shown(raw)}")


def _collection(hint: Any, raw: object, at: str, defaults: bool) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if issubclass(origin, Mapping):
        if not isinstance(raw, Mapping) or not all(map(_is_text, raw)):
            raise SettingError(at, f"must be a JSON object, got {_shown(raw)}")
        return {key: _value(inner[1], value, _join(at, key), defaults) for key, value in raw.items()}
    if not isinstance(raw, list | tuple):
        raise SettingError(at, f"must be a list, got {_shown(raw)}")
    fixed = origin is tuple and inner[-1] is not ...
    if fixed and len(raw) != len(inner):
        raise SettingError(at, f"must be a list of {len(inner)}, got {_shown(raw)}")
    each = inner if fixed else [inner[0]] * len(raw)
    values = [_value(h, v, f"{at}[{i}]", defaults) for i, (h, v) in enumerate(zip(each, raw, strict=True))]
    return tuple(values) if origin is tuple else values


def _fits(hint: Any, raw: object) -> bool:
    """Whether a value that is no collection is of the hinted type."""
    if get_origin(hint) is Literal:  # the value was compared before
        return True
    if hint is Path:
        return isinstance(raw, Path) or (_is_text(raw) and bool(raw) and "\0" not in str(raw))
    if hint is str:
        return _is_text(raw)
    if hint in (bool, type(None)):
        return type(raw) is hint
    return isinstance(raw, hint)


def _is_text(raw: object) -> bool:
    """Whether a text can be written: JSON can hold halves of characters, which UTF-8 cannot."""
    try:
        return isinstance(raw, str) and bool(raw.encode("utf-8", "surrogateescape") or True)
    except UnicodeEncodeError:
        return False


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return encode(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _join(at: str, name: str) -> str:
    shown = name if name.isprintable() and len(name) <= SHOWN else _shown(name)
    return f"{at}.{shown}" if at else shown


def _named(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_named(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return _choices(hint)
    if hint is type(None):
        return "null"
    if get_origin(hint) in (list, tuple):
        return "a list"
    if hint is Path:
        return "a path"
    return _SCALARS.get(hint, "a JSON object")


def _choices(hint: Any) -> str:
    *most, last = [repr(choice) for choice in get_args(hint)]
    return f"{', '.join(most)} or {last}" if most else last


def _shown(raw: object) -> str:
    """A value as JSON spells it, cut short."""
    try:
        text = json.dumps(raw)
    except (TypeError, ValueError, RecursionError):
        text = type(raw).__name__
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


__all__ = ["check_types", "decode", "encode"]
