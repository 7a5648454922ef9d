"""Importing against another torch than the build's gives one clear sentence."""

from importlib import metadata

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
