"""Links in files that pages include: to a page where one shows the file, and to text where none does."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]

# Pages that show a file of the repository, by its path.
PAGES = {
    "README.md": "docs/index.md",
    "CHANGELOG.md": "docs/reference/changelog.md",
    "CONTRIBUTING.md": "docs/guide/extending.md",
    "benchmarks/README.md": "docs/guide/benchmarks.md",
}
HEADER = re.compile(r"cpp/include/omar/(\w+)/.*")  # is on the page of its folder
LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s:#]+)\)")


def mended(text: str, *, written_in: str, shown_in: str) -> str:
    """The text of a file with its links as seen from a page.

    Args:
        text: Markdown.
        written_in: Folder of the file, from the root of the repository; its links start there.
        shown_in: Folder of the page.
    """

    def replace(match: re.Match[str]) -> str:
        label, target = match.groups()
        path = posixpath.normpath(posixpath.join(written_in, target))
        path = HEADER.sub(r"docs/reference/cpp/\1.md", PAGES.get(path, path))
        if not path.startswith("docs/"):
            return label if label.strip("`") == path else f"{label} (`{path}`)"
        return f"[{label}]({posixpath.relpath(path, shown_in)})"

    return LINK.sub(replace, text)


def read_page(_app: Sphinx, name: str, source: list[str]) -> None:
    """Mends the links of a page that lead out of the site's folder."""
    folder = posixpath.join("docs", posixpath.dirname(name))
    source[0] = mended(source[0], written_in=folder, shown_in=folder)


def read_included(app: Sphinx, path: Path, parent: str, source: list[str]) -> None:
    """Mends the links of an included file; `path` starts at the site's folder."""
    folder = (Path(app.srcdir) / path).resolve().parent.relative_to(ROOT).as_posix()
    source[0] = mended(
        source[0], written_in=folder, shown_in=posixpath.join("docs", posixpath.dirname(parent))
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers both."""
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
