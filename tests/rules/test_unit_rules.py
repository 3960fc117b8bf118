"""What-ifs of rules for units beside an engine whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.profiles.quantity import QuantityProfiles
from malles.rules.expression import evaluate
from malles.rules.reading import read_rule
from malles.stages.unit_rules import compare_what_if, other_worlds, teach_price, unit_rows
from malles.vocabulary import OUTSIDE, ChoiceData, Occasions, Regime


class PricesAlone(QuantityProfiles):
    """Profiles that describe nothing but the offer."""

    def __init__(self):
        pass

    def build(self, occasions):
        price, listed = occasions.price, occasions.list_price
        discount = np.clip(1 - price / np.maximum(listed, 0.01), 0, 0.9)
        columns = [np.log(np.maximum(price, 0.01)), np.log(np.maximum(listed, 0.01)), discount]
        x = np.stack(columns, 2).astype(np.float32)
        names = ("log_price", "log_list_price", "discount")
        return ChoiceData(occasions, x, names, np.zeros((len(occasions), 0), np.float32), (), Regime.FULL)


def purchases(n=120):
    """Two categories of 60 purchases by 20 households at a list price of 2; units 2 and 3."""
    row = np.arange(n)
    shape = (n, 2)
    category = (row % 2).astype(np.int32)
    price = np.tile(np.array([0, 2], np.float32), (n, 1))
    occasions = Occasions(
        customer=(row % 20).astype(np.int32), store=np.zeros(n, np.int32), basket=row,
        week=np.ones(n, np.int16), timestamp=row, category=category,
        product=np.tile(np.array([OUTSIDE, 7], np.int32), (n, 1)), price=price, list_price=price,
        promotion=np.zeros(shape, np.uint8), available=np.ones(shape, bool),
        rank=np.zeros(shape, np.int16), chosen=np.ones(n, np.int16),
        units=(2 + category).astype(np.int32),
    )  # fmt: skip
    return PricesAlone().build(occasions)


def falling(power):
    """Units 2 or 3 at today's price, a power of price elsewhere."""

    def engine(data):
        o = data.occasions
        return (2.0 + o.category) * (o.price[:, 1].astype(float) / 2) ** -power

    return engine


def test_a_price_above_the_list_price_is_a_ratio_above_one():
    data = purchases()
    dearer = PricesAlone().build(replace(data.occasions, price=data.occasions.price * np.float32(1.1)))
    np.testing.assert_allclose(unit_rows(dearer, capped=True).inputs["price_ratio"], 1.1, rtol=1e-5)


def test_sizes_and_signs_by_hand():
    """Rule 2 / ratio^0.2, engine price^-0.5: 0.9^-0.2 - 1 = 2.13 %, 0.9^-0.5 - 1 = 5.41 %."""
    data = purchases()
    rule = read_rule("2 / price_ratio ^ 0.2")
    (match,) = compare_what_if(rule, PricesAlone(), data, falling(0.5), (0.9,))
    assert (match.cells, match.same_sign) == (2, 1.0)
    assert match.rule_size == pytest.approx(0.9**-0.2 - 1, abs=1e-5)
    assert match.engine_size == pytest.approx(0.9**-0.5 - 1, abs=1e-5)
    (wrong,) = compare_what_if(rule, PricesAlone(), data, falling(-0.5), (1.1,))
    assert wrong.same_sign == 0.0


def test_a_response_that_one_household_makes_is_not_clear_of_noise():
    """In category 0 every household moves by the same share; in category 1 one of ten moves, a lot."""
    data = purchases()

    def engine(asked):
        o = asked.occasions
        moved = o.price[:, 1] < 2
        share = np.where(o.category == 0, 0.05, np.where(o.customer == 1, 2.0, 0.0))
        return (2.0 + o.category) * (1 + moved * share)

    (match,) = compare_what_if(read_rule("2 / price_ratio ^ 0.2"), PricesAlone(), data, engine, (0.9,))
    assert match.cells == 2
    assert match.clear_cells == 1
    assert match.same_sign_clear == 1.0


def test_a_rule_learns_the_engines_price_term():
    data = purchases()
    rule = teach_price(
        read_rule("2.5 / price_ratio ^ 0.1"), data, other_worlds(PricesAlone(), data), falling(0.3)
    )
    rows = unit_rows(data, capped=True).inputs
    cheaper = {**rows, "price_ratio": 0.8 * rows["price_ratio"]}
    response = evaluate(rule, cheaper).mean() / evaluate(rule, rows).mean()
    assert response == pytest.approx(0.8**-0.3, abs=0.002)
