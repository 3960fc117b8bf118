"""Probe occasions: the same few shelves put before every customer, to see who answers alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.errors import DataError
from malles.vocabulary import Occasions, Promotion

CUT = 0.8
"""Net price over list price of a probed price cut."""


def build_probes(shelf: Occasions, row: int, products: int = 2) -> tuple[Occasions, tuple[str, ...]]:
    """One shelf as it stands at list price, and with single products cut or on display.

    Args:
        shelf: occasions of the category; one of them lends its shelf.
        row: which one.
        products: best sellers that are cut, and put on display, one at a time.

    Returns:
        1 + 2 x products occasions without choices, and what each of them probes.
    """
    o = shelf.take(np.array([row]))
    if not len(o) or not o.available.any():
        raise DataError(f"occasion {row} has no shelf to probe; choose another.")
    plain = replace(
        o, price=o.list_price.copy(), promotion=np.zeros_like(o.promotion), basket=np.full(1, -1, np.int64),
        chosen=np.full(1, -1, np.int16), units=np.zeros(1, np.int32),
    )  # fmt: skip
    rank = np.where(o.available[0] & (o.product[0] >= 0) & (o.rank[0] >= 0), o.rank[0], 32_767)
    best = np.argsort(rank, kind="stable")[: min(products, int((rank < 32_767).sum()))]
    probes, names = [plain], ["list price"]
    for kind in ("cut", "display"):
        for place, j in enumerate(best):
            price, promotion = plain.price.copy(), plain.promotion.copy()
            if kind == "cut":
                price[0, j] = np.float32(np.round(CUT * plain.list_price[0, j], 2))
            else:
                promotion[0, j] |= np.uint8(Promotion.DISPLAY)
            probes.append(replace(plain, price=price, promotion=promotion))
            names.append(f"{kind} of best seller {place + 1}")
    fields = Occasions.__dataclass_fields__
    joined = Occasions(**{name: np.concatenate([getattr(p, name) for p in probes]) for name in fields})
    return joined, tuple(names)


def ask_everyone(probes: Occasions, customers: ndarray) -> Occasions:
    """Every probe before every customer, in order of (customer, probe).

    Args:
        probes: from `build_probes`.
        customers: codes [customer].
    """
    each = probes.take(np.tile(np.arange(len(probes)), len(customers)))
    return replace(each, customer=np.repeat(customers, len(probes)).astype(np.int32))


def probe_responses(
    probability: Float[ndarray, "occasion alternative"], probes: int
) -> Float[ndarray, "customer response"]:
    """Answers to `ask_everyone` as one row per customer.

    >>> probe_responses(np.array([[0.1, 0.9], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]]), 2)
    array([[0.1, 0.9, 0.2, 0.8],
           [0.5, 0.5, 0.4, 0.6]])
    """
    return np.asarray(probability).reshape(len(probability) // probes, -1)
