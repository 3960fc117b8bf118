"""How well the response to a shelf is known: a small correction of a fitted model, with its covariance.

    P[b, j] proportional to P[j]^s[b] exp(θ[b] x[j]),   x = (log price, display, mailer)
    score[b] = score + level[b],   change of the score by the offer x (1 + move[b])

s = 1 and θ = 0 leave the model as it is. The values are estimated on occasions that the model was not fitted
on, the draws are from their sampling distribution, clustered by household; so an interval holds what is not
known about prices and promotions, whichever model decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from numpy import ndarray

from malles.errors import ConfigError
from malles.vocabulary import Occasions, Promotion

NAMES = ("scale", "price", "display", "mailer", "level", "move")
CHOICE = 4
"""Parameters of choice; the rest are of incidence."""


@dataclass(frozen=True)
class Responses:
    """Response parameters in the order of `NAMES`."""

    value: Float[ndarray, " parameter"]
    covariance: Float[ndarray, "parameter parameter"]
    """Of the value: of estimation, and of what a category's own occasions leave unknown."""

    def draw(self, draws: int, seed: int) -> Float[ndarray, "draw parameter"]:
        """Parameters drawn from a normal."""
        if draws < 1:
            raise ConfigError(f"`draws` must be at least 1, got {draws}")
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        z = np.random.default_rng([seed, 71]).standard_normal((draws, len(self.value)))
        out = self.value + (z[:, None, :] * root).sum(2)  # a matrix product rounds by the number of draws
        out[:, 0] = np.maximum(out[:, 0], 0.05)  # utilities are never turned over
        out[:, 5] = np.maximum(out[:, 5], -1.0)  # an offer never turns people away
        return np.asarray(out)


def certain() -> Responses:
    """The model as it is, taken for the truth."""
    n = len(NAMES)
    return Responses(np.array([1.0, 0, 0, 0, 0, 0]), np.zeros((n, n)))


def response_attributes(occasions: Occasions) -> Float[ndarray, "occasion alternative attribute"]:
    """What θ acts on, of every alternative: log price (0 without one), display, mailer."""
    return np.stack(_offers(occasions), axis=2)


def offer_columns(
    occasions: Occasions,
) -> tuple[Float32[ndarray, "occasion alternative"], UInt8[ndarray, "occasion alternative"]]:
    """The same in little room: log price, and bits (1 display, 2 mailer)."""
    price, display, mailer = _offers(occasions)
    return price.astype(np.float32), display.view(np.uint8) + (mailer.view(np.uint8) << 1)


def _offers(occasions: Occasions) -> tuple[ndarray, ndarray, ndarray]:
    price = np.log(np.where(occasions.price > 0, occasions.price, 1.0).astype(float))
    display = (occasions.promotion & int(Promotion.DISPLAY)) > 0
    mailer = (occasions.promotion & int(Promotion.MAILER | Promotion.MAILER_PAGE)) > 0
    return price, display, mailer


@dataclass(frozen=True)
class Fit:
    """Parameters found by maximum likelihood."""

    value: Float[ndarray, " parameter"]
    covariance: Float[ndarray, "parameter parameter"]
    """Sandwich, by cluster."""
    score: Float[ndarray, "row parameter"]
    information: Float[ndarray, "parameter parameter"]


def fit_choice_response(
    probability: Float[ndarray, "occasion alternative"],
    occasions: Occasions,
    rows: Bool[ndarray, " occasion"] | None = None,
    control: Float[ndarray, "occasion alternative"] | None = None,
) -> Fit:
    """(s, θ) by maximum likelihood on the choices of occasions.

    Args:
        probability: the model's; it must not have been fitted on these occasions.
        occasions: with known choices.
        rows: occasions to use; None = those with a known choice.
        control: one more attribute, for example the residual of a first stage (a control function).

    Source: Newton's method on the conditional logit; sandwich variance by cluster (Cameron and Miller 2015).
    """
    use = occasions.chosen >= 0 if rows is None else rows & (occasions.chosen >= 0)
    p, o = np.asarray(probability, float)[use], occasions.take(use)
    n = np.arange(len(o))
    there = (p > 0) & o.available
    known = there[n, o.chosen]
    p, o, there = p[known], o.take(known), there[known]
    n = np.arange(len(o))
    V = np.log(np.where(there, np.maximum(p, 1e-12), 1.0))
    parts = [V[:, :, None], response_attributes(o)]
    if control is not None:
        parts.append(np.asarray(control, float)[use][known][:, :, None])
    x = np.concatenate(parts, axis=2) * there[:, :, None]
    theta = np.zeros(x.shape[2])
    theta[0] = 1.0
    score, information = np.zeros((len(o), len(theta))), np.eye(len(theta))
    for _ in range(50):
        u = np.where(there, x @ theta, -np.inf)
        w = np.exp(u - u.max(1, keepdims=True))
        q = w / w.sum(1, keepdims=True)
        mean = np.einsum("nj,njk->nk", q, x)
        score = x[n, o.chosen] - mean
        # a weak prior holds what these occasions say nothing about (an attribute that never moves)
        information = np.einsum("nj,njk,njl->kl", q, x, x) - mean.T @ mean + 1e-6 * np.eye(len(theta))
        step = np.clip(np.linalg.solve(information, score.sum(0)), -1.0, 1.0)
        theta = theta + step
        if np.abs(step).max() < 1e-9:
            break
    return Fit(theta, cluster_variance(score, information, o.customer), score, information)


