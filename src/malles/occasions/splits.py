"""Which customers, categories and weeks a model may be fitted on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int16, Int32
from numpy import ndarray

from malles.errors import UsageError
from malles.vocabulary import Catalogue

FROZEN = Path(__file__).with_name("benchmark_v1.json")


@dataclass(frozen=True)
class Split:
    """Temporal windows, and who and what is held out of fitting altogether."""

    fit: tuple[int, int]
    """First and last week of fitting, both inclusive."""
    valid: tuple[int, int]
    """Weeks in which choices between models are made."""
    test: tuple[int, int]
    """Weeks that are scored once."""
    cold_customer: Bool[ndarray, " customer"]
    """Customers whose choices are never fitted; their past may be read when they decide."""
    cold_category: Bool[ndarray, " category"]
    """Choice categories whose choices are never fitted; whole groups at a time."""


def build_split(
    catalogue: Catalogue,
    *,
    fit: tuple[int, int] = (9, 40),
    valid: tuple[int, int] = (41, 44),
    test: tuple[int, int] = (45, 53),
    cold_customers: float = 0.14,
    cold_groups: float = 0.2,
    seed: int = 0,
    frozen: bool | None = None,
) -> Split:
    """The split of a catalogue: the frozen one of benchmark v1 for Complete Journey, else by hash of the
    keys.

    A customer (group of categories) is cold if the hash of (seed, key) falls into the given share, so it
    stays cold when other customers come or go.

    Args:
        catalogue: coded data.
        fit: weeks of fitting.
        valid: weeks of validation.
        test: weeks of the final score.
        cold_customers: share of customers held out, [0, 1).
        cold_groups: share of groups of categories held out, [0, 1).
        seed: of the hash.
        frozen: whether to use the lists of benchmark v1; by default if the catalogue is `complete_journey`.

    Raises:
        UsageError: the weeks overlap or a share is not in [0, 1).
    """
    if not fit[0] <= fit[1] < valid[0] <= valid[1] < test[0] <= test[1]:
        raise UsageError(
            f"weeks overlap: fit {fit}, valid {valid}, test {test}; each must end before the next begins"
        )
    for name, share in (("cold_customers", cold_customers), ("cold_groups", cold_groups)):
        if not 0.0 <= share < 1.0:
            raise UsageError(f"{name} is {share}; expected a share from 0 up to, not including, 1")
    if frozen is None:
        frozen = catalogue.name == "complete_journey"
    groups = category_groups(catalogue)
    if frozen:
        lists = read_frozen()
        names, keys = set(lists["cold_groups"]), {str(key) for key in lists["cold_customers"]}
        cold_group = np.array([name in names for name in catalogue.group_name], bool)
        cold_customer = np.array([str(key) in keys for key in catalogue.customer_key.to_list()], bool)
    else:
        cold_group = np.array([_share(seed, "group", n) < cold_groups for n in catalogue.group_name], bool)
        cold_customer = np.array(
            [_share(seed, "customer", key) < cold_customers for key in catalogue.customer_key.to_list()], bool
        )
    return Split(fit, valid, test, cold_customer, cold_group[groups] & (groups >= 0))


def category_groups(catalogue: Catalogue) -> Int32[ndarray, " category"]:
    """The coarser group of every choice category."""
    group = np.full(len(catalogue.category_name), -1, np.int32)
    eligible = catalogue.products.category >= 0
    group[catalogue.products.category[eligible]] = catalogue.products.group[eligible]
    return group


def leave_group_out_folds(catalogue: Catalogue, n: int = 5, seed: int = 0) -> Int16[ndarray, " category"]:
    """Fold of every choice category, 0 .. n-1; categories of one group share a fold, folds are of even size.

    Groups are dealt out in the order of their hash, each to the fold with the fewest lines so far.
    """
    if n < 2:
        raise UsageError(f"{n} folds leave nothing to compare; ask for at least 2")
    groups = category_groups(catalogue)
    code = catalogue.products.category[catalogue.lines.product]
    lines = np.bincount(code[code >= 0], minlength=len(groups))
    order = sorted(set(groups.tolist()), key=lambda g: _share(seed, "fold", catalogue.group_name[g]))
    load = np.zeros(n, np.int64)
    fold = np.zeros(len(groups), np.int16)
    for g in order:
        lightest = int(load.argmin())
        fold[groups == g] = lightest
        load[lightest] += lines[groups == g].sum()
    return fold


@cache
def read_frozen() -> dict[str, Any]:
    """Cold groups and customers of choice benchmark v1."""
    lists: dict[str, Any] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return lists


def _share(seed: int, kind: str, key: object) -> float:
    """A number in [0, 1) from a hash that is the same on every machine."""
    digest = hashlib.blake2b(f"{seed}\x1f{kind}\x1f{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64
