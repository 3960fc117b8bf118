"""The type checker behind the shape checks of the tests: beartype, where it can read the annotations."""

from __future__ import annotations

from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int may stand where a float is asked for


def check(checked: Any, *options: Any, **named: Any) -> Any:
    """Check arguments and results; what it cannot read stays as it is."""
    try:
        return _beartype(checked, *options, **named)
    except BeartypeDecorHintException:  # `Self`, or a hint whose library confuses it (polars' DataType)
        return checked
