"""Groups of products by the head noun of their name, and which groups are held out of training.

"RED RETROSPOT CAKE TINS SET OF 3 WITH LID"  ->  "RED RETROSPOT CAKE TINS"  ->  TIN
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

COMMON_HEAD = 8
"""A word that is the head of so many products is preferred among the last three words."""

_CUT = re.compile(r",|\(|\b(?:WITH|IN|FOR|FROM|ON)\b")
_PACK = re.compile(
    r"\b(?:(?:BOX|SET|PACK|PK|BAG|ASSORTED|CARD|TUBE)\s*(?:OF|/)?\s*\d+|S/\d+|P/?K?\s*\d+|\d+\s*(?:PCS?|PIECES?|PK|PACK)"
    r"|\d[\d./X*]*\s*(?:CM|MM|M|ML|L|LTR|G|KG|INCH|IN)?\b)"
)
_STOP_WORDS = """
RED BLUE GREEN PINK WHITE BLACK IVORY CREAM YELLOW ORANGE PURPLE GOLD SILVER BROWN GREY TURQUOISE
LILAC AQUA NATURAL CLEAR MULTI MULTICOLOUR COLOUR COLOURS COLOURED AMETHYST AMBER CRYSTAL MINT ROSE
VIOLET BRONZE COPPER DESIGN DESIGNS DESIGNED SIZE SIZES LARGE SMALL MEDIUM BIG MINI GIANT JUMBO
ASSORTED ASST ASS ASSTD STYLE STYLES TYPE SHAPE SHAPED THE AND OF A TO BY COL COLS PRINT PATTERN
FINISH DES VINTAGE RETRO ANTIQUE TALL LONG
"""
_STOP = frozenset(_STOP_WORDS.split())


def head_candidates(name: str) -> tuple[str, ...]:
    """The last three words that could be a head noun, last first, singular.

    >>> head_candidates("SET OF 4 VINTAGE CAKE TINS, CREAM")
    ('TIN', 'CAKE')
    """
    text = _CUT.split(name.upper(), maxsplit=1)[0]
    text = _PACK.sub(" ", text)
    words = [w for w in re.findall(r"[A-Z][A-Z'&-]+", text) if w not in _STOP]
    return tuple(singular(w) for w in words[:-4:-1])


def singular(word: str) -> str:
    """A word without its plural ending.

    >>> [singular(w) for w in ("BOXES", "CANDLES", "DAISIES", "GLASS", "MUGS", "DISHES")]
    ['BOX', 'CANDLE', 'DAISY', 'GLASS', 'MUG', 'DISH']
    """
    if word.endswith("IES") and len(word) > 4:
        return word[:-3] + "Y"
    if word.endswith(("XES", "SSES", "SHES", "CHES")):
        return word[:-2]
    if word.endswith("S") and not word.endswith(("SS", "US", "IS", "MAS")) and len(word) > 3:
        return word[:-1]
    return word


def name_groups(names: Sequence[str]) -> tuple[str, ...]:
    """The group of every product: its last word, or the first of its last three that heads many products.

    >>> name_groups(["RED MUG"] * 8 + ["MUG HOLIDAY", "LAMP"])[-2:]
    ('MUG', 'LAMP')
    """
    candidates = [head_candidates(name) for name in names]
    heads = Counter(c[0] for c in candidates if c)
    return tuple(next((w for w in c if heads[w] >= COMMON_HEAD), c[0] if c else "") for c in candidates)


def held_out(groups: Sequence[str]) -> Bool[ndarray, " product"]:
    """Groups left out of training: a quarter, by a checksum of the name, the same on every machine.

    >>> held_out(["NECKLACE", "BOX", "MUG"]).tolist()
    [True, True, False]
    """
    found = {
        g: int(hashlib.md5(f"g:{g}".encode(), usedforsecurity=False).hexdigest(), 16) % 4 == 0
        for g in set(groups)
    }
    return np.array([found[g] for g in groups], bool)
