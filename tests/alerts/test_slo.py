"""prometheus/slo.py: from promises to series."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from prometheus.slo import SOURCE, TARGET, SloError, main, parse, render

TTFT = "objectives: [{slo: ttft, target: 0.95, seconds: 2.5}]"
TWO = "objectives: [{slo: ttft, target: 0.95, seconds: 2.5}, {slo: ttft, target: 0.9, seconds: 10, model: org/m-1.5}]"


def rules(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(render(parse(text)))["groups"][0]["rules"]
    return found


def expression(text: str, record: str, number: int = 0) -> str:
    return [str(rule["expr"]) for rule in rules(text) if rule["record"] == record][number]


def test_the_committed_rules_are_those_of_the_committed_promises() -> None:
    assert main(["--check"]) == 0
    assert render(parse(SOURCE.read_text())) == TARGET.read_text()


def test_good_events_are_those_within_the_bound_however_it_is_written() -> None:
    assert r'le=~"2\\.5(\\.0)?"' in expression(TTFT, "server:vllm_slo_good:rate5m")
    assert r'le=~"1(\\.0)?"' in expression(TTFT.replace("2.5", "1"), "server:vllm_slo_good:rate5m")


def test_a_models_own_promise_takes_the_place_of_the_general_one() -> None:
    assert r'model_name!~"org/m-1\\.5"' in expression(TWO, "server:vllm_slo_events:rate5m")
    assert 'model_name="org/m-1.5"' in expression(TWO, "server:vllm_slo_events:rate5m", 1)
    assert r'model_name!~"org/m-1\\.5"' in expression(TWO, "server:vllm_slo:target")
    assert expression(TWO, "server:vllm_slo:target", 1).startswith("0.9 * ")


def test_without_a_promise_nothing_is_recorded_but_the_windows() -> None:
    assert {rule["record"] for rule in rules("objectives: []")} >= {"server:vllm_slo_errors:ratio_1h"}
    assert not any("labels" in rule for rule in rules("objectives: []"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("", "expected the one key 'objectives'"),
        ("objectives: {}", "expected the one key 'objectives'"),
        ("objectives: [], more: 1", "not YAML|expected"),
        ("objectives: [ttft]", "objective 1 needs slo and target"),
        ("objectives: [{slo: ttft, goal: 1}]", "objective 1 needs slo and target"),
        ("objectives: [{slo: speed, target: 0.9}]", "unknown slo 'speed'; known: availability, ttft"),
        ("objectives: [{slo: ttft, target: 0.9}]", "seconds must be a number, not None"),
        ("objectives: [{slo: ttft, target: '0.9', seconds: 1}]", "target must be a number, not '0.9'"),
        ("objectives: [{slo: ttft, target: 99, seconds: 1}]", "ttft: target 99 is no share: write 0.99 for 99 %"),
        (
            "objectives: [{slo: ttft, target: 0.9, seconds: 3}]",
            "no bound of 3 s, so nobody counts it; near it are 1, 2.5, 5",
        ),
        ("objectives: [{slo: availability, target: 0.9, model: m}]", "availability has no seconds and no model"),
        (TWO.replace("model: org/m-1.5", "model: ''"), "ttft is there twice"),
        (TWO.replace("org/m-1.5", "'a\"b'"), "is no name"),
    ],
)
def test_says_what_is_wrong_with_a_promise(text: str, message: str) -> None:
    with pytest.raises(SloError, match=message):
        parse(text)
