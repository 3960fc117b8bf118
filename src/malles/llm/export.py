"""Choice occasions as conversations, one JSON object a line, for trainers of other programs.

{"messages": [{"role": "system", ...}, {"role": "user", ...}, {"role": "assistant", "content": "C"}]}

The user's message is the lettered prompt, the answer the letter of what was chosen.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from malles.llm.training.examples import Examples
from malles.llm.wording import CANONICAL
from malles.store import write_whole

LETTERS = tuple(string.ascii_uppercase)
"""An answer is one letter, so that many alternatives can be told apart."""

SYSTEM = "You are this customer in front of this shelf. Answer with the letter of the option you take."


@dataclass(frozen=True)
class Exported:
    """What became of the occasions of an export."""

    written: int
    too_long: int = 0
    """Occasions with more than 26 alternatives."""
    no_choice: int = 0
    """Occasions whose choice is not among the alternatives."""


def export_chat(
    examples: Examples,
    path: Path,
    *,
    system: str = SYSTEM,
    limit: int | None = None,
    tell: Callable[[float, float], None] | None = None,
    rng: np.random.Generator | None = None,
) -> Exported:
    """Write examples as chat JSONL, in one piece.

    Args:
        examples: prompts and choices; `build_examples` makes them.
        path: of the file; an older one is replaced.
        system: the first message; '' leaves it out.
        limit: lines at most.
        tell: told (done, total).
        rng: if given, alternatives are shuffled, so that a letter alone says nothing.

    Returns:
        How many lines were written, and how many occasions were left out and why.
    """
    written = too_long = no_choice = 0
    total = len(examples)
    with write_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for row in range(total):
            if limit is not None and written >= limit:
                break
            chosen = int(examples.chosen[row])
            prompt = examples.render(row, CANONICAL)
            if chosen < 0 or len(prompt) > len(LETTERS):
                no_choice += chosen < 0
                too_long += chosen >= 0
                continue
            order = list(range(len(prompt)))
            if rng is not None:
                order = rng.permutation(len(prompt)).tolist()
            asked = prompt.reorder(order).lettered(LETTERS)
            messages = [{"role": "system", "content": system}] if system else []
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": LETTERS[order.index(chosen)]})
            file.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
            written += 1
            if tell is not None:
                tell(row + 1, total)
    return Exported(written, too_long, no_choice)
