"""Every setting, as frozen data: one section per stage, a sentence under each field.

    config = load_config(Path("configs/demo.toml"))
    config.occasions.slate_size

A file may leave anything out; what it names must exist. A section is passed to the stage it is named after.
"""

from malles.config.language import LanguageSettings, LossSettings, ServedSettings
from malles.config.market import CalibrationSettings, MarketSettings, ScenarioSettings
from malles.config.reading import (
    Config,
    build_config,
    change_config,
    config_values,
    load_config,
    setting_names,
)
from malles.config.road import DataSettings, ModelsSettings, OccasionsSettings
from malles.config.run import EvaluationSettings, ReportSettings, RunSettings
from malles.config.section import Section

__all__ = [
    "CalibrationSettings",
    "Config",
    "DataSettings",
    "EvaluationSettings",
    "LanguageSettings",
    "LossSettings",
    "MarketSettings",
    "ModelsSettings",
    "OccasionsSettings",
    "ReportSettings",
    "RunSettings",
    "ScenarioSettings",
    "Section",
    "ServedSettings",
    "build_config",
    "change_config",
    "config_values",
    "load_config",
    "setting_names",
]
