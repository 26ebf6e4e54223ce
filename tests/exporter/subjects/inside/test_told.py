"""Lines of processes become events, whatever is in them."""

from __future__ import annotations

import json
import random

import pytest

from vllm_exporter.facts.events import ExceptionRaised, UserRequestFailed
from vllm_exporter.subjects.inside.told import parse_line

FAILED = {
    "time": 1_800_000_000.123, "kind": "failed_request", "id": "cmpl-1", "type": "client_abort", "status": 200,
    "endpoint": "/v1/completions", "duration_seconds": 2.5, "ttft_seconds": 0.5, "prompt_tokens": 100,
    "output_tokens": 7, "tenant": "key-1234abcd", "model_name": "llama", "port": 8000,
}  # fmt: skip
RAISED = {
    "time": 1_800_000_000.0, "kind": "exception", "exception": "KeyError", "origin": "thread", "cause": "",
    "fingerprint": "0123456789ab", "stack": "a/b.py:3 in f < a/c.py:1 in g", "count": 4, "port": 8000,
}  # fmt: skip


def encoded(line: object) -> bytes:
    return json.dumps(line).encode()


def test_a_failed_request_has_its_fields() -> None:
    assert parse_line(encoded(FAILED), 100) == (
        UserRequestFailed(
            severity="info", summary="/v1/completions failed after 2.5 s: client_abort, status 200", model_name="llama",
            time=1_800_000_000.123, id="cmpl-1", type="client_abort", status=200, endpoint="/v1/completions",
            tenant="key-1234abcd", duration_seconds=2.5, ttft_seconds=0.5, prompt_tokens=100, output_tokens=7,
        ),
        8000,
    )  # fmt: skip


def test_a_failure_that_is_the_servers_is_a_warning_and_what_it_does_not_know_is_left_out() -> None:
    known = {name: FAILED[name] for name in ("time", "kind", "endpoint", "duration_seconds")}
    event, port = parse_line(encoded({**known, "type": "engine_dead", "status": 0}), 100)
    assert isinstance(event, UserRequestFailed)
    assert (event.severity, event.summary, port) == ("warning", "/v1/completions failed after 2.5 s: engine_dead", 0)
    assert event.own_fields().keys() == {"id", "type", "status", "endpoint", "tenant", "duration_seconds"}


def test_an_exception_has_its_fields() -> None:
    assert parse_line(encoded(RAISED), 100) == (
        ExceptionRaised(
            severity="error", summary="KeyError in a/b.py:3 in f", time=1_800_000_000.0, exception="KeyError",
            origin="thread", fingerprint="0123456789ab", stack="a/b.py:3 in f < a/c.py:1 in g", count=4, pid=100,
        ),
        8000,
    )  # fmt: skip


def test_a_kind_of_a_later_release_is_no_event_and_no_error() -> None:
    assert parse_line(b'{"kind":"later","port":8000}', 100) == (None, 8000)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 8000, b'{"kind":"failed_request","status":"200"}',
        encoded({**FAILED, "duration_seconds": float("nan")}), encoded({**FAILED, "prompt_tokens": -1}),
        encoded({**FAILED, "id": 7}), encoded({**FAILED, "output_tokens": True}), encoded({**FAILED, "time": 1e300}),
        encoded({**RAISED, "stack": None}), encoded({**FAILED, "id": "x" * 9000}),
        b'{"kind":"exception","count":' + b"9" * 6000 + b"}",
    ],
)  # fmt: skip
def test_a_broken_line_is_said_to_be_one(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        parse_line(data, 100)


def test_text_is_printable_and_cut() -> None:
    event, _ = parse_line(encoded({**FAILED, "tenant": "a\x1b[31m\n" + "x" * 500}), 100)
    assert isinstance(event, UserRequestFailed)
    assert event.tenant.startswith("a?[31m?x")
    assert len(event.tenant) == 128


def test_random_bytes_and_random_fields_are_an_event_or_a_value_error() -> None:
    dice = random.Random(3)
    values: list[object] = [None, True, -1, 1e400, "x", [], {}, "\ud800", 10**400]
    for _ in range(20_000):
        line = dict(dice.choice((FAILED, RAISED)))
        line[dice.choice(list(line))] = dice.choice(values)
        data = bytearray(encoded(line))
        if dice.random() < 0.5:
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            parse_line(bytes(data), 100)
        except ValueError:
            continue
