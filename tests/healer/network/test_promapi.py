"""Prometheus: what it says of a server, and every way of saying nothing."""

from __future__ import annotations

import json
import math
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs

import pytest

from vllm_healer.errors import Blind
from vllm_healer.model import Signal, Signals
from vllm_healer.promapi import Prometheus
from vllm_healer.promql import escape_regex, quote

QUERY = "/api/v1/query"


NOW = 1_800_000_000
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.fixture(autouse=True)
def dated(server: Any) -> None:
    """Each answer is of the same second as the samples."""
    server.date = DATE


def sample(term: str, value: str, moment: float = NOW + 0.9, **labels: str) -> dict[str, object]:
    metric = {"server": "gpu1:8000", "instance": "a", **labels, "healer_term": term}
    return {"metric": metric, "value": [moment, value]}


def vector(*samples: dict[str, object]) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(samples)}}


def test_reads_values_with_their_ages_in_one_query(server: Any) -> None:
    answer = vector(
        sample("stalled/value", "1", __name__="vllm_server_stalled"),
        sample("stalled/age", "2.5"),
        sample("progress_age/value", "41", __name__="vllm_server_progress_age_seconds"),
        sample("progress_age/age", "2.5"),
    )
    server.say_json(QUERY, answer)
    signals = Prometheus(server.url).signals("gpu1:8000", frozenset())
    assert signals == Signals(stalled=Signal(1.0, 2.5), progress_age=Signal(41.0, 2.5))
    assert server.paths() == [QUERY]
    query = parse_qs(server.requests[0].body.decode())["query"][0]
    assert 'vllm_server_stalled{server="gpu1:8000"}' in query
    assert "time() - timestamp(vllm_server_stalled{" in query


def test_reads_what_detectors_ask_for_beyond_the_usual(server: Any) -> None:
    server.say_json(
        QUERY, vector(sample("vllm_preemptions_total/value", "7"), sample("vllm_preemptions_total/age", "2.5"))
    )
    signals = Prometheus(server.url).signals("gpu1:8000", frozenset({"vllm_preemptions_total"}))
    assert signals == Signals(more={"vllm_preemptions_total": Signal(7.0, 2.5)})
    query = parse_qs(server.requests[0].body.decode())["query"][0]
    assert 'vllm_preemptions_total{server="gpu1:8000"}' in query


def test_reads_each_failure_mode_that_alerts_tell_of(server: Any) -> None:
    term = "server_mode:vllm_fault:group"
    samples = [
        sample(f"{term}/{kind}", value, failure_mode=mode)
        for mode in ("gpu_fault", "cuda_error")
        for kind, value in (("value", "1"), ("age", "3"))
    ]
    server.say_json(QUERY, vector(*samples))
    found = Prometheus(server.url).signals("gpu1:8000", frozenset())
    assert found.faults == {"gpu_fault": Signal(1.0, 3.0), "cuda_error": Signal(1.0, 3.0)}
    assert found.more == {}


def test_an_empty_answer_means_that_every_series_is_absent(server: Any) -> None:
    server.say_json(QUERY, vector())
    assert Prometheus(server.url).signals("gpu1:8000", frozenset()) == Signals()


def test_a_value_without_an_age_and_one_that_is_no_number_count_as_absent(server: Any) -> None:
    server.say_json(
        QUERY, vector(sample("stalled/value", "1"), sample("running/value", "NaN"), sample("running/age", "1"))
    )
    assert Prometheus(server.url).signals("gpu1:8000", frozenset()) == Signals()


def test_of_two_exporters_the_freshest_sample_counts_with_its_own_age(server: Any) -> None:
    server.say_json(
        QUERY,
        vector(
            sample("stalled/value", "1", instance="old"),
            sample("stalled/age", "60", instance="old"),
            sample("stalled/value", "0", instance="new"),
            sample("stalled/age", "1", instance="new"),
        ),
    )
    assert Prometheus(server.url).signals("gpu1:8000", frozenset()).stalled == Signal(0.0, 1.0)


def test_a_sample_from_the_future_is_not_fresh(server: Any) -> None:
    server.say_json(QUERY, vector(sample("stalled/value", "1"), sample("stalled/age", "-3600")))
    assert Prometheus(server.url).signals("gpu1:8000", frozenset()).stalled == Signal(1.0, 3600.0)


def healthy(server: str, health: str, stalled: str | None, age: str = "1") -> list[dict[str, object]]:
    samples = [
        sample("healthy/value", health, server=server, result="ok"),
        sample("healthy/age", age, server=server, result="ok"),
    ]
    if stalled is not None:
        samples += [sample("stalled/value", stalled, server=server), sample("stalled/age", age, server=server)]
    return samples


def test_healthy_are_those_that_fresh_samples_prove_to_be(server: Any) -> None:
    samples = [
        *healthy("well:1", "1", "0"),
        *healthy("down:1", "0", "0"),
        *healthy("hung:1", "1", "1"),
        *healthy("unknown:1", "1", None),
        *healthy("old:1", "1", "0", age="16"),
        *healthy("stranger:1", "1", "0"),
    ]
    server.say_json(QUERY, vector(*samples))
    asked = frozenset({"well:1", "down:1", "hung:1", "unknown:1", "old:1", "silent:1"})
    assert Prometheus(server.url).healthy(asked, max_age=15.0) == {"well:1"}


