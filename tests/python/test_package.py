"""The installed package as other builds see it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import omar
from cpp_cases import ROOT, cmake_prefix, run

READELF = shutil.which("readelf")


def test_imports_inside_the_package_are_relative():
    """One way of importing; no rule of the linter asks for this one."""
    absolute = re.compile(r"^\s*(import omar\b|from omar\b)", re.MULTILINE)
    modules = list((ROOT / "python" / "omar").rglob("*.py"))
    assert len(modules) > 50
    assert [str(path) for path in modules if absolute.search(path.read_text(encoding="utf-8"))] == []


def test_cmake_prefix_holds_the_config_file():
    core, torch = cmake_prefix().split(";")
    assert (Path(core) / "lib" / "cmake" / "omar" / "omar-config.cmake").is_file()
    assert (Path(torch) / "include" / "ATen" / "core" / "Tensor.h").is_file()


@pytest.mark.skipif(READELF is None, reason="needs readelf")
def test_the_core_brings_torchs_cuda_backend():
    core = Path(cmake_prefix().split(";")[0])
    (library,) = (core / "lib").glob("libomar.so*")
    dynamic = run(READELF, "-d", library)
    assert "[libtorch.so]" in dynamic
    assert f"soname: [{library.name}]" in dynamic
    assert library.name == "libomar.so." + ".".join(omar.__version__.split(".")[:2])


def test_version_and_help():
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run(sys.executable, "-m", "omar", "--version"))
    assert "--cmake-prefix" in run(sys.executable, "-m", "omar")


def test_installed_cmake_files_name_no_absolute_path():
    core = Path(cmake_prefix().split(";")[0])
    for path in (core / "lib" / "cmake" / "omar").iterdir():
        text = path.read_text()
        assert str(ROOT) not in text
        assert not re.search(r"[\"; ]/(?:home|root|tmp|usr|opt|var)/", text), path


def test_vector_math_is_settled_before_any_thread_needs_it() -> None:
    """MKL's first calls race (pytorch/pytorch#188792): they must happen on import, on one element each."""
    script = """
import torch
sizes = {}
def watched(name, original):
    def call(x, *more, **named):
        sizes.setdefault((name, x.dtype, x.device.type), x.numel())
        return original(x, *more, **named)
    return call
for name in ("cos", "erf", "exp", "log", "sin", "sqrt", "tanh"):
    setattr(torch, name, watched(name, getattr(torch, name)))
torch.set_default_device("meta")  # which must not send the calls elsewhere
import omar
assert len(sizes) == 14 and set(sizes.values()) == {1}, sizes
assert {device for _, _, device in sizes} == {"cpu"}, sizes
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_level_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from omar import _core; _core.cpu_level()"],
        env=os.environ | {"OMAR_CPU_LEVEL": "sse9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert 'OMAR_CPU_LEVEL must be base, avx2, avx512, bf16 or amx, got "sse9"' in done.stderr
