"""What may stand in the throttle's file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vllm_monitor.limits import BadThrottle, Limit, Order, format_order, parse_order

GOOD: dict[str, Any] = {"version": 1, "generation": 7, "expires": 1.8e9, "limits": [{"concurrency": 16}]}


def text(**changed: Any) -> bytes:
    return json.dumps({**GOOD, **changed}).encode()


def test_the_form_that_the_docs_show_is_read() -> None:
    assert parse_order(text()) == Order(7, 1.8e9, (Limit(concurrency=16),), 429)


def test_an_order_is_read_as_it_is_written() -> None:
    limits = (
        Limit(concurrency=0),
        Limit(requests_per_second=0.5, tenant="acme", port=8001),
        Limit(tokens_per_second=1000.0, model="org/m", priority_from=-3),
    )
    order = Order(8, 1.8e9, limits, 503)
    assert parse_order(format_order(order)) == order
    assert parse_order(format_order(Order(9, 1.8e9))) == Order(9, 1.8e9)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 60_000, "no JSON"),
        (b"[]", "version 1"),
        (text(version=2), "version 1"),
        (text(generation=None), "needs generation"),
        (text(generation=0), "generation"),
        (text(generation=1.5), "whole number"),
        (text(generation=True), "whole number"),
        (text(expires="soon"), "expires"),
        (text(expires=float("nan")), "expires"),
        (text(expires=float("inf")), "expires"),
        (text(status=200), "429 or 503"),
        (text(status=True), "429 or 503"),
        (text(status=[]), "429 or 503"),
        (text(limits=None), "must be a list"),
        (text(limits={}), "must be a list"),
        (text(limits=[{"concurrency": 1}] * 65), "at most 64"),
        (text(limits=[7]), "limit 1 must be an object"),
        (text(limits=[{}]), "limit 1 limits nothing"),
        (text(limits=[{"model": "m"}]), "limit 1 limits nothing"),
        (text(limits=[{"concurrency": -1}]), "concurrency of limit 1"),
        (text(limits=[{"concurrency": 1.5}]), "whole number"),
        (text(limits=[{"concurrency": 10**400}]), "concurrency of limit 1"),
        (text(limits=[{"concurency": 1}]), "has no 'concurency'; known: concurrency"),
        (text(limits=[{"concurrency": 1, "model": 7}]), "model of limit 1 must be text"),
        (text(limits=[{"concurrency": 1, "port": 70_000}]), "port of limit 1"),
        (text(limit=[]), "has no 'limit'"),
    ],
)
def test_what_is_wrong_is_said_and_throttles_nobody(given: bytes, words: str) -> None:
    with pytest.raises(BadThrottle, match=words):
        parse_order(given)


@pytest.mark.parametrize(
    ("limit", "covered"),
    [
        (Limit(1), True),
        (Limit(1, model="m"), True),
        (Limit(1, model="other"), False),
        (Limit(1, tenant="acme"), True),
        (Limit(1, tenant="other"), False),
        (Limit(1, priority_from=5), True),
        (Limit(1, priority_from=6), False),
        (Limit(1, model="m", tenant="other"), False),
    ],
)
def test_a_limit_is_about_what_it_names(limit: Limit, covered: bool) -> None:
    assert limit.covers("acme", "m", 5) is covered


def test_a_model_that_was_not_seen_may_be_any() -> None:
    assert Limit(1, model="m").covers("acme", "unknown", 0)
