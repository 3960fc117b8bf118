"""Rules ranked by a reader: what is read, what a ranking changes, and a weight that finds a useful reader."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from malles.baselines.columns import is_product
from malles.cognition.core import CognitiveCore
from malles.cognition.productions import PRODUCTIONS, WORDS
from malles.discussion.candidate_rules import fit_ranking_weight, join_ranking, rank_rules
from malles.llm.backend import Scored
from malles.profiles.features import build_features
from malles.vocabulary import ChoiceData, Regime
from profiles.markets import random_market

CHEAPEST = PRODUCTIONS.index("trade_down")


class Reader:
    """Gives nine tenths to the line with these words; says nothing to every fifth prompt."""

    def __init__(self, words: str, silent: bool = False) -> None:
        self.words, self.silent, self.read = words, silent, []

    def score_letters(self, prompts, rotations=1):
        found = []
        for number, prompt in enumerate(prompts):
            lines = ["".join(w for _, w in line) for line in prompt.shelf]
            self.read.append(prompt)
            liked = np.array([self.words in line for line in lines])
            p = np.where(liked, 0.9, 0.1 / max(len(lines) - liked.sum(), 1))
            mute = self.silent and number % 5 == 0
            found.append(Scored(None, "nothing") if mute else Scored(np.log(p / p.sum())))
        return found


@pytest.fixture(scope="module")
def data() -> ChoiceData:
    catalogue, asked = random_market(5, customers=30, categories=2, width=6, occasions=300)
    return build_features(catalogue, asked, Regime.FULL)


@pytest.fixture(scope="module")
def core(data):
    return CognitiveCore(decays=(0.5,)).fit(data)


def test_the_rules_that_match_are_read_with_what_they_would_take(data, core):
    reader = Reader(WORDS["trade_down"], silent=True)
    ranking, lost = rank_rules(core, data, reader)
    share, _ = core.compete(data)
    rows = np.flatnonzero((share > 0).sum(axis=1) > 1)
    assert len(reader.read) == len(rows) and lost == -(-len(rows) // 5)
    for prompt, n in zip(reader.read, rows, strict=True):
        assert len(prompt) == (share[n] > 0).sum()
    np.testing.assert_allclose(ranking.sum(axis=1)[(share > 0).any(axis=1)], 1.0)
    assert np.all(ranking[share == 0] == 0)
    heard = rows[np.arange(len(rows)) % 5 > 0]
    np.testing.assert_allclose(ranking[heard, CHEAPEST], 0.9)
    silent = rows[0]
    assert set(np.round(ranking[silent], 6)) <= {0.0, round(1 / (share[silent] > 0).sum(), 6)}


def test_without_weight_the_core_stands_and_with_much_the_ranking(data, core):
    ranking, _ = rank_rules(core, data, Reader(WORDS["trade_down"]))
    share, proposal = core.compete(data)
    np.testing.assert_allclose(join_ranking(share, ranking, 0.0), share)
    p = core.blend(data, join_ranking(share, ranking, 200.0), proposal)
    cheapest = proposal[:, CHEAPEST].argmax(axis=1)
    assert (p.argmax(axis=1) == cheapest).mean() > 0.9


def test_a_reader_that_knows_is_trusted_and_one_that_is_wrong_is_not(data, core):
    """Everybody takes the cheapest, whatever the core was fitted on."""
    product = is_product(data.occasions)
    chosen = np.where(product, data.occasions.price, np.inf).argmin(axis=1).astype(np.int16)
    frugal = replace(data, occasions=replace(data.occasions, chosen=chosen))
    good, _ = rank_rules(core, frugal, Reader(WORDS["trade_down"]))
    _, proposal = core.compete(frugal)
    reward = proposal[np.arange(len(frugal)), :, chosen]
    bad = np.where(reward > 0, 0.01, 1.0) * (good > 0)  # against every rule that takes the cheapest
    assert fit_ranking_weight(core, frugal, good) > 1.0
    assert fit_ranking_weight(core, frugal, bad) == 0.0
