"""CraigslistBargain (He et al. 2018): two people haggle over a second-hand listing, with private targets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from malles.data.dialogues import (
    KINDS,
    Dialogue,
    Dialogues,
    Listing,
    Outcome,
    Turn,
    find_files,
    read_dialogues,
    text_of,
)
from malles.data.sources.source import Source
from malles.errors import DataError

FILES = {"train": "train_part.jsonl.gz", "validation": "validation.jsonl.gz"}
PLAUSIBLE = (0.3, 1.2)
"""Agreed price as a share of the list price outside of which it is a typing error."""


def load_craigslist_bargain(path: Path) -> Dialogues[Listing]:
    """Dialogues of a folder with `train_part.jsonl.gz` and `validation.jsonl.gz`, or of one such file.

    A deal needs the formal accept: a chat that ends in "deal" without it has no deal. Typing errors of the
    agreed price, dialogues without messages and offers without a price are kept and counted in `notes`.

    Raises:
        DataError: a file is missing, damaged or no dialogues.
    """
    return read_dialogues(find_files(path, FILES, SOURCE.name), SOURCE.name, _read, _notes)


def is_plausible(dialogue: Dialogue[Listing]) -> bool:
    """Whether the agreed price is no typing error (`PLAUSIBLE`)."""
    price = dialogue.outcome.price
    low, high = PLAUSIBLE
    return price is not None and low <= price / dialogue.subject.list_price <= high


def _read(values: dict[str, Any], split: str) -> Dialogue[Listing]:
    case = text_of(values, "id")
    if not case:
        raise DataError("no id")
    listing = Listing(
        _price(values.get("list_price"), "list price"),
        _price(values.get("buyer_target"), "buyer's target"),
        _price(values.get("seller_target"), "seller's target"),
        text_of(values, "category"), text_of(values, "title"), text_of(values, "scenario_id") or case,
    )  # fmt: skip
    if listing.buyer_target > listing.seller_target:
        raise DataError("buyer's target above the seller's")
    events, deal = values.get("events"), values.get("deal")
    if not isinstance(events, list) or not isinstance(deal, bool):
        raise DataError("no events or no outcome")
    turns = tuple(map(_turn, events))
    price = _price(values.get("agreed_price"), "agreed price") if deal else None
    if deal and not any(t.kind == "accept" for t in turns):
        raise DataError("deal without accept")
    status = "deal" if deal else "no deal"
    return Dialogue(case, split, listing, turns, Outcome(deal, price), status)


def _turn(event: Any) -> Turn:
    if not isinstance(event, dict):
        raise DataError("event is no object")
    role, kind = event.get("speaker"), event.get("type")
    if role not in ("buyer", "seller") or kind not in KINDS:
        raise DataError("event of an unknown role or kind")
    price = event.get("price")
    return Turn(
        role,
        kind,
        text_of(event, "text"),
        None if price is None else _price(price, "offered price", least=0.0),
    )


def _price(value: Any, what: str, least: float = 1e-9) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{what} is no number")
    if value < least:
        raise DataError(f"{what} not above zero")
    return float(value)


def _notes(dialogue: Dialogue[Listing]) -> tuple[str, ...]:
    found = []
    if dialogue.outcome.agreed and not is_plausible(dialogue):
        found.append("agreed price is a typing error")
    if not any(t.kind == "message" for t in dialogue.turns):
        found.append("no messages")
    if any(t.kind == "offer" and t.price is None for t in dialogue.turns):
        found.append("offer without a price")
    return tuple(found)


SOURCE = Source(
    name="craigslist_bargain",
    origin="He, Chen, Balakrishnan & Liang (EMNLP 2018), Decoupling Strategy and Generation in Negotiation",
    licence="not stated (code repository MIT); never shipped, nothing shipped is trained on it",
    how="get it from its authors as one dialogue a line, then: malles data add craigslist_bargain FOLDER",
    rows="6,682 dialogues in all; 1,010 training and 597 validation dialogues in the copy described",
    needs_path=True,
    load=None,
)
