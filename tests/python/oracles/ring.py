"""A replay ring that writes one row at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class Ring:
    def __init__(self, capacity: int, fields: dict[str, tuple[int, ...]]) -> None:
        self.capacity = capacity
        self.rows = {name: np.zeros((capacity, *shape), np.float32) for name, shape in fields.items()}
        self.head = 0
        self.size = 0

    def extend(self, columns: dict[str, Array]) -> None:
        for i in range(len(next(iter(columns.values())))):
            for name, column in columns.items():
                self.rows[name][self.head] = column[i]
            self.head = (self.head + 1) % self.capacity
            self.size = min(self.size + 1, self.capacity)

    def columns(self) -> dict[str, Array]:
        order = [(self.head - self.size + i) % self.capacity for i in range(self.size)]
        return {name: rows[order] for name, rows in self.rows.items()}
