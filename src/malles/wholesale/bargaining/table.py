"""Rows of numbers and words: what the models of outcomes read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from numpy import ndarray

from malles.errors import DataError, MissingExtra


@dataclass(frozen=True)
class Table:
    """Cut dialogues (or their sides) as rows."""

    numbers: Float[ndarray, "row feature"]
    words: tuple[tuple[str, ...], ...]
    """Columns of text, for example what the buyer said and what the seller said."""
    group: tuple[str, ...]
    """Rows of one group stay together in cross-validation."""

    def __post_init__(self) -> None:
        lengths = {len(self.numbers), len(self.group), *map(len, self.words)}
        if len(lengths) != 1:
            raise DataError(
                f"numbers, words and groups of a table have {sorted(lengths)} rows; they must agree"
            )

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, rows: ndarray) -> Table:
        """Some rows: a mask or positions."""
        kept = np.arange(len(self))[rows]
        return Table(
            self.numbers[kept],
            tuple(tuple(column[i] for i in kept) for column in self.words),
            tuple(self.group[i] for i in kept),
        )

    def with_number(self, column: Float[ndarray, " row"]) -> Table:
        """One more column of numbers."""
        return Table(np.column_stack([self.numbers, column]), self.words, self.group)

    def folds(self, count: int, seed: int) -> Integer[ndarray, " row"]:
        """A fold for every row, by group, of nearly equal numbers of groups.

        >>> t = Table(np.zeros((4, 1)), (), ("a", "b", "a", "c"))
        >>> fold = t.folds(2, seed=1)
        >>> fold[0] == fold[2]
        np.True_
        """
        names, at = np.unique(self.group, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(names))
        return np.asarray((order % count)[at])


class Encoder:
    """Standardised numbers beside TF-IDF of words and pairs of words, learnt on the training rows."""

    def __init__(self, table: Table, *, least: int = 5) -> None:
        """Learn means, deviations and the vocabulary.

        Args:
            table: training rows.
            least: rows that must use a word.

        Raises:
            MissingExtra: scikit-learn is not installed.
        """
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise MissingExtra("models of bargaining", "scikit-learn", "text") from error
        self._mean = table.numbers.mean(axis=0)
        deviation = table.numbers.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        self._words: list[Any] = []
        for column in table.words:
            words = TfidfVectorizer(min_df=least, ngram_range=(1, 2), sublinear_tf=True)
            try:
                self._words.append(words.fit(column))
            except ValueError:  # no word is used by enough rows
                self._words.append(None)

    def encode(self, table: Table) -> Any:
        """A scipy.sparse matrix [row, feature]."""
        from scipy.sparse import csr_matrix, hstack

        parts = [csr_matrix((table.numbers - self._mean) / self._deviation)]
        parts += [
            words.transform(column)
            for words, column in zip(self._words, table.words, strict=True)
            if words is not None
        ]
        return hstack(parts, format="csr")
