"""Attention over the tokens that are seen and no others, on a CPU.

    out[i, g] = sum over seen k of softmax_k(q[i, g] · key[k] * scale) value[k]

Tokens come in spans: the tokens of a span see the same ranges of earlier tokens, and of their own span what
comes before them. On a shelf of 20 lines that is a twentieth of all pairs. Keys and values of a span are
brought together once and widened to float32; four query rows at a time pass over them.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray

from malles.llm.lanes import (
    WIDTH,
    add,
    fill,
    keep_first,
    larger,
    largest,
    load,
    multiply,
    multiply_add,
    power_of_two,
    save,
    subtract,
    total,
)

ROWS = 4
"""Query rows per pass: two registers of keys and eight of sums."""
NOWHERE = np.float32(-1e30)


@njit(nogil=True, cache=True, error_model="numpy")
def attend(
    query: ndarray,
    keys: tuple[ndarray, ndarray],
    values: tuple[ndarray, ndarray],
    spans: ndarray,
    ranges: ndarray,
    room: int,
    asked: ndarray,
    width: int,
    scale: float,
    out: ndarray,
) -> None:
    """Write the attention of every asked token to out [token, heads * width].

    Args:
        query: [token, heads * width], rotated.
        keys: two tables [key heads * width, at least 16 tokens more than are used]: of tokens read earlier,
            and of these tokens.
        values: two tables [token, key heads * width] in the same order.
        spans: [span, 4]: first token, last token + 1, first and last + 1 row of `ranges`.
        ranges: [range, 3]: 0 for the earlier table and 1 for these tokens, first and last + 1 token.
        room: the most tokens that a token sees.
        asked: bool [token]; other rows of `out` may keep what they hold.
        width: numbers per head, a multiple of 32.
        scale: of the products.
        out: like `query`.
    """
    heads, shared = query.shape[1] // width, values[1].shape[1] // width
    group = heads // shared
    long = (room // WIDTH + 3) * WIDTH  # whole pairs of registers, and one written beyond
    k, v = np.zeros((width, long), np.float32), np.empty((long, width), np.float32)
    q, score = np.zeros((ROWS, width), np.float32), np.empty((ROWS, long), np.float32)
    mixed = np.empty((ROWS, width), np.float32)
    factor = fill(np.float32(scale * 1.4426950408889634))  # powers of two below
    for s in range(len(spans)):
        begin, end = spans[s, 0], spans[s, 1]
        if not asked[begin:end].any():
            continue
        rows = (end - begin) * group
        for head in range(shared):
            before = 0
            for r in range(spans[s, 2], spans[s, 3]):
                a, b = ranges[r, 1], ranges[r, 2]
                _gather(keys[ranges[r, 0]], values[ranges[r, 0]], head * width, a, b, k, v, before)
                before += b - a
            _gather(keys[1], values[1], head * width, begin, end, k, v, before)
            for first in range(0, rows, ROWS):
                last = min(first + ROWS, rows)
                if not asked[begin + first // group : begin + (last - 1) // group + 1].any():
                    continue
                for r in range(first, last):
                    row, column = query[begin + r // group], (head * group + r % group) * width
                    for d in range(0, width, WIDTH):
                        save(q[r - first], d, multiply(load(row, column + d), factor))
                seen = before + (last - 1) // group + 1
                _multiply(q, k, width, seen, score)
                for r in range(first, last):
                    _soften(score[r - first], before + r // group + 1, seen)
                _multiply(score, v, seen, width, mixed)
                for r in range(first, last):
                    row, column = out[begin + r // group], (head * group + r % group) * width
                    for d in range(0, width, WIDTH):
                        save(row, column + d, load(mixed[r - first], d))


@njit(nogil=True, cache=True, error_model="numpy")
def _gather(key: ndarray, value: ndarray, head: int, a: int, b: int, k: ndarray, v: ndarray, at: int) -> None:
    """Tokens a to b of one head go to columns of k and rows of v from `at` on; k gets up to 15 more."""
    width = k.shape[0]
    for d in range(width):
        row, to = key[head + d], k[d]
        for j in range(0, b - a, WIDTH):
            save(to, at + j, load(row, a + j))
    for i in range(a, b):
        row, to = value[i], v[at + i - a]
        for d in range(0, width, WIDTH):
            save(to, d, load(row, head + d))


@njit(nogil=True, cache=True, error_model="numpy")
def _multiply(row: ndarray, table: ndarray, depth: int, columns: int, out: ndarray) -> None:
    """Out[r, c] = sum over the first `depth` d of row[r, d] table[d, c], for at least `columns` columns."""
    r0, r1, r2, r3 = row[0], row[1], row[2], row[3]
    zero = fill(np.float32(0.0))
    for c in range(0, columns, 2 * WIDTH):
        a0, a1, a2, a3 = zero, zero, zero, zero
        b0, b1, b2, b3 = zero, zero, zero, zero
        for d in range(depth):
            x, y = load(table[d], c), load(table[d], c + WIDTH)
            f = fill(r0[d])
            a0, b0 = multiply_add(f, x, a0), multiply_add(f, y, b0)
            f = fill(r1[d])
            a1, b1 = multiply_add(f, x, a1), multiply_add(f, y, b1)
            f = fill(r2[d])
            a2, b2 = multiply_add(f, x, a2), multiply_add(f, y, b2)
            f = fill(r3[d])
            a3, b3 = multiply_add(f, x, a3), multiply_add(f, y, b3)
        save(out[0], c, a0)
        save(out[1], c, a1)
        save(out[2], c, a2)
        save(out[3], c, a3)
        save(out[0], c + WIDTH, b0)
        save(out[1], c + WIDTH, b1)
        save(out[2], c + WIDTH, b2)
        save(out[3], c + WIDTH, b3)


@njit(nogil=True, cache=True, error_model="numpy")
def _soften(score: ndarray, seen: int, count: int) -> None:
    """Softmax in base two over the first `seen` numbers; zero from there to `count`."""
    zero, nowhere = fill(np.float32(0.0)), fill(NOWHERE)
    top, weight = nowhere, zero
    for j in range(0, count, WIDTH):
        top = larger(keep_first(load(score, j), seen - j, nowhere), top)
    top = fill(largest(top))
    for j in range(0, count, WIDTH):
        power = keep_first(power_of_two(subtract(load(score, j), top)), seen - j, zero)
        save(score, j, power)
        weight = add(weight, power)
    share = fill(np.float32(1.0) / total(weight))
    for j in range(0, count, WIDTH):
        save(score, j, multiply(load(score, j), share))
