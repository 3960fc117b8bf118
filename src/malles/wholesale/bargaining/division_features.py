"""What a cut dialogue over a division says in numbers: values of both sides, how much there is to win, words.

Lengths are left out, as for prices: half of a dialogue tells how long the whole became.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from malles.data.dialogues import Dialogue, Division
from malles.wholesale.bargaining.cut import half_of
from malles.wholesale.bargaining.division import Divisions, enumerate_divisions
from malles.wholesale.bargaining.table import Table


def build_agreement_table(dialogues: Sequence[Dialogue[Division]], most: int | None = None) -> Table:
    """One row per dialogue: counts, values, what is to be won; the words of both sides together.

    Args:
        dialogues: over divisions of the same items.
        most: messages kept at most; None = half of them, 0 = none.
    """
    numbers = []
    for d in dialogues:
        roles, items = sorted(d.subject.values), sorted(d.subject.counts)
        worth = np.array([[d.subject.values[r][i] for i in items] for r in roles], float)
        counts = np.array([d.subject.counts[i] for i in items], float)
        numbers.append([*counts, *worth.min(axis=0), *worth.max(axis=0), *prospects(d.subject)])
    words = tuple(" ".join(t.text for t in half_of(d, most)[0]) for d in dialogues)
    return Table(np.array(numbers), (words,), tuple(d.case for d in dialogues))


def build_points_table(
    dialogues: Sequence[Dialogue[Division]], most: int | None = None
) -> tuple[Table, ndarray, tuple[str, ...]]:
    """One row per side of a dialogue, grouped by dialogue; its points; and whose row it is.

    Args:
        dialogues: over divisions of the same items.
        most: messages kept at most; None = half of them, 0 = none.
    """
    numbers, own, other, group, points, roles = [], [], [], [], [], []
    for d in dialogues:
        first = half_of(d, most)[0]
        all_ = enumerate_divisions(d.subject)
        solution = all_.points[int(all_.nash.argmax())]
        for k, role in enumerate(all_.roles):
            rival = all_.roles[1 - k]
            items = sorted(d.subject.counts)
            numbers.append(
                [
                    *(d.subject.values[role][i] for i in items),
                    *(d.subject.values[rival][i] for i in items),
                    *_prospects(all_),
                    solution[k],
                    float(bool(first) and first[0].role == role),
                ]
            )
            own.append(" ".join(t.text for t in first if t.role == role))
            other.append(" ".join(t.text for t in first if t.role != role))
            group.append(d.case)
            points.append((d.outcome.points or {})[role])
            roles.append(role)
    table = Table(np.array(numbers, float), (tuple(own), tuple(other)), tuple(group))
    return table, np.array(points, float), tuple(roles)


def prospects(division: Division) -> list[float]:
    """Best sum of points, the Nash product, best smaller side, number of efficient divisions, likeness of the
    two sides' values (cosine weighted by counts).
    """
    all_ = enumerate_divisions(division)
    worth = np.array([[division.values[r][i] for i in all_.items] for r in all_.roles], float)
    worth = worth * np.array([division.counts[i] for i in all_.items])
    norm = float(np.linalg.norm(worth[0]) * np.linalg.norm(worth[1]))
    return [*_prospects(all_), float(worth[0] @ worth[1]) / norm if norm else 0.0]


def _prospects(all_: Divisions) -> list[float]:
    u = all_.points
    return [
        float(u.sum(axis=1).max()),
        float(all_.nash.max()),
        float(u.min(axis=1).max()),
        float(np.count_nonzero(all_.efficient)),
    ]
