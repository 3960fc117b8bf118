"""Tiny dialogues over a listing, written by hand."""

from __future__ import annotations

from malles.data.dialogues import Dialogue, Listing, Outcome, Turn


def haggle(
    *said: str, listed: float = 100.0, target: float = 70.0, price: float | None = 85.0, case: str = "c"
):
    """Messages in turns, the buyer first, and a formal deal at `price` (None = no deal)."""
    turns = [Turn(("buyer", "seller")[k % 2], "message", text) for k, text in enumerate(said)]
    if price is not None:
        turns += [Turn("buyer", "offer", price=price), Turn("seller", "accept")]
    listing = Listing(listed, target, listed, "bike", "Bike", case)
    return Dialogue(case, "train", listing, tuple(turns), Outcome(price is not None, price))
