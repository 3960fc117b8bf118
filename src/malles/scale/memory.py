"""How much memory a crowd needs, told before it is built."""

from __future__ import annotations

import os
from pathlib import Path

from malles.errors import UsageError
from malles.population.crowd import bytes_per_customer

PROCESS = 250_000_000
"""Bytes of a worker without customers: Python, numpy, numba and polars (211 MB measured with 100,000)."""
TRANSIENT = 100
"""Bytes per customer of one shard while it is built or written."""


def memory_needed(customers: int, attributes: int, shard_size: int, workers: int) -> int:
    """Bytes of a whole roll-out at its peak.

    >>> memory_needed(10_000_000, 6, 250_000, 2) // 1_000_000
    1030
    """
    return customers * bytes_per_customer(attributes) + workers * (
        PROCESS + TRANSIENT * min(shard_size, customers)
    )


def memory_free() -> int | None:
    """Bytes that this machine can still give, or None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None


def check_memory(customers: int, attributes: int, shard_size: int, workers: int, limit: int | None) -> int:
    """Bytes needed, if they are there.

    Raises:
        UsageError: they are not; the message says how much is needed and what to set.
    """
    needed = memory_needed(customers, attributes, shard_size, workers)
    free = limit if limit is not None else memory_free()
    if free is None or needed <= free:
        return needed
    fixed = needed - customers * bytes_per_customer(attributes)
    most = max(0, (free - fixed) // bytes_per_customer(attributes))
    allowed = "the limit allows" if limit is not None else "this machine has free"
    raise UsageError(
        f"a crowd of {customers:,} customers needs {needed / 1e9:.1f} GB, {allowed} {free / 1e9:.1f} GB; "
        f"set `customers` to at most {most:,}, or spread it over {-(-needed // max(free, 1))} such machines "
        "with a Ray cluster."
    )
