"""The keyed permutation of the replay buffer in plain Python integers: slow and obvious."""

from __future__ import annotations

from oracles.philox import philox

MASK = 0xFFFFFFFF


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x85EBCA6B & MASK
    x ^= x >> 13
    x = x * 0xC2B2AE35 & MASK
    return x ^ (x >> 16)


def sample_rows(size: int, batch: int, seed: int, member: int, step: int) -> list[int]:
    """First `batch` values of the permutation of [0, size): Feistel rounds, repeated while out of range."""
    bits = (size - 1).bit_length()
    low_bits = (bits + 1) // 2
    high_bits = bits - low_bits
    rounds = {0: 8, 1: 48, 2: 24, 3: 16, 4: 16, 5: 16}.get(high_bits, 8)
    keys = [int(word) for draw in range(rounds // 4) for word in philox((draw, step, member, 2), seed)]
    rows = []
    for x in range(batch):
        while True:
            high, low = x >> low_bits, x & ((1 << low_bits) - 1)
            for r in range(0, rounds, 2):
                high ^= mix(low ^ keys[r]) & ((1 << high_bits) - 1)
                low ^= mix(high ^ keys[r + 1]) & ((1 << low_bits) - 1)
            x = high << low_bits | low
            if x < size:
                break
        rows.append(x)
    return rows
