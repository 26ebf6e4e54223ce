"""What is new in a sentence, and what only another measurement."""

from __future__ import annotations

import pytest

from vllm_healer.printable import gist


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no engine value changed for 45 s (limit 30 s)", "no engine value changed for 503 s (limit 30 s)"),
        ("the canary got no answer in 5.0 s", "the canary got no answer in 5.1 s"),
        ("there are requests (running 3, waiting 0)", "there are requests (running 200, waiting 17)"),
        ("it ran 12 s ago: 288 s of 300 s left", "it ran 17 s ago: 283 s of 300 s left"),
        ("the age is 404 s", "the age is 409 s"),
    ],
)
def test_another_measurement_is_nothing_new(one: str, other: str) -> None:
    assert gist(one) == gist(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Prometheus answered HTTP 403: ''", "Prometheus answered HTTP 502: ''"),
        ("/health is 503 and the supervisor says exited", "/health is 500 and the supervisor says exited"),
        ("Prometheus did not answer: Connection refused", "Prometheus did not answer within 5 s"),
        ("/health is ok", "/health is refused"),
    ],
)
def test_another_reason_is_new(one: str, other: str) -> None:
    assert gist(one) != gist(other)