def test_asks_nothing_about_nobody(nobody: str) -> None:
    assert Prometheus(nobody).healthy(frozenset(), max_age=15.0) == frozenset()


def test_refused_is_blindness_with_the_reason(nobody: str) -> None:
    with pytest.raises(Blind, match=rf"Prometheus at {nobody} did not answer: .*Connection refused"):
        Prometheus(nobody).signals("gpu1:8000", frozenset())


def test_slow_is_blindness(server: Any, http: ModuleType) -> None:
    server.say(QUERY, http.Reply(hang=True))
    with pytest.raises(Blind, match=r"did not answer within 0.2 s"):
        Prometheus(server.url, timeout=0.2).signals("gpu1:8000", frozenset())


def test_an_error_is_blindness_with_its_words(server: Any) -> None:
    server.say_json(QUERY, {"status": "error", "error": "query timed out"}, status=503)
    with pytest.raises(Blind, match=r"answered HTTP 503: .*query timed out"):
        Prometheus(server.url).signals("gpu1:8000", frozenset())


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b"null",
        b'{"status": "success"}',
        b'{"status": "success", "data": {"resultType": "matrix", "result": []}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "x"]}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": 3, "value": [1, "1"]}]}}',
        b'{"status": "success", "data": {"resultType": "vector", "result": 7}}',
        b"[" * 900_000,
        b"[" * 980 + b"]" * 980,
        b'{"status": %s}' % (b"9" * 5000),
    ],
)
def test_garbage_is_blindness(server: Any, http: ModuleType, body: bytes) -> None:
    server.say(QUERY, http.Reply(200, body))
    with pytest.raises(Blind, match="answered"):
        Prometheus(server.url).signals("gpu1:8000", frozenset())


def test_an_answer_cut_short_is_blindness(server: Any, http: ModuleType) -> None:
    server.say(QUERY, http.Reply(200, b'{"status": "success"', missing=500))
    with pytest.raises(Blind, match="did not answer"):
        Prometheus(server.url, timeout=5.0).signals("gpu1:8000", frozenset())


def test_a_redirect_is_not_followed(server: Any, http: ModuleType) -> None:
    server.say(QUERY, http.Reply(302))
    with pytest.raises(Blind, match="HTTP 302"):
        Prometheus(server.url).signals("gpu1:8000", frozenset())


def test_a_hostile_name_stays_inside_its_quotes() -> None:
    assert quote('a"} or up{x="\\\n') == '"a\\"} or up{x=\\"\\\\\\n"'
    assert escape_regex("gpu.1|.*:8000 -") == "gpu\\.1\\|\\.\\*:8000 -"


def at(moment: float, now: float | None = None) -> dict[str, object]:
    """An answer with samples dated `moment` and with `time()`."""
    signals = [sample("stalled/value", "1", moment), sample("stalled/age", "2.5", moment)]
    time: list[dict[str, object]] = (
        [{"metric": {"healer_term": "now/value"}, "value": [moment, str(now)]}] if now else []
    )
    return vector(*signals, *time)


@pytest.mark.parametrize(
    ("answer", "age"),
    [
        (at(NOW + 0.9, NOW + 0.9), 2.5),
        (at(NOW, NOW - 30), 32.5),  # VictoriaMetrics 1.79: the samples are dated now, and `time()` is not
        (at(NOW - 30), 32.5),
        (at(NOW - 30, NOW - 30), 32.5),
        (at(NOW + 61), 62.5),  # 60 s beyond the second that Date cuts off
        (at(float("nan")), math.inf),
    ],
)
def test_what_was_evaluated_before_is_older_by_so_much(server: Any, answer: object, age: float) -> None:
    server.say_json(QUERY, answer)
    stalled = Prometheus(server.url).signals("gpu1:8000", frozenset()).stalled
    assert stalled is not None
    assert stalled.age == pytest.approx(age)


def test_a_pool_that_was_well_30_s_ago_is_not_known_to_be_well(server: Any) -> None:
    now: dict[str, object] = {"metric": {"healer_term": "now/value"}, "value": [NOW, str(NOW - 30)]}
    server.say_json(QUERY, vector(*healthy("well:1", "1", "0"), now))
    assert Prometheus(server.url).healthy(frozenset({"well:1"}), max_age=15.0) == frozenset()


def test_a_cache_says_how_long_it_has_kept_an_answer(server: Any, http: ModuleType) -> None:
    server.say(QUERY, http.Reply(200, json.dumps(at(NOW)).encode(), headers={"Age": "40"}))
    assert Prometheus(server.url).signals("gpu1:8000", frozenset()).stalled == Signal(1.0, 42.5)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 99999999999 08:00:00"])
def test_an_answer_that_is_not_dated_is_of_when_it_came(server: Any, date: str) -> None:
    server.date = date
    server.say_json(QUERY, at(NOW))
    prometheus = Prometheus(server.url, wall=lambda: NOW + 20.0)
    assert prometheus.signals("gpu1:8000", frozenset()).stalled == Signal(1.0, 22.5)
