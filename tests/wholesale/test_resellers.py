"""Reorder cases of resellers: what is known on the eve, what stands in the talk, and what decisions do."""

from __future__ import annotations

import numpy as np
import pytest

from malles.data.named_lines import NamedLines
from malles.discussion.case import Case, Decision, enforce_limits
from malles.discussion.roles import ALONE, ROLES
from malles.errors import DataError
from malles.wholesale.resellers.cases import (
    OrderBook,
    ResellerCase,
    build_order_book,
    build_reseller_cases,
    pick_cases,
)
from malles.wholesale.resellers.evidence import Evidence, build_associates, build_evidence, build_market
from malles.wholesale.resellers.methods import (
    CognitiveReorder,
    Ranked,
    propose_reorder,
    rank_frequency,
    rank_last_order,
)
from malles.wholesale.resellers.scores import case_terms, score_methods
from malles.wholesale.resellers.talk import PriceBook, apply_decisions, build_price_book, build_talk_case

START = 14_600
"""Day of the first line, since 1970-01-01."""
PRODUCTS = 30


def lines_of(rows: np.ndarray) -> NamedLines:
    """Lines of (customer, product, day, quantity); prices fall by a fifth from 24 units on."""
    customer, product, day, quantity = rows.T.astype(np.int32)
    order = np.argsort(day, kind="stable")
    price = np.where(quantity >= 24, 0.8, 1.0) * (1 + product)
    keys = tuple(str(k) for k in range(PRODUCTS))
    return NamedLines(
        customer[order], np.arange(len(day), dtype=np.int32), product[order], day[order],
        quantity[order].astype(np.float32), price[order].astype(np.float32),
        tuple(f"THING {k}" for k in range(PRODUCTS)), keys, (), (),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Twenty customers over thirty weeks; the even ones buy dozens, the odd ones ones and twos."""
    rng = np.random.default_rng(4)
    found = []
    for customer in range(20):
        for day in np.flatnonzero(rng.random(210) < 0.06):
            for product in rng.choice(PRODUCTS, 5, replace=False):
                units = rng.choice([12, 24, 48]) if customer % 2 == 0 else rng.integers(1, 3)
                found.append((customer, product, START + day, units))
    return np.array(found)


def built(rows: np.ndarray, first: int = START + 150, end: int = START + 210):
    lines = lines_of(rows)
    book = build_order_book(lines)
    cases = build_reseller_cases(book, first, end)
    evidence = build_evidence(cases, book, build_market(lines), build_associates(lines, first))
    return lines, cases, evidence


def test_a_reseller_is_known_by_its_earlier_lines_alone():
    """Customer 0 bought a dozen before; 1 buys one at a time; 2 is new; 3 turns large today."""
    before = [(0, 1, 10, 12), (1, 1, 10, 1), (3, 1, 10, 2)]
    rows = np.array([*before, (0, 2, 20, 1), (1, 1, 20, 1), (2, 1, 20, 50), (3, 1, 20, 90)])
    cases = build_reseller_cases(build_order_book(lines_of(rows)), 15, 25)
    assert [(c.customer, c.day, c.product.tolist(), c.units.tolist()) for c in cases] == [(0, 20, [2], [1])]


def test_lines_of_one_day_are_one_order():
    """12 + 24 units of a product on one day are 36 units with a median line of 18."""
    book = build_order_book(lines_of(np.array([(0, 1, 10, 12), (0, 1, 10, 24)])))
    assert (book.units.tolist(), book.quantity.tolist()) == ([36], [18])


def test_no_case_is_one_sentence():
    """Whoever asks for weeks without orders is told which days were looked at."""
    with pytest.raises(DataError, match="lies on the days 50 to 59; take more weeks"):
        build_reseller_cases(build_order_book(lines_of(np.array([(0, 1, 10, 12)]))), 50, 60)


def test_deleting_the_day_itself_and_everything_later_leaves_the_evidence_unchanged(rows):
    """Each case alone, from a world that ends on its eve: the same candidates, features and prices."""
    lines, cases, evidence = built(rows)
    associates = build_associates(lines, START + 150)
    checked = 0
    for i, case in list(enumerate(cases))[::7]:
        known = lines_of(rows[rows[:, 2] < case.day])
        alone = build_evidence(
            [case], build_order_book(known), _until(build_market(known), case.day), associates
        )
        mine, other = (e.value[e.candidate] for e in (_rows(evidence, i), alone))
        np.testing.assert_array_equal(mine, other)
        none = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
        full, cut = (build_price_book(world, none, case.day) for world in (lines, known))
        np.testing.assert_array_equal(full.price, cut.price)
        checked += 1
    assert checked >= 3


def test_cancellations_of_the_day_are_not_known():
    """6 of 12 units came back before day 20; what comes back on it is not told."""
    lines = lines_of(np.array([(0, 1, 10, 12)]))
    back = (np.array([1, 1]), np.array([15, 20]), np.array([6.0, 6.0]))
    assert build_price_book(lines, back, 20).returned[1] == 0.5


def test_options_keep_the_bounds_around_the_suggestion(rows):
    """Eight candidates, half up or down; a decision beyond is brought back to the bound."""
    lines, cases, evidence = built(rows)
    ranked = rank_frequency(evidence)
    none = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    book = build_price_book(lines, none, cases[0].day)
    talk = build_talk_case(
        cases[0], np.flatnonzero(evidence.case == 0), evidence, ranked, np.full(len(ranked.units), 20.0),
        book, lines.names,
    )  # fmt: skip
    assert [o.id for o in talk.options] == list("ABCDEFGH")
    assert {(o.suggested, o.low, o.high) for o in talk.options} == {(20, 10, 30)}
    assert enforce_limits(talk, "C", 99_999).units == 30
    seen = {name: {f.topic for f in role.facts(talk)} for name, role in ROLES.items()}
    assert seen == {
        "manufacturer": {"price break", "promotion", "proposal"},
        "service": {"returns", "demand", "proposal"}, "dealer": {"history", "stock", "proposal"},
    }  # fmt: skip
    assert len(ALONE.facts(talk)) == 7
    out = apply_decisions(ranked, ranked.units, [talk], [Decision("C", 30)])
    row = talk.about["row"][2]
    among = np.flatnonzero((evidence.case == 0) & evidence.candidate)
    assert among[np.argsort(-out.score[among], kind="stable")[9]] == row and out.units[row] == 30
    assert np.count_nonzero(out.units != ranked.units) <= 1


def falling(candidates: int, ordered: tuple[int, ...] = ()) -> tuple[Evidence, Ranked]:
    """One case whose candidates stand in the order of their scores; those of `ordered` are bought."""
    bought = np.isin(np.arange(candidates), ordered)
    evidence = Evidence(
        np.zeros(candidates, int), np.arange(candidates), np.ones(candidates, bool), bought,
        np.where(bought, 6.0, 0.0), np.full((candidates, 20), 2.0),
    )  # fmt: skip
    return evidence, Ranked(-np.arange(float(candidates)), np.full(candidates, 6.0))


def talk_about(evidence: Evidence, ranked: Ranked, draw: int = 0) -> Case:
    """The discussion of the one case of `falling`."""
    one = np.ones(len(evidence.product))
    case = ResellerCase(0, START + 9, np.flatnonzero(evidence.ordered), evidence.product[evidence.ordered])
    names = tuple(f"THING {k}" for k in evidence.product)
    return build_talk_case(
        case, np.arange(len(one)), evidence, ranked, ranked.units, PriceBook(one, one, 0 * one), names,
        draw=draw,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("candidates", "places"), [(30, range(9, 17)), (17, range(9, 17)), (10, range(2, 10)), (3, range(3))]
)
def test_the_options_are_the_places_10_to_17_or_the_last_eight(candidates, places):
    """Of 30 or 17 candidates places 10 to 17 (from 0: 9 to 16), of 10 the last eight, of 3 all."""
    about = talk_about(*falling(candidates)).about
    assert sorted(about["row"]) == list(places)
    assert about["tenth"] == places[0]


def test_the_order_of_the_options_is_drawn_anew_and_the_chances_fall():
    """Ten draws put the best option into several places; every role reads the best chance first."""
    evidence, ranked = falling(30)
    chance = Ranked(np.linspace(0.9, 0.1, 30), ranked.units)
    talks = [talk_about(evidence, chance, draw) for draw in range(10)]
    assert len({talk.about["row"].index(9) for talk in talks}) > 3
    assert talks[3] == talk_about(evidence, chance, 3)
    for talk in talks:
        said = next(f.text for f in talk.facts if f.topic == "proposal")
        best = "ABCDEFGH"[talk.about["row"].index(9)]
        assert said.startswith(f"chance of an order: {best} 65%")  # .9 − 9 × .8 / 29


@pytest.mark.parametrize(
    ("ordered", "place", "hits"),
    [((10,), 10, 1), ((9,), 10, 0), ((9,), 9, 1), ((9, 12), 12, 1), ((0,), 16, 1)],
)
def test_a_talk_can_add_a_hit_lose_one_and_leave_them(ordered, place, hits):
    """Whatever is chosen takes the tenth line (place 9 from 0); the nine before it stay."""
    evidence, ranked = falling(20, ordered)
    before = 10 * case_terms(evidence, ranked, 1)[0, 0]
    assert before == sum(at < 10 for at in ordered)
    talk = talk_about(evidence, ranked)
    choice = "ABCDEFGH"[talk.about["row"].index(place)]
    out = apply_decisions(ranked, ranked.units, [talk], [Decision(choice, 6)])
    assert 10 * case_terms(evidence, out, 1)[0, 0] == pytest.approx(hits)
    nobody = apply_decisions(ranked, ranked.units, [talk], [Decision(None, 0)])
    assert 10 * case_terms(evidence, nobody, 1)[0, 0] == pytest.approx(before)


def test_the_facts_do_not_depend_on_what_was_ordered(rows):
    """The same case with another order reads the same."""
    lines, cases, evidence = built(rows)
    other = Evidence(**{**vars(evidence), "ordered": ~evidence.ordered, "units": evidence.units + 5})
    none = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    book = build_price_book(lines, none, cases[0].day)
    at, ranked = np.flatnonzero(evidence.case == 0), [rank_frequency(e) for e in (evidence, other)]
    of = [
        build_talk_case(cases[0], at, e, r, r.units, book, lines.names)
        for e, r in zip((evidence, other), ranked, strict=True)
    ]
    assert of[0] == of[1]


def test_scores_by_hand():
    """12 candidates, scores falling; ordered are the first, the eleventh and one that is no candidate.

    One of ten is hit. Units 10, 20, 30 against 10, 10, 60: errors 0 + 10 + 30 of 60 units.
    """
    candidate, ordered, units = np.ones(13, bool), np.zeros(13, bool), np.zeros(13)
    candidate[12] = False
    ordered[[0, 10, 12]], units[[0, 10, 12]] = True, [10, 20, 30]
    forecast = np.ones(13)
    forecast[[0, 10, 12]] = [10, 10, 60]
    evidence = Evidence(np.zeros(13, int), np.arange(13), candidate, ordered, units, np.zeros((13, 20)))
    terms = case_terms(evidence, Ranked(-np.arange(13.0), forecast), 1)[0]
    assert terms[[0, 1, 2, 3, 6, 7]].tolist() == [0.1, 1, 1, 40, 60, 3]
    deviance = 2 * (20 * np.log(2) - 10) + 2 * (30 * np.log(0.5) + 30)
    assert terms[4] == pytest.approx(deviance)


def test_a_method_differs_from_itself_by_nothing(rows):
    """The paired difference with the reference is exactly zero; values lie in their intervals."""
    _, cases, evidence = built(rows)
    terms = {
        name: case_terms(evidence, how(evidence), len(cases))
        for name, how in (("last", rank_last_order), ("often", rank_frequency))
    }
    customer = np.array([c.customer for c in cases])
    scored = score_methods(terms, customer, "often", np.random.default_rng(1), 100)
    assert all(i.low == i.high == 0 for i in scored["often"].gap.values())
    assert all(i.low <= i.value <= i.high for i in scored["last"].value.values())


def test_the_core_gives_each_case_one_unit_of_weight_and_learns_from_earlier_ones_only(rows):
    """Weights are a distribution; turning the last case's order around changes no score at all."""
    _, cases, evidence = built(rows)
    n = len(cases)
    weight = propose_reorder(evidence, n)
    total = np.stack([np.bincount(evidence.case, w, n) for w in weight])
    assert np.all(np.isclose(total, 1) | (total == 0))
    customer, teaching = np.array([c.customer for c in cases]), np.arange(n) < n - 1
    last = evidence.case == n - 1
    turned = Evidence(**{**vars(evidence), "ordered": np.where(last, ~evidence.ordered, evidence.ordered)})
    one, two = (CognitiveReorder(5.0).rank(e, customer, teaching).score for e in (evidence, turned))
    np.testing.assert_array_equal(one, two)


def test_the_sample_is_fixed_and_its_beginning_is_a_sample_too():
    """The same seed, the same cases, whatever their number."""
    one, two = (pick_cases(list(range(50)), n, np.random.default_rng(1)) for n in (5, 20))
    assert one == two[:5] and len(set(two)) == 20


def _rows(evidence: Evidence, case: int) -> Evidence:
    at = evidence.case == case
    return Evidence(**{k: v[at] for k, v in vars(evidence).items()})


def _until(market, day: int):
    """A market that ends before `day`, its table carried on without sales."""
    short = day - market.first_day + 1 - len(market.sold)
    if short > 0:
        market.sold = np.vstack([market.sold, np.repeat(market.sold[-1:], short, axis=0)])
    return market


def test_an_order_book_is_sorted(rows):
    """Lines of a customer before a day are a slice."""
    book = build_order_book(lines_of(rows))
    assert isinstance(book, OrderBook)
    assert np.all(np.diff(book.customer * 100_000 + book.day) >= 0)
    assert np.all(book.day[book.of(4, START + 100)] < START + 100)
