"""Compiled loops over candidates and what they are compared with."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy import ndarray


@njit(cache=True)
def summarise(similarity: ndarray, product: ndarray, context: ndarray, weight: ndarray, top: int) -> ndarray:
    """Weighted mean, largest, and mean of the `top` largest similarities of each candidate with its context.

    A negative code in `context` is nothing; a candidate without context gets zeros.
    """
    N, J = product.shape
    out = np.zeros((N, J, 3), np.float32)
    best = np.zeros(top)
    for n in range(N):
        for j in range(J):
            total = 0.0
            mass = 0.0
            found = 0
            for k in range(context.shape[1]):
                if context[n, k] < 0:
                    continue
                s = similarity[product[n, j], context[n, k]]
                total += weight[k] * s
                mass += weight[k]
                at = min(found, top)
                if at == top:
                    if s <= best[top - 1]:
                        found += 1
                        continue
                    at -= 1
                while at > 0 and best[at - 1] < s:
                    best[at] = best[at - 1]
                    at -= 1
                best[at] = s
                found += 1
            if found:
                highest = 0.0
                for k in range(min(found, top)):
                    highest += best[k]
                out[n, j, 0] = total / mass
                out[n, j, 1] = best[0]
                out[n, j, 2] = highest / min(found, top)
    return out


@njit(cache=True)
def votes(
    similarity: ndarray, product: ndarray, context: ndarray, weight: ndarray, sharpness: float
) -> ndarray:
    """Share of the context that each candidate gets when every item of it votes among the candidates.

    out[n, j] = weighted mean over k of softmax over j of (sharpness * similarity[j, k])
    """
    N, J = product.shape
    out = np.zeros((N, J), np.float32)
    share = np.zeros(J)
    for n in range(N):
        mass = 0.0
        for k in range(context.shape[1]):
            if context[n, k] < 0:
                continue
            highest = -1e30
            for j in range(J):
                share[j] = sharpness * similarity[product[n, j], context[n, k]]
                highest = max(highest, share[j])
            total = 0.0
            for j in range(J):
                share[j] = np.exp(share[j] - highest)
                total += share[j]
            for j in range(J):
                out[n, j] += weight[k] * share[j] / total
            mass += weight[k]
        if mass > 0:
            for j in range(J):
                out[n, j] /= mass
    return out


@njit(cache=True)
def own_statistics(
    product: ndarray,
    day: ndarray,
    log_price: ndarray,
    log_quantity: ndarray,
    first: ndarray,
    last: ndarray,
    candidate: ndarray,
) -> tuple[ndarray, ndarray, ndarray]:
    """What lines first[n] .. last[n] - 1 of a customer say: prices, quantity, own purchases.

    Returns [occasion, 3] mean log price, its spread, mean log quantity; [occasion, alternative] days on which
    the candidate was bought; [occasion, alternative] the last of them, or -1.
    """
    N, J = candidate.shape
    level = np.zeros((N, 3))
    count = np.zeros((N, J), np.int32)
    latest = np.full((N, J), -1, np.int32)
    for n in range(N):
        lines = last[n] - first[n]
        if lines == 0:
            continue
        for i in range(first[n], last[n]):
            level[n, 0] += log_price[i]
            level[n, 1] += log_price[i] ** 2
            level[n, 2] += log_quantity[i]
            for j in range(J):
                if candidate[n, j] == product[i] and latest[n, j] != day[i]:
                    count[n, j] += 1
                    latest[n, j] = day[i]
        level[n] /= lines
        level[n, 1] = np.sqrt(max(level[n, 1] - level[n, 0] ** 2, 0.0))
    return level, count, latest
