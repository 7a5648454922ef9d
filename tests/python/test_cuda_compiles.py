"""Every CUDA file compiles with nvcc alone (no torch header, no GPU), warnings as errors."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CPP = Path(__file__).resolve().parents[2] / "cpp"
SOURCES = sorted((CPP / "src").rglob("*_cuda.cu"))
ARCHITECTURES = ("80", "90", "120")


def find_nvcc() -> str | None:
    """On PATH, in CUDA_HOME, or in NVIDIA's wheels."""
    found = shutil.which("nvcc")
    if found:
        return found
    candidates = []
    if home := os.environ.get("CUDA_HOME"):
        candidates.append(Path(home) / "bin" / "nvcc")
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations or [] if spec else []:
        candidates += sorted(Path(root).glob("*/bin/nvcc"))
    return next((str(path) for path in candidates if path.is_file()), None)


def test_there_are_cuda_files() -> None:
    assert [source.name for source in SOURCES] == [
        "refit_cuda.cu",
        "draws_cuda.cu",
        "particle_cuda.cu",
        "replay_cuda.cu",
    ]


def test_no_torch_header() -> None:
    for source in SOURCES:
        text = source.read_text(encoding="utf-8")
        for header in ("<torch/", "<ATen/", "<c10/"):
            assert header not in text, f"{source.name} includes {header}"


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_cuda_file_compiles(source: Path, tmp_path: Path) -> None:
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc on PATH, in CUDA_HOME or in the nvidia-cuda-nvcc wheel")
    command = [
        nvcc,
        "-c",
        "-std=c++20",
        "-O1",
        "-Werror",
        "all-warnings",
        f"-I{CPP / 'include'}",
        f"-I{CPP / 'src'}",
    ]
    command += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHITECTURES]
    run = subprocess.run(
        [*command, str(source), "-o", str(tmp_path / "kernels.o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
