"""Columns as .npy files: opened without trusting what their headers say."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The first bytes of a .npy file in C order."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def open_npy(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file, memory-mapped and read-only.

    Raises:
        DatasetError: Not a .npy file of numbers, a damaged one, or one that cannot be read.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # numpy evaluates the header: tokenize, SyntaxError, TypeError, OverflowError
        raise DatasetError(f"{path} cannot be read as a .npy file: {first_line(error)}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise DatasetError(f"{path} cannot be read as a .npy file: it is an archive")
    return array


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut short; its type where it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
