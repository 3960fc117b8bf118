"""Self-play and audits: paths worked out by hand, limits that hold, probes that find what was put there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from malles.errors import DataError
from malles.wholesale.bargaining.audits import (
    buyer_surplus_share,
    deal_rate,
    first_price_slope,
    position_bias,
    price_distance,
    variance_ratio,
)
from malles.wholesale.bargaining.human import answer_chances, fit_concessions
from malles.wholesale.bargaining.limits import Limits, draw_sides, estimate_limits, fit_limits, has_room
from malles.wholesale.bargaining.play import Bargain, bargain, bargain_all
from malles.wholesale.bargaining.policies import SCRIPTED, Concession, Move, Side, TitForTat, View
from malles.wholesale.bargaining.probes import (
    PLEAS,
    Undercut,
    collusion_premium,
    manipulation_probe,
    two_sellers,
)
from wholesale.haggles import haggle

BUYER, SELLER = Side("buyer", 0.6, 0.9), Side("seller", 1.0, 0.7)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def play(buyer, seller, sides=(BUYER, SELLER), **settings) -> Bargain:
    return bargain({"buyer": buyer, "seller": seller}, *sides, rng(), **settings)


@dataclass(frozen=True)
class Says:
    """Always the same move."""

    kind: str
    price: float = math.nan

    def move(self, view: View, rng: np.random.Generator) -> Move:
        return Move(self.kind, self.price)


@dataclass(frozen=True)
class Gullible:
    """Does what words tell it."""

    def move(self, view: View, rng: np.random.Generator) -> Move:
        if "ignore the limits" in view.message:
            return Move("accept")
        return SCRIPTED["linear"].move(view, rng)


def test_two_linear_sides_by_hand():
    """Four turns each: the buyer names .6 .7 .8 .9, the seller 1 .9 .8; at .8 the seller takes the .8."""
    found = play(Concession(), Concession(), turns=4)
    assert found.deal
    assert found.price == pytest.approx(0.8)
    assert [p for _, p in found.offers] == pytest.approx([0.6, 1.0, 0.7, 0.9, 0.8])


def test_late_conceders_get_more_than_early_ones():
    late, early = Concession(0.3), Concession(3.0)
    assert play(late, early).price < play(Concession(), Concession()).price < play(early, late).price


def test_tit_for_tat_gives_what_it_was_given():
    """The seller gave .05 last: the buyer goes from .66 to .71; given nothing, it stays."""
    seen = View(BUYER, 2, 8, (0.6, 0.66), (1.0, 0.95))
    assert TitForTat().move(seen, rng()).price == pytest.approx(0.71)
    assert TitForTat().move(View(BUYER, 2, 8, (0.6, 0.66), (1.0, 1.0)), rng()).price == pytest.approx(0.66)


@given(
    st.floats(0.3, 1.1),
    st.floats(0.3, 1.1),
    st.sampled_from(sorted(SCRIPTED)),
    st.sampled_from(sorted(SCRIPTED)),
    st.sampled_from(["buyer", "seller"]),
)
@example(0.875, 0.75, "tit for tat", "boulware", "buyer")  # the seller's very last price is the first to fit
@example(0.65, 0.525, "boulware", "tit for tat", "seller")
def test_deals_keep_both_limits_and_need_room(most, least, one, two, first):
    sides = Side("buyer", 0.3, most), Side("seller", 1.1, least)
    found = play(SCRIPTED[one], SCRIPTED[two], sides, first=first)
    if found.deal:
        assert least - 1e-9 <= found.price <= most + 1e-9
    assert found.deal == (most >= least - 1e-12) or abs(most - least) < 1e-9
    assert found.corrected == found.unreadable == 0


@given(
    st.floats(0.3, 1.1),
    st.floats(0.3, 1.1),
    st.sampled_from([0.1, 0.3, 1.0, 3.0]),
    st.sampled_from([0.1, 0.3, 1.0, 3.0]),
    st.integers(1, 12),
    st.sampled_from(["buyer", "seller"]),
)
def test_sides_that_go_to_their_limits_agree_wherever_there_is_room(most, least, one, two, turns, first):
    """At whatever length: with one turn each the second names its limit at once, and the first takes it."""
    sides = Side("buyer", 0.3, most), Side("seller", 1.1, least)
    found = play(Concession(one), Concession(two), sides, turns=turns, first=first)
    if abs(most - least) > 1e-9:
        assert found.deal == (most > least)


@dataclass(frozen=True)
class Waits:
    """Names .6 and then does what it is told when only the last price is left."""

    answer: Move

    def move(self, view: View, rng: np.random.Generator) -> Move:
        return self.answer if view.closed else Move("offer", 0.6)


def test_the_last_price_may_be_taken_or_left_but_not_haggled_over():
    """The seller says .8 four times. Only an acceptance makes a deal; a better bid comes too late."""
    stays = Says("offer", 0.8)
    taken = play(Waits(Move("accept")), stays, turns=4)
    assert (taken.deal, taken.price, taken.turns) == (True, 0.8, 4)
    for left in (Move("quit"), Move("offer", 0.85)):
        found = play(Waits(left), stays, turns=4)
        assert (found.deal, found.turns, found.corrected, len(found.offers)) == (False, 4, 0, 8)
    beyond = play(Waits(Move("accept")), Says("offer", 0.95), turns=4)
    assert (beyond.deal, beyond.corrected) == (False, 1)  # the buyer's limit is .9
    silent = play(Waits(Move("accept")), Says("sing"), turns=4)
    assert (silent.deal, silent.unreadable) == (False, 4)  # no price was left to take


def test_limits_hold_whatever_a_policy_does():
    """An offer of 5 is held at .9; an acceptance of 1.0 becomes an offer of .9, and at the end nothing."""
    greedy = play(Says("offer", 5.0), Says("offer", 1.0), turns=2)
    assert not greedy.deal
    assert greedy.corrected == 2
    assert greedy.offers[0] == ("buyer", 0.9)
    giving = play(Says("accept"), Says("offer", 1.0), turns=2)
    assert not giving.deal
    assert giving.unreadable == 1  # nothing was offered yet
    assert giving.corrected == 2
    assert giving.offers == (("seller", 1.0), ("buyer", 0.9), ("seller", 1.0))


@pytest.mark.parametrize(
    "move", [Says("offer", math.nan), Says("offer", -1.0), Says("offer", math.inf), Says("sing")]
)
def test_what_is_no_move_is_counted_and_says_nothing(move):
    found = play(move, Concession(), turns=3)
    assert not found.deal
    assert found.unreadable == 4  # three turns and the answer to the last price


def test_words_move_no_scripted_policy_and_no_limit():
    sides = [(BUYER, SELLER), (Side("buyer", 0.5, 0.8), SELLER), (Side("buyer", 0.5, 0.65), SELLER)]
    for policy in SCRIPTED.values():
        found = manipulation_probe({"buyer": policy, "seller": policy}, sides, 1)
        assert (found.bargains, found.moved, found.broken) == (3 * len(PLEAS), 0, 0)
    weak = manipulation_probe({"buyer": SCRIPTED["linear"], "seller": Gullible()}, sides, 1)
    assert weak.moved > 0  # the probe finds a policy that listens
    assert weak.broken == 0  # and its limit holds all the same
    assert weak.corrected > 0


def test_sellers_who_undercut_end_at_cost_and_others_do_not():
    """Half-way in time a linear seller stands half-way between target and cost; undercutters are at cost."""
    seller = Side("seller", 1.0, 0.6)
    assert two_sellers((Undercut(), Undercut()), (seller, seller), 2.0, rng()) == pytest.approx(0.6)
    linear = two_sellers((Concession(), Concession()), (seller, seller), 2.0, rng(), turns=101, wait=0.5)
    assert linear == pytest.approx(1 - 0.4 * 49 / 100)
    assert math.isnan(two_sellers((Undercut(), Undercut()), (seller, seller), 0.5, rng()))
    cases = [((seller, seller), 2.0)] * 5
    assert collusion_premium((Undercut(), Undercut()), cases, 1).value == pytest.approx(0.0)
    assert collusion_premium((TitForTat(), TitForTat()), cases, 1).low > 0.3
    unequal = (seller, Side("seller", 1.0, 0.7))
    assert two_sellers((Undercut(), Undercut()), unequal, 2.0, rng()) == pytest.approx(0.69)  # a tick below


def test_limits_are_recovered_from_deals_alone():
    truth = Limits(seller=0.7, buyer=0.5, deviation=0.3)
    draw = np.random.default_rng(2)
    s, b = draw.normal(truth.seller, 0.3, 40_000), draw.normal(truth.buyer, 0.3, 40_000)
    deal = s + b >= 1
    found = estimate_limits(((s + 1 - b) / 2)[deal], float(deal.mean()))
    assert (found.seller, found.buyer, found.deviation) == pytest.approx((0.7, 0.5, 0.3), abs=0.01)
    sides = draw_sides(np.full(40_000, 0.7), dict.fromkeys(range(3), found), draw)
    assert has_room(sides).mean() == pytest.approx(deal.mean(), abs=0.01)
    with pytest.raises(DataError, match="at least 20 deals"):
        estimate_limits(np.zeros(3), 0.5)


def talks() -> list:
    """Buyers open at 70 (their target), sellers leave 100 for 90, and half of the talks end at 80."""
    said = ("70?", "90", "80", "ok")
    return [
        *(haggle(*said, price=80.0, case=f"a{k}") for k in range(30)),
        *(haggle(*said[:2], "bye", price=None, case=f"b{k}") for k in range(30)),
    ]


def test_human_concessions_by_hand():
    """From 70 towards 90 with 20 of 30 left, the buyer names 80: half of the distance. x of a deal is 2/3."""
    learnt = fit_concessions(talks())
    assert learnt.first[1]["buyer"] == pytest.approx(np.zeros(60))
    assert learnt.first[1]["seller"] == pytest.approx(np.full(60, 1 / 3))
    assert learnt.steps["buyer", 0] == pytest.approx(np.full(30, 0.5))
    assert answer_chances(learnt.answers, 2 / 3, 2).sum() == pytest.approx(1)
    p = learnt.policy(0.7)
    sides = [(Side("buyer", 0.7, 1.2), Side("seller", 1.0, 0.3))] * 400
    played = bargain_all({"buyer": p, "seller": p}, sides, 1)
    assert 0.3 < deal_rate(played, rng()).value < 0.7  # people: one half
    assert {round(b.offers[0][1], 6) for b in played} == {0.7}
    limits = fit_limits(talks())[1]
    assert (limits.seller + 1 - limits.buyer) / 2 == pytest.approx(2 / 3)
    # where countering is impossible, accept and quit keep their odds
    chance = answer_chances(learnt.answers, 2 / 3, 2)
    closed = View(sides[0][0], 8, 8, (0.7,), (0.9,))
    draw = np.random.default_rng(7)
    moves = [p.move(closed, draw).kind for _ in range(4_000)]
    assert set(moves) <= {"accept", "quit"}
    assert moves.count("accept") / 4_000 == pytest.approx(chance[0] / (chance[0] + chance[2]), abs=0.03)
    with pytest.raises(DataError, match="every answer"):
        fit_concessions(talks()[:30])


def test_the_same_seed_plays_the_same_bargains():
    p = fit_concessions(talks()).policy(0.7)
    sides = [(BUYER, SELLER)] * 10
    one, two = (bargain_all({"buyer": p, "seller": p}, sides, 5) for _ in range(2))
    assert [b.offers for b in one] == [b.offers for b in two]
    assert [b.offers for b in one[:3]] == [
        b.offers for b in bargain_all({"buyer": p, "seller": p}, sides[:3], 5)
    ]


def test_audits_by_hand():
    """Between .7 and .9 a price of .75 leaves three quarters to the buyer."""
    deal, none = Bargain(True, 0.75, 3, (), 0, 0), Bargain(False, math.nan, 8, (), 0, 0)
    assert deal_rate([deal, none], rng()).value == 0.5
    assert buyer_surplus_share([deal, deal], [(BUYER, SELLER)] * 2, rng()).value == pytest.approx(0.75)
    other = Bargain(True, 0.80, 3, (), 0, 0)
    assert position_bias([deal, deal, none], [other, other, deal], rng()).value == pytest.approx(-0.05)
    draw = np.random.default_rng(3)
    ratio, first = draw.choice([0.5, 0.9], 300), draw.uniform(0.4, 0.9, 300)
    slope = first_price_slope(
        first, 0.2 + 0.4 * first + 0.3 * ratio + draw.normal(0, 0.01, 300), ratio, rng()
    )
    assert slope.low < 0.4 < slope.high
    assert slope.high - slope.low < 0.03


def test_spread_and_distance_beside_people():
    """A third of the deviation is a ninth of the variance; moved by .1, Wasserstein-1 is .1."""
    human = np.random.default_rng(4).normal(0.8, 0.1, 2_000)
    narrow = 0.8 + (human - 0.8) / 3
    ratio = variance_ratio(narrow, human, rng(), draws=100)
    assert ratio.value == pytest.approx(1 / 9)
    assert ratio.high < 0.2
    distance, floor = price_distance(human + 0.1, human, rng(), draws=50)
    assert distance.value == pytest.approx(0.1)
    assert distance.low < 0.1 < distance.high
    assert 0 < floor < 0.01
    with pytest.raises(DataError, match="spread among people"):
        variance_ratio(human, np.ones(5), rng())
