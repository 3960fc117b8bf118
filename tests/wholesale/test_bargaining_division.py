"""Divisions: every outcome by hand, efficiency and the Nash solution, policies that keep their floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.data.dialogues import Dialogue, Division, Outcome, Turn
from malles.errors import DataError
from malles.wholesale.bargaining.audits import division_audit
from malles.wholesale.bargaining.division import enumerate_divisions
from malles.wholesale.bargaining.division_features import (
    build_agreement_table,
    build_points_table,
    prospects,
)
from malles.wholesale.bargaining.division_play import DIVIDING, Divided, DivisionPolicy, divide

OPPOSED = Division({"hat": 2, "ball": 1}, {"A": {"hat": 4, "ball": 2}, "B": {"hat": 1, "ball": 8}})


def test_all_divisions_by_hand():
    """3 · 2 = 6 divisions; A gets the hats, B the ball: 8 and 8, the Nash solution."""
    all_ = enumerate_divisions(OPPOSED)
    assert len(all_.takes) == 6
    best = all_.at({"hat": 2})
    assert all_.points[best].tolist() == [8.0, 8.0]
    assert all_.nash_gap(best) == 0.0
    assert all_.nash_gap(all_.at({"hat": 1})) == pytest.approx(1 - 4 * 9 / 64)
    assert all_.nash_gap(all_.at({})) == 1.0
    # all to A, all to B, hats to A, and one hat to A with the ball at B (4 and 9)
    assert sorted(all_.points[all_.efficient].tolist()) == [[0, 10], [4, 9], [8, 8], [10, 0]]
    with pytest.raises(DataError, match="cannot be taken"):
        all_.at({"hat": 3})


def test_walking_away_counts_in_the_nash_product():
    """With 5 points each without a deal, 8 and 8 gain 3 and 3."""
    camp = Division(OPPOSED.counts, OPPOSED.values, walk_away=5)
    all_ = enumerate_divisions(camp)
    assert all_.nash.max() == 9.0
    assert all_.nash[all_.at({"hat": 1})] == 0.0


@given(
    st.lists(st.integers(0, 5), min_size=6, max_size=6), st.lists(st.integers(1, 3), min_size=3, max_size=3)
)
def test_the_nash_solution_is_efficient_and_so_is_the_best_sum(worth, counts):
    names = ("book", "hat", "ball")
    values = {"A": dict(zip(names, worth[:3], strict=True)), "B": dict(zip(names, worth[3:], strict=True))}
    all_ = enumerate_divisions(Division(dict(zip(names, counts, strict=True)), values))
    sums = all_.points.sum(axis=1)
    assert all_.efficient[sums == sums.max()].all()
    if all_.nash.max() > 0:
        assert all_.efficient[int(all_.nash.argmax())]


@pytest.mark.parametrize("name", sorted(DIVIDING))
@pytest.mark.parametrize("first", [0, 1])
def test_policies_divide_and_keep_their_floor(name, first):
    all_ = enumerate_divisions(OPPOSED)
    found = divide(all_, (DIVIDING[name], DIVIDING[name]), first=first)
    assert found.row is not None
    assert all_.points[found.row].min() >= 0.4 * 10


def test_sides_that_want_everything_do_not_agree():
    stubborn = DivisionPolicy(floor=1.0)
    assert divide(enumerate_divisions(OPPOSED), (stubborn, stubborn)).row is None


@dataclass(frozen=True)
class Asks(DivisionPolicy):
    """Wants given points: one number per turn, the last for the answer."""

    points: tuple[float, ...] = ()

    def asked(self, best: float, turn: int, turns: int, offered: tuple[float, ...]) -> float:
        return self.points[turn]


def test_the_last_proposal_is_answered_by_who_began():
    """A wants all (10), then 8; B, who wants 8, proposes the hats for A (8 and 8), which A may still take."""
    all_ = enumerate_divisions(OPPOSED)
    taken = divide(all_, (Asks(points=(10, 8)), Asks(points=(8, 8))), turns=1)
    assert taken == Divided(all_.at({"hat": 2}), 1)
    assert divide(all_, (Asks(points=(10, 9)), Asks(points=(8, 8))), turns=1).row is None


@given(st.lists(st.integers(1, 5), min_size=4, max_size=4), st.integers(1, 6), st.sampled_from([0, 1]))
def test_a_last_proposal_above_the_floor_is_never_left(worth, turns, first):
    """With floors at zero everything is acceptable in the end, at any length and whoever begins."""
    names = ("hat", "ball")
    values = {"A": dict(zip(names, worth[:2], strict=True)), "B": dict(zip(names, worth[2:], strict=True))}
    all_ = enumerate_divisions(Division({"hat": 2, "ball": 1}, values))
    soft = DivisionPolicy(beta=0.3, floor=0.0)
    assert divide(all_, (soft, soft), turns=turns, first=first).row is not None


def test_the_asked_points_by_hand():
    """From 10 to the floor of 4 in five turns: 10, 8.5, 7, 5.5, 4."""
    asked = [DivisionPolicy().asked(10.0, t, 5, ()) for t in range(5)]
    assert asked == pytest.approx([10.0, 8.5, 7.0, 5.5, 4.0])
    mirror = DivisionPolicy(mirror=True)
    assert mirror.asked(10.0, 2, 5, (2.0, 5.0)) == pytest.approx(10 - 3 - 1)


def test_the_audit_by_hand():
    all_ = enumerate_divisions(OPPOSED)
    found = division_audit(
        [all_] * 3, [all_.at({"hat": 2}), all_.at({"hat": 1, "ball": 1}), None], np.random.default_rng(0)
    )
    assert found["agreed"].value == pytest.approx(2 / 3)
    assert found["efficient"].value == 0.5  # 6 and 1 is worse for both than 8 and 8
    assert found["lost"].value == pytest.approx((0 + 9) / 2)
    assert found["points"].value == pytest.approx((8 + 3.5) / 2)


def talk(case: str, *said: str) -> Dialogue[Division]:
    turns = tuple(Turn("AB"[k % 2], "message", text) for k, text in enumerate(said))
    return Dialogue(case, "train", OPPOSED, turns, Outcome(agreed=False, points={"A": 3, "B": 4}))


def test_tables_of_divisions_hold_nothing_of_the_second_half():
    one, two = (
        talk("x", "hats please", "sure", "done", "bye"),
        talk("x", "hats please", "sure", "no", "never!"),
    )
    a, b = build_agreement_table([one]), build_agreement_table([two])
    np.testing.assert_array_equal(a.numbers, b.numbers)
    assert a.words == b.words == (("hats please sure",),)
    table, points, roles = build_points_table([one])
    assert roles == ("A", "B")
    assert points.tolist() == [3.0, 4.0]
    assert table.group == ("x", "x")
    assert table.words == (("hats please", "sure"), ("sure", "hats please"))
    assert prospects(OPPOSED)[:3] == [16.0, 64.0, 8.0]
