"""Long shelves: who reads what, what is dropped, and what becomes of it, against hand arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.discussion.shelf_belief import ShelfBelief, count_masses, fit_belief, tiers_of
from malles.discussion.shelf_plan import hand_on, plan_reading, split_parts
from malles.discussion.shelf_turns import shelf_case, turns_of
from malles.discussion.shelves import ShelfSettings, ShelfTalk, read_alone, talk_over_shelves
from malles.discussion.specialists import SPECIALISTS, fixed_tokens, line_tokens
from malles.discussion.turn import read_turn
from malles.errors import OccasionError
from malles.llm.prompt import Field, ShelfPrompt


class Knowing:
    """Counts words as tokens, keeps what it was asked, and knows the price of the best alternative."""

    def __init__(self, context: int = 10_000, best: str = " 7.00") -> None:
        self.context, self.best, self.asked = context, best, []

    def tokens(self, line) -> int:
        return len("".join(words for _, words in line).split())

    def utilities(self, prompts):
        self.asked += list(prompts)
        return [
            np.array([float((Field.PRICE, self.best) in line) for line in p.shelf], float) for p in prompts
        ]


def shelf(n: int) -> ShelfPrompt:
    """Alternative j costs j; every third was bought before, every fifth is of the usual maker."""
    return ShelfPrompt(
        opening=((Field.FRAME, "Shelf: "), (Field.NAME, "jam")),
        shelf=tuple(
            ((Field.FRAME, "-"), (Field.NAME, f" jar {j}"), (Field.PRICE, f" {j:.2f}")) for j in range(n)
        ),
        customer=((Field.FRAME, "Customer:"), (Field.CUSTOMER, " old friend")),
        remarks=tuple(
            (
                (Field.FRAME, "-"),
                *(((Field.HISTORY, " last trip"),) if j % 3 == 0 else ()),
                *(((Field.HISTORY, " usual maker"),) if j % 5 == 0 else ()),
            )
            for j in range(n)
        ),
    )


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(9, 30))
def test_parts_cover_the_shelf_exactly_once(cost, room):
    parts = split_parts(cost, room)
    assert [place for part in parts for place in part] == list(range(len(cost)))
    assert all(0 < sum(cost[p] for p in part) <= room for part in parts)


def test_a_line_longer_than_the_context_is_refused():
    with pytest.raises(OccasionError, match="12 tokens"):
        split_parts([3, 12], 10)


@pytest.mark.parametrize("context", [10_000, 40])
def test_with_tokens_enough_every_specialist_reads_every_alternative_once(context):
    reader, prompt = Knowing(context), shelf(30)
    plan = plan_reading(prompt, list(range(30)), 10**6, reader)
    for parts in plan:
        read = [j for part in parts for same in part for j in same]
        assert sorted(read) == list(range(30))
    price, _, history, crowd = plan
    assert (len(price) > 1) == (context == 40)
    assert sum(len(part) for part in history) == 2  # bought before, or not: two different lines
    assert crowd == [[list(range(30))]]  # it sees nothing of anything: one line


def test_a_specialist_sees_its_own_fields_alone():
    reader = Knowing()
    talk_over_shelves([shelf(8)], [list(range(8))], [10**6], reader)
    for one, prompt in zip(SPECIALISTS, reader.asked, strict=False):
        fields = {f for _, line in prompt.sections() for f, _ in line} - {Field.FRAME}
        assert fields - {Field.NAME} <= one.fields  # the name of the shelf stands in the opening
    attributes = reader.asked[1].text()
    assert "usual maker" in attributes and "last trip" not in attributes


def test_the_decider_reads_exactly_the_union_with_all_fields():
    reader, prompt = Knowing(), shelf(40)
    talk = talk_over_shelves([prompt], [list(range(40))], [400], reader, ShelfSettings(best=3))[0]
    decided = reader.asked[-1]
    assert decided.shelf == tuple(prompt.shelf[j] for j in talk.union)
    assert decided.remarks == tuple(prompt.remarks[j] for j in talk.union)
    assert set(talk.union) == {j for names in talk.handed for j in names}
    assert np.flatnonzero(~np.isnan(talk.decider)).tolist() == sorted(talk.union)
    assert talk.deciding_tokens == fixed_tokens(decided, reader) + sum(line_tokens(decided, reader))


@pytest.mark.parametrize("budget", [60, 200, 500, 10_000])
def test_tokens_stay_within_the_budget_and_dropped_and_read_make_the_shelf(budget):
    reader = Knowing()
    talk = talk_over_shelves([shelf(50)], [list(range(50))], [budget], reader)[0]
    written = sum(fixed_tokens(p, reader) + sum(line_tokens(p, reader)) for p in reader.asked)
    assert talk.tokens == written <= budget
    assert talk.dropped + int(talk.read.sum()) == 50
    assert (talk.dropped == 0) == (budget == 10_000)


def test_the_best_alternative_is_handed_on_and_taken():
    """It stands last in the order of popularity, and only its price tells that it is the best."""
    order = [j for j in range(60) if j != 7] + [7]
    talk = talk_over_shelves([shelf(60)], [order], [5_000], Knowing(), ShelfSettings(best=4))[0]
    assert talk.choice == 7
    assert talk.handed[0][0] == 7
    assert len(talk.union) < 60
    alone = read_alone([shelf(60)], [order], Knowing(), 200)[0]
    assert alone.dropped > 0 and 7 not in alone.union  # one reader cuts it off


def test_one_reader_keeps_the_most_popular_that_fit():
    """Fixed: 'Shelf: jam', 'Customer: old friend', 'Choice:' and two line ends = 8; a line: 4, a remark: 1
    to 5, two ends."""
    reader, prompt = Knowing(), shelf(6)
    assert fixed_tokens(prompt, reader) == 8
    assert line_tokens(prompt, reader) == [11, 7, 7, 9, 7, 9]
    talk = read_alone([prompt], [[5, 4, 3, 2, 1, 0]], reader, 8 + 9 + 7 + 9 + 6)[0]
    assert talk.union == (5, 4, 3)
    assert talk.tokens == 8 + 9 + 7 + 9
    assert talk.dropped == 3


def test_everybody_in_turn_hands_on_the_next_best_that_fits():
    union, handed = hand_on([[4, 2], [], [4, 1, 0]], [1, 5, 3, 1, 2], 6)
    assert union == [4, 2, 0]  # 4 is named twice and paid once; 1 does not fit any more; 0 does
    assert handed == ((4, 2), (), (4, 0))


def test_too_few_tokens_for_one_line_are_refused():
    with pytest.raises(OccasionError, match="more tokens"):
        talk_over_shelves([shelf(4)], [[0, 1, 2, 3]], [12], Knowing())


def test_what_is_handed_on_is_a_readable_turn_with_evidence_that_was_shown():
    prompt = shelf(20)
    talk = talk_over_shelves([prompt], [list(range(20))], [10**6], Knowing(), ShelfSettings(best=3))[0]
    case, roles = shelf_case(prompt), {one.name: one.role for one in SPECIALISTS}
    turns = turns_of(talk, case)
    assert len(turns) == sum(len(names) for names in talk.handed) == 12
    facts = {fact.id: fact.text for fact in case.facts}
    for name, turn in turns:
        values = {"claim": turn.claim, "evidence": list(turn.evidence), "choice": turn.choice, "units": 1}
        if name == "crowd":  # sees nothing of this shelf, and so has nothing to cite
            assert turn.evidence == ()
        else:
            assert read_turn(json.dumps(values), case, roles[name]) == turn
    assert facts[turns[0][1].evidence[0]] == "price 7.00"


def test_mass_by_hand():
    """Two read by the decider at V = 0, log 3; two by a specialist at 0, log 4; one by nobody.
    Masses .5, .3, .2: (.5/4, .5*3/4, .3/5, .3*4/5, .2)."""
    nothing = np.nan
    talk = ShelfTalk(
        np.array([[0.0, 0.0, 0.0, np.log(4), nothing]]),
        np.array([0.0, np.log(3), nothing, nothing, nothing]),
        (0, 1),
    )
    belief = ShelfBelief(np.array([0.5, 0.3, 0.2]), weight=np.ones(1))
    np.testing.assert_allclose(belief.probabilities(talk), [0.125, 0.375, 0.06, 0.24, 0.2])
    everything = ShelfTalk(np.zeros((0, 2)), np.array([0.0, np.log(3)]), (0, 1))
    np.testing.assert_allclose(belief.probabilities(everything), [0.25, 0.75])
    assert tiers_of(talk).tolist() == [0, 0, 1, 1, 2]


def test_masses_are_counted_over_the_occasions_that_hold_the_tier():
    """Tier 2 occurs in 3 of 5 occasions and holds 1 choice, tier 1 never: (4.5/6, .5/6, 1.5/4)."""
    long, short = np.array([0, 2]), np.array([0, 0])
    found = count_masses([long, long, long, short, short], [1, 0, 0, 0, 1])
    expected = np.array([4.5 / 6, 0.5 / 6, 1.5 / 4])
    np.testing.assert_allclose(found, expected / expected.sum())


def test_the_temperature_and_the_useful_specialist_are_recovered():
    """Choices drawn from softmax(V / 2) of the decider; of two specialists one gives V, one noise."""
    rng = np.random.default_rng(3)
    talks, chosen = [], []
    for _ in range(1500):
        v = rng.normal(size=12) * 3
        p = np.exp(v / 2) / np.exp(v / 2).sum()
        talks.append(ShelfTalk(np.stack([v, rng.normal(size=12)]), v, tuple(range(12))))
        chosen.append(int(rng.choice(12, p=p)))
    belief = fit_belief(talks, chosen)
    assert belief.temperature == pytest.approx(2.0, rel=0.08)
    assert belief.weight[0] == pytest.approx(0.5, rel=0.1)
    assert belief.weight[1] < 0.1
    assert belief.mass.argmax() == 0


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 9))
def test_probabilities_are_positive_and_sum_to_one(decided, handed, dropped):
    n = decided + handed + dropped
    v = np.linspace(-2, 2, n)
    seen = np.where(np.arange(n) < decided, v, np.nan)
    special = np.where(np.arange(n) < decided + handed, v, np.nan)[None]
    p = ShelfBelief(np.array([0.7, 0.2, 0.1]), 0.7, np.ones(1)).probabilities(
        ShelfTalk(special, seen, tuple(range(decided)))
    )
    assert p.sum() == pytest.approx(1.0)
    assert (p > 0).all()
