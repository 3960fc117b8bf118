"""From the file of Online Retail to reseller cases with their evidence: the last weeks, and those before.

associates     from everything before the training weeks
training       16 weeks: their cases teach
test           the 8 weeks after them: their cases are scored
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy import ndarray

from malles.data.files import read_file
from malles.data.named_lines import NamedLines, load_named_lines
from malles.data.sources.online_retail import FORMS
from malles.discussion.case import Case
from malles.wholesale.resellers.cases import ResellerCase, build_order_book, build_reseller_cases
from malles.wholesale.resellers.evidence import Evidence, build_associates, build_evidence, build_market
from malles.wholesale.resellers.methods import Ranked
from malles.wholesale.resellers.talk import PriceBook, build_price_book, build_talk_case

WEEKS, TRAIN_WEEKS = 8, 16


@dataclass
class ResellerRecords:
    """Cases of the training and of the test weeks."""

    lines: NamedLines
    cancelled: tuple[ndarray, ndarray, ndarray]
    teaching: list[ResellerCase]
    train: Evidence
    testing: list[ResellerCase]
    test: Evidence
    _books: dict[int, PriceBook] = field(default_factory=dict)

    def talk_case(
        self,
        number: int,
        ranked: Ranked,
        suggested: Float[ndarray, " row"],
        *,
        teaching: bool = False,
        draw: int = 0,
    ) -> Case:
        """The discussion of one case; see `build_talk_case`.

        Args:
            number: of the case.
            ranked: of the evidence of its weeks.
            suggested: units, by row of that evidence.
            teaching: of the training weeks, not of the test weeks.
            draw: number of the random order of the options.
        """
        cases, evidence = (self.teaching, self.train) if teaching else (self.testing, self.test)
        day = cases[number].day
        if day not in self._books:
            self._books[day] = build_price_book(self.lines, self.cancelled, day)
        rows = np.flatnonzero(evidence.case == number)
        return build_talk_case(
            cases[number], rows, evidence, ranked, suggested, self._books[day], self.lines.names, draw=draw
        )


def load_reseller_records(path: Path, *, earlier: int = 0) -> ResellerRecords:
    """Read the file and build the cases.

    Args:
        path: the first year of Online Retail II, as CSV, Excel or Parquet.
        earlier: weeks that everything is moved back; what comes after is not looked at by any case.
    """
    lines = load_named_lines(path)
    book, market = build_order_book(lines), build_market(lines)
    end = int(lines.day.max()) + 1 - 7 * earlier
    first, train_first = end - 7 * WEEKS, end - 7 * (WEEKS + TRAIN_WEEKS)
    associates = build_associates(lines, train_first)
    testing = build_reseller_cases(book, first, end)
    teaching = build_reseller_cases(book, train_first, first)
    return ResellerRecords(
        lines, cancelled_lines(path, lines),
        teaching, build_evidence(teaching, book, market, associates),
        testing, build_evidence(testing, book, market, associates),
    )  # fmt: skip


def cancelled_lines(path: Path, lines: NamedLines) -> tuple[ndarray, ndarray, ndarray]:
    """(Product code, day, units) of cancelled lines of products that are sold."""
    rows = read_file(path).rows
    form = next(f for f in FORMS if set(f.values()) <= set(rows.columns))
    code = {key: i for i, key in enumerate(lines.product_key)}
    back = (
        rows.select(pl.col(v).alias(k) for k, v in form.items())
        .filter(pl.col("order").cast(pl.String).str.contains("^[Cc]"))
        .with_columns(
            pl.col("timestamp").cast(pl.String).str.slice(0, 10).str.to_date(strict=False),
            code=pl.col("product").cast(pl.String).str.strip_chars().str.to_uppercase()
            .replace_strict(list(code), list(code.values()), default=None, return_dtype=pl.Int64),
            units=-pl.col("quantity").cast(pl.Float64),
        )
        .filter(pl.col("code").is_not_null() & (pl.col("units") > 0) & pl.col("timestamp").is_not_null())
    )  # fmt: skip
    return back["code"].to_numpy(), back["timestamp"].to_physical().to_numpy(), back["units"].to_numpy()
