"""The mean field: what a customer can see of everybody else, and how strongly it reacts to it.

    x[j] = log((µ[j] + ε) / (µ_long[j] + ε)),   V'[n, j] = V[n, j] + b x[j]

µ is the share of product j in its category over a short window that ends with the present week, µ_long over
a long one before it. b is estimated on lagged data (short window = weeks already over), with a standard
error clustered by customer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from malles.population.fixed_point import FixedPoint, solve_fixed_point

FLOOR = 0.005
"""ε: shares far below half a percent of a category are not told apart by a customer."""


@dataclass(frozen=True)
class MeanField:
    """The state of the market over an observation window."""

    category_share: Float[ndarray, " category"]
    """Share of each category in all units, sums to 1."""
    alternative_share: Float[ndarray, " product"]
    """Share of each product in the units of its category, [0, 1]."""
    mean_quantity: Float[ndarray, " category"]
    """Units per purchase line; 1 where nothing was bought."""
    price_index: Float[ndarray, " category"]
    """Units-weighted price paid over list price; 1 where nothing was bought."""
    availability: Float[ndarray, " category"]
    """Share of the store-categories seen in which the category had a slate, [0, 1]."""


def build_mean_field(
    product: Int[ndarray, " line"],
    units: Float[ndarray, " line"],
    price: Float[ndarray, " line"],
    list_price: Float[ndarray, " line"],
    category_of_product: Int[ndarray, " product"],
    n_categories: int,
    carried: Bool[ndarray, "store category"] | None = None,
) -> MeanField:
    """Add purchase lines of a window up to the state of the market.

    Args:
        product: product code of each line, >= 0.
        units: units, expected or drawn.
        price: net unit price.
        list_price: list price per unit.
        category_of_product: choice category of each product; -1 lines are left out.
        n_categories: number of choice categories.
        carried: whether a store has a slate of the category; default: all do.
    """
    rows = category_of_product[product] >= 0
    p, q, paid, full = product[rows], units[rows], price[rows], list_price[rows]
    c = category_of_product[p]
    by_category = np.bincount(c, q, minlength=n_categories)
    lines = np.bincount(c, minlength=n_categories)
    by_product = np.bincount(p, q, minlength=len(category_of_product))
    total = np.where(category_of_product >= 0, by_category[np.maximum(category_of_product, 0)], 0.0)
    spent = np.bincount(c, q * paid, minlength=n_categories)
    worth = np.bincount(c, q * full, minlength=n_categories)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, by_product / total, 0.0)
        quantity = np.where(lines > 0, by_category / lines, 1.0)
        index = np.where(worth > 0, spent / worth, 1.0)
    everywhere = np.ones(n_categories) if carried is None else carried.mean(0)
    return MeanField(by_category / max(by_category.sum(), 1e-12), share, quantity, index, everywhere)


@dataclass(frozen=True)
class Reaction:
    """How customers react to the mean field."""

    coefficient: float
    """b: utility per unit of log share deviation; > 0 = follow the others."""
    standard_error: float
    """Clustered by customer."""
    occasions: int

    @property
    def told_from_zero(self) -> bool:
        """Whether a 95 % interval leaves out zero."""
        return abs(self.coefficient) > 1.96 * self.standard_error

    def __str__(self) -> str:
        verdict = "told from zero" if self.told_from_zero else "cannot be told from zero"
        return (
            f"reaction to the mean field {self.coefficient:+.3f} (standard error {self.standard_error:.3f}, "
            f"{self.occasions} occasions): {verdict}"
        )


NO_REACTION = Reaction(0.0, 0.0, 0)
"""Customers who do not look at each other."""


def share_deviation(
    short: Float[ndarray, " product"], long: Float[ndarray, " product"]
) -> Float[ndarray, " product"]:
    """Deviation of shares from their usual level, x = log((short + ε) / (long + ε)).

    >>> share_deviation(np.array([0.105]), np.array([0.05])).round(3)
    array([0.693])
    """
    return np.asarray(np.log((short + FLOOR) / (long + FLOOR)))


def fit_reaction(
    probability: Float[ndarray, "occasion alternative"],
    deviation: Float[ndarray, "occasion alternative"],
    chosen: Int[ndarray, " occasion"],
    customer: Int[ndarray, " occasion"],
) -> Reaction:
    """Estimate b by maximum likelihood, with the model's log-probabilities as the offset.

        P[n, j] is proportional to probability[n, j] exp(b x[n, j])

    Args:
        probability: the choice model's, fitted on earlier occasions or without the field among its features.
        deviation: x of each alternative, from weeks strictly before the occasion.
        chosen: column of each choice.
        customer: cluster of each occasion.
    """
    return fit_reactions(probability, deviation[:, :, None], chosen, customer)[0]


def fit_reactions(
    probability: Float[ndarray, "occasion alternative"],
    seen: Float[ndarray, "occasion alternative part"],
    chosen: Int[ndarray, " occasion"],
    customer: Int[ndarray, " occasion"],
) -> tuple[Reaction, ...]:
    """Estimate the reactions to several parts of the mean field together (shares, prices, availability, ...).

        P[n, j] is proportional to probability[n, j] exp(sum over k of b[k] x[n, j, k])

    Args:
        probability: the choice model's; the offset.
        seen: x by part, from weeks strictly before the occasion.
        chosen: column of each choice.
        customer: cluster of each occasion.

    Source: Newton's method on the conditional logit; sandwich variance by cluster (Cameron and Miller 2015).
    """
    p, x = np.asarray(probability, float), np.asarray(seen, float)
    rows, parts = np.arange(len(p)), x.shape[2]
    b = np.zeros(parts)
    scores, information = np.zeros((len(p), parts)), np.eye(parts)
    for _ in range(50):
        weight = p * np.exp(np.clip(x @ b, -50, 50))
        q = weight / weight.sum(1, keepdims=True)
        mean = np.einsum("nj,njk->nk", q, x)
        scores = x[rows, chosen] - mean
        information = np.einsum("nj,njk,njl->kl", q, x, x) - mean.T @ mean + 1e-12 * np.eye(parts)
        change = np.clip(np.linalg.solve(information, scores.sum(0)), -1.0, 1.0)
        b += change
        if np.abs(change).max() < 1e-10:
            break
    by_customer = np.stack([np.bincount(customer - customer.min(), s) for s in scores.T], axis=1)
    bread = np.linalg.inv(information)
    error = np.sqrt(np.diag(bread @ (by_customer.T @ by_customer) @ bread))
    return tuple(Reaction(float(b[k]), float(error[k]), len(p)) for k in range(parts))


@dataclass(frozen=True)
class WeekField:
    """The solved mean field of one week."""

    probability: Float[ndarray, "occasion alternative"]
    """Choice probabilities in the solved market."""
    fixed_point: FixedPoint
    product: Int[ndarray, " component"]
    """Product of every component of the field; empty where customers do not react."""
    past_share: Float[ndarray, " component"]
    """Their shares over the weeks of the short window that are over."""
    long_share: Float[ndarray, " component"]
    """Their shares over the long window before."""


def solve_week(
    probability: Float[ndarray, "occasion alternative"],
    product: Int[ndarray, "occasion alternative"],
    weight: Float[ndarray, " occasion"],
    past_share: Float[ndarray, " product"],
    long_share: Float[ndarray, " product"],
    reaction: Reaction,
    category_of_product: Int[ndarray, " product"],
    n_categories: int,
    *,
    window: int = 2,
    tolerance: float = 1e-8,
) -> WeekField:
    """Solve µ = Φ(decisions(µ), history) for one week.

        Φ(µ) = ((window - 1) past_share + share of this week's decisions given µ) / window

    Args:
        probability: choice probabilities before the reaction, given that the category is bought.
        product: product codes; negative = none.
        weight: expected units of each occasion.
        past_share: shares within categories over the `window` - 1 weeks before.
        long_share: shares over the long window before.
        reaction: how strongly customers react.
        category_of_product: choice category of each product.
        n_categories: number of choice categories.
        window: weeks of the short window, the present one included.
        tolerance: on the largest gap of any share.
    """
    at = np.maximum(product, 0)
    there = (product >= 0) & (probability > 0)
    live = np.unique(product[there])
    place = np.zeros(len(category_of_product), np.int64)
    place[live] = np.arange(len(live))
    category = category_of_product[live]
    cell = place[at]
    if not len(live) or reaction.coefficient == 0.0:
        none = np.zeros(0)
        still = solve_fixed_point(lambda m: m, np.zeros(1))
        return WeekField(probability, still, none.astype(np.int64), none, none)

    def decide(field: ndarray) -> ndarray:
        lift = np.exp(np.clip(reaction.coefficient * share_deviation(field, long_share[live]), -5, 5))
        raised = np.where(there, probability * lift[cell], probability)
        return np.asarray(raised / np.maximum(raised.sum(1, keepdims=True), 1e-300))

    def respond(field: ndarray) -> ndarray:
        units = np.bincount(cell[there], (decide(field) * weight[:, None])[there], minlength=len(live))
        total = np.bincount(category, units, minlength=n_categories)
        now = units / np.maximum(total[category], 1e-12)
        return np.asarray(((window - 1) * past_share[live] + now) / window)

    start = past_share[live]
    found = solve_fixed_point(
        respond, start, tolerance=tolerance, iterations=100, more_starts=(long_share[live],)
    )
    return WeekField(decide(found.field), found, live, past_share[live], long_share[live])
