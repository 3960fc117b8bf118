"""Every setting, as frozen data: one section per stage, a sentence under each field.

    config = load_config(Path("configs/demo.toml"))
    config.occasions.slate_size

A file may leave anything out; what it names must exist. A section is passed to the stage it is named after.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from malles.errors import ConfigError, did_you_mean
from malles.vocabulary import Regime

Week = Annotated[int, Field(ge=1, le=10_000)]
Weeks = tuple[Week, Week]
"""First and last week, both included."""


class Section(BaseModel):
    """A part of the configuration: frozen, typed, without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Section):
    """Which transactions."""

    name: str = "complete_journey"
    """A data set known to `malles data list`, or the name given at `malles import`."""
    path: Path | None = None
    """Folder of an imported data set; None looks the name up."""


class OccasionsSettings(Section):
    """How transactions become choice occasions."""

    slate_size: Annotated[int, Field(ge=2, le=200)] = 20
    """Products in a choice set, the most popular of the past weeks."""
    first_week: Week = 9
    """First week with occasions; earlier weeks are history only."""
    fit_until: Week = 40
    """Last week that models are fitted on."""
    valid: Weeks = (41, 44)
    """Weeks that choices between models are made on."""
    test: Weeks = (45, 53)
    """Weeks that are looked at once, at the end."""
    sample: Annotated[int, Field(ge=100)] | None = 60_000
    """Training occasions drawn from the weeks to `fit_until`; 0 (in TOML) or None takes all."""
    regime: Regime = Regime.FULL
    """What a model may know: full, nohist (a new customer) or launch (a new category)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 20261121
    """Seed of the sample."""

    @field_validator("sample", mode="before")
    @classmethod
    def _zero_is_all(cls, value: object) -> object:
        return None if type(value) is int and value == 0 else value

    @model_validator(mode="after")
    def _weeks_follow_each_other(self) -> Self:
        for name in ("valid", "test"):
            first, last = getattr(self, name)
            if first > last:
                raise ValueError(
                    f"{name} = [{first}, {last}] ends before it begins; write the first week first"
                )
        if not self.first_week <= self.fit_until < self.valid[0]:
            raise ValueError(
                f"first_week {self.first_week}, fit_until {self.fit_until} and valid {list(self.valid)} "
                "overlap; the weeks must follow each other in this order"
            )
        if self.valid[1] >= self.test[0]:
            raise ValueError(
                f"valid {list(self.valid)} and test {list(self.test)} overlap; test weeks must be later"
            )
        return self


class ModelsSettings(Section):
    """Which choice models are fitted."""

    names: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "popularity",
        "personal_frequency",
        "conditional_logit",
        "lightgbm",
        "head",
    )
    """Models by name; the last one decides in the market."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of everything random in fitting."""

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        twice = [name for name in dict.fromkeys(self.names) if self.names.count(name) > 1]
        if twice:
            raise ValueError(f"names lists {twice[0]!r} more than once; name every model once")
        return self


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
    """Whether the fitted set model is added to; False learns from the text alone."""
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
    """Part of the steps that read changed prices, where the loss `response` is on."""
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


class MarketSettings(Section):
    """The simulated market."""

    weeks: Weeks = (41, 44)
    """Weeks that are simulated."""
    trips: Literal["data", "simulated"] = "data"
    """Whether shopping trips are taken from the data or drawn."""
    draws: Annotated[int, Field(ge=20, le=10_000)] = 200
    """Resamples of households behind every interval of the what-if."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the counter-based random numbers."""


class CalibrationSettings(Section):
    """How the market is fitted to the weeks before those it is judged on."""

    weeks: Weeks = (37, 40)
    """Weeks that the calibration is fitted on."""
    fit_until: Week = 36
    """Last week the models behind the calibration have seen."""

    @model_validator(mode="after")
    def _fitted_on_unseen_weeks(self) -> Self:
        if self.weeks[0] > self.weeks[1] or self.fit_until >= self.weeks[0]:
            raise ValueError(
                f"weeks {list(self.weeks)} must begin after fit_until {self.fit_until} "
                "and not end before they begin"
            )
        return self


