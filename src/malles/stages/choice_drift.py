"""Product shares followed week by week: the calibration map of choice, fitted and handed to the market."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from malles.calibration.drift import DriftPrior, ShareDrift, follow_shares, select_prior
from malles.config import Config
from malles.occasions.build import build_occasions
from malles.occasions.families import product_families
from malles.population.world import Choose
from malles.stages.occasions import occasion_rules
from malles.vocabulary import Catalogue, Lines, Occasions

BLOCK = 10_000
"""Occasions whose features are in memory at a time."""


def follow_choices(
    catalogue: Catalogue,
    config: Config,
    choose: Choose,
    weeks: tuple[int, int],
    told: Callable[[int, int], None] = lambda done, total: None,
) -> ShareDrift:
    """Follow every product through the weeks that the choice model was not fitted on.

    The prior is selected on the weeks before the market's, one week ahead; with fewer than two of them it is
    the one that was selected on Complete Journey. Weeks that the model was fitted on are left out: the fit
    hides what it will miss (there the bias of a product in one week says nothing of the next).

    Args:
        catalogue: lines and products.
        config: settings of occasions, calibration and market.
        choose: the model, given order lines.
        weeks: first and last week that may be looked at.
        told: told how many occasions are done.
    """
    first = max(weeks[0], config.occasions.fit_until + 1)
    family = product_families(catalogue.products.category, catalogue.products.size)
    prior = DriftPrior()
    if first > weeks[1]:
        return empty_drift(first, family, prior)
    rules = occasion_rules(catalogue, config.occasions)
    o = build_occasions(catalogue, rules, (first, weeks[1])).occasions
    if not len(o):
        return empty_drift(first, family, prior)
    probability = np.zeros(o.shape, np.float32)
    for begin in range(0, len(o), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(o)))
        probability[rows] = choose(o.take(rows), catalogue.lines)
        told(int(rows[-1]) + 1, len(o))
    given = (probability, o.available, o.chosen.astype(np.int64), o.product, o.week)
    early = o.week < config.market.weeks[0]
    if len(np.unique(o.week[early])) >= 2:
        prior = select_prior(*(part[early] for part in given), family=family).prior
    return follow_shares(*given, family=family, prior=prior)


def empty_drift(week: int, family: np.ndarray, prior: DriftPrior) -> ShareDrift:
    """Nothing is known: every bias is 0."""
    products, families = len(family), int(family.max(initial=-1)) + 1
    return ShareDrift(
        np.array([week]), np.zeros((1, products)), np.full((1, products), prior.spread),
        np.zeros((1, families)), np.ones(1), family, np.array([prior.persistence, prior.family_persistence]),
    )  # fmt: skip


def calibrated(choose: Choose, drift: ShareDrift | None, before: int | None = None) -> Choose:
    """The same model with followed product shares.

    Args:
        choose: the model.
        drift: what was followed; None leaves the model as it is.
        before: use nothing of this week and later ones (a free-running market knows no later week).
    """
    if drift is None:
        return choose

    def ask(occasions: Occasions, lines: Lines) -> np.ndarray:
        said = np.asarray(choose(occasions, lines), float)
        if not len(occasions):
            return said
        there = occasions.available & (occasions.product >= 0)
        return drift.apply(said, there, occasions.product, occasions.week, before=before)

    return ask
