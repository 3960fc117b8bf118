"""A model server on 127.0.0.1 that speaks chat completions, well or with every fault a server can have.

Its answers are a function of the prompt alone, and a logit: the utility of an option is drawn from its words.
A fault is drawn from (seed, request, how often this request came), whatever the order of calls.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = (
    *("429", "429 wait", "500", "hang", "reset", "truncated", "html", "other json", "no choices", "twins"),
    *("empty", "drip", "no logprobs", "huge", "other letters"),
)
OPTION = re.compile(r"^([A-Z])\. (.*)$", re.M)


def utility(words: str) -> float:
    """Utility of an option, between -2 and 2, from its words."""
    digest = hashlib.sha256(words.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**30 - 2.0


class FaultServer:
    """Use it as a context manager; `url` is its base_url.

    Args:
        faults: what is drawn from; one name and share 1 gives that fault always.
        share: part of the calls that are faulty.
        logprobs: False drops the field silently, 'refused' answers 400 where it is asked for.
        bias: added to the utility of the options at the first places.
        noise: probability of a first token that is no letter.
        key: the only key that is accepted; '' accepts all.
    """

    def __init__(
        self,
        faults: Sequence[str] = FAULTS,
        *,
        share: float = 0.0,
        seed: int = 1,
        logprobs: bool | str = True,
        bias: Sequence[float] = (),
        noise: float = 0.1,
        key: str = "",
        retry_after: str = "0.02",
    ) -> None:
        self.faults, self.share, self.seed = tuple(faults), share, seed
        self.logprobs, self.bias, self.noise, self.key = logprobs, tuple(bias), noise, key
        self.retry_after = retry_after
        self.calls = 0
        self.given: Counter[str] = Counter()
        """Faults by name."""
        self.paths: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.most_together = self.together = 0
        self.came: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def __enter__(self) -> FaultServer:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def draw_fault(self, body: bytes) -> str:
        """The fault of this call, or ''."""
        name = hashlib.sha256(body).hexdigest()
        with self.lock:
            self.calls += 1
            self.came[name] += 1
            rng = random.Random(f"{self.seed}:{name}:{self.came[name]}")
            fault = rng.choice(self.faults) if rng.random() < self.share else ""
            self.given[fault or "none"] += 1
        return fault

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The clean reply."""
        user = request["messages"][-1]["content"]
        options = OPTION.findall(user)
        rng = random.Random(f"{request.get('seed')}:{user}")
        first: list[tuple[str, float]] = []
        if options:
            weight = [
                math.exp(utility(words.strip()) + (self.bias[i] if i < len(self.bias) else 0.0))
                for i, (_, words) in enumerate(options)
            ]
            total = sum(weight)
            mass = {
                letter: (1.0 - self.noise) * w / total for (letter, _), w in zip(options, weight, strict=True)
            }
            first = [*mass.items(), ("The", self.noise)] if self.noise else [*mass.items()]
            text = rng.choices([t for t, _ in first], [p for _, p in first])[0]
        elif "response_format" in request:
            text = json.dumps({"units": len(user), "said": "yes"})
        else:
            text = f"{len(user)} characters, draw {rng.randrange(10**6)}"
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
        if request.get("logprobs") and self.logprobs is True:
            listed = sorted(first, key=lambda tp: -tp[1])[: request.get("top_logprobs", 0)]
            choice["logprobs"] = {
                "content": [{"top_logprobs": [{"token": t, "logprob": math.log(p)} for t, p in listed]}]
            }
        words = len(user.split())
        return {"choices": [choice], "usage": {"prompt_tokens": words, "completion_tokens": 1}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    owner: FaultServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.owner.paths[self.path] += 1
        self._send(404, b"{}")

    def do_POST(self) -> None:
        owner = self.owner
        owner.paths[self.path] += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        with owner.lock:
            owner.together += 1
            owner.most_together = max(owner.most_together, owner.together)
        try:
            self._reply(body)
        finally:
            with owner.lock:
                owner.together -= 1

    def _reply(self, body: bytes) -> None:
        owner = self.owner
        fault = owner.draw_fault(body)
        request = json.loads(body)
        owner.requests.append(request)
        sent = self.headers.get("authorization", "").removeprefix("Bearer ")
        if owner.key and sent != owner.key:
            self._send(401, {"error": {"message": f"Incorrect API key provided: {sent}", "code": "bad_key"}})
            return
        if owner.logprobs == "refused" and "logprobs" in request:
            self._send(400, {"error": {"message": "logprobs is not supported"}})
            return
        clean = json.dumps(owner.answer(request)).encode()
        if fault:
            self._spoil(fault, clean, request)
        else:
            self._send(200, clean)

    def _spoil(self, fault: str, clean: bytes, request: dict[str, Any]) -> None:
        read = json.loads(clean)
        choice = read["choices"][0]
        if fault == "429":
            self._send(429, {"error": {"message": "slow down"}})
        elif fault == "429 wait":
            self._send(429, {"error": {"message": "slow down"}}, {"Retry-After": self.owner.retry_after})
        elif fault in ("500", "404", "400"):
            self._send(int(fault), {"error": {"message": "it broke"}})
        elif fault == "redirect":
            self._send(307, b"", {"Location": "/elsewhere"})
        elif fault == "hang":
            self.owner.closing.wait(30)
            self.close_connection = True
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault == "truncated":
            self._head(200, {"Content-Length": str(len(clean))})
            self.wfile.write(clean[: len(clean) // 2])
            self.close_connection = True
        elif fault == "html":
            self._send(200, b"<html><body>The service is busy</body></html>", {"Content-Type": "text/html"})
        elif fault == "other json":
            self._send(200, {"detail": "queued"})
        elif fault == "no choices":
            self._send(200, {"choices": None})
        elif fault == "twins":
            self._send(200, b'{"choices": [], ' + clean[1:])
        elif fault == "empty":
            self._send(200, {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]})
        elif fault == "drip":
            self._head(200, {"Content-Length": str(len(clean) + 10_000)})
            for _ in range(2000):
                self.wfile.write(b" ")
                if self.owner.closing.wait(0.02):
                    break
            self.close_connection = True
        elif fault == "no logprobs":
            if not request.get("logprobs"):
                choice["message"]["content"] = " "
            choice.pop("logprobs", None)
            self._send(200, read)
        elif fault == "huge":
            self._send(200, clean[:-1] + b', "more": "' + b"x" * 3_000_000 + b'"}')
        elif fault == "other letters":
            choice["message"]["content"] = "Z" if request.get("logprobs") else ""
            if "logprobs" in choice:
                top = [{"token": t, "logprob": -1.0} for t in ("Z", "Hello", "1")]
                choice["logprobs"]["content"] = [{"top_logprobs": top}]
            self._send(200, read)
        else:
            raise ValueError(fault)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._head(status, {"Content-Length": str(len(data))} | (headers or {}))
        self.wfile.write(data)
