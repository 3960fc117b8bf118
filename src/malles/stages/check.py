"""Before a run: everything of a configuration that can be checked in a moment, and what the run would do."""

from __future__ import annotations

from malles.config import Config
from malles.data.loading import check_dataset
from malles.engines import find_engine
from malles.stages.models import language_settings


def check_config(config: Config) -> list[str]:
    """Check names, folders, addresses and installed packages; computes nothing and asks no server.

    Weeks are compared with the data set when it is read.

    Returns:
        What would be done, one sentence for the data, then one for each model.

    Raises:
        UsageError: a name or a setting cannot be right.
        ModelError: a language model or an adapter is not here.
        MissingExtra: a model needs a package that is not installed.
    """
    data = config.data.path.stem if config.data.path is not None else config.data.name
    check_dataset(str(config.data.path or config.data.name))
    for name in config.models.names:
        find_engine(name)
    weeks, sample = config.occasions, config.occasions.sample
    many = f"{sample:,} occasions" if sample else "all occasions"
    said = [f"{data}: models learn from {many} of weeks {weeks.first_week} to {weeks.fit_until}"]
    for name in config.models.names:
        engine = find_engine(name, config.occasions.regime)
        options = language_settings(config, name) if engine.slow else None
        said.append(engine.check(name, data, options))
    return said
