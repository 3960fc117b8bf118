"""Productions: rules of the form "if the shelf and the memory look so, take these", with learnt utilities.

    π[n, r] is proportional to match[n, r] exp(a[r] + b U[n, r])      which rule fires
    U ← U + α (R - U)                                                  learnt from every purchase
    P[n, j] = sum over r of π[n, r] q[n, r, j]

R is the chance that the rule gave to what was then bought. A rule that cannot fire has match 0.
Source: Anderson et al. (2004) for utilities; Fu & Anderson (2006) for their learning by differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from malles.baselines.columns import is_product
from malles.baselines.last_purchased import slate_popularity
from malles.cognition.kernels import learn
from malles.cognition.memory import retrieval_probabilities
from malles.vocabulary import ChoiceData

PRODUCTIONS = ("retrieve", "repeat", "stock_up", "switch", "trade_down", "follow")
"""retrieve     take what comes to mind from earlier purchases
repeat       take what was bought last time
stock_up     take what is cut in price, the more the deeper the cut
switch       leave the product bought last if another is cheaper by more than the threshold
trade_down   take the cheapest
follow       take what others take"""

WORDS = {
    "retrieve": "take what comes to mind",
    "repeat": "buy the same as last time",
    "stock_up": "take what is cut in price",
    "switch": "leave the usual one: another is much cheaper",
    "trade_down": "take the cheapest",
    "follow": "take what others take",
}


@dataclass(frozen=True)
class Minds:
    """Numbers that all customers share."""

    decay: float = 0.5
    """d of the base level."""
    noise: float = 0.5
    """s of the activation."""
    threshold: float = -2.0
    """τ of retrieval."""
    spread: float = 0.0
    """W: weight of the cues maker and size."""
    gap: float = 0.15
    """Relative price gap above which `switch` can fire."""


def propose(
    data: ChoiceData, activation: Float[ndarray, "occasion alternative"], minds: Minds
) -> tuple[Float[ndarray, "occasion production"], Float[ndarray, "occasion production alternative"]]:
    """What every production would take on every occasion, and how well its condition matches.

    Args:
        data: occasions with features; only the regime `full` knows purchases.
        activation: of `purchase_activation`.
        minds: memory's numbers.

    Returns:
        (match in [0, 1], proposals: each row of a matching production sums to one over products).
    """
    product = is_product(data.occasions)
    price = np.where(product, data.occasions.price, np.inf).astype(float)
    full = np.where(product, data.occasions.list_price, 0).astype(float)
    crowd = slate_popularity(data)
    names = data.feature_names
    cue = sum((data.feature(n).astype(float) for n in ("maker_share", "size_share") if n in names), 0.0)
    strength = np.where(product, activation + minds.spread * cue, -np.inf)
    retrieved, none = retrieval_probabilities(strength, threshold=minds.threshold, noise=minds.noise)
    last = (
        np.where(product, data.feature("own_last"), 0.0) if "own_last" in names else np.zeros(product.shape)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = np.where(product & (full > 0), np.maximum(1 - price / full, 0.0), 0.0)
    had = (last > 0).any(axis=1)
    paid = np.where(
        had, (np.where(last > 0, price, 0.0) * last).sum(1) / np.maximum(last.sum(1), 1e-9), -np.inf
    )
    cheaper = product & (price * (1 + minds.gap) < paid[:, None])
    lowest = price.min(axis=1, keepdims=True)
    weight = np.stack(
        [
            retrieved,
            last,
            cut * (crowd + 0.01),
            cheaper * (crowd + 0.01),
            (product & (price <= lowest * 1.0001)) * (crowd + 0.01),
            crowd,
        ],
        axis=1,
    )
    total = weight.sum(axis=2)
    match = (total > 1e-12).astype(float)
    match[:, 0] *= 1 - none
    return match, weight / np.where(total > 1e-12, total, 1.0)[:, :, None]


def fire(
    match: Float[ndarray, "occasion production"],
    utility: Float[ndarray, "occasion production"],
    constant: Float[ndarray, " production"],
    slope: float,
) -> Float[ndarray, "occasion production"]:
    """Chance that each production fires; rows without any match are zero.

    >>> fire(np.array([[1.0, 1.0, 0.0]]), np.zeros((1, 3)), np.array([0.0, np.log(3.0), 9.0]), 1.0)
    array([[0.25, 0.75, 0.  ]])
    """
    score = np.where(match > 0, constant + slope * utility, -np.inf)
    top = score.max(axis=1, keepdims=True)
    weight = match * np.exp(score - np.where(np.isfinite(top), top, 0.0))
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(weight / np.where(total > 0, total, 1.0))


def learn_utilities(
    customer: ndarray,
    reward: Float[ndarray, "occasion production"],
    start: ndarray,
    rate: float,
    customers: int,
) -> tuple[Float[ndarray, "occasion production"], Float[ndarray, "customer production"]]:
    """Run U ← U + α (R - U) over occasions in order of time, one table for every customer.

    Args:
        customer: code of each occasion, in order of time; negative codes learn nothing.
        reward: R of every production.
        start: U before the first purchase, by production.
        rate: α in (0, 1].
        customers: rows of the table.

    Returns:
        (U before each occasion, U after the last one by customer).
    """
    table = np.tile(np.asarray(start, float), (customers, 1))
    before = np.empty(reward.shape)
    learn(
        np.asarray(customer, np.int64),
        np.asarray(reward, float),
        np.asarray(start, float),
        rate,
        table,
        before,
    )
    return before, table
