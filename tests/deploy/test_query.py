"""`make query`: Prometheus' answers in lines, and its refusals in its own words."""

from __future__ import annotations

import json

import pytest

from deploy.config.query import query, read_answer
from deploy.errors import QueryError
from tests.ports import free_port


def answer(kind: str, result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def test_each_series_is_a_line_with_its_labels_and_value() -> None:
    series = [
        {"metric": {"__name__": "up", "job": "vllm", "instance": "a:1"}, "value": [1.5, "0"]},
        {"metric": {}, "value": [1.5, "NaN"]},
    ]
    assert read_answer(200, answer("vector", series)) == 'up{instance="a:1", job="vllm"} => 0\n{} => NaN'


def test_a_range_has_all_its_values_and_a_scalar_one() -> None:
    series = [{"metric": {"__name__": "up"}, "values": [[1, "0"], [2, "1"]]}]
    assert read_answer(200, answer("matrix", series)) == "up{} => 0 1"
    assert read_answer(200, answer("scalar", [1.5, "42"])) == "scalar => 42"


def test_nothing_that_matches_is_said() -> None:
    assert read_answer(200, answer("vector", [])) == "nothing: no series matches"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            400,
            b'{"status":"error","errorType":"bad_data","error":"parse error at 1"}',
            "400: bad_data: parse error at 1",
        ),
        (401, b"Unauthorized\n", "401: Unauthorized"),
        (200, b"[]", r"200: \[\]"),
        (200, b"", "200: "),
    ],
)
def test_what_is_no_result_is_told_in_prometheus_words(status: int, body: bytes, words: str) -> None:
    with pytest.raises(QueryError, match=f"Prometheus answered {words}"):
        read_answer(status, body)


def test_a_prometheus_that_is_down_is_named() -> None:
    port = free_port()
    with pytest.raises(QueryError, match=f"Prometheus at 127.0.0.1:{port} does not answer: "):
        query("127.0.0.1", port, "secret", "up")
