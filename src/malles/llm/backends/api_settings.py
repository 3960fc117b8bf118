"""Settings of the engine `api`: which server, how it is asked, what it may cost.

The key is not among them: it comes from $OPENAI_API_KEY or from `key_file` when a backend is made, lives in a
`SecretStr`, and is never saved, logged or printed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from malles.config import Section
from malles.errors import ConfigError

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
"""What the openai package itself takes where nothing is stated."""


class ApiSettings(Section):
    """A server that speaks chat completions: vLLM, llama.cpp, Ollama or a hosted one."""

    model: Annotated[str, Field(min_length=1)]
    """The model as the server names it."""
    base_url: str = ""
    """Address up to and with /v1; '' takes $OPENAI_BASE_URL, else the hosted default."""
    key_file: Path | None = None
    """A file with the key alone; None takes $OPENAI_API_KEY, and servers of your own need none."""
    answers: Literal["auto", "logprobs", "samples"] = "auto"
    """How a distribution is read: log-probabilities, samples, or 'auto': what the server gives."""
    rotations: Annotated[int, Field(ge=2, le=26)] = 2
    """Orders of the alternatives that an answer is averaged over."""
    samples: Annotated[int, Field(ge=1, le=1000)] = 16
    """Letters drawn per rotation where the server gives no log-probabilities."""
    smoothing: Annotated[float, Field(gt=0)] = 1.0
    """Added to the count of every alternative (Laplace); only with samples."""
    shortlist: Annotated[int, Field(ge=2, le=20)] = 20
    """Alternatives in one prompt at most; a longer shelf is split, and the winners meet."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the samples, sent to the server."""
    timeout: Annotated[float, Field(gt=0)] = 20.0
    """Seconds for one call, to the last byte."""
    deadline: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one prompt with all its calls and retries, without waiting for our own rate limit."""
    retries: Annotated[int, Field(ge=0, le=100)] = 8
    """Further tries of a call that gave nothing usable, within the deadline."""
    wait: Annotated[float, Field(ge=0)] = 0.25
    """Seconds before the first further try; doubles each time. A server's Retry-After goes before."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """Calls under way at once."""
    requests_per_minute: Annotated[float, Field(ge=0)] = 0.0
    """Calls a minute at most; 0: no limit."""
    tokens_per_minute: Annotated[float, Field(ge=0)] = 0.0
    """Estimated tokens a minute at most; 0: no limit."""
    budget_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens this backend may use, prompts and replies; 0: no limit."""
    budget_money: Annotated[float, Field(ge=0)] = 0.0
    """Money it may use, in the currency of the prices; 0: no limit."""
    prompt_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens of prompts."""
    completion_price: Annotated[float, Field(ge=0)] = 0.0
    """Price of a million tokens of replies."""
    unusable_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of prompts without a usable answer above which the work stops with an error."""
    longest_line: Annotated[int, Field(ge=40)] = 400
    """Characters of one alternative in the prompt at most."""
    longest_data: Annotated[int, Field(ge=400)] = 16_000
    """Characters of the data block of a prompt at most; every line is shortened alike."""
    longest_reply: Annotated[int, Field(ge=10_000)] = 2_000_000
    """Bytes of a reply at most; what is longer is not read on."""

    def url(self) -> str:
        """The stated address, else $OPENAI_BASE_URL, else the hosted default."""
        return (self.base_url or os.environ.get(URL_VARIABLE, "") or DEFAULT_URL).rstrip("/")

    def key(self) -> SecretStr | None:
        """The key from `key_file`, else from $OPENAI_API_KEY, else None.

        Raises:
            ConfigError: the file cannot be read, or holds something that cannot be a key.
        """
        if self.key_file is None:
            text = os.environ.get(KEY_VARIABLE, "").strip()
            origin = f"${KEY_VARIABLE}"
        else:
            origin = str(self.key_file)
            try:
                text = self.key_file.expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as problem:
                reason = type(problem).__name__  # the text of a decoding error quotes the file
                raise ConfigError(f"The key file {origin} cannot be read ({reason}).") from None
            if not text:
                raise ConfigError(
                    f"The key file {origin} is empty; write the key into it, alone on one line."
                )
        if not (text.isascii() and text.isprintable()) or " " in text:
            raise ConfigError(f"{origin} holds something that cannot be a key; it should be the key alone.")
        return SecretStr(text) if text else None
