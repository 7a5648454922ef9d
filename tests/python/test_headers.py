"""Every public header compiles on its own, without a warning, with each compiler that omar supports."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

INCLUDE = Path(__file__).resolve().parents[2] / "cpp" / "include"
HEADERS = sorted(path.relative_to(INCLUDE).as_posix() for path in INCLUDE.rglob("*.h"))
COMPILERS = [compiler for compiler in ("g++", "clang++") if shutil.which(compiler)]


def test_there_are_headers_and_a_compiler() -> None:
    assert "omar/omar.h" in HEADERS
    assert COMPILERS


def test_the_contract_is_all_that_is_public() -> None:
    """Checks and locks are the core's own; vectors and layouts are in folders that say so."""
    for header in HEADERS:
        text = (INCLUDE / header).read_text(encoding="utf-8")
        assert "TORCH_CHECK" not in text, header
        assert "std::mutex" not in text, header
        if "/detail/" not in header:
            assert "kBlock" not in text, f"{header} shows a layout"
            assert header == "omar/core/pack.h" or "vector_size" not in text, f"{header} shows vectors"


def test_only_scenarios_of_programs_see_the_inside() -> None:
    """What everybody includes brings no kernels along."""
    for header in HEADERS:
        text = (INCLUDE / header).read_text(encoding="utf-8")
        if "/detail/" not in header and header not in ("omar/particle/scenario.h", "omar/core/pack.h"):
            assert "/detail/" not in text, f"{header} includes the inside"


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("header", HEADERS)
def test_header_compiles_alone(header: str, compiler: str, tmp_path: Path) -> None:
    source = tmp_path / "alone.cpp"
    source.write_text(f"#include <{header}>\n#include <{header}>\n", encoding="utf-8")
    torch_include = Path(torch.__file__).parent / "include"
    run = subprocess.run(
        [
            compiler,
            "-fsyntax-only",
            "-std=c++20",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
            f"-I{INCLUDE}",
            f"-isystem{torch_include}",
            str(source),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
