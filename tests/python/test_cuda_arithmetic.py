"""Kernels that promise the same numbers on every device have no fused multiply-add, as on the CPU."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from test_cuda_compiles import find_nvcc

ROOT = Path(__file__).resolve().parents[2]
CPP = ROOT / "cpp"


def exact_kernels() -> list[str]:
    """The files that cpp/CMakeLists.txt lists after KERNELS, and not after CONTRACT."""
    call = re.search(
        r"omar_add_cuda\((.*?)\)", (CPP / "CMakeLists.txt").read_text(encoding="utf-8"), re.DOTALL
    )
    assert call is not None
    listed = re.search(r"\bKERNELS\b((?:\s+src/\S+)*)", call[1])
    assert listed is not None
    return listed[1].split()


def test_the_exact_kernels_are_those_of_worlds_minibatches_and_draws() -> None:
    names = {Path(kernel).name for kernel in exact_kernels()}
    assert {"particle_cuda.cu", "replay_cuda.cu"} <= names
    assert "refit_cuda.cu" not in names
    assert any(name.startswith("draw") for name in names)
    rule = (ROOT / "cmake" / "OmarCuda.cmake").read_text(encoding="utf-8")
    assert "set_source_files_properties(${ARG_KERNELS} PROPERTIES COMPILE_OPTIONS -fmad=false)" in rule


@pytest.mark.slow
@pytest.mark.parametrize("kernel", exact_kernels())
def test_an_exact_kernel_has_no_fused_multiply_add(kernel: str, tmp_path: Path) -> None:
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("no nvcc on PATH, in CUDA_HOME or in the nvidia-cuda-nvcc wheel")
    out = tmp_path / "kernels.ptx"
    includes = [f"-I{CPP / 'include'}", f"-I{CPP / 'src'}"]
    options = ["-ptx", "-std=c++20", "-O1", "-arch=sm_80", "-fmad=false", *includes]
    run = subprocess.run(
        [nvcc, *options, str(CPP / kernel), "-o", str(out)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    text = out.read_text(encoding="utf-8")
    assert ".entry" in text
    assert not re.search(r"\bfma\.", text)
