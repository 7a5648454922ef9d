"""Docstrings as autodoc reads them: Markdown's code, tables and fences become reStructuredText.

Fields that a class describes in the comment at the end of their line get that comment as their docstring.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Any, get_type_hints

from omar import TrainConfig
from omar.offline.runs import train

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx

SECTION = re.compile(r"(Args|Raises|Attributes):$")
FENCE = re.compile(r"\s*```(\w*)$")
CODE = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([\\*|]|_(?!\w))")
SHORT = re.compile(r"(Args|Raises): +(\S.*)$")
RESULT = re.compile(r"(Returns|Yields):(.*)$")
LETTER = re.compile(r"(^\s*|: )([A-Za-z])\.(?= |$)")  # "E." alone would begin a list
KEPT: dict[str, list[str]] = {}  # docstrings of attributes that napoleon has yet to see


def escaped(line: str) -> str:
    """A line whose stars and bars outside of code are only that."""
    parts = CODE.split(line)
    text = "".join(part if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))
    return LETTER.sub(r"\1\\\2.", text)


def table(rows: list[str]) -> Iterator[str]:
    """The lines of a list table from those of a Markdown table."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (rows[0], *rows[2:]):
        for i, cell in enumerate(row.strip().strip("|").split(" | ")):
            yield f"   {'* -' if i == 0 else '  -'} {escaped(cell.strip().strip('|'))}".rstrip()
    yield ""


def converted(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, converted."""
    in_section, position = False, 0
    while position < len(lines):
        line = lines[position]
        fence = FENCE.match(line)
        inside = []
        if fence:
            position += 1
            while not FENCE.match(lines[position]):
                inside.append(lines[position])
                position += 1
            position += 1
            yield from ("", f".. code-block:: {fence[1] or 'text'}", "", *(f"   {x}" for x in inside), "")
        elif line.startswith("|"):
            while position < len(lines) and lines[position].startswith("|"):
                inside.append(lines[position])
                position += 1
            yield from ("", *table(inside))
        elif line.startswith("    ") and not in_section:
            while position < len(lines) and (lines[position].startswith("    ") or not lines[position]):
                inside.append(lines[position])
                position += 1
            yield from ("", ".. code-block:: text", "", *inside, "")
        else:
            in_section = bool(SECTION.match(line)) or (in_section and (line.startswith(" ") or not line))
            short, result = SHORT.match(line), RESULT.match(line)
            if short:
                yield from (f"{short[1]}:", f"    {escaped(short[2])}")
                in_section = True
            elif result:  # napoleon would take the words before a colon for a type
                yield from ("", f":{result[1].lower()}: {escaped(result[2].strip())}".rstrip())
                in_section = True
            else:
                yield escaped(line)
            position += 1


def comment_of(name: str) -> str | None:
    """The comment at the end of a field's line; `name` is the field's full name."""
    owner, _, field = name.rpartition(".")
    module, _, class_name = owner.rpartition(".")
    kind = getattr(sys.modules.get(module), class_name, None)
    if not inspect.isclass(kind):
        return None
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return None
    found = re.search(rf"^    {re.escape(field)}\b.*?  # (.+)$", source, re.MULTILINE)
    return None if found is None else found[1].partition("# noqa")[0].strip()


def process(_app: Sphinx, what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Converts one docstring in place."""
    comment = comment_of(name) if what in ("attribute", "property") else None
    if comment:
        lines[:] = [comment]
    if name == "omar.train":  # a module that can be called
        lines[:] = (inspect.getdoc(train) or "").splitlines()
    lines[:] = converted(lines)
    if what in ("attribute", "property"):
        KEPT[name] = lines[:]


def restore(_app: Sphinx, _what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Undoes what napoleon does to attributes: it takes the words before a colon for a type."""
    lines[:] = KEPT.pop(name, lines)


def plain_defaults(*event: Any) -> tuple[str | None, str | None]:
    """A signature that can be parsed: all that `<factory>` stands for are empty dicts."""
    signature, result = event[-2:]
    return signature and signature.replace("<factory>", "{}"), result


def setup(app: Sphinx) -> dict[str, Any]:
    """Runs before and after napoleon, which takes the sections apart."""
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
    app.connect("autodoc-process-signature", plain_defaults)
    TrainConfig.__annotations__ = get_type_hints(TrainConfig)  # without tyro's notes
    TrainConfig.__init__.__annotations__ = get_type_hints(TrainConfig.__init__)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
