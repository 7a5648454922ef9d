"""The pages of the documentation: their Python runs, their commands parse, and nothing is left out."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import tyro

import omar.data
from omar.algorithms import ALGORITHMS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *sorted(DOCS.rglob("*.md")),
    )
}
PROGRAMS = ("cmake", "ctest", "pip", "pre-commit", "pytest", "python", "sphinx-build")
BUILT = r"^(?:\w+=\S+ )*(?:\./)?build\S*/\S+.*$"  # lines that call what the block has built
RECORD, WORD = "\x1e", "\x1f"

# What stands for the programs of a shell block: it writes down how it was called.
STAND_IN = f"""#!/bin/bash
printf '%s{WORD}' "${{0##*/}}" "$@" >> "$CALLS"; printf '{RECORD}' >> "$CALLS"
if [ "${{1-}} ${{2-}}" = "-m venv" ]; then mkdir -p "$3/bin"; touch "$3/bin/activate"; fi
"""


@dataclass(frozen=True)
class Block:
    """A fenced block. `mark` is the comment above it: "run" of shell, "not run: REASON" of Python."""

    language: str
    mark: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    text = PAGES[page].read_text(encoding="utf-8")
    fence = re.compile(r"^(?:<!-- ((?:not )?run\b.*?) -->\n+)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [Block(m[2], m[1] or "", m[3], text.count("\n", 0, m.start(3)) + 1) for m in fence.finditer(text)]


def with_blocks(language: str) -> list[str]:
    return [page for page in PAGES if any(block.language == language for block in blocks(page))]


def calls(text: str, folder: Path) -> list[list[str]]:
    """The calls of programs in a shell block, which bash runs with stand-ins for all of them."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name in PROGRAMS:
        program = bin_folder / name
        program.write_text(STAND_IN)
        program.chmod(0o755)
    record = folder / "calls"
    record.write_text("")
    known = re.sub(BUILT, "", text, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-eu", "-c", known],
        cwd=folder,
        env={"PATH": f"{bin_folder}:/usr/bin:/bin", "CALLS": str(record), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [entry.split(WORD)[:-1] for entry in record.read_text().split(RECORD)[:-1]]


class Parsed(BaseException):
    """The options are read, and nothing is done with them."""


def main_of(module: str):
    name = module if module != "omar.data" else "omar.data.__main__"
    return import_module(name if name != "omar" else "omar.__main__").main


def parse(call: list[str], monkeypatch) -> None:
    """Refuses a call that its program would refuse for its options; only omar's commands are known here."""
    program, *words = call
    if program != "python":
        return
    if words[0] == "-c":
        compile(words[1], "<shell>", "exec")
        return
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file(), f"there is no {words[0]}"
        return
    if not words[1].startswith("omar"):
        return
    real = tyro.cli

    def parse_alone(*arguments, **options):
        real(*arguments, **options)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(tyro, "cli", parse_alone)
        try:
            status = main_of(words[1])(words[2:])
        except Parsed:
            return
        except SystemExit as done:  # --help, or a usage error
            status = done.code
    assert status == 0, f"refused: {shlex.join(call)}"


@pytest.fixture(scope="module")
def data_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def folder(tmp_path, data_home, monkeypatch):
    """A user's folder: empty, and the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMAR_HOME", str(data_home))
    return tmp_path


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_commands_are_parsed(page, folder, monkeypatch):
    for block in blocks(page):
        if block.language == "sh":
            for call in calls(block.text, folder):
                parse(call, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.mark or b.language == "python" for b in blocks(p))]
)
def test_blocks_run_in_order(page, folder):
    """Python of a page shares its names; shell that is marked as such runs in between."""
    names = {}
    for block in blocks(page):
        where = f"{page}, line {block.line}"
        if block.language == "python":
            # Lines as in the page, so that a traceback leads there.
            code = compile("\n" * (block.line - 1) + block.text, str(PAGES[page]), "exec")
            if not block.mark:
                exec(code, names)
            else:
                assert block.mark.startswith("not run: "), f"{where}: say why it is not run"
        elif block.mark:
            assert (block.language, block.mark) == ("sh", "run"), f"{where}: unknown mark"
            for program, *words in calls(block.text, folder):
                assert (program, words[0]) == ("python", "-m"), f"{where}: only omar's commands are run"
                assert main_of(words[1])(words[2:]) == 0, f"{where}: {shlex.join(words)}"


def test_a_wrong_option_is_found(folder, monkeypatch):
    """The tests above would see it."""
    (call,) = calls("python -m omar.train --updats 3\n", folder)
    with pytest.raises(AssertionError, match=r"refused: python -m omar\.train --updats 3"):
        parse(call, monkeypatch)
    with pytest.raises(AssertionError, match="refused"):
        parse(["python", "-m", "omar.data", "info", "--quality", "best"], monkeypatch)
    with pytest.raises(AssertionError, match=r"there is no tests/gone\.py"):
        parse(["python", "tests/gone.py"], monkeypatch)


def test_stand_ins_see_what_a_shell_makes_of_a_block(folder):
    text = 'for task in a b; do\n  python -m omar.data info \\\n    --task $task "x y"  # words\ndone\n'
    assert calls(text, folder) == [
        ["python", "-m", "omar.data", "info", "--task", task, "x y"] for task in ("a", "b")
    ]


def test_every_algorithm_has_a_page_of_equations():
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "algorithms").glob("*.md")}
    assert pages.keys() - {"index"} == set(ALGORITHMS)
    for name in ALGORITHMS:
        assert f"<!-- settings: {name} -->" in pages[name]
        assert "$$" in pages[name]


def test_every_folder_of_headers_has_a_page():
    folders = {path.name for path in (ROOT / "cpp" / "include" / "omar").iterdir() if path.is_dir()}
    pages = {path.stem for path in (DOCS / "reference" / "cpp").glob("*.md")} - {"index"}
    assert pages == folders
    for name in pages:
        assert f"<!-- headers: {name} -->" in (DOCS / "reference" / "cpp" / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize(
    "package", [omar, omar.envs, omar.data, omar.cem], ids=lambda package: package.__name__
)
def test_every_public_name_is_in_the_reference(package):
    said = "\n".join(p.read_text(encoding="utf-8") for p in (DOCS / "reference" / "python").glob("*.md"))
    names = getattr(package, "__all__", None) or [
        name for name, value in vars(package).items() if getattr(value, "__module__", "") == package.__name__
    ]
    public = [name for name in names if not name.startswith("_") and name not in ("cem", "envs", "nets")]
    missing = [
        name for name in public if not re.search(rf":: {package.__name__}\.{name}$", said, re.MULTILINE)
    ]
    assert missing == []


def test_pages_link_to_files_that_are_there():
    for page, path in PAGES.items():
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", text):
            drawn = "pictures" in target  # when the site is built
            assert drawn or (path.parent / target).exists(), f"{page} links to {target}, which is not there"
