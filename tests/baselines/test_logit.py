"""The conditional logit against a reference package, known truths and hand arithmetic."""

import os
from pathlib import Path

import numpy as np
import pytest

from malles.baselines.logit import ConditionalLogit
from malles.baselines.logit_estimate import LogitStatus, estimate_conditional_logit
from malles.baselines.panel import fit_panel, read_long_panel
from malles.choice.elasticity import share_elasticities
from malles.choice.probability import choice_probabilities
from malles.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def panel():
    return panel_of(2000)


def panel_of(n):
    """Occasions of households with 10 each, 4 brands: constants 0, .5, -.5, 1, price -2, display .8."""
    rng = np.random.default_rng(11)
    price, display = rng.uniform(1, 2, (n, 4)), (rng.random((n, 4)) < 0.3).astype(float)
    utility = np.array([0, 0.5, -0.5, 1.0]) - 2.0 * price + 0.8 * display
    probability = choice_probabilities(utility, np.ones(price.shape, bool))
    chosen = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return price, display, chosen, np.repeat(np.arange(n // 10), 10), probability


def test_it_is_the_conditional_logit_of_statsmodels():
    from statsmodels.discrete.conditional_models import ConditionalLogit as Reference

    price, display, chosen, household, _ = panel_of(400)
    ours = fit_panel(price, display, None, chosen, household)
    constants = np.tile(np.eye(4)[:, 1:], (400, 1))
    X = np.column_stack([price.ravel(), display.ravel(), constants])
    y = (np.arange(4) == chosen[:, None]).ravel().astype(int)
    model = Reference(y, X, groups=np.repeat(np.arange(400), 4))
    reference = model.fit(disp=False)
    assert ours.log_likelihood == pytest.approx(model.loglike(ours.coefficient), abs=1e-8)
    assert ours.log_likelihood == pytest.approx(reference.llf, abs=1e-4)
    np.testing.assert_allclose(ours.coefficient, reference.params, atol=1e-3)
    np.testing.assert_allclose(ours.standard_error, reference.bse, rtol=1e-3)


def test_tastes_of_a_panel_are_recovered_within_three_standard_errors(panel):
    price, display, chosen, household, _ = panel
    found = fit_panel(price, display, None, chosen, household)
    truth = np.array([-2.0, 0.8, 0.5, -0.5, 1.0])
    assert found.status is LogitStatus.CONVERGED
    assert (np.abs(found.coefficient - truth) < 3 * found.standard_error).all()
    np.testing.assert_allclose(found.clustered_standard_error, found.standard_error, rtol=0.25)


def test_own_price_elasticities_of_a_panel_are_recovered_within_five_percent():
    price, display, chosen, household, truth = panel_of(20_000)
    b, _ = fit_panel(price, display, None, chosen, household).of("price")
    found = fit_panel(price, display, None, chosen, household)
    utility = np.concatenate([[0.0], found.coefficient[2:]]) + found.coefficient[0] * price
    fitted = choice_probabilities(utility + found.coefficient[1] * display, np.ones(price.shape, bool))
    np.testing.assert_allclose(
        share_elasticities(b, price, fitted), share_elasticities(-2.0, price, truth), rtol=0.05
    )


def test_with_constants_fitted_shares_equal_the_actual_shares(panel):
    price, display, chosen, household, _ = panel
    found = fit_panel(price, display, None, chosen, household)
    utility = np.concatenate([[0.0], found.coefficient[2:]]) + found.coefficient[0] * price
    fitted = choice_probabilities(utility + found.coefficient[1] * display, np.ones(price.shape, bool))
    np.testing.assert_allclose(fitted.mean(axis=0), np.bincount(chosen) / 2000, atol=1e-6)


def test_constants_alone_give_the_likelihood_of_the_shares(panel):
    price, _, chosen, household, _ = panel
    found = fit_panel(np.ones_like(price), None, None, chosen, household)
    assert found.dropped == (("price", "it does not vary within any choice set"),)
    assert found.log_likelihood == pytest.approx(found.shares_log_likelihood, abs=1e-6)


def test_one_binary_attribute_by_hand():
    """3 of 4 choose the marked one of two: b = log 3, LL = 3 log .75 + log .25, variance 1 / (4 * 3/16)."""
    attribute = np.tile(np.array([0.0, 1.0])[None, :, None], (4, 1, 1))
    found = estimate_conditional_logit(attribute, np.ones((4, 2), bool), np.array([1, 1, 1, 0]), ("marked",))
    assert found.coefficient[0] == pytest.approx(np.log(3))
    assert found.log_likelihood == pytest.approx(3 * np.log(0.75) + np.log(0.25))
    assert found.covariance[0, 0] == pytest.approx(1 / 0.75)
    assert found.pseudo_r2_score == pytest.approx(1 - found.log_likelihood / (4 * np.log(0.5)))
    assert found.hit_rate_score == 0.75


def test_clustered_errors_see_that_a_household_repeats_itself():
    """Every occasion copied nine times: plain errors shrink by 3, clustered ones stay."""
    rng = np.random.default_rng(2)
    attribute, chosen = rng.normal(size=(300, 3, 2)), rng.integers(0, 3, 300)
    everything = np.ones((300, 3), bool)
    once = estimate_conditional_logit(attribute, everything, chosen, ("a", "b"), np.arange(300))
    copies = np.repeat(np.arange(300), 9)
    found = estimate_conditional_logit(
        attribute[copies], everything[copies], chosen[copies], ("a", "b"), copies
    )
    np.testing.assert_allclose(found.coefficient, once.coefficient, atol=1e-6)
    np.testing.assert_allclose(found.standard_error * 3, once.standard_error, rtol=1e-6)
    np.testing.assert_allclose(found.clustered_standard_error, once.clustered_standard_error, rtol=1e-6)


def test_a_column_that_repeats_others_is_left_out_and_named():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 3, 2))
    attribute = np.concatenate([x, x.sum(axis=2, keepdims=True)], axis=2)
    found = estimate_conditional_logit(
        attribute, np.ones((200, 3), bool), rng.integers(0, 3, 200), ("a", "b", "sum")
    )
    assert found.names == ("a", "b")
    assert found.dropped == (("sum", "the attributes before it determine it"),)
    assert "sum: left out" in found.summary()


