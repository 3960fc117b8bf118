"""Outcome tables, diversion and risk against hand arithmetic on a small cube."""

import numpy as np
import pytest

from malles.errors import ConfigError
from malles.scenarios.outcomes import find_diversion, find_risks, tabulate
from malles.scenarios.rehearsal import Rehearsal, Segments
from malles.vocabulary import OTHER

CELLS, PRODUCTS = 4, 3  # two segments x two weeks; products 7, 9 and the rest


def cube(units: np.ndarray, price: np.ndarray, levy: np.ndarray) -> np.ndarray:
    return np.stack([units, units * price, units * levy], axis=-1)


def rehearsal(draws: int = 4) -> Rehearsal:
    base = np.array([[10.0, 20, 5], [11, 21, 5], [1, 2, 1], [3, 4, 1]])
    new = base + np.array([[6.0, -3, -1], [2, -1, 0], [1, 0, 0], [0, 0, 0]])
    price0, price1 = np.array([2.0, 3, 0]), np.array([1.5, 3, 0])
    levy = np.array([0.1, 0.2, 0])
    central = np.stack([cube(base, price0, 0 * levy), cube(new, price1, levy)])
    wobble = 1 + 0.1 * np.arange(draws)[:, None, None, None, None]
    return Rehearsal(
        np.array([7, 9, OTHER]), np.array([43, 44, 43, 44]), np.array([0, 0, 1, 1]),
        Segments("income", ("low", "high"), np.zeros(3, int)), central, central * wobble, central * wobble,
        np.array([1.0, 2, 3, 4]), np.tile([1.0, 2, 3, 4], (draws, 1)), np.zeros((draws, 6)), 10, 5, 5.0,
    )  # fmt: skip


def value(rows: list, part: str, quantity: str) -> tuple[float, float, float]:
    (row,) = [r for r in rows if r.part == part and r.quantity == quantity]
    return row.base, row.scenario, row.change.value


def test_totals_are_sums_over_cells_and_products():
    rows = tabulate(rehearsal())
    assert value(rows, "category", "units") == (84.0, 88.0, 4.0)
    assert value(rows, "category", "levy") == pytest.approx((0, 34 * 0.1 + 43 * 0.2, 34 * 0.1 + 43 * 0.2))
    assert value(rows, "category", "consumer surplus") == (0.0, 10.0, 10.0)


@pytest.mark.parametrize("by", ["product", "segment", "week", "segment and week"])
def test_every_split_adds_up_to_the_total(by: str):
    found = rehearsal()
    total = value(tabulate(found), "category", "revenue")
    rows = [r for r in tabulate(found, by) if r.quantity == "revenue"]
    assert sum(r.base for r in rows) == pytest.approx(total[0])
    assert sum(r.change.value for r in rows) == pytest.approx(total[2])


def test_shares_are_of_the_whole_category_and_margins_leave_out_unknown_costs():
    cost = np.full(10, np.nan)
    cost[7] = 1.0
    found = rehearsal()
    rows = tabulate(found, "product", name=lambda code: f"p{code}", cost=cost)
    assert value(rows, "p7", "share")[:2] == pytest.approx((25 / 84, 34 / 88))
    assert value(rows, "p7", "margin")[:2] == pytest.approx((25 * 1.0, 34 * 0.5))
    assert value(tabulate(found, cost=cost), "category", "margin")[0] == pytest.approx(25.0)
    assert "margin" not in {r.quantity for r in tabulate(found, cost=np.full(10, np.nan))}


def test_where_the_units_came_from_is_one():
    parts = find_diversion(rehearsal(), 7, own=np.arange(10) == 9)
    assert parts["shelf"].value == pytest.approx(4 / 9)
    assert parts["other"].value == pytest.approx(1 / 9)
    assert parts["expansion"].value == pytest.approx(4 / 9)
    assert parts["cannibalisation"].value == pytest.approx(4 / 9)
    assert sum(parts[k].value for k in ("shelf", "other", "expansion")) == pytest.approx(1)


def test_intervals_are_quantiles_of_the_draws():
    (row,) = [r for r in tabulate(rehearsal(), level=0.5) if r.quantity == "units"]
    assert (row.change.low, row.change.high) == pytest.approx(
        tuple(4 * np.quantile([1, 1.1, 1.2, 1.3], [0.25, 0.75]))
    )


def test_risk_is_the_bad_end_of_the_draws():
    """Revenue falls by 11 (1 + 0.1 draw): the worst quarter of four draws is the last."""
    change = 34 * 1.5 + 43 * 3 - (25 * 2 + 47 * 3)
    (risk,) = find_risks(rehearsal(), tail=0.25)
    assert change == -11.0
    assert risk.mean == pytest.approx(-11 * 1.15)
    assert risk.expected_shortfall == pytest.approx(11 * 1.3)
    assert risk.value_at_risk == pytest.approx(np.quantile(11 * np.array([1, 1.1, 1.2, 1.3]), 0.75))
    assert risk.loss_probability == 1.0


def test_absent_products_and_unknown_splits_are_refused():
    with pytest.raises(ConfigError, match="product 8 stands on no shelf"):
        find_diversion(rehearsal(), 8)
    with pytest.raises(ConfigError, match="split by one of"):
        tabulate(rehearsal(), "brand")