def fit_incidence_response(
    score: Float[ndarray, " trip"],
    offered: Float[ndarray, " trip"],
    bought: Bool[ndarray, " trip"],
    customer: Int[ndarray, " trip"],
    weight: Float[ndarray, " trip"] | None = None,
) -> Fit:
    """(level, move): log-odds of a purchase = score + level + move x offered.

    Args:
        score: the incidence model's log-odds.
        offered: the part of it that comes from this week's prices and promotions.
        bought: whether the trip bought in the category.
        customer: cluster of each trip.
        weight: how many trips each stands for; None = 1.
    """
    x = np.stack([np.ones(len(score)), offered], axis=1)
    w = np.ones(len(score)) if weight is None else weight
    theta = np.zeros(2)
    s, information = np.zeros((len(score), 2)), np.eye(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(score + x @ theta)))
        s = (w * (bought - p))[:, None] * x
        information = (x * (w * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.clip(np.linalg.solve(information, s.sum(0)), -1.0, 1.0)
        theta = theta + step
        if np.abs(step).max() < 1e-9:
            break
    return Fit(theta, cluster_variance(s, information, customer), s, information)


def cluster_variance(
    score: Float[ndarray, "row parameter"],
    information: Float[ndarray, "parameter parameter"],
    cluster: Int[ndarray, " row"],
) -> Float[ndarray, "parameter parameter"]:
    """Sandwich variance J⁻¹ (sum over clusters of g g') J⁻¹."""
    _, where = np.unique(cluster, return_inverse=True)
    total = np.stack([np.bincount(where, column) for column in score.T], axis=1)
    bread = np.linalg.inv(information)
    return np.asarray(bread @ (total.T @ total) @ bread)


@dataclass(frozen=True)
class Groups:
    """How parameters differ between groups, for example categories."""

    between: Float[ndarray, " parameter"]
    """Standard deviation between groups beyond sampling."""
    deviation: Float[ndarray, "group parameter"]
    """Of each group from the common value, shrunk; 0 for a group without rows."""
    variance: Float[ndarray, "group parameter"]
    """Of the deviation: what a group's own rows leave unknown, `between`² without rows."""


def compare_groups(fit: Fit, group: Int[ndarray, " row"], groups: int, least: int = 50) -> Groups:
    """Deviations of groups from the common fit, by empirical Bayes.

    One Newton step from the common value gives each group's deviation δ with sampling variance v; the
    variance between groups is t = mean(δ² - v), and what is kept of a group is δ t / (t + v), known up to
    t v / (t + v).

    Args:
        fit: the common fit; rows of `fit.score` in the order of `group`.
        group: code of each row, for example its category.
        groups: number of codes.
        least: rows that a group needs to count for `between`.

    Source: DerSimonian and Laird (1986), unweighted form; Morris (1983) for the shrinkage.
    """
    n, parameters = len(fit.score), len(fit.value)
    step, sampling = np.zeros((groups, parameters)), np.full((groups, parameters), np.inf)
    size = np.bincount(group, minlength=groups)
    for g in np.flatnonzero(size):
        s = fit.score[group == g]
        bread = np.linalg.inv(fit.information * len(s) / n)
        step[g] = bread @ s.sum(0)
        sampling[g] = np.diag(bread @ (s.T @ s) @ bread)
    large = size >= least
    between = np.zeros(parameters)
    if large.sum() >= 3:
        between = np.maximum(np.mean(step[large] ** 2 - sampling[large], axis=0), 0.0)
    with np.errstate(invalid="ignore"):
        kept = np.where(np.isfinite(sampling), between / np.maximum(between + sampling, 1e-300), 0.0)
    return Groups(np.sqrt(between), step * kept, between * (1 - kept))


def join_responses(choice: Fit, incidence: Fit | None = None) -> Responses:
    """Responses of two fits that are taken as independent; without one of incidence, it is left alone."""
    n = len(NAMES)
    value, covariance = certain().value, np.zeros((n, n))
    value[:CHOICE], covariance[:CHOICE, :CHOICE] = choice.value[:CHOICE], choice.covariance[:CHOICE, :CHOICE]
    if incidence is not None:
        value[CHOICE:], covariance[CHOICE:, CHOICE:] = incidence.value, incidence.covariance
    return Responses(value, covariance)
