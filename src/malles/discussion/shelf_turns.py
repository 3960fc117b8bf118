"""What specialists hand on, in the form of the discussion protocol: facts with ids, turns that cite them."""

from __future__ import annotations

from collections.abc import Sequence

from malles.discussion.case import Case, Fact, Option, clean_text
from malles.discussion.shelves import ShelfTalk
from malles.discussion.specialists import SPECIALISTS, Specialist
from malles.discussion.turn import CLAIM, Turn
from malles.llm.prompt import Field, ShelfPrompt


def shelf_case(
    prompt: ShelfPrompt, name: str = "shelf", specialists: Sequence[Specialist] = SPECIALISTS
) -> Case:
    """The shelf as a case of the discussion protocol: one fact per specialist and alternative.

    A fact's topic is the specialist, its text the fields and values that this one sees of the alternative;
    where it sees nothing there is no fact.
    """
    options, facts = [], []
    for j, (line, remark) in enumerate(zip(prompt.shelf, prompt.remarks, strict=True)):
        whole = "".join(words for field, words in line if field is not Field.SOFT)
        options.append(Option(str(j), clean_text(whole.removeprefix("-")), high=1))
        for one in specialists:
            pieces = [piece for piece in (*one.cut(line), *one.cut(remark)) if piece[0] is not Field.FRAME]
            said = [f"{f.name.lower().replace('_', ' ')} {words.strip()}" for f, words in pieces]
            if said:
                facts.append(Fact(f"{one.name}-{j}", one.name, clean_text(", ".join(said))))
    return Case(name, "Which one is taken?", tuple(facts), tuple(options))


def turns_of(
    talk: ShelfTalk, case: Case, specialists: Sequence[Specialist] = SPECIALISTS
) -> list[tuple[str, Turn]]:
    """What was handed on, as turns: the alternative, and the fact that its specialist gives for it."""
    said: dict[str, str] = {fact.id: fact.text for fact in case.facts}
    turns = []
    for one, names in zip(specialists, talk.handed, strict=True):
        for j in names:
            fact = f"{one.name}-{j}"
            words = "".join(c if c.isalpha() else " " for c in said.get(fact, "nothing stands out"))
            claim = " ".join(words.split())[:CLAIM].strip()
            turns.append((one.name, Turn(claim, (fact,) if fact in said else (), str(j), 1)))
    return turns