def test_a_penalty_pulls_coefficients_towards_zero_and_ends_separation():
    attribute = np.tile(np.array([0.0, 1.0])[None, :, None], (20, 1, 1))
    everything, always = np.ones((20, 2), bool), np.ones(20, int)
    free = estimate_conditional_logit(attribute, everything, always, ("x",), iterations=10)
    ridged = estimate_conditional_logit(attribute, everything, always, ("x",), l2=1.0)
    assert 0 < ridged.coefficient[0] < free.coefficient[0]
    assert ridged.status is LogitStatus.CONVERGED


def test_the_warm_start_changes_nothing(monkeypatch):
    from malles.baselines import logit_estimate

    rng = np.random.default_rng(4)
    attribute, chosen = rng.normal(size=(900, 3, 2)), rng.integers(0, 3, 900)
    cold = estimate_conditional_logit(attribute, np.ones((900, 3), bool), chosen, ("a", "b"))
    monkeypatch.setattr(logit_estimate, "_WARM", 100)
    warm = estimate_conditional_logit(attribute, np.ones((900, 3), bool), chosen, ("a", "b"))
    np.testing.assert_allclose(warm.coefficient, cold.coefficient, atol=1e-6)


def test_attributes_that_are_not_finite_are_named():
    attribute = np.zeros((2, 2, 1))
    attribute[1, 0, 0] = np.nan
    with pytest.raises(DataError, match="attribute 'price' is not finite"):
        estimate_conditional_logit(attribute, np.ones((2, 2), bool), np.zeros(2, int), ("price",))


def test_tastes_of_choice_occasions_are_recovered(build_market, tastes):
    data, truth = build_market(8000, seed=3)
    model = ConditionalLogit(features=("display", "popularity"), price_attribute=True).fit(data)
    for name, true in tastes.items():
        found, error = model.estimate.of(name)
        assert abs(found - true) < 3 * error
    np.testing.assert_allclose(model.predict(data), truth, atol=0.03)


def test_own_price_elasticities_of_products_are_recovered_within_five_percent(build_market, tastes):
    data, truth = build_market(20_000, seed=4)
    model = ConditionalLogit(features=("display", "popularity"), price_attribute=True).fit(data)
    own = tastes["price"] * data.occasions.price * (1 - truth)
    code, found = model.product_elasticities(data)
    assert len(code) == 12
    for product, elasticity in zip(code, found, strict=True):
        here = data.occasions.product == product
        assert elasticity == pytest.approx((own * truth)[here].sum() / truth[here].sum(), rel=0.05)


