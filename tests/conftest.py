"""What holds for every test: shapes are checked, sockets are closed, one thread, marks skip themselves."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy is imported; the tests themselves run side by side
os.environ.setdefault("POLARS_MAX_THREADS", "2")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.update(NO_COLOR="1", COLUMNS="100", MALLES_QUIET="1", PIP_NO_INDEX="1")

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

SOURCE = Path(__file__).parent.parent / "src" / "malles"

# ---- shapes ----


def modules_with_checked_shapes() -> list[str]:
    """Every module of malles but packages' `__init__` and numba kernels, which cannot be wrapped."""
    names = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name.startswith("__") or path.stem.endswith("kernels"):
            continue
        names.append(".".join(("malles", *path.relative_to(SOURCE).with_suffix("").parts)))
    return names


if "malles.vocabulary" not in sys.modules:  # too late otherwise, for example under `pytest -p` plug-ins
    install_import_hook(modules_with_checked_shapes(), "shape_checks.check")


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """For tests of what a function itself says to wrong shapes, as users meet it without the checker."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


# ---- hypothesis ----

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("here"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# ---- sockets ----


class SocketsAreClosedError(RuntimeError):
    """A test tried to leave this machine."""


_connect, _connect_ex, _look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _refuse_foreign(address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else "localhost"  # a path: a socket of this machine
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return
    try:
        if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise SocketsAreClosedError(f"tests run without a network; this one asked for {host!r}")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _refuse_foreign(address)
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _refuse_foreign(address)
    return _connect_ex(self, address)


def _guarded_look_up(host: Any, *rest: Any, **extra: Any) -> Any:
    _refuse_foreign((host, 0))
    return _look_up(host, *rest, **extra)


@pytest.fixture(autouse=True)
def _closed_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.node.get_closest_marker("network") is None:
        monkeypatch.setattr(socket.socket, "connect", _guarded_connect)
        monkeypatch.setattr(socket.socket, "connect_ex", _guarded_connect_ex)
        monkeypatch.setattr(socket, "getaddrinfo", _guarded_look_up)
    yield


# ---- marks that skip themselves ----


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on data that cannot be redistributed, or on a graphics card, skip themselves with the reason."""
    folder = os.environ.get("MALLES_DATA", "")
    without_data = pytest.mark.skip(
        reason="set MALLES_DATA to the folder of data that cannot be redistributed"
    )
    without_gpu = pytest.mark.skip(reason="no graphics card here")
    for item in items:
        if item.get_closest_marker("data") and not (folder and Path(folder).is_dir()):
            item.add_marker(without_data)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(without_gpu)


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


@pytest.fixture
def data_folder() -> Path:
    """Where data lies that cannot be redistributed; only for tests marked `data`."""
    return Path(os.environ["MALLES_DATA"])
