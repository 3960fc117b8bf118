from dataclasses import replace

import numpy as np
import pytest

from malles.errors import DataError
from malles.population.archetype_chooser import ArchetypeChooser, fit_tilt
from malles.population.archetypes import build_archetypes, tilt_probabilities
from malles.population.probes import ask_everyone, build_probes, probe_responses
from malles.vocabulary import Lines, Occasions, Promotion

CUSTOMERS, PRODUCTS = 40, 3
TASTE = np.random.default_rng(8).normal(size=(CUSTOMERS, PRODUCTS))
NO_LINES = Lines(*(np.zeros(0, t) for t in ("i4", "i4", "i4", "i8", "i2", "i8", "i4", "f4", "f4")))


def make_occasions(customer: np.ndarray, store: int = 0) -> Occasions:
    """One category of three products at 1, 2 and 3, whoever comes."""
    n = len(customer)

    def rows(values: list[float], kind: str) -> np.ndarray:
        return np.tile(np.array(values, kind), (n, 1))

    return Occasions(
        customer=customer.astype(np.int32), store=np.full(n, store, np.int32), basket=np.arange(n),
        week=np.full(n, 5, np.int16), timestamp=np.arange(n), category=np.zeros(n, np.int32),
        product=rows([-1, 0, 1, 2], "i4"), price=rows([0, 1, 2, 3], "f4"),
        list_price=rows([0, 1, 2, 3], "f4"), promotion=rows([0, 0, 0, 0], "u1"),
        available=rows([0, 1, 1, 1], "?"), rank=rows([-1, 2, 0, 1], "i2"),
        chosen=np.full(n, -1, np.int16), units=np.zeros(n, np.int32),
    )  # fmt: skip


class Shoppers:
    """Buys by taste and price, and counts how often it is asked."""

    def __init__(self, taste: np.ndarray = TASTE) -> None:
        self.taste, self.asked = taste, 0

    def __call__(self, occasions: Occasions, lines: Lines) -> np.ndarray:
        self.asked += len(occasions)
        utility = np.zeros(occasions.shape)
        utility[:, 1:] = self.taste[occasions.customer] - occasions.price[:, 1:]
        utility[:, 1:] += occasions.promotion[:, 1:] & Promotion.DISPLAY
        weight = np.where(occasions.available, np.exp(utility), 0.0)
        return weight / weight.sum(1, keepdims=True)


def by_probes(model: Shoppers, count: int):
    probes, _ = build_probes(make_occasions(np.array([0])), 0)
    answers = model(ask_everyone(probes, np.arange(CUSTOMERS)), NO_LINES)
    return build_archetypes(probe_responses(answers, len(probes)), count)


def test_probes_cut_and_display_the_best_sellers():
    probes, names = build_probes(make_occasions(np.array([3])), 0)
    assert names == (
        "list price", "cut of best seller 1", "cut of best seller 2",
        "display of best seller 1", "display of best seller 2",
    )  # fmt: skip
    np.testing.assert_allclose(
        probes.price[:, 1:], [[1, 2, 3], [1, 1.6, 3], [1, 2, 2.4], [1, 2, 3], [1, 2, 3]]
    )
    assert probes.promotion[:, 1:].tolist() == [[0] * 3] * 3 + [[0, 1, 0], [0, 0, 1]]
    everyone = ask_everyone(probes, np.array([4, 9]))
    assert everyone.customer.tolist() == [4] * 5 + [9] * 5


def test_one_answer_per_archetype_and_shelf():
    model, who = Shoppers(), np.arange(CUSTOMERS).repeat(3)
    kinds = by_probes(model, 5)
    chooser, model.asked = ArchetypeChooser(model, {0: kinds}), 0
    p = chooser(make_occasions(who), NO_LINES)
    assert model.asked == 5
    assert chooser.calls.saved == pytest.approx(1 - 5 / 120)
    stand = kinds.representative[kinds.code[who]]
    np.testing.assert_allclose(p, Shoppers()(make_occasions(stand), NO_LINES))
    chooser(make_occasions(who, store=1), NO_LINES)
    assert model.asked == 10  # another store is another shelf


def test_a_tilt_by_the_model_itself_gives_every_customer_its_own_distribution():
    model, who = Shoppers(), np.arange(CUSTOMERS)
    chooser = ArchetypeChooser(model, {0: by_probes(model, 4)}, cheap=Shoppers())
    own = Shoppers()(make_occasions(who), NO_LINES)
    np.testing.assert_allclose(chooser(make_occasions(who), NO_LINES), own, atol=1e-12)


def test_customers_and_categories_without_archetypes_are_asked_one_by_one():
    model = Shoppers()
    chooser = ArchetypeChooser(model, {})
    own = chooser(make_occasions(np.arange(CUSTOMERS)), NO_LINES)
    assert model.asked == CUSTOMERS
    np.testing.assert_array_equal(own, Shoppers()(make_occasions(np.arange(CUSTOMERS)), NO_LINES))


def test_a_coupon_of_one_customer_is_not_shown_to_its_kind():
    model = Shoppers()
    occasions = make_occasions(np.arange(CUSTOMERS))
    with_coupon = replace(occasions, promotion=occasions.promotion.copy())
    with_coupon.promotion[0, 1] = Promotion.COUPON
    chooser = ArchetypeChooser(model, {0: by_probes(model, 4)})
    asked, _ = chooser.group(with_coupon)
    assert len(asked) == 4
    assert not (asked.promotion & Promotion.COUPON).any()


def test_the_strength_of_the_tilt_is_recovered():
    """A tilt of 0.6, found within three standard errors (each choice carries an information near 0.2)."""
    rng = np.random.default_rng(3)
    n = 20_000
    q, score, there = rng.dirichlet(np.ones(4), n), rng.normal(size=(n, 4)), np.ones((n, 4), bool)
    p = tilt_probabilities(q, 0.6 * score, there)
    chosen = (p.cumsum(1) < rng.random((n, 1))).sum(1)
    assert fit_tilt(q, score, there, chosen) == pytest.approx(0.6, abs=3 / np.sqrt(0.2 * n))


def test_a_shelf_without_alternatives_cannot_be_probed():
    empty = make_occasions(np.array([0]))
    with pytest.raises(DataError, match="no shelf to probe"):
        build_probes(replace(empty, available=np.zeros((1, 4), bool)), 0)
