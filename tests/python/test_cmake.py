"""The CMake package: programs that link the core, and what its builds ask for."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from cpp_cases import CMAKE, ROOT, build, cmake_prefix, refused, run
from data_cases import some_policy
from omar import load_policy
from omar.behaviors.policy_file import save_policies

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CMAKE is None, reason="needs cmake")]

READELF = shutil.which("readelf")
CONSUMER = ROOT / "tests" / "consumer"
TORCH = Path(torch.__file__).parent


def configure(folder: Path, *options: str) -> str:
    """What a configuration of the consumer that fails says."""
    return refused(CMAKE or "", "-S", CONSUMER, "-B", folder, *options, TORCH_DIR="")


@pytest.mark.parametrize("compiler", [c for c in ("g++", "clang++") if shutil.which(c)])
def test_a_program_acts_as_python_does(tmp_path: Path, compiler: str) -> None:
    """It links the installed core and never sees Python."""
    program = build("tests/consumer", tmp_path, f"-DCMAKE_CXX_COMPILER={compiler}") / "consumer"
    assert re.fullmatch(r"level (base|avx2|avx512|bf16|amx)\n", run(program))
    if READELF is not None:  # torch's CUDA backend comes with libtorch.so, although no symbol of it is used
        assert "[libtorch.so]" in run(READELF, "-d", program)
    for task in ("simple_spread", "simple_tag"):
        file = tmp_path / f"{task}.safetensors"
        save_policies(file, [some_policy(task)])
        policy = load_policy(file)
        count = 2 * policy.agents * policy.obs_size
        observations = torch.tensor([math.sin(i) for i in range(count)])
        expected = policy(observations.reshape(2, policy.agents, policy.obs_size)).flatten()
        found = torch.tensor([float(line) for line in run(program, file).splitlines()[1:]])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert "is not a whole safetensors file: it has fewer than 8 bytes" in refused(program, os.devnull)


def test_the_embed_example_runs(tmp_path: Path) -> None:
    program = build("cpp/examples/embed", tmp_path) / "embed"
    text = r"12800 transitions, mean reward [\d.e+-]+\nactions \[3, 64, 2\].*\n"
    assert re.fullmatch(text, run(program))


def copied_package(folder: Path) -> Path:
    """The CMake files of the installed core, away from any LibTorch."""
    core = Path(cmake_prefix().split(";")[0])
    shutil.copytree(core / "lib", folder / "omar" / "lib")
    (folder / "omar" / "include").mkdir()
    return folder / "omar"


def torch_folder(folder: Path, version: str) -> Path:
    """What looks like a LibTorch of another version."""
    major, minor = version.split(".")
    for name, text in (
        ("ATen/core/Tensor.h", ""),
        (
            "torch/headeronly/version.h",
            f"#define TORCH_VERSION_MAJOR {major}\n\n#define TORCH_VERSION_MINOR {minor}\n",
        ),
    ):
        file = folder / "include" / name
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    return folder


def test_what_a_package_misses_is_one_sentence(tmp_path: Path) -> None:
    prefix = f"-DCMAKE_PREFIX_PATH={copied_package(tmp_path)}"
    other = torch_folder(tmp_path / "other", "2.99")
    minor = ".".join(torch.__version__.split(".")[:2])
    assert "LibTorch was not found: pass -DTORCH_DIR=FOLDER" in configure(tmp_path / "a", prefix)
    assert f"this omar was built with torch {minor}, but {other} is torch 2.99" in configure(
        tmp_path / "b", prefix, f"-DTORCH_DIR={other}"
    )
    assert f"TORCH_DIR is {tmp_path}, but there is no LibTorch" in configure(
        tmp_path / "c", prefix, f"-DTORCH_DIR={tmp_path}"
    )
    message = configure(tmp_path / "d", prefix, f"-DTORCH_DIR={TORCH}", "-DOMAR_REQUIRED=0.2")
    assert 'compatible with requested version "0.2"' in message
    run(CMAKE or "", "-S", CONSUMER, "-B", tmp_path / "e", prefix, f"-DTORCH_DIR={TORCH}")


def tools_without_python(folder: Path) -> dict[str, str]:
    """An environment whose PATH holds a compiler and no Python."""
    folder.mkdir()
    for name in ("c++", "g++", "gcc", "cc", "as", "ld", "ar", "ranlib", "make", "nm", "strip", "uname"):
        if found := shutil.which(name):
            (folder / name).symlink_to(Path(found).resolve())
    for name in ("python", "python3", "python3.11"):
        script = folder / name
        script.write_text(f"#!/bin/sh\necho asked >{folder}/asked\nexit 1\n", encoding="utf-8")
        script.chmod(0o755)
    launchers = {f"CMAKE_{language}_COMPILER_LAUNCHER": "" for language in ("C", "CXX")}
    return {"PATH": str(folder), "CXX": "", "TORCH_DIR": "", **launchers}


def real_cmake() -> str | None:
    """A CMake that is a program: the one of PyPI starts with a script of Python."""
    assert CMAKE is not None
    try:
        import cmake
    except ImportError:
        return CMAKE
    return str(Path(cmake.CMAKE_BIN_DIR) / "cmake")


@pytest.mark.parametrize("option", [f"-DTORCH_DIR={TORCH}", f"-DCMAKE_PREFIX_PATH={TORCH.parent}"])
def test_the_core_alone_asks_no_python(tmp_path: Path, option: str) -> None:
    tools = tools_without_python(tmp_path / "tools")
    options = [
        "-G",
        "Unix Makefiles",
        "-DOMAR_BUILD_PYTHON=OFF",
        "-DOMAR_CUDA=OFF",
        "-DCMAKE_DISABLE_FIND_PACKAGE_Python=ON",
    ]
    text = run(real_cmake() or "", "-S", ROOT, "-B", tmp_path / "build", *options, option, **tools)
    assert f"in {TORCH}" in text
    assert not (tmp_path / "tools" / "asked").exists()


def test_the_core_alone_says_what_it_needs(tmp_path: Path) -> None:
    command = (CMAKE or "", "-S", ROOT, "-B", tmp_path / "build", "-DOMAR_BUILD_PYTHON=OFF")
    clean = {"TORCH_DIR": "", "CMAKE_PREFIX_PATH": ""}
    assert "omar needs LibTorch >= 2.13: pass -DTORCH_DIR=FOLDER" in refused(*command, **clean)
    old = torch_folder(tmp_path / "old", "2.12")
    assert f"omar needs torch >= 2.13, found 2.12 in {old}" in refused(
        *command, f"-DTORCH_DIR={old}", **clean
    )


def test_a_project_can_build_the_core_itself(tmp_path: Path) -> None:
    """FetchContent: without the bindings and without rules of installation."""
    run(CMAKE or "", "-S", CONSUMER, "-B", tmp_path, f"-DOMAR_SOURCE={ROOT}", f"-DTORCH_DIR={TORCH}")
    cache = (tmp_path / "CMakeCache.txt").read_text(encoding="utf-8")
    assert "OMAR_BUILD_PYTHON:BOOL=OFF" in cache
    assert "OMAR_INSTALL:BOOL=OFF" in cache
    assert sys.executable not in cache
