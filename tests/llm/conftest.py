"""A language model of two layers with random weights, its tokenizer, and a game that can be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A whole model of hidden width 32 with a small byte-level tokenizer and a chat template."""
    from llm.small_models import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny_settings(tiny_model) -> Any:
    """How the tiny model is read: both layers, the last one adapted, in float32."""
    from llm.small_models import tiny_reader_settings

    return tiny_reader_settings(tiny_model)


@pytest.fixture
def tiny_reader(tiny_settings) -> Any:
    """A reader whose pointer has something to say (random, not zero)."""
    from llm.small_models import speak
    from malles.llm.reader import Reader

    return speak(Reader(tiny_settings, seed=3))
