"""What results owe to threads: bounding them, and a race of the vector math library that torch brings."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


VECTOR_MATH = ("cos", "erf", "exp", "log", "sin", "sqrt", "tanh")


def settle_vector_math() -> None:
    """Lets MKL choose its elementwise kernels on one thread, once.

    It chooses the kernel of each function at the first call. Where several threads of torch make that call
    together, one of them may get a kernel of lower accuracy for its part (pytorch/pytorch#188792), and the
    same training would now and then start from other bits.
    """
    for dtype in (torch.float32, torch.float64):
        one = torch.ones(1, dtype=dtype, device="cpu")
        for name in VECTOR_MATH:
            getattr(torch, name)(one)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, then as many as before.

    For small work, whose threads would mostly wait for each other, and for bytes that must not depend on the
    number of threads, as sums of a matrix product may.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
