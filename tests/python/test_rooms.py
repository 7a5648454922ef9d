"""The rooms of the package: imports run one way, no module is in a circle, and no file is long."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import omar

ROOT = Path(omar.__file__).parent
LONGEST = 300  # lines of a file
OWN = {"__doc__", "__version__", "_core", "_bounds"}  # names of the package that belong to no room

# From the top floor to the ground. A module imports from its own room and from the floors below.
FLOORS = (
    ("omar",),  # the public names
    (
        "__main__",
        "train",
        "evaluate",
        "export",
        "collect",
        "data.__main__",
        "bench",
        "reproduce",
        "report",
        "render",
    ),
    ("benchmarks",),
    ("reports",),
    ("matrix",),
    ("offline",),
    ("data", "online"),  # neither imports the other
    ("evaluation",),
    ("behaviors",),
    ("algorithms",),
    ("nets", "cem", "replay", "random", "envs", "tasks", "theory"),
    ("terminal", "pictures"),
    ("runs",),
    ("errors", "arguments", "threads", "_versions", "_build"),
    ("_core", "_bounds"),
)


def modules() -> dict[str, Path]:
    """Path of every module by its name below the package; the package itself is "omar"."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "omar"] = path
    return found


MODULES = modules()


@cache
def imports(name: str) -> frozenset[str]:
    """Modules of the package that a module names in an import, at any depth and for any reason."""
    path = MODULES[name]
    package = path.parent.relative_to(ROOT).parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = package[: len(package) - (node.level - 1)]
        origin = (*base, *(node.module.split(".") if node.module else ()))
        for alias in node.names:
            full = ".".join((*origin, alias.name))
            found.add(full if full in MODULES else ".".join(origin))
    return frozenset(found - {name, ""})  # "": the package's own names, which OWN lists


def room(name: str) -> str:
    """The room of a module: its folder or, in the package's own folder, itself."""
    return name if any(name in rooms for rooms in FLOORS) else name.split(".")[0]


def floor(name: str) -> int:
    """Number of a module's floor, from the top."""
    for number, rooms in enumerate(FLOORS):
        if room(name) in rooms:
            return number
    raise AssertionError(f"{name} has no floor: give it a room")


def test_no_module_is_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle of imports: {' -> '.join((*path[path.index(name) :], name))}"
        if name in done or name not in MODULES:
            return
        for other in sorted(imports(name)):
            visit(other, (*path, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())
    assert done == set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_one_way_down(name: str) -> None:
    for other in imports(name):
        beside = floor(other) == floor(name) >= floor("nets")  # rooms that share a floor, down there
        assert floor(other) > floor(name) or beside or room(other) == room(name), (
            f"{name} imports {other}, which is not on a floor below"
        )


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"omar"}))
def test_no_room_asks_the_package_for_what_another_room_defines(name: str) -> None:
    """`from .. import load_policy` would import upwards, and none of the other tests would see it."""
    depth = len(MODULES[name].relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth and node.module is None:
            assert {alias.name for alias in node.names} <= OWN | {room(other) for other in MODULES}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_file_is_long(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines < LONGEST, f"{MODULES[name].name} has {lines} lines"
