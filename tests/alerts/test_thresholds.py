"""prometheus/thresholds.py: from numbers with reasons to series."""

from __future__ import annotations

import pytest
import yaml

from prometheus.thresholds import SOURCE, TARGET, ThresholdError, main, parse, render


def test_each_threshold_becomes_one_series_per_known_server() -> None:
    rules = yaml.safe_load(render(parse("queue: {value: 100, reason: long}\nratio: {value: 0.05, reason: small}")))
    assert rules["groups"][0]["rules"] == [
        {"record": "server:vllm_threshold:queue", "expr": "100 * server:vllm_known:group"},
        {"record": "server:vllm_threshold:ratio", "expr": "0.05 * server:vllm_known:group"},
    ]


def test_the_committed_rules_are_those_of_the_committed_thresholds() -> None:
    assert main(["--check"]) == 0
    assert render(parse(SOURCE.read_text())) == TARGET.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected names"),
        ("a: [", "not YAML"),
        ("Queue: {value: 1, reason: x}", "'Queue' is no name"),
        ("queue: 100", "queue needs exactly the keys: reason, value"),
        ("queue: {value: 1, reason: x, unit: y}", "queue needs exactly the keys"),
        ("queue: {value: true, reason: x}", "value True is no number"),
        ("queue: {value: '100', reason: x}", "value '100' is no number"),
        ("queue: {value: .nan, reason: x}", "value nan is no number"),
        ("queue: {value: 1, reason: ' '}", "queue needs a reason"),
    ],
)
def test_says_what_is_wrong_with_a_threshold(text: str, message: str) -> None:
    with pytest.raises(ThresholdError, match=message):
        parse(text)
