"""The compiled core runs only against the torch minor version that it was built with."""

from importlib import metadata


def check_torch() -> None:
    """Compares the installed torch with the one of the build, before the compiled module is loaded.

    Raises:
        ImportError: torch is missing, or of another minor version.
    """
    from ._build import TORCH_MINOR

    try:
        installed = metadata.version("torch")
    except metadata.PackageNotFoundError:
        raise ImportError(f"omar needs torch {TORCH_MINOR}, and no torch is installed") from None
    if ".".join(installed.split("+")[0].split(".")[:2]) != TORCH_MINOR:
        raise ImportError(
            f"omar was built against torch {TORCH_MINOR}, but torch {installed} is installed: "
            f"install torch=={TORCH_MINOR}.*, or build omar again with --no-build-isolation"
        )
