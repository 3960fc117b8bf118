from __future__ import annotations

import numpy as np
import pytest

from malles.errors import DataError
from malles.rules.front import Rows
from malles.rules.power_law import Loss
from malles.rules.printing import format_rule
from malles.rules.reading import read_rule
from malles.rules.teaching import Lesson, cell_elasticity, teach_exponent


def lessons_of(rows, exponent, multipliers=(0.75, 1.25)):
    """An engine whose units are a known power of price in every one of four cells."""
    cell = np.arange(len(rows)) % 4
    return cell, [
        Lesson({**rows.inputs, "p": rows.inputs["p"] * m}, np.log(m), np.full(4, -exponent))
        for m in multipliers
    ]


def drawn(seed=0, n=400):
    rng = np.random.default_rng(seed)
    inputs = {"a": np.exp(rng.normal(0, 0.4, n)), "p": np.exp(rng.normal(0, 0.2, n))}
    return Rows(inputs, 3 * inputs["a"])


def test_the_engines_elasticity_becomes_the_exponent_and_the_level_stays_with_the_data():
    """The data know no price effect, the engine's elasticity is -0.4: the exponent is the engine's."""
    rows = drawn()
    cell, lessons = lessons_of(rows, 0.4)
    rule = teach_exponent(
        read_rule("2 * a ^ 0.5 / p ^ 0.1"), "p", rows, lessons, cell, Loss.POISSON, floor=0.0
    )
    exponent = float(format_rule(rule, 6).split("p ^ ")[1])
    assert exponent == pytest.approx(0.4, abs=0.002)
    from malles.rules.expression import evaluate

    assert evaluate(rule, rows.inputs).mean() == pytest.approx(rows.target.mean(), rel=0.01)


def test_the_floor_counts_in_the_elasticity():
    """Half the rows stay at the floor of 1, so the rest must move more for the same mean response."""
    n = 400
    rows = Rows(
        {"a": np.where(np.arange(n) % 8 < 4, 0.2, 4.0), "p": np.ones(n)},
        np.where(np.arange(n) % 8 < 4, 0.2, 4.0),
    )
    cell, lessons = lessons_of(rows, 0.4, (0.9,))
    rule = teach_exponent(read_rule("1.5 * a / p ^ 0.1"), "p", rows, lessons, cell, Loss.POISSON, floor=1.0)
    exponent = float(format_rule(rule, 6).split("p ^ ")[1])
    # (1 + 4 x 0.9^-e) / 5 = 0.9^-0.4:  0.9^-e = 1.05382
    assert exponent == pytest.approx(np.log((5 * 0.9**-0.4 - 1) / 4) / -np.log(0.9), abs=0.003)


def test_cells_have_the_elasticity_of_their_sums():
    found = cell_elasticity(
        np.array([1.0, 3.0, 5.0]), np.array([2.0, 2.0, 10.0]), np.array([0, 0, 1]), -np.log(2)
    )
    np.testing.assert_allclose(found, [0.0, -1.0], atol=1e-12)


@pytest.mark.parametrize("rule", ["2 * a", "2 * a / p", "a / p ^ 0.1 + p ^ 2", "a * p ^ a"])
def test_a_rule_without_one_numbered_power_is_refused(rule):
    rows = drawn()
    cell, lessons = lessons_of(rows, 0.4)
    with pytest.raises(DataError, match="holds p once"):
        teach_exponent(read_rule(rule), "p", rows, lessons, cell, Loss.POISSON, floor=0.0)
