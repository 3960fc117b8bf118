"""Element-wise arithmetic on bfloat16 in one pass over memory, for scoring on a CPU.

A bfloat16 number is the upper half of a float32: arrays come as uint16, are widened in a row buffer that
stays in the first cache, and are rounded to nearest even on the way out.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True, nogil=True, fastmath=True)
def normalise(x: ndarray, weight: ndarray, epsilon: float, out: ndarray) -> None:
    """Out = weight * x / sqrt(mean(x²) + epsilon), row by row; x and out are bfloat16 as uint16."""
    n, m = x.shape
    wide = np.empty(m, np.uint32)
    value = wide.view(np.float32)
    for i in range(n):
        for j in range(m):
            wide[j] = np.uint32(x[i, j]) << np.uint32(16)
        total = np.float32(0.0)
        for j in range(m):
            total += value[j] * value[j]
        scale = np.float32(1.0) / np.sqrt(total / np.float32(m) + np.float32(epsilon))
        for j in range(m):
            value[j] = value[j] * scale * weight[j]
        for j in range(m):
            bits = wide[j]
            out[i, j] = np.uint16(
                (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            )
