"""Nothing of the closing price is left in a cut dialogue, in whatever form it was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from malles.data.dialogues import Listing, Turn
from malles.wholesale.bargaining.cut import (
    closing_price,
    cut_dialogue,
    names_price,
    numbers_in_words,
    prices_in,
)
from malles.wholesale.bargaining.features import (
    NAMES,
    PATH,
    STANDING,
    add_path,
    build_table,
    features_of,
    path_of,
    prices_said,
    words_of,
)
from wholesale.haggles import haggle


@pytest.mark.parametrize(
    "text",
    ["1500", "$1,500", "1500.00 ok", "1.5k", "1.5 grand", "15 hundred", "fifteen hundred", "1499.99",
     "for 1500!", "one thousand five hundred", "15", "1.5"],
)  # fmt: skip
def test_a_price_is_found_in_every_form(text):
    assert names_price(f"could you do {text} then", 1500.0)


@pytest.mark.parametrize("text", ["1600", "150", "no", "2,500", "15000", "1,400.50", "fifty"])
def test_other_numbers_are_not_the_price(text):
    assert not names_price(text, 1500.0)


def test_numbers_in_words_by_hand():
    assert numbers_in_words("two hundred twenty five, or nineteen fifty, or one ten") == [
        225.0,
        1950.0,
        110.0,
    ]
    assert numbers_in_words("a hundred bucks and twenty minutes") == [100.0, 20.0]


@given(
    st.integers(2, 9_000),
    st.sampled_from(["{}", "${:,}", "{}.00", "{:,} dollars", "only {}!"]),
    st.integers(0, 5),
)
def test_the_agreed_price_is_on_neither_side_of_the_cut(price, form, at):
    said = ["hello", "hi", "how old?", "a year", "fine", "good"]
    said[at] = form.format(price)
    dialogue = haggle(*said, listed=price * 1.2, target=price * 0.8, price=float(price))
    cut = cut_dialogue(dialogue)
    assert cut.removed >= 1
    assert not any(names_price(t.text, price) for t in (*cut.said, *cut.later))
    assert len(cut.said) + len(cut.later) + cut.removed == 6
    table, _ = build_table([dialogue])
    silent = haggle(
        *(x for k, x in enumerate(said) if k != at), listed=price * 1.2, target=price * 0.8, price=None
    )
    rows = features_of(silent.subject, list(cut.said))
    np.testing.assert_array_equal(table.numbers[0], rows)
    assert not any(ch.isdigit() for words in table.words for ch in words[0])


def test_nothing_after_the_cut_reaches_the_features():
    """Two dialogues that differ only in their second half and agreed price, which neither half names."""
    a = haggle("70?", "95", "no", "90", "80 is all I have", "done", price=85.0)
    b = haggle("70?", "95", "no", "88", "never", "then go", price=60.0)
    one, two = (build_table([d])[0] for d in (a, b))
    np.testing.assert_array_equal(one.numbers, two.numbers)
    assert one.words == two.words


def test_deals_and_no_deals_lose_their_closing_price_alike():
    """The last price is removed from a failed talk too: absence must not tell a deal."""
    failed = haggle("70?", "95", "80 then", "no way", price=None)
    assert closing_price(failed) == 80.0
    assert [t.text for t in cut_dialogue(failed).said] == ["70?", "95"]
    assert cut_dialogue(haggle("hello", "hi", price=None)).removed == 0


def test_features_by_hand():
    """Buyer 60, then 70: one concession of 10 % of the list price; seller 100 (the list price), then 90."""
    turns = [
        Turn(*x)
        for x in (
            ("buyer", "message", "60?"), ("seller", "message", "100 is the price"),
            ("buyer", "message", "70, it is 12 years old"), ("seller", "message", "90"),
        )
    ]  # fmt: skip
    row = dict(zip(NAMES, features_of(Listing(100, 70, 100, "bike", "", ""), turns), strict=True))
    assert row["buyer first"] == 0.6
    assert row["buyer last"] == 0.7
    assert row["seller last"] == 0.9
    assert row["middle"] == pytest.approx(0.8)
    assert row["gap"] == pytest.approx(0.2)
    assert row["buyer concession"] == pytest.approx(0.1)
    assert row["seller concession"] == pytest.approx(-0.1)
    assert row["buyer proposed first"] == row["seller left the list price"] == row["bike"] == 1
    assert [s.share for s in prices_said(turns, 100)] == [0.6, 1.0, 0.7, 0.9]


def test_where_both_sides_stand_by_hand():
    """Target 70: at 79 the buyer gave .3 of the way, at 85 the seller half; 128 is a typing error."""
    turns = [
        Turn("buyer", "message", "60?"), Turn("seller", "message", "85"), Turn("buyer", "message", "79"),
        Turn("seller", "message", "128"), Turn("buyer", "message", "7900"),
    ]  # fmt: skip
    listing = Listing(100, 70, 100, "bike", "", "")
    row = dict(zip(PATH, path_of(listing, turns), strict=True))
    assert row["buyer's last price"] == 0.79
    assert row["seller's last price"] == 0.85
    assert row["buyer gave"] == pytest.approx(0.3)
    assert row["seller gave"] == pytest.approx(0.5)
    assert row["both named"] == row["buyer named last"] == row["seller left the list price, plausibly"] == 1
    assert not path_of(listing, []).any()
    dialogue = haggle("60?", "85", "79", "no", "hm", "ok", "fine", "80", price=80.0)
    table, cuts = build_table([dialogue])
    longer = add_path(table, [dialogue], cuts)
    assert [longer.numbers[0, k] for k in STANDING] == pytest.approx([0.7, 1, 1, 1, 0.79, 0.85])


def test_a_listing_stays_in_one_fold_whatever_the_target():
    one, two = haggle("hi", "hey", target=70.0, case="a"), haggle("hi", "hey", target=50.0, case="b")
    other = haggle("hi", "hey", listed=120.0, case="c")
    group = build_table([one, two, other])[0].group
    assert group[0] == group[1] != group[2]


def test_years_miles_and_far_numbers_are_no_prices():
    assert prices_in("2012 model, 90k miles, 5000, 3 beds, 45%", 5200.0) == [2012.0, 5000.0]
    assert prices_in("it is 80 months old and 20 cheap", 100.0) == []
    assert words_of([Turn("buyer", "message", "It is $1,200.50")]) == "It is  # "
