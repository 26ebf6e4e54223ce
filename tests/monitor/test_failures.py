"""A failed request as a line: what a person asks, and nothing that a user said."""

from __future__ import annotations

import pytest

from vllm_monitor.failures import failed_request, plain_id
from vllm_monitor.outcomes import Exchange, Tokens

SECRET = "my diary, and sk-123456"


def test_a_line_has_what_a_person_asks_first() -> None:
    exchange = Exchange(
        10.0, status=200, first=10.5, ended=12.0, left=True, path="/v1/chat/completions", id="chatcmpl-1",
        tokens=Tokens(100, 7),
    )  # fmt: skip
    assert failed_request(exchange, "client_abort", 1_800_000_000.1234) == {
        "time": 1_800_000_000.123,
        "kind": "failed_request",
        "id": "chatcmpl-1",
        "type": "client_abort",
        "status": 200,
        "endpoint": "/v1/chat/completions",
        "duration_seconds": 2.0,
        "ttft_seconds": 0.5,
        "prompt_tokens": 100,
        "output_tokens": 7,
    }


def test_what_is_not_known_is_not_said() -> None:
    line = failed_request(Exchange(10.0, status=404, ended=10.1, path="/v1/completions"), "not_found", 1.0)
    assert not {"ttft_seconds", "prompt_tokens", "output_tokens"} & line.keys()


def test_nothing_that_a_user_said_is_in_it() -> None:
    exchange = Exchange(1.0, status=400, ended=2.0, path=f"/v1/{SECRET}", id=SECRET, error=SECRET.encode())
    exchange.scope = {"headers": [(b"authorization", SECRET.encode())]}
    line = failed_request(exchange, "validation", 1.0)
    assert line["endpoint"] == "other"
    assert "diary" not in str(line)
    assert "sk-" not in str(line)


@pytest.mark.parametrize("name", ["", "chatcmpl-9f86d081884c7d65", "cmpl-a.b:c_d-0"])
def test_an_id_stays_as_it_is(name: str) -> None:
    assert plain_id(name) == name


@pytest.mark.parametrize("name", ["tell me a story", "x" * 81, "a\nb", "é", '{"a":1}'])
def test_a_text_that_is_no_id_is_its_hash_and_always_the_same(name: str) -> None:
    assert plain_id(name).startswith("sha256-")
    assert len(plain_id(name)) == 23
    assert plain_id(name) == plain_id(name)
