import numpy as np
import pytest

from malles.evaluation.long_run import MacroWeek, check_week, macro_table


def week(number: int, units: list[float], active: int = 50) -> MacroWeek:
    return MacroWeek(number, np.array(units), 2.0 * sum(units), active, 100, 0.9)


def test_a_table_of_weeks_by_hand():
    """300 + 100 units of 100 customers; then 100 + 300: half the units have moved."""
    table = macro_table(
        [week(27, [300.0, 100.0]), week(28, [100.0, 300.0])], np.array([3.0, 1.0]), 4.0
    ).to_dicts()
    assert table[0]["units_per_customer"] == 4.0
    assert table[0]["over_usual"] == 1.0
    assert table[0]["spend_per_customer"] == 8.0
    assert table[0]["active"] == 0.5
    assert table[0]["share_distance_to_real"] == 0.0
    assert table[0]["share_distance_to_last_week"] is None
    assert table[1]["share_distance_to_last_week"] == pytest.approx(0.5)
    assert [row["verdict"] for row in table] == ["", ""]


@pytest.mark.parametrize(
    ("units", "active", "text"),
    [(1300.0, 90, "exploded"), (100.0, 20, "25% of the usual"), (0.0, 0, "died"), (np.inf, 5, "exploded")],
)
def test_a_market_that_is_none_says_so_in_one_sentence(units, active, text):
    assert text in check_week(week(30, [units], active), 4.0)
