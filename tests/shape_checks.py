"""The type checker behind the shape checks of the tests: beartype, where it can read the annotations."""

from __future__ import annotations

from typing import Any

from beartype import beartype
from beartype.roar import BeartypeDecorHintPep673Exception


def check(checked: Any, *options: Any, **named: Any) -> Any:
    """Check arguments and results; a method that names `Self` cannot be checked alone and stays as it is."""
    try:
        return beartype(checked, *options, **named)
    except BeartypeDecorHintPep673Exception:
        return checked
