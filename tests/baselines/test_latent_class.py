"""Latent classes recovered from customers of known kinds."""

import numpy as np
import pytest

from malles.baselines.latent_class import LatentClassLogit
from malles.baselines.latent_class_estimate import estimate_latent_classes
from malles.baselines.logit import ConditionalLogit
from malles.choice.likelihood import log_likelihood, occasion_log_losses
from malles.choice.probability import choice_probabilities


@pytest.fixture(scope="module")
def kinds():
    """300 customers with 15 occasions: 70 % price-minded (-3, 0), 30 % brand-minded (-0.5, 2)."""
    rng = np.random.default_rng(5)
    kind = (np.arange(300) >= 210).astype(int)
    taste = np.array([[-3.0, 0.0], [-0.5, 2.0]])
    customer = np.repeat(np.arange(300), 15)
    attribute = rng.normal(size=(len(customer), 4, 2))
    available = np.ones((len(customer), 4), bool)
    utility = np.einsum("njk,nk->nj", attribute, taste[kind[customer]])
    probability = choice_probabilities(utility, available)
    chosen = (probability.cumsum(axis=1) < rng.random((len(customer), 1))).sum(axis=1)
    return attribute, available, chosen, customer, kind, taste


def test_two_kinds_of_customers_are_found(kinds):
    attribute, available, chosen, customer, kind, taste = kinds
    found = estimate_latent_classes(attribute, available, chosen, customer, 2, np.random.default_rng(0))
    np.testing.assert_allclose(found.share, [0.7, 0.3], atol=0.03)
    np.testing.assert_allclose(found.coefficient, taste, atol=0.25)
    assert (found.posterior.argmax(axis=1) == kind).mean() > 0.97


def test_one_class_is_the_conditional_logit(kinds):
    attribute, available, chosen, customer, *_ = kinds
    found = estimate_latent_classes(
        attribute, available, chosen, customer, 1, np.random.default_rng(0), l2=0.0
    )
    assert found.log_likelihood == pytest.approx(
        log_likelihood(found.coefficient[0], attribute, available, chosen), abs=1e-6
    )
    slope = (
        log_likelihood(found.coefficient[0] + [0.01, 0], attribute, available, chosen) - found.log_likelihood
    )
    assert slope < 0


def test_more_rounds_never_lower_the_likelihood(kinds):
    attribute, available, chosen, customer, *_ = kinds
    values = [
        estimate_latent_classes(
            attribute, available, chosen, customer, 2, np.random.default_rng(1), iterations=n, l2=0.0
        ).log_likelihood
        for n in range(1, 7)
    ]
    assert (np.diff(values) > -1e-6).all()


def test_unknown_customers_get_the_shares_of_the_classes(build_market):
    data, _ = build_market(800, seed=2)
    model = LatentClassLogit(classes=2, iterations=3).fit(
        data.take(np.flatnonzero(data.occasions.customer < 150))
    )
    stranger = data.take(np.flatnonzero(data.occasions.customer >= 150))
    np.testing.assert_array_equal(model.membership(stranger), np.tile(model.share, (len(stranger), 1)))


def test_on_a_market_with_one_kind_it_comes_near_the_plain_logit(build_market):
    data, _ = build_market(3000, seed=9)
    train, held_out = data.take(np.arange(2000)), data.take(np.arange(2000, 3000))
    o = held_out.occasions
    names = ("display", "popularity")
    losses = [
        occasion_log_losses(model.fit(train).predict(held_out), o.available, o.chosen).mean()
        for model in (LatentClassLogit(classes=2, features=names), ConditionalLogit(features=names))
    ]
    assert losses[0] < losses[1] + 0.02
