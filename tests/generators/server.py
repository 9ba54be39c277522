"""A small server that speaks the protocol of OpenAI's chat completions, in a thread of the test process."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    """What the server is asked, and how it answers.

    Args:
        reply: Makes the reply to a prompt.
        failures: Status codes with which the next requests fail, first come first.
        slow_s: How long a reply takes.
        usage: Tokens that a reply counts; None leaves the field out.
    """

    reply: Callable[[str], str] = str.upper
    failures: list[int] = field(default_factory=list)
    slow_s: float = 0.0
    usage: int | None = 10
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    most_at_a_time: int = 0
    url: str = ""
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.asked]

    def answer(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self.asked.append(body)
            self.keys.append(key)
            self._under_way += 1
            self.most_at_a_time = max(self.most_at_a_time, self._under_way)
            failure = self.failures.pop(0) if self.failures else None
        time.sleep(self.slow_s)
        with self._lock:
            self._under_way -= 1
        if failure is not None:
            return failure, {"error": {"message": f"failing with {failure}"}}
        message = {"role": "assistant", "content": self.reply(body["messages"][0]["content"])}
        usage = (
            {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": self.usage}} if self.usage else {}
        )
        return 200, {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **usage,
        }  # fmt: skip


@contextlib.contextmanager
def served(**settings: Any) -> Iterator[Server]:
    """Run a server at an address of this machine."""
    server = Server(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, content = (404, {}) if self.path != "/v1/chat/completions" else server.answer(body, key)
            written = json.dumps(content).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked no longer waits
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After-Ms", "5")
                self.send_header("Content-Length", str(len(written)))
                self.end_headers()
                self.wfile.write(written)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
