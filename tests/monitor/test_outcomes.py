"""What a request's end is called."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_monitor.outcomes import CANARY, ERROR_BODY, Exchange, asks_a_model, error_type, is_canary

DEAD = b'{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause."}}'


def ended(status: int = 200, error: bytes = b"", complete: bool = True, **more: Any) -> Exchange:
    return Exchange(1.0, status=status, error=error, complete=complete, ended=2.0, **more)


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (ended(), None),
        (ended(400, b"max_tokens must be at least 1"), "validation"),
        (ended(401), "validation"),
        (ended(422), "validation"),
        (ended(404), "not_found"),
        (ended(429), "rate_limited"),
        (ended(408), "timeout"),
        (ended(504), "timeout"),
        (ended(503, b'{"error":"max_num_queued_reqs"}'), "overload"),
        (ended(503, b"currently scaling"), "overload"),
        (ended(503), "engine_dead"),
        (ended(500, DEAD), "engine_dead"),
        (ended(500, b"CUDA out of memory. Tried to allocate"), "oom"),
        (ended(500, b"cannot schedule new futures after shutdown"), "overload"),
        (ended(500, b"RPC call to sample_tokens timed out."), "timeout"),
        (ended(500, b"KeyError"), "internal"),
        (ended(500, b"KeyError: 1", complete=False, raised=True), "internal"),
        (ended(200, b'data: {"error": {"message": "Internal server error"}}'), "in_stream"),
        (ended(200, b"data: " + DEAD), "in_stream"),
        (ended(200, b'data: {"error": {"message": "CUDA out of memory."}}'), "oom"),
        (ended(200, complete=False), "in_stream"),
        (ended(200, b"ValueError: x", complete=False, raised=True), "in_stream"),
        (ended(0, complete=False, left=True), "client_abort"),
        (ended(200, complete=False, left=True), "client_abort"),
        (ended(200, b"CancelledError: ", complete=False, left=True, raised=True), "client_abort"),
        (ended(200, complete=True, left=True), "client_abort"),
    ],
)
def test_a_failure_has_one_of_ten_types(exchange: Exchange, expected: str | None) -> None:
    assert error_type(exchange) == expected


class ModelNotFoundError(Exception):
    """As vLLM's VLLMNotFoundError."""


class GenerationError(Exception):
    """As vLLM's, which carries its status."""

    status_code = 503


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("max_tokens must be at least 1"), "validation"),
        (TypeError("unhashable"), "validation"),
        (ModelNotFoundError("absent"), "not_found"),
        (GenerationError("no"), "overload"),
        (KeyError("x"), "internal"),
        (RuntimeError("EngineCore encountered an issue."), "engine_dead"),
        (RuntimeError("CUDA out of memory"), "oom"),
    ],
)
def test_an_exception_before_the_answer_counts_as_what_vllm_answers_for_it(error: Exception, expected: str) -> None:
    exchange = Exchange(1.0)
    exchange.failed(error)
    assert error_type(exchange) == expected


def test_an_error_is_kept_to_its_beginning() -> None:
    exchange = Exchange(1.0)
    for _ in range(10):
        exchange.keep(b"x" * 100_000)
    assert len(exchange.error) <= 2 * ERROR_BODY


def is_of_a_user(scope: dict[str, Any]) -> bool:
    return asks_a_model(scope) and not is_canary(scope)


def scope(path: str, method: str = "POST", *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": list(headers)}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/score", "/invocations"]
)
def test_a_question_to_a_model_is_a_users_request(path: str) -> None:
    assert is_of_a_user(scope(path))


@pytest.mark.parametrize(
    "asked",
    [
        scope("/health", "GET"),
        scope("/v1/models", "GET"),
        scope("/metrics", "GET"),
        scope("/collective_rpc"),
        scope("/sleep"),
        scope("/v1/load_lora_adapter"),
        scope("/inference/v1/abort_requests"),
        scope("/v1/completions", "OPTIONS"),
        scope("/v1/completions", "POST", CANARY),
    ],
)
def test_probes_management_and_canaries_are_not(asked: dict[str, Any]) -> None:
    assert not is_of_a_user(asked)


def test_a_client_that_only_looks_like_the_canary_is_counted() -> None:
    assert is_of_a_user(scope("/v1/completions", "POST", (b"user-agent", b"vllm-monitor-canary/2")))
