"""The reference of the C++ headers: doxygen reads them, breathe shows what it found.

`<!-- headers: FOLDER -->` in a page becomes the declarations of the headers of that folder, in their order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from sphinx.errors import ExtensionError

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

HEADERS = Path(__file__).parents[2] / "cpp" / "include"
MARK = re.compile(r"^<!-- headers: (\w+) -->$", re.MULTILINE)

# What doxygen reads of a header is edited first, line by line.
EDITS = (
    r"1,/^[^#/]/s/^\/\/\/.*//",  # `introduction` shows what a header says of itself
    r"s/^\( *\/\/\/\)   /\1       /",  # lines of code in comments
    r"s/\(\\throws [A-Za-z0-9_:]*\),/\1 or/",  # breathe shows one name of an exception
    # The namespace of an instruction level is inline: users never write its name.
    r"s/::inline OMAR_LEVEL//",
    's/inline namespace OMAR_LEVEL/extern "C++"/',
)

MEMBERS = (":members:", ":undoc-members:")

SETTINGS = {
    "INPUT": HEADERS,
    "RECURSIVE": "YES",
    "EXCLUDE_PATTERNS": "*/detail/*",
    "STRIP_FROM_PATH": HEADERS,
    "STRIP_FROM_INC_PATH": HEADERS,
    "INPUT_FILTER": '"sed ' + " ".join(f"-e '{edit}'" for edit in EDITS).replace('"', r"\"") + '"',
    "GENERATE_HTML": "NO",
    "GENERATE_LATEX": "NO",
    "GENERATE_XML": "YES",
    "XML_PROGRAMLISTING": "NO",
    "AUTOLINK_SUPPORT": "NO",  # "Step" in a sentence is a word
    "QUIET": "YES",
    "WARN_IF_UNDOCUMENTED": "NO",
    "WARN_IF_INCOMPLETE_DOC": "NO",
    "WARN_AS_ERROR": "FAIL_ON_WARNINGS",
    "MACRO_EXPANSION": "YES",
    "EXPAND_ONLY_PREDEF": "YES",
    # Marks of compilers and linkers are no part of a declaration.
    "PREDEFINED": 'OMAR_API= OMAR_HD= OMAR_INLINE=inline "__attribute__(x)="',
}


def run_doxygen(app: Sphinx, config: Config) -> None:
    """Writes the XML of the headers beside the site."""
    if shutil.which("doxygen") is None:
        raise ExtensionError("doxygen is not installed, and the reference of the C++ headers needs it")
    out = Path(app.outdir).parent / "doxygen"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    settings = "".join(
        f"{name} = {value}\n" for name, value in (SETTINGS | {"OUTPUT_DIRECTORY": out}).items()
    )
    done = subprocess.run(["doxygen", "-"], input=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExtensionError(f"doxygen refused the headers:\n{done.stderr}")
    config.breathe_projects = {"omar": str(out / "xml")}


def declarations(xml: Path, header: str) -> list[str]:
    """Directives that show what a header declares, in its order.

    Args:
        xml: Folder of doxygen's output.
        header: Name of the header in an `#include`.
    """
    found: list[tuple[int, str]] = []
    kinds = [
        root for kind in ("struct", "class") for path in xml.glob(f"{kind}*.xml") for root in compounds(path)
    ]
    for kind in kinds:
        if file_of(kind) == header:
            shown = directive(f"doxygen{kind.get('kind')}", kind.findtext("compoundname", ""), *MEMBERS)
            found.append((line_of(kind), shown))
    spaces = [root for path in xml.glob("namespace*.xml") for root in compounds(path)]
    members = [member for space in spaces for member in space.iter("memberdef")]
    overloads = Counter(qualified(member) for member in members if member.get("kind") == "function")
    for member in members:
        name = qualified(member)
        if overloads[name] > 1:
            name += member.findtext("argsstring", "")
        if file_of(member) == header:
            found.append((line_of(member), directive(f"doxygen{member.get('kind')}", name)))
    return [shown for _, shown in sorted(found)]


def compounds(path: Path) -> list[ElementTree.Element]:
    """The classes or namespaces that a file of doxygen's describes."""
    return ElementTree.parse(path).findall("compounddef")


def file_of(element: ElementTree.Element) -> str:
    """The header that declares something."""
    place = element.find("location")
    return "" if place is None else place.get("file", "")


def line_of(element: ElementTree.Element) -> int:
    """The line of a declaration."""
    place = element.find("location")
    return 0 if place is None else int(place.get("line", "0"))


def qualified(member: ElementTree.Element) -> str:
    """A member's name with its namespaces."""
    return member.findtext("qualifiedname") or member.findtext("name", "")


def directive(name: str, argument: str, *options: str) -> str:
    """A directive in Markdown."""
    return "\n".join((f"```{{{name}}} {argument}", *options, "```\n\n"))


def introduction(header: Path) -> str:
    """What a header says of itself before its first line of code, as Markdown."""
    words, code = "", False
    for line in header.read_text("utf-8").splitlines():
        if line.startswith("///"):
            text = line[3:].removeprefix(" ")
            if text.startswith("  ") != code:
                words, code = words + ("```\n\n" if code else "\n```cpp\n"), not code
            words += text.removeprefix("  ") + "\n"
        elif line and line != "#pragma once":
            break
    return words + ("```\n\n" if code else "\n")


def show_headers(app: Sphinx, folder: str) -> str:
    """A section for every header of a folder."""
    xml = Path(app.config.breathe_projects["omar"])
    text = ""
    for path in sorted((HEADERS / "omar" / folder).glob("*.h")):
        name = f"omar/{folder}/{path.name}"
        text += f"## `{name}`\n\n{introduction(path)}" + "".join(declarations(xml, name))
    return text


def read(app: Sphinx, _name: str, source: list[str]) -> None:
    """Fills in the headers of a page."""
    source[0] = MARK.sub(lambda m: show_headers(app, m[1]), source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Runs before breathe reads its settings."""
    app.connect("config-inited", run_doxygen, priority=100)
    app.connect("source-read", read, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
