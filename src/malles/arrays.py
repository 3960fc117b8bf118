"""Frozen dataclasses of arrays to one safetensors file and back: the same values give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from malles.errors import ModelError

T = TypeVar("T")


def write_arrays(value: Any, path: Path) -> None:
    """Write every field of a dataclass of numpy arrays.

    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Pair:
    ...     left: np.ndarray
    ...     right: np.ndarray
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_arrays(Pair(np.arange(2), np.ones(3)), Path(folder) / "pair")
    ...     read_arrays(Pair, Path(folder) / "pair").left
    array([0, 1])
    """
    from safetensors.numpy import save

    fields = {name: np.ascontiguousarray(getattr(value, name)) for name in value.__dataclass_fields__}
    path.write_bytes(save(fields, metadata={"kind": type(value).__name__}))


def read_arrays(kind: type[T], path: Path) -> T:
    """Read what `write_arrays` wrote.

    Raises:
        ModelError: the file holds other fields, or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        fields = load_file(path)
        return kind(**fields)
    except (SafetensorError, TypeError, OSError) as problem:
        raise ModelError(
            f"{path} does not hold {kind.__name__} arrays ({problem}); remove the file and run again."
        ) from problem
