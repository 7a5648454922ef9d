"""What pages take from the package itself: a comment `<!-- settings: omar -->` becomes that text.

settings: ALGORITHM | backbone    its settings with their defaults
presets: ALGORITHM                values that depend on the dataset
tasks:                            sizes and references of all tasks
published:                        the paper's scores
commands:                         the help of every command
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
import pkgutil
import re
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omar
from omar.algorithms import ALGORITHMS, Backbone
from omar.tasks import BASELINES, QUALITIES, TASKS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MARK = re.compile(r"^<!-- (settings|presets|tasks|published|commands):(?: ([\w-]+))? -->$", re.MULTILINE)


def row(*cells: object) -> str:
    """A line of a table."""
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |\n"


def head(*cells: str) -> str:
    """The first lines of a table."""
    return row(*cells) + row(*("---" for _ in cells))


def help_of(kind: type[Any]) -> dict[str, str]:
    """The docstring under each field of a class, bases first."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            text = inspect.getsource(base)
            for name, doc in re.findall(
                r'^    (\w+):[^\n]*\n    """(.*?)"""', text, re.MULTILINE | re.DOTALL
            ):
                found[name] = re.sub(r"\s+", " ", doc)
    return found


def settings(name: str) -> str:
    """The settings of an algorithm, or of the backbone."""
    kind: type[Any] = Backbone if name == "backbone" else ALGORITHMS[name].Settings
    fields = dataclasses.fields(kind)
    if not fields:
        return "It has no settings of its own.\n"
    text = help_of(kind)
    lines = [row(f"`{f.name}`", f"`{f.default}`", text.get(f.name, "")) for f in fields]
    return head("setting", "default", "meaning") + "".join(lines)


def presets(name: str) -> str:
    """What the preset `released` fixes for each dataset, where datasets differ."""
    found = {
        (task, quality): ALGORITHMS[name].preset(task, quality, "released")
        for task in TASKS
        for quality in QUALITIES
        if quality in TASKS[task].qualities
    }
    flat = {
        key: {"updates": p.updates} | dataclasses.asdict(p.backbone) | dataclasses.asdict(p.settings)
        for key, p in found.items()
    }
    first, *others = flat.values()
    names = [n for n in first if any(values[n] != first[n] for values in others)]
    lines = [row(f"{t} {q}", *(f"{values[n]:,}" for n in names)) for (t, q), values in flat.items()]
    usual = dataclasses.asdict(Backbone()) | dataclasses.asdict(ALGORITHMS[name].Settings())
    fixed = [n for n in usual if n not in names and first[n] != usual[n]]
    same = ", ".join(f"`{n} = {first[n]}`" for n in fixed)
    return head("dataset", *(f"`{n}`" for n in names)) + "".join(lines) + (same and f"\nFor all: {same}.\n")


def tasks(_: str) -> str:
    """Sizes and references of the tasks."""
    lines = [
        row(
            f"`{t.name}`",
            f"{t.title} ({t.abbreviation})",
            t.num_learners,
            t.num_agents - t.num_learners,
            t.obs_size,
            t.action_size,
            t.episode_length,
            t.references.random,
            t.references.expert,
        )
        for t in TASKS.values()
    ]
    names = ("task", "in the paper", "learners N", "preys", "observation O", "action A", "steps", "0", "100")
    return head(*names) + "".join(lines)


def published(_: str) -> str:
    """The paper's scores of every dataset."""
    lines, names = [], dict(zip(BASELINES, ("MA-ICQ", "MA-TD3+BC", "MA-CQL", "OMAR"), strict=True))
    for task in TASKS.values():
        for quality, figures in task.qualities.items():
            scores = (figures.scores[name] for name in names)
            cells = (f"{s.mean}" if s.std is None else f"{s.mean} ± {s.std}" for s in scores)
            lines.append(
                row(f"{task.name} {quality}", *cells, f"{figures.best.mean} ({figures.best.source})")
            )
    return head("dataset", *names.values(), "best since, decentralised") + "".join(lines)


def programs() -> dict[str, Any]:
    """The modules that are commands, by name."""
    names = [m.name + (".__main__" if m.ispkg else "") for m in pkgutil.iter_modules(omar.__path__)]
    folder = Path(omar.__file__).parent
    files = {n: folder / f"{n.replace('.', '/')}.py" for n in names if n != "__main__"}
    chosen = [n for n, f in files.items() if f.is_file() and '__name__ == "__main__"' in f.read_text("utf-8")]
    return {n.removesuffix(".__main__"): import_module(f"omar.{n}") for n in chosen}


def help_text(module: Any, words: list[str]) -> str:
    """What `--help` prints."""
    with redirect_stdout(io.StringIO()) as text, suppress(SystemExit):
        module.main([*words, "--help"])
    return re.sub(r"\x1b\[[\d;]*m", "", text.getvalue()).strip()


def commands(_: str) -> str:
    """A section for every command."""
    os.environ["COLUMNS"] = "100"
    text = ""
    for name, module in programs().items():
        for part in getattr(module, "COMMANDS", {"": None}):
            title = f"omar.{name} {part}".strip()
            text += f"## `python -m {title}`\n\n```text\n{help_text(module, part.split())}\n```\n\n"
    return text


def read(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Fills in the texts of a page."""
    makers = {f.__name__: f for f in (settings, presets, tasks, published, commands)}
    source[0] = MARK.sub(lambda m: makers[m[1]](m[2] or ""), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the texts."""
    app.connect("source-read", read, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
