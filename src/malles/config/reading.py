"""From a TOML file to settings, with one sentence for everything that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from malles.config.language import LanguageSettings, ServedSettings
from malles.config.market import CalibrationSettings, MarketSettings, ScenarioSettings
from malles.config.road import DataSettings, ModelsSettings, OccasionsSettings
from malles.config.run import EvaluationSettings, ReportSettings, RunSettings
from malles.config.section import Section
from malles.errors import ConfigError, did_you_mean


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
