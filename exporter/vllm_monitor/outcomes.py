"""How a request ended: from its status, the text of its error, and whether its answer was complete. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vllm_monitor.paths import route

ErrorType = Literal[
    "validation",
    "not_found",
    "rate_limited",
    "overload",
    "timeout",
    "client_abort",
    "in_stream",
    "engine_dead",
    "oom",
    "internal",
]

CANARY = (b"user-agent", b"vllm-monitor-canary")  # the header of our own requests
ERROR_BODY = 4096  # bytes of an error that are read: vLLM's message comes first
NO_INFERENCE = frozenset(("/v1/load_lora_adapter", "/v1/unload_lora_adapter"))  # paths that compute nothing
INFERENCE = frozenset(
    ("/generate", "/pooling", "/classify", "/embed", "/score", "/rerank", "/v2/rerank", "/v2/embed", "/invocations")
)

# Statuses that say by themselves what happened; the others are looked at more closely, or are the server's fault.
TYPES: Mapping[int, ErrorType] = {404: "not_found", 408: "timeout", 429: "rate_limited", 504: "timeout"}
# Words of vLLM's error messages, in the order in which they count.
WORDS: tuple[tuple[ErrorType, tuple[bytes, ...]], ...] = (
    ("oom", (b"out of memory", b"OutOfMemoryError")),
    (
        "engine_dead",
        (b"EngineDeadError", b"EngineCore encountered an issue", b"engine is dead", b"Engine loop has died"),
    ),
    ("overload", (b"cannot schedule new futures after shutdown", b"max_num_queued", b"scaling")),
    ("timeout", (b"timed out", b"TimeoutError")),
)


@dataclass(frozen=True)
class Tokens:
    """Of all parts of a request together."""

    prompt: int
    output: int


@dataclass
class Exchange:
    """One request and what was seen of its answer. Times are CLOCK_MONOTONIC, in seconds; 0.0: not yet."""

    began: float
    status: int = 0
    first: float = 0.0  # part of an answer that comes in parts
    ended: float = 0.0
    complete: bool = False
    left: bool = False  # the client went away before its answer was complete
    raised: bool = False
    error: bytes = b""
    parts: int = 0  # of an answer that comes in parts: about one a token
    size: int = 0  # bytes of an answer that comes as a whole
    priority: int = 0  # as the request has it
    meters: tuple[Any, ...] = ()  # of the throttle, that it counts in
    charged: float = 0.0  # tokens that these know of
    tenant: str = "none"  # this and the next: safe to show, yet as many as clients like to send
    model: str = "unknown"  # as the request named it
    scope: Mapping[str, Any] = field(default_factory=dict)  # of ASGI, while it is on its way; it has the headers
    path: str = ""
    id: str = ""  # as vLLM calls it, else as its client did
    tokens: Tokens | None = None
    followed: Any = None  # what the log of requests knows of it, where there is one

    def keep(self, body: bytes) -> None:
        """Keeps the beginning of an error's text."""
        if len(self.error) < ERROR_BODY:
            self.error += body[:ERROR_BODY]

    def failed(self, error: BaseException) -> None:
        """Takes an exception of the application. If no answer has begun, a handler outside makes one of it."""
        self.raised = True
        self.status = self.status or status_of(error)
        self.error += f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:ERROR_BODY]


def status_of(error: BaseException) -> int:
    """Returns the status that vLLM's last handler answers an exception with (0.20: entrypoints/utils.py)."""
    code = getattr(error, "status_code", None)
    if isinstance(code, int) and 400 <= code < 600:
        return int(code)
    if "NotFound" in type(error).__name__:
        return 404
    return 400 if isinstance(error, ValueError | TypeError | OverflowError) else 500


def is_canary(scope: Mapping[str, Any]) -> bool:
    """True for a request with the header of ours, which anybody may copy."""
    return CANARY in scope["headers"]


def asks_a_model(scope: Mapping[str, Any]) -> bool:
    """True for a request that asks for a model's answer."""
    path = route(scope)
    if scope["method"] != "POST" or path in NO_INFERENCE:
        return False
    asked = path in INFERENCE or path.startswith(("/v1/", "/inference/v1/"))
    return asked and not path.endswith("abort_requests")


def error_type(exchange: Exchange) -> ErrorType | None:
    """Returns why it failed, or None when it did not."""
    if exchange.left and not exchange.complete:
        return "client_abort"
    if exchange.status >= 400:
        return _refused(exchange.status, exchange.error)
    if exchange.error or exchange.raised or not exchange.complete:
        return "oom" if _by_words(exchange.error) == "oom" else "in_stream"  # an engine that died breaks its streams
    return "client_abort" if exchange.left else None


def _refused(status: int, text: bytes) -> ErrorType:
    if status in TYPES:
        return TYPES[status]
    if 400 <= status < 500:
        return "validation"
    by_words = _by_words(text)
    if by_words is not None:
        return by_words
    if status == 503:
        return "overload" if text else "engine_dead"  # vLLM's own 503 of a dead engine has no body
    return "internal"


def _by_words(text: bytes) -> ErrorType | None:
    return next((kind for kind, words in WORDS if any(word in text for word in words)), None)
