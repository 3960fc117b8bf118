"""One real OpenAI-compatible server from the package index: `transformers serve` with the embedded model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openai", reason="the extra `api` is not installed")

from llm.small_markets import named_market
from malles.engines import find_engine
from malles.llm.backend import Message
from malles.llm.backends.api import ApiBackend
from malles.llm.backends.api_settings import ApiSettings
from malles.llm.served import ServedModel, ServedSettings
from malles.llm.wording import ChoicePrompts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.weights,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        find_spec("fastapi") is None or find_spec("uvicorn") is None,
        reason="`transformers serve` needs fastapi and uvicorn",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ApiSettings]:
    """Its address and model; it takes half a minute to start and gives no log-probabilities."""
    folder = Path(os.environ["MALLES_MODELS"]) / "smollm2"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            ends = time.monotonic() + 240
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert process.poll() is None and time.monotonic() < ends, log.read_text()[-2000:]
                time.sleep(0.5)
            yield ApiSettings(
                model=str(folder),
                base_url=f"http://127.0.0.1:{port}/v1",
                samples=6,
                concurrency=1,
                timeout=60.0,
                deadline=240.0,
            )
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_a_server_that_drops_the_field_is_sampled(server, tmp_path):
    """Distributions over two shelves, counted from letters; asked again, they come from the cache."""
    market = named_market(occasions=30)
    prompts = [ChoicePrompts(market).prompt(i) for i in (0, 1)]
    with ApiBackend(server, cache=tmp_path / "answers.sqlite") as backend:
        assert backend.probe() == "samples"
        found = backend.score(prompts)
        for prompt, one in zip(prompts, found, strict=True):
            assert one.log_probability is not None, one.problem
            assert one.log_probability.shape == (len(prompt),)
            assert np.logaddexp.reduce(one.log_probability) == pytest.approx(0.0)
        assert np.ptp(found[0].log_probability) > 0  # something was counted
        assert backend.usage.prompt_tokens > 100
        calls = backend.usage.calls
        again = backend.score(prompts)
        assert backend.usage.calls == calls
        np.testing.assert_array_equal(again[0].log_probability, found[0].log_probability)


def test_it_writes(server):
    with ApiBackend(server) as backend:
        asked = [[Message("user", "What is the capital of France?")]]
        said = backend.complete(asked, max_tokens=12)[0]
        assert "Paris" in said.text
        assert (said.problem, said.completion_tokens) == ("", pytest.approx(8, abs=5))


def test_it_is_a_choice_model(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MALLES_HOME", str(tmp_path))
    market = named_market(occasions=30)
    settings = ServedSettings(
        model=server.model, base_url=server.base_url, samples=4, concurrency=1, fallback="popularity",
        deadline=240.0,
    )  # fmt: skip
    fallback = find_engine("popularity").fit(market, market, market.occasions.category, seed=1)
    model = ServedModel(settings, market.regime, fallback)
    found = model.predict(market.take(np.arange(2)))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (model.counts.asked, model.unusable) == (2, 0)
