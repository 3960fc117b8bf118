"""Sections of the engines that read words: [llm] and [api]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from malles.config.section import Section


class LossSettings(Section):
    """How much each loss of post-training counts; 0 switches it off (`docs/method/alignment.md`)."""

    choice: Annotated[float, Field(ge=0)] = 1.0
    """Choice likelihood, contrastive over the choice set."""
    close: Annotated[float, Field(ge=0)] = 0.0
    """Pairwise contrast with the likeliest rival."""
    teacher: Annotated[float, Field(ge=0)] = 0.0
    """Soft targets of the fitted set model; for models without a skip."""
    response: Annotated[float, Field(ge=0)] = 0.0
    """Response to a changed price, against the fitted set model's; for models without a skip."""
    change: Annotated[float, Field(ge=0)] = 0.0
    """Change of log-probabilities from today's to a changed price, against the fitted set model's."""
    quantity: Annotated[float, Field(ge=0)] = 0.1
    """Units of the chosen alternative."""
    consistency: Annotated[float, Field(ge=0)] = 1.0
    """Divergence between decision-neutral rewordings."""
    attention: Annotated[float, Field(ge=0)] = 0.0
    """Divergence of the decision rows' attention from a prior that favours price, discount, own history."""


class LanguageSettings(Section):
    """The language model `hf`: which one, how it is read, how it is post-trained."""

    adapter: str = ""
    """'' fits one; 'shipped' takes the adapter that comes with malles; else the folder of an adapter."""
    model: str = "smollm2"
    """A model of `malles models list`, or a folder in the Hugging Face layout."""
    layers: Annotated[int, Field(ge=0)] = 12
    """Layers that are read; 0 takes all."""
    tuned_layers: Annotated[int, Field(ge=0)] = 6
    """Of those, the last ones that the adapter changes."""
    rank: Annotated[int, Field(ge=1, le=512)] = 8
    """Rank of the adapter."""
    targets: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "down_proj")
    """Matrices of a layer that the adapter changes."""
    width: Annotated[int, Field(ge=8, le=1024)] = 64
    """Width of the pointer readout."""
    attention: Literal["set", "causal"] = "set"
    """'set': alternatives do not see each other, so their order cannot matter; 'causal': left to right."""
    longest: Annotated[int, Field(ge=64)] = 2048
    """Tokens of a prompt at most; longer prompts are shortened by rule, and counted."""
    skip: bool = True
    """Whether the fitted set model is added to; false learns from the text alone."""
    occasions: Annotated[int, Field(ge=0)] = 40_000
    """Training occasions to draw from; 0 takes all."""
    steps: Annotated[int, Field(ge=1)] = 100_000
    """Steps at most."""
    minutes: Annotated[float, Field(ge=0)] = 12.0
    """Processor-minutes of post-training; 0: no limit."""
    batch: Annotated[int, Field(ge=1)] = 8
    """Occasions per step."""
    alternatives: Annotated[int, Field(ge=0)] = 14
    """Alternatives that a step reads of each occasion, the chosen one among them; 0 reads all."""
    rate: Annotated[float, Field(gt=0)] = 4e-4
    """Largest learning rate of the adapter."""
    pointer_rate: Annotated[float, Field(gt=0)] = 6e-4
    """Largest learning rate of the pointer."""
    balance: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Temperature of the sampling over categories: 1 as in the data, 0 all alike."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Exponential moving average of the weights; the average is kept."""
    rewording: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Part of the prompts that training reads in other words."""
    paired: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Part of the steps that compare two wordings, where the loss `consistency` is on."""
    changed: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Part of the steps that read changed prices, where the loss `response` or `change` is on."""
    look: Annotated[int, Field(ge=0)] = 0
    """Steps between looks at 300 later occasions, on which training stops early; 0: never."""
    checkpoint: Annotated[int, Field(ge=1)] = 50
    """Steps between checkpoints that a killed run goes on from."""
    wordings: Annotated[int, Field(ge=1, le=12)] = 1
    """Decision-neutral rewordings that an answer is averaged over."""
    score: Annotated[int, Field(ge=20)] = 300
    """Held-out occasions that the language model is scored on, beside the other models."""
    losses: LossSettings = LossSettings()
    """Weights of the losses of post-training."""


class ServedSettings(Section):
    """The engine `api`: a language model behind a server, asked as it is (`docs/method/api.md`)."""

    model: str = ""
    """The model as its server names it."""
    base_url: str = ""
    """Address up to and with /v1; '' takes $OPENAI_BASE_URL. The key comes from $OPENAI_API_KEY alone."""
    rotations: Annotated[int, Field(ge=2, le=26)] = 2
    """Orders of the alternatives that an answer is averaged over."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 16
    """Letters drawn per rotation where the server gives no log-probabilities."""
    shortlist_by: Literal["parts", "fallback"] = "parts"
    """Shelves above 20: 'parts' asks about parts, then their winners; 'fallback' picks the likeliest."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Calls under way at once."""
    requests_per_minute: Annotated[float, Field(ge=0)] = 0.0
    """Calls a minute at most; 0: no limit."""
    deadline: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one occasion with all its calls and retries."""
    budget_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens at most; 0: no limit."""
    budget_money: Annotated[float, Field(ge=0)] = 0.0
    """Money at most, in the currency of the prices; 0: no limit."""
    prompt_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens of prompts."""
    completion_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens of replies."""
    unusable_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of occasions without a usable answer above which the run fails."""
    fallback: str = "head"
    """The model that answers those occasions; they are counted and shown."""
    cache: Path | None = None
    """SQLite file of answers; None takes answers.sqlite in the data home."""
