"""Philox4x32-10 and Box-Muller in numpy, written from the papers: slow and obvious."""

import numpy as np

MASK = np.uint64(0xFFFFFFFF)


def philox(counter, key):
    """Counter words (4 arrays or ints) and a 64-bit key -> 4 arrays of uint32."""
    c = [np.asarray(x, dtype=np.uint64) & MASK for x in counter]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        hi0, lo0, hi1, lo1 = p0 >> np.uint64(32), p0 & MASK, p1 >> np.uint64(32), p1 & MASK
        c = [hi1 ^ c[1] ^ np.uint64(k0), lo1, hi0 ^ c[3] ^ np.uint64(k1), lo0]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [x.astype(np.uint32) for x in c]


def candidate_words(seed, stream, step, shape):
    """Word k % 4 of the block at (b + 2^24 floor(k / 4), step, m, stream + 2^8 d), and its pair.

    Returns the words [M, B, K, A] and the two words of the Box-Muller pair they belong to.
    """
    m, b, k, d = np.indices(shape)
    words = np.stack(philox((b + (k // 4) * 2**24, step, m, stream + d * 256), seed))
    at = lambda j: np.take_along_axis(words, j[None], axis=0)[0]  # noqa: E731
    return at(k % 4), at(k % 4 // 2 * 2), at(k % 4 // 2 * 2 + 1)


def uniforms(seed, stream, step, shape):
    """Uniform in [-1, 1)."""
    word, _, _ = candidate_words(seed, stream, step, shape)
    return (word >> 8) * 2.0**-24 * 2.0 - 1.0


def row_words(seed, stream, step, shape):
    """Word j % 4 of the block at (floor(j / 4), step, n, stream) for number j of row n, and its pair."""
    n, j = np.indices((shape[0], int(np.prod(shape[1:]))))
    words = np.stack(philox((j // 4, step, n, stream), seed))
    at = lambda i: np.take_along_axis(words, i[None], axis=0)[0].reshape(shape)  # noqa: E731
    return at(j % 4), at(j % 4 // 2 * 2), at(j % 4 // 2 * 2 + 1), (j % 2).reshape(shape)


def row_uniforms(seed, stream, step, shape):
    """Uniform in [-1, 1)."""
    return (row_words(seed, stream, step, shape)[0] >> 8) * 2.0**-24 * 2.0 - 1.0


def row_normals(seed, stream, step, shape):
    """Standard normals."""
    _, first, second, odd = row_words(seed, stream, step, shape)
    return box_muller(first, second, odd)


def normals(seed, stream, step, shape):
    """Standard normals of candidates."""
    _, first, second = candidate_words(seed, stream, step, shape)
    return box_muller(first, second, np.indices(shape)[2] % 2)


def box_muller(first, second, odd):
    """Pairs (r cos t, r sin t), u in (0, 1], the quadrant of t in the two top bits."""
    u = ((first >> 8).astype(np.float64) + 1.0) * 2.0**-24
    fraction = (((second << np.uint32(2)) >> np.uint32(9)).astype(np.float64) - 2**22) * 2.0**-23
    angle = ((second >> 30).astype(np.float64) + fraction) * np.pi / 2
    return np.sqrt(-2.0 * np.log(u)) * np.where(odd == 0, np.cos(angle), np.sin(angle))
