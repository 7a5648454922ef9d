"""Importing against another torch than the build's gives one clear sentence."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

import omar
from omar._versions import check_torch


def test_versions() -> None:
    check_torch()
    assert omar.__version__ == metadata.version("omar")


def test_other_minor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "2.99.1+cpu")
    with pytest.raises(
        ImportError, match=r"built against torch 2\.\d+, but torch 2\.99\.1\+cpu is installed"
    ):
        check_torch()


def test_other_patch_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    minor = ".".join(torch.__version__.split(".")[:2])
    monkeypatch.setattr(metadata, "version", lambda _: f"{minor}.77")
    check_torch()


def test_missing_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(ImportError, match="no torch is installed"):
        check_torch()


def test_the_source_folder_says_what_to_do(tmp_path: Path) -> None:
    package = Path(__file__).parents[2] / "python" / "omar"
    no_builds = shutil.ignore_patterns("_build.py", "*.so", "__pycache__", "behaviors")
    shutil.copytree(package, tmp_path / "python" / "omar", ignore=no_builds)
    command = [sys.executable, "-S", "-c", "import omar"]
    done = subprocess.run(command, cwd=tmp_path / "python", capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"`pip install {tmp_path}` and start Python in another folder" in done.stderr.splitlines()[-1]
