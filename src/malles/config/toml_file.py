"""A TOML file read as plain values, or one sentence why not."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from malles.errors import ConfigError


def read_toml(path: Path, kind: str, examples: str) -> dict[str, Any]:
    """The values of a file.

    Args:
        path: of the file.
        kind: what the file is called in sentences, for example "plan".
        examples: where one like it lies.

    Raises:
        ConfigError: there is none, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as problem:
        raise ConfigError(f"There is no {kind} file {path}; see {examples}.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path} cannot be read as UTF-8 text ({problem}).") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{path} is not valid TOML: {problem}.") from problem
