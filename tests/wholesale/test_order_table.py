"""What `malles negotiate` prints: columns for what there was, the last round of every product."""

from __future__ import annotations

import json
from pathlib import Path

from malles.cli.negotiate import TURNS, _print
from malles.discussion.case import Case, Option
from malles.discussion.roles import ALONE
from malles.discussion.rounds import DiscussionSettings
from malles.discussion.transcript import Transcript
from malles.llm.backends.scripted import ScriptedBackend
from malles.stages.negotiate import negotiate
from malles.wholesale.order import OrderFile, OrderTable, ProductTable, load_order

EXAMPLE = Path(__file__).parents[2] / "examples" / "order.toml"


def printed(order, folder, capsys, write=None, *, alone=False) -> tuple[dict, str]:
    speak = None if write is None else lambda: ScriptedBackend(write=write)
    found = negotiate(order, folder, speak=speak, alone=alone, tell=lambda *_: None)
    _print(found, order.order.currency)
    return found, capsys.readouterr().out


def said(units: int) -> str:
    return json.dumps({"claim": "it sells", "evidence": [], "choice": "A", "units": units})


def test_by_arithmetic_alone_there_is_no_talk_in_the_table(tmp_path, capsys):
    found, text = printed(load_order(EXAMPLE), tmp_path / "kept", capsys)
    heading = text.splitlines()[1]
    assert "why" in heading
    assert "talk" not in heading
    assert "stock at hand covers demand" in text
    assert f"adds {sum(x['gain'] for x in found['lines']):,.2f} GBP of expected profit" in text
    page = (tmp_path / "kept" / "report.html").read_text()
    assert "After the talk" not in page
    assert "stock at hand covers demand" in page


def test_what_a_talk_gives_away_stands_beside_the_plan(tmp_path, capsys):
    found, text = printed(load_order(EXAMPLE), tmp_path / "kept", capsys, lambda c: said(1))
    assert "how the talk ended" in text
    planned = sum(x["planned_gain"] for x in found["lines"])
    assert found["gain"] < planned == found["planned"]["gain"]
    assert f"the plan, {planned:,.2f}." in text
    assert "all roles propose the same" in (tmp_path / "kept" / "decision.json").read_text()


def test_one_role_is_not_said_to_agree(tmp_path, capsys):
    printed(load_order(EXAMPLE), tmp_path / "kept", capsys, lambda c: said(1), alone=True)
    kept = (tmp_path / "kept" / "decision.json").read_text()
    assert "all roles" not in kept
    assert "agreement" not in kept


def test_the_last_round_of_every_product_is_printed(tmp_path, capsys):
    """Three products of three turns a round; of nine products there are 27 turns, and 20 are printed."""
    _, text = printed(load_order(EXAMPLE), tmp_path / "kept", capsys, lambda c: said(1))
    turns = text.split("The last round of each product")[1]
    assert [turns.count(name) for name in ("plum jam", "mint tea", "candle holder")] == [3, 3, 3]
    products = tuple(
        ProductTable(name=f"tea {i}", price=3.0, cost=((0, 2.0),), sold=(9.0, 9.0)) for i in range(9)
    )
    _, text = printed(OrderFile(product=products), tmp_path / "many", capsys, lambda c: said(9))
    assert text.split("The last round")[1].count("it sells") == TURNS
    assert "and 7 more turns of last rounds" in text


def test_a_price_prints_with_all_its_decimals(tmp_path, capsys):
    product = ProductTable(name="case", price=1.2375, cost=((0, 0.825),), sold=(9.0, 9.0))
    order = OrderFile(order=OrderTable(), product=(product,))
    _, text = printed(order, tmp_path / "kept", capsys)
    assert "0.825" in text
    page = (tmp_path / "kept" / "report.html").read_text()
    assert "1.2375" in page
    assert "0.825 from 0" in page


def test_options_without_words_of_bounds_are_recorded_as_before():
    """What older transcripts lack is not written where it says nothing, so they replay to their bytes."""
    header = []
    for option in (Option("A", "jam"), Option("A", "jam", may_drop=False)):
        lines = Transcript([Case("c", "?", (), (option,))], [ALONE], DiscussionSettings()).bytes()
        header.append(lines.decode())
    assert "may_drop" not in header[0] and "low_words" not in header[0]
    assert "may_drop" in header[1]
