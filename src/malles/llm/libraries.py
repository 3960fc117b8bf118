"""The libraries under the language models: whether they are installed, and keeping them quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from malles.errors import MissingExtra


def check_installed(purpose: str, *packages: str) -> None:
    """Refuse in one sentence if a package of the extra `llm` is not installed.

    >>> check_installed("adding", "json")
    """
    from importlib.util import find_spec

    for package in packages:
        if sys.modules.get(package, ...) is None or find_spec(package) is None:
            raise MissingExtra(purpose, package, "llm")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from writing to stderr; what matters is raised."""
    import transformers

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
