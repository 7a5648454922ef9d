"""The compiled core runs only against the torch minor version that it was built with."""

from importlib import metadata
from pathlib import Path


def check_torch() -> None:
    """Compares the installed torch with the one of the build, before the compiled module is loaded.

    Raises:
        ImportError: torch is missing, or of another minor version; or these are sources without a core.
    """
    try:
        from ._build import TORCH_MINOR
    except ModuleNotFoundError:
        here = Path(__file__).parent
        folder = here.parents[1]
        raise ImportError(
            f"{here} holds the sources of omar, and its compiled core is elsewhere or missing: "
            f"run `pip install {folder}` and start Python in another folder, or `pip install -e {folder}`"
        ) from None
    try:
        installed = metadata.version("torch")
    except metadata.PackageNotFoundError:
        raise ImportError(f"omar needs torch {TORCH_MINOR}, and no torch is installed") from None
    if ".".join(installed.split("+")[0].split(".")[:2]) != TORCH_MINOR:
        raise ImportError(
            f"omar was built against torch {TORCH_MINOR}, but torch {installed} is installed: "
            f"install torch=={TORCH_MINOR}.*, or build omar again with --no-build-isolation"
        )
