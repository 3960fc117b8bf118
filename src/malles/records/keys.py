"""Codes back to the names that the data set uses."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy import ndarray

from malles.vocabulary import Catalogue


def keys_of(keys: pl.Series, code: ndarray) -> pl.Series:
    """The key of every code; null for negative codes.

    >>> keys_of(pl.Series(["a", "b"]), np.array([1, -2, 0])).to_list()
    ['b', None, 'a']
    """
    place = pl.Series(np.asarray(code).astype(np.int64))
    return keys.gather(place.set(place < 0, None))


def categories_of(catalogue: Catalogue, code: ndarray) -> pl.Series:
    """The name of every choice category; null for negative codes."""
    return keys_of(pl.Series(catalogue.category_name, dtype=pl.String), code)


def moments(seconds: ndarray) -> pl.Series:
    """Seconds since 1970-01-01 as timestamps of the local clock.

    >>> str(moments(np.array([86400]))[0])
    '1970-01-02 00:00:00'
    """
    return pl.Series(seconds.astype(np.int64) * 1_000_000).cast(pl.Datetime("us"))
