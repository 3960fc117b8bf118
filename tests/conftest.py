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
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

SOURCE = Path(__file__).parent.parent / "src" / "malles"
_home = Path(os.environ.get("MALLES_HOME") or SOURCE.parent.parent / ".malles")
os.environ.setdefault("MALLES_MODELS", str((_home / "models").absolute()))  # tests move MALLES_HOME elsewhere
IN_CI = os.environ.get("CI") == "true"

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
    without_weights = pytest.mark.skip(
        reason="the embedded language model is not here; fetch it with: malles models pull smollm2"
    )
    no_weights = not IN_CI and not _has_weights()  # in CI they run, and fail with the reason
    for item in items:
        if no_weights and item.get_closest_marker("weights"):
            item.add_marker(without_weights)
        if item.get_closest_marker("data") and not (folder and Path(folder).is_dir()):
            item.add_marker(without_data)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(without_gpu)


def _has_weights() -> bool:
    """Whether the embedded language model and what reads it are installed."""
    manifest = Path(os.environ["MALLES_MODELS"]) / "smollm2" / "malles.json"
    return manifest.is_file() and find_spec("transformers") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test of the embedded model is a failure."""
    report = yield
    if IN_CI and report.skipped and item.get_closest_marker("weights"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CI runs every test of the embedded model: " + str(
            report.longrepr
        )
    return report


_weights_passed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests of the embedded model that ran, in whichever process."""
    if report.when == "call" and report.passed and "weights" in report.keywords:
        _weights_passed.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a whole run in which no test of the embedded model passed is a failure."""
    config = session.config
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS and not config.getoption("keyword")
    if IN_CI and whole and not hasattr(config, "workerinput") and not _weights_passed:
        print("\nmalles: no test of the embedded language model passed; CI needs them all", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