def test_elasticities_through_log_price_and_discount_are_the_numerical_ones(build_market):
    """V = b1 log p + b2 (1 - p / list): raise one price by 0.01 % and compare."""
    from dataclasses import replace

    data, _ = build_market(3000, seed=6)
    o = data.occasions
    real = o.product >= 0

    def described(price):
        log_price = np.where(real, np.log(np.where(real, price, 1.0)), 0.0)
        discount = np.where(real, 1 - price / np.where(real, o.list_price, 1.0), 0.0)
        occasions = replace(o, price=price.astype(np.float32))
        return replace(
            data, occasions=occasions, feature_names=("log_price", "discount"),
            features=np.stack([log_price, discount], axis=2).astype(np.float32),
        )  # fmt: skip

    base = described(o.price.astype(np.float64))
    model = ConditionalLogit().fit(base)
    step, column = 1e-2, 2
    dearer = o.price * np.where(np.arange(o.shape[1]) == column, np.exp(step), 1.0)
    cheaper = o.price * np.where(np.arange(o.shape[1]) == column, np.exp(-step), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (np.log(model.predict(described(dearer))) - np.log(model.predict(described(cheaper)))) / (
            2 * step
        )
    rows = real[:, column]
    np.testing.assert_allclose(
        model.own_price_elasticities(base)[rows, column], slope[rows, column], rtol=5e-3, atol=5e-3
    )


def test_product_constants_reproduce_the_products_choices(build_market):
    data, _ = build_market(3000, seed=8)
    model = ConditionalLogit(features=("display",), price_attribute=True, constants=True).fit(data)
    probability, product = model.predict(data), data.occasions.product
    taken = product[np.arange(3000), data.occasions.chosen]
    for code in range(12):
        assert probability[product == code].sum() == pytest.approx((taken == code).sum(), abs=0.01)


def test_too_many_product_constants_are_refused(build_market):
    data, _ = build_market(3000, seed=8, products=400)
    with pytest.raises(ConfigError, match="at most 300 are possible"):
        ConditionalLogit(constants=True).fit(data)


REFERENCE = {
    "catsup": (-2517.9, 0.621, -1.402, 0.058),
    "ketchup": (-4896.8, 0.597, -4.321, 0.112),
    "tuna": (-16278.2, 0.578, -6.358, 0.090),
    "margarine": (-7464.9, 0.471, -6.657, 0.174),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REFERENCE)
def test_reference_fits_of_brand_panels_are_reached(name):
    """Log-likelihood, hit rate, price coefficient and its standard error of published scanner panels."""
    path = Path(os.environ.get("MALLES_DATA", "")) / "scanner_panels" / f"{name}.parquet"
    if not os.environ.get("MALLES_DATA") or not path.exists():
        pytest.skip("set MALLES_DATA to a folder with scanner_panels/*.parquet (GPL, not redistributed)")
    import polars as pl

    table = pl.read_parquet(path)
    measured = {
        c: table[c].to_numpy().astype(float) for c in ("price", "display", "feature") if c in table.columns
    }
    keys = [table[c].to_numpy() for c in ("household", "occasion", "alternative", "chosen")]
    wide, chosen, household = read_long_panel(*keys, measured)
    found = fit_panel(wide["price"], wide.get("display"), wide.get("feature"), chosen, household)
    log_likelihood, hit_rate, price, error = REFERENCE[name]
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.06)
    assert found.hit_rate_score == pytest.approx(hit_rate, abs=6e-4)
    assert found.of("price") == pytest.approx((price, error), abs=6e-4)


def test_a_long_panel_is_turned_whatever_the_order_of_its_rows():
    rng = np.random.default_rng(0)
    household, occasion = np.repeat([5, 5, 3], 2), np.repeat([2, 1, 1], 2)
    alternative, chosen = np.array(["b", "a"] * 3), np.array([0, 1, 1, 0, 0, 1])
    price = np.arange(6.0)
    order = rng.permutation(6)
    wide, taken, people = read_long_panel(
        household[order], occasion[order], alternative[order], chosen[order], {"price": price[order]}
    )
    np.testing.assert_array_equal(wide["price"], [[5, 4], [3, 2], [1, 0]])
    np.testing.assert_array_equal(taken, [0, 1, 0])
    np.testing.assert_array_equal(people, [3, 5, 5])


def test_a_long_panel_with_a_missing_alternative_is_refused():
    one = np.ones(3, int)
    with pytest.raises(DataError, match="do not hold each of the 2 alternatives once"):
        read_long_panel(one, one, np.array(["a", "b", "a"]), one, {})
