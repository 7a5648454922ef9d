"""A table that becomes HTML or Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Field:
    """What stands in one place of a table."""

    text: str
    small: str = ""  # below the text, in one line or more, such as an interval
    link: str = ""  # where the number comes from
    strong: bool = False

    def html(self) -> str:
        """A `td`."""
        text = escape(self.text)
        if self.strong:
            text = f"<strong>{text}</strong>"
        if self.link:
            text = f'<a href="{escape(self.link)}">{text}</a>'
        small = f"<small>{escape(self.small)}</small>" if self.small else ""
        return f"<td>{text}{small}</td>"

    def plain(self) -> str:
        """The text and what stands below it."""
        return " ".join(f"{self.text} {self.small}".split())


@dataclass(slots=True)
class Sheet:
    """A table with a caption. The first column names the row."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: list[list[Field]] = field(default_factory=list)
    anchor: str = ""

    def add(self, *fields: Field | str) -> None:
        """Adds a row."""
        self.rows.append([Field(each) if isinstance(each, str) else each for each in fields])

    def html(self) -> str:
        """A table that scrolls sideways where the page is narrow."""
        head = "".join(f'<th scope="col">{escape(column)}</th>' for column in self.columns)
        body = "\n".join(self._row(row) for row in self.rows)
        anchor = f' id="{escape(self.anchor)}"' if self.anchor else ""
        return (
            f'<figure class="sheet"{anchor}><figcaption><b>{escape(self.title)}.</b> {escape(self.caption)}'
            f'</figcaption>\n<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div></figure>"
        )

    def _row(self, row: list[Field]) -> str:
        first, *rest = row
        name = first.html().removeprefix("<td>").removesuffix("</td>")
        return f'<tr><th scope="row">{name}</th>{"".join(each.html() for each in rest)}</tr>'

    def markdown(self) -> str:
        """A table of the kind that GitHub shows."""
        lines = [f"## {self.title}", "", self.caption, ""]
        lines.append("| " + " | ".join(self.columns) + " |")
        lines.append("|---" * len(self.columns) + "|")
        for row in self.rows:
            cells = (f"**{f.plain()}**" if f.strong else f.plain() for f in row)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines) + "\n"
