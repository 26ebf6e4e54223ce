"""A failed request as one line for the exporter: what a person asks first, and nothing of what was said. Pure."""

from __future__ import annotations

import hashlib
import re

from vllm_monitor.outcomes import ErrorType, Exchange

PLAIN_ID = re.compile(r"[\w.:-]{1,80}", re.ASCII)
ENDPOINTS = frozenset(
    f"/v1/{name}"
    for name in (
        "chat/completions", "chat/completions/batch", "completions", "responses", "messages", "embeddings", "pooling",
        "classify", "score", "rerank", "audio/transcriptions", "audio/translations",
    )
) | {
    "/generate", "/pooling", "/classify", "/embed", "/score", "/rerank", "/v2/rerank", "/v2/embed", "/invocations",
    "/inference/v1/generate",
}  # fmt: skip
OTHER = "other"  # a path is text of a user


def failed_request(exchange: Exchange, failure: ErrorType, ended: float) -> dict[str, object]:
    """Returns the line. `ended` is Unix time."""
    first, tokens = exchange.first, exchange.tokens
    fields = {
        "time": round(ended, 3),
        "kind": "failed_request",
        "id": plain_id(exchange.id),
        "type": failure,
        "status": exchange.status,
        "endpoint": exchange.path if exchange.path in ENDPOINTS else OTHER,
        "duration_seconds": round(exchange.ended - exchange.began, 6),
        "ttft_seconds": round(first - exchange.began, 6) if first else None,
        "prompt_tokens": tokens.prompt if tokens else None,
        "output_tokens": tokens.output if tokens else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def plain_id(name: str) -> str:
    """Returns the id, or its hash if it is long or holds more than letters, digits and signs: clients choose it."""
    if not name or PLAIN_ID.fullmatch(name):
        return name
    return "sha256-" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
