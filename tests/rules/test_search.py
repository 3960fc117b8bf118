"""Laws recovered from data that were made by them; economic conditions; the front."""

from __future__ import annotations

import numpy as np
import pytest

from malles.errors import DataError
from malles.rules import search as search_module
from malles.rules.conditions import Condition, broken_share, monotone
from malles.rules.expression import evaluate
from malles.rules.front import Rows, build_front, mean_with_interval
from malles.rules.genetic import evolve_rules, is_installed
from malles.rules.logistic import find_chance
from malles.rules.power_law import Loss, fit_censored, fit_power_law
from malles.rules.printing import format_rule
from malles.rules.reading import read_rule
from malles.rules.refinement import refine
from malles.rules.search import RuleSearch, exact_law


def made(seed: int, kind: str, rows: int = 1_500) -> Rows:
    """a b / p^1.5 with 5 % noise and an idle input; `cut`: max(0, . - 1)."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(0, 0.4, (rows, 4))
    clean = np.exp(logs[:, 0] + logs[:, 1] - 1.5 * logs[:, 2])
    noise = 0.05 * rng.normal(size=rows)
    target = {
        "plain": clean * (1 + noise),
        "cut": np.maximum(0, clean - 1) * (1 + noise),
        "added": np.maximum(0, clean - 1 + clean.std() * noise),
    }[kind]
    return Rows({n: np.exp(logs[:, i]) for i, n in enumerate(("a", "b", "p", "idle"))}, target)


@pytest.mark.parametrize("kind", ["plain", "cut", "added"])
def test_a_law_is_recovered_from_noisy_data(kind: str):
    for seed in range(3):
        law = exact_law(made(seed, kind))
        assert dict(zip(law.names, law.exponent, strict=True)) == pytest.approx(
            {"a": 1, "b": 1, "p": -1.5}, abs=0.01
        )
        assert law.constant == pytest.approx(0 if kind == "plain" else -1, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("plain", 10), ("cut", 8), ("added", 8)])
def test_laws_are_recovered_in_ten_seeds(kind: str, least: int):
    found = [exact_law(made(100 + seed, kind, 2_000)) for seed in range(10)]
    exact = [
        set(law.names) == {"a", "b", "p"} and abs(law.exponent - np.round(2 * law.exponent) / 2).max() < 0.01
        for law in found
    ]
    assert sum(exact) >= least


def test_a_power_law_without_noise_is_exact():
    """3 a^2 / p: logarithms are linear, so least squares gives the law itself."""
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(50, 2))
    target = 3 * np.exp(2 * logs[:, 0] - logs[:, 1])
    for loss in Loss:
        law = fit_power_law(logs, target, ["a", "p"], loss)
        np.testing.assert_allclose([law.factor, *law.exponent], [3, 2, -1], rtol=1e-5)


def test_a_poisson_law_has_the_totals_of_its_data():
    """The first-order condition of the factor: forecasts add up to the units sold."""
    rng = np.random.default_rng(1)
    logs = rng.normal(size=(400, 1))
    target = rng.poisson(2 * np.exp(-0.7 * logs[:, 0])).astype(float)
    law = fit_power_law(logs, target, ["p"], Loss.POISSON)
    assert (law.factor * np.exp(logs @ law.exponent)).sum() == pytest.approx(target.sum(), rel=1e-4)
    assert law.exponent[0] == pytest.approx(-0.7, abs=0.15)


def test_the_censored_law_corrects_the_bias_of_rows_above_zero():
    """y = max(0, x - 1 + noise) with much noise: only the rows y > 0 would give a flatter law."""
    rng = np.random.default_rng(2)
    logs = rng.normal(0, 0.5, (4_000, 1))
    target = np.maximum(0, np.exp(logs[:, 0]) - 1 + 0.5 * rng.normal(size=4_000))
    one = np.array([1.0])
    bought = target > 0
    naive = fit_power_law(logs[bought], target[bought], ["x"], Loss.SQUARED, constant=True, fixed=one)
    law = fit_censored(logs, target, ["x"], fixed=one)
    assert law.constant == pytest.approx(-1, abs=0.08)
    assert law.factor == pytest.approx(1, abs=0.08)
    assert abs(naive.constant + 1) > 0.3


def test_the_chance_of_a_purchase_is_recovered():
    """log odds = 1 + 2 log a: P = 1 / (1 + exp(-1) a^-2)."""
    rng = np.random.default_rng(3)
    logs = rng.normal(0, 0.7, (6_000, 2))
    happened = rng.random(6_000) < 1 / (1 + np.exp(-1 - 2 * logs[:, 0]))
    chance = find_chance(logs, happened, ["a", "idle"])
    inputs = {"a": np.array([0.5, 1.0, 2.0]), "idle": np.ones(3)}
    np.testing.assert_allclose(
        evaluate(chance, inputs), 1 / (1 + np.exp(-1 - 2 * np.log(inputs["a"]))), atol=0.03
    )


def test_refining_finds_the_constants_of_any_tree():
    x = np.linspace(0.5, 3, 60)
    rows = Rows({"x": x}, 2.5 * x + 0.7 * np.exp(-x))
    found = refine(read_rule("1 * x + 1 * exp(-1 * x)"), rows, Loss.SQUARED, steps=30)
    assert evaluate(found, rows.inputs) == pytest.approx(rows.target, abs=1e-5)


def test_a_rule_that_rises_with_price_is_seen():
    inputs = {"p": np.linspace(1, 5, 20), "a": np.ones(20)}
    falling, rising = read_rule("a / p"), read_rule("a * p")
    assert all(broken_share(falling, c) == 0 for c in monotone(inputs, "p", -1))
    assert all(broken_share(rising, c) == 1 for c in monotone(inputs, "p", -1))
    cells = Condition(
        "by cell", {"p": np.array([1.0, 1.0])}, {"p": np.array([3.0, 0.5])}, -1, np.array([0, 0])
    )
    assert broken_share(read_rule("-p"), cells) == 0  # one row rises by 2, one falls by 0.5: the mean falls


def test_a_search_refuses_rules_against_economics():
    """Units that rise with price in the data: no rule that reads the price is kept, and it is said why."""
    rng = np.random.default_rng(4)
    p = np.exp(rng.normal(size=400))
    rows = Rows({"p": p}, 2 * p**0.5 * np.exp(0.05 * rng.normal(size=400)))
    front = RuleSearch(genetic=False).find(rows, rows, rng, conditions=monotone(rows.inputs, "p", -1))
    assert [r.source for r in front.rules] == ["mean"]
    assert "does not rise with p: broken in 100% of the cells" in front.refused[0][1]


def test_the_front_falls_in_error_as_it_grows():
    rows = made(5, "cut", 900)
    half = np.arange(900) < 600
    front = RuleSearch(genetic=False).find(
        rows.take(np.flatnonzero(half)), rows.take(np.flatnonzero(~half)), np.random.default_rng(1)
    )
    assert [r.complexity for r in front.rules] == sorted({r.complexity for r in front.rules})
    errors = [r.choice_error for r in front.rules]
    assert errors == sorted(errors, reverse=True)
    assert len(front.rules) >= 2
    assert front.best.source == "threshold law"
    assert all(r.low <= r.error <= r.high for r in front.rules)


def test_the_simplest_rule_within_the_allowance_is_chosen():
    """Errors 4, 1 and 0.999: within 1 % of the least stands the one of three nodes."""
    rows = Rows({"x": np.array([1.0, 2.0])}, np.array([3.0, 4.0]))
    texts = ("0", "x + 1", "x + 1.0005 + 0 * x")
    front = build_front(
        [(read_rule(t), t) for t in texts], rows, rows, Loss.SQUARED, most_nodes=15, allowance=0.01
    )
    assert front.best.source == "x + 1"
    tight = build_front(
        [(read_rule(t), t) for t in texts], rows, rows, Loss.SQUARED, most_nodes=15, allowance=0.0
    )
    assert tight.best.source == "x + 1.0005 + 0 * x"


def test_the_interval_grows_when_rows_belong_together():
    """Four rows 0, 0, 2, 2 in two groups: sums -2 and 2, so sqrt(8) / 4 instead of 2 / 4."""
    terms = np.array([0.0, 0.0, 2.0, 2.0])
    assert mean_with_interval(terms, None)[2] == pytest.approx(1 + 1.96 * 0.5)
    assert mean_with_interval(terms, np.array([0, 0, 1, 1]))[2] == pytest.approx(1 + 1.96 * np.sqrt(8) / 4)


def test_the_search_says_when_the_engine_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search_module, "is_installed", lambda: False)
    rows = made(1, "plain", 200)
    front = RuleSearch().find(rows, rows, np.random.default_rng(1))
    assert front.notes == (
        "The genetic search was left out: pyoperon is not installed; pip install 'malles[rules]'.",
    )


@pytest.mark.skipif(not is_installed(), reason="the genetic search needs pyoperon")
def test_the_genetic_search_finds_a_sum():
    """2 a + 3 b is no product of powers; formulas come back through our own grammar."""
    rng = np.random.default_rng(6)
    inputs = {n: np.exp(rng.normal(0, 0.5, 200)) for n in ("a", "b")}
    target = 2 * inputs["a"] + 3 * inputs["b"]
    found = evolve_rules(inputs, target, 1, evaluations=3_000)
    best = min(float(np.mean((evaluate(e, inputs) - target) ** 2)) for e in found)
    assert best < 1e-3 * target.var(), [format_rule(e, 3) for e in found]


@pytest.mark.parametrize(
    ("target", "said"),
    [(np.full(40, np.nan), "finite"), (np.full(40, -1.0), "at least 0"), (np.ones(3), "at least 30 rows")],
)
def test_rows_that_make_no_rule_are_refused(target: np.ndarray, said: str):
    rows = Rows({"x": np.ones(len(target))}, target)
    with pytest.raises(DataError, match=said):
        RuleSearch().find(rows, rows, np.random.default_rng(1))