class ScenarioSettings(Section):
    """One what-if: a price cut with display on one product."""

    category: str | None = None
    """Choice category, for example 'SOFT DRINKS | 2 LITER'; None takes the largest."""
    product: str | None = None
    """The data set's own product key; None takes the best seller of the category."""
    price_multiplier: Annotated[float, Field(gt=0, le=10)] = 0.8
    """New price over old price."""
    display: bool = False
    """Whether the product is put on display as well."""


class EvaluationSettings(Section):
    """How models are judged."""

    bootstrap: Annotated[int, Field(ge=20, le=100_000)] = 300
    """Resamples of households behind every interval."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of the resamples."""


class ReportSettings(Section):
    """What the report shows."""

    title: str = "A market learnt from its receipts"
    """Heading of the page."""


class RunSettings(Section):
    """Where and with how much a run works."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,55}$")] = "run"
    """First part of the run's folder name."""
    root: Path = Path("runs")
    """Folder of all runs."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of what no section seeds itself."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 2
    """Processes or threads; the result is the same for any number."""


class Config(Section):
    """All settings of a run."""

    data: DataSettings = DataSettings()
    occasions: OccasionsSettings = OccasionsSettings()
    models: ModelsSettings = ModelsSettings()
    llm: LanguageSettings = LanguageSettings()
    api: ServedSettings = ServedSettings()
    market: MarketSettings = MarketSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    scenario: ScenarioSettings = ScenarioSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    run: RunSettings = RunSettings()


def load_config(path: Path) -> Config:
    """Read a TOML file of settings.

    Raises:
        ConfigError: the file cannot be read, names an unknown setting, or gives an impossible value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as problem:
        raise ConfigError(
            f"There is no configuration file {path}; shipped ones lie in configs/."
        ) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read as UTF-8 text ({problem}).") from problem
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{path} is not valid TOML: {problem}.") from problem
    return build_config(values, origin=str(path))


def build_config(values: Mapping[str, Any], *, origin: str = "settings") -> Config:
    """Check settings given as nested dictionaries.

    >>> build_config({"occasions": {"slate_size": 10}}).occasions.slate_size
    10
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as problem:
        sentences = list(dict.fromkeys(_sentence(origin, error) for error in problem.errors()))
        raise ConfigError("\n".join(sentences)) from problem


def change_config(config: Config, changes: Mapping[str, Any]) -> Config:
    """Another configuration with some dotted settings replaced; None in `changes` leaves a setting alone.

    >>> change_config(Config(), {"run.seed": 7, "run.workers": None}).run.seed
    7
    """
    values = config_values(config)
    for name, value in changes.items():
        if value is not None:
            section, _, setting = name.partition(".")
            values.setdefault(section, {})[setting] = value
    return build_config(values)


def config_values(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain JSON values, every default written out."""
    return config.model_dump(mode="json")


def setting_names() -> list[str]:
    """Every setting as 'section.name', in the order of the road."""
    return list(_names())


def _names() -> Iterator[str]:
    for section, field in Config.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type) and issubclass(kind, Section)
        for name, inner in kind.model_fields.items():
            yield f"{section}.{name}"
            if isinstance(inner.annotation, type) and issubclass(inner.annotation, Section):
                yield from (f"{section}.{name}.{part}" for part in inner.annotation.model_fields)


def _sentence(origin: str, error: Any) -> str:
    place = [str(part) for part in error["loc"]]
    name = ".".join(place)
    if error["type"] == "extra_forbidden":
        known = list(Config.model_fields) if len(place) == 1 else setting_names()
        hint = did_you_mean(name, known, count=1)
        if not hint and len(place) > 1:
            siblings = [s.partition(".")[2] for s in setting_names() if s.startswith(place[0] + ".")]
            hint = f"[{place[0]}] knows: {', '.join(siblings)}."
        elif not hint:
            hint = f"The sections are: {', '.join(Config.model_fields)}."
        return f"{origin}: unknown setting {name!r}. {hint}"
    if error["type"] == "value_error":
        return f"{origin}: [{name}] {error['ctx']['error']!s}."
    message = re.sub(r"^[A-Z][a-z]+ should (be )?", "", error["msg"])
    message = message.replace("a valid dictionary or instance of", "a table of settings, as in")
    return f"{origin}: {name} = {str(error['input'])[:80]!r} is impossible; expected: {message}."
