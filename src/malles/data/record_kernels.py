"""The record splitter: one pass over the bytes of a delimited file that an unclosed quote cannot lead
astray.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray

GOOD, ODD, BLANK, UNCLOSED, AFTER_QUOTE, TOO_FEW, TOO_MANY, NUL, NOT_UTF8 = range(9)

_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@njit(cache=True)
def _scan(raw: ndarray, start: int, delimiter: int, reach: int) -> tuple:
    """One record from `start`: (end, next start, fields, status, physical lines)."""
    n = len(raw)
    at, fields, lines, odd = start, 1, 1, False
    while True:
        if at < n and raw[at] == _QUOTE:
            at += 1
            while True:
                if at >= n or (lines > 1 and at - start > reach):
                    return at, at, fields, UNCLOSED, lines
                if raw[at] == _QUOTE:
                    if at + 1 < n and raw[at + 1] == _QUOTE:
                        at += 2
                        continue
                    at += 1
                    break
                if raw[at] == _NEWLINE:
                    lines += 1
                at += 1
            if at < n and raw[at] == _RETURN and (at + 1 == n or raw[at + 1] == _NEWLINE):
                at += 1
            if at < n and raw[at] != delimiter and raw[at] != _NEWLINE:
                return at, at, fields, AFTER_QUOTE, lines
        else:
            while at < n and raw[at] != delimiter and raw[at] != _NEWLINE:
                if raw[at] == _QUOTE:
                    odd = True
                at += 1
        if at >= n:
            return n, n, fields, ODD if odd else GOOD, lines
        if raw[at] == _NEWLINE:
            end = at - 1 if at > start and raw[at - 1] == _RETURN else at
            return end, at + 1, fields, ODD if odd else GOOD, lines
        fields += 1
        at += 1


@njit(cache=True)
def split_bytes(
    raw: ndarray, begin: int, first_line: int, delimiter: int, fields: int, reach: int, bound: int
) -> tuple:
    """Records from `begin` on: start, end, first line, physical lines, status, whether any byte is above
    127.
    """
    n = len(raw)
    starts = np.empty(bound, np.int64)
    ends = np.empty(bound, np.int64)
    firsts = np.empty(bound, np.int64)
    lengths = np.empty(bound, np.int64)
    status = np.empty(bound, np.uint8)
    high = np.zeros(bound, np.bool_)
    count, at, line = 0, begin, first_line
    while at < n:
        end, following, found, state, lines = _scan(raw, at, delimiter, reach)
        if state in (UNCLOSED, AFTER_QUOTE) or (lines > 1 and found != fields):
            # only the line with the opening quote is refused; reading resumes on the next line
            if lines > 1:
                state = UNCLOSED
            end = at
            while end < n and raw[end] != _NEWLINE:
                end += 1
            following = end + 1
            if end > at and raw[end - 1] == _RETURN:
                end -= 1
            lines = 1
        blank = True
        nul = False
        for i in range(at, end):
            byte = raw[i]
            if byte == 0:
                nul = True
            if byte > 127:
                high[count] = True
            if byte not in (32, 9, _RETURN):
                blank = False
        if blank:
            state = BLANK
        elif nul:
            state = NUL
        elif state in (GOOD, ODD) and found < fields:
            state = TOO_FEW
        elif state in (GOOD, ODD) and found > fields:
            state = TOO_MANY
        starts[count], ends[count], firsts[count], lengths[count], status[count] = at, end, line, lines, state
        count += 1
        line += lines
        at = following
    return starts[:count], ends[:count], firsts[:count], lengths[:count], status[:count], high[:count]
