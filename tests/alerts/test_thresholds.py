"""prometheus/thresholds.py: from numbers with reasons to series."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from prometheus.thresholds import SOURCE, TARGET, ThresholdError, main, parse, render
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of

QUEUE = """\
queue_waiting_requests:
  value: 100
  reason: long
  overrides:
    - {model: big, value: 50, reason: it is slow}
    - {server: "own:8000", value: 20}
"""


def test_each_threshold_becomes_one_series_per_known_server() -> None:
    rules = yaml.safe_load(render(parse("queue: {value: 100, reason: long}\nratio: {value: 0.05, reason: small}")))
    assert rules["groups"][0]["rules"] == [
        {"record": "server:vllm_threshold:queue", "expr": "100 * server:vllm_known:group"},
        {"record": "server:vllm_threshold:ratio", "expr": "0.05 * server:vllm_known:group"},
    ]


def test_a_threshold_without_a_value_is_one_that_no_server_has() -> None:
    rules = yaml.safe_load(render(parse("gpu_hour_price: {value: , reason: yours}")))["groups"][0]["rules"]
    assert [rule["expr"].strip() for rule in rules] == ['server:vllm_known:group{server=""}']


def test_the_committed_rules_are_those_of_the_committed_thresholds() -> None:
    assert main(["--check"]) == 0
    assert render(parse(SOURCE.read_text())) == TARGET.read_text()


@pytest.mark.alerts
def test_an_alert_compares_with_the_number_of_the_server_else_of_its_model_else_of_all(
    tools: Tools, tmp_path: Path
) -> None:
    """30 wait in each: more than `own` may have, less than `big` may, which is less than all others may."""
    text = SOURCE.read_text()
    begin = text.index("queue_waiting_requests:")
    with_overrides = text[:begin] + QUEUE + text[text.index("\n\n", begin) :]
    for folder in ("rules", "alerts"):
        shutil.copytree(PROMETHEUS / folder, tmp_path / folder)
    (tmp_path / "rules" / TARGET.name).write_text(render(parse(with_overrides)))
    waiting = 'vllm:num_requests_waiting{{job="vllm", instance="{0}", server="{0}", model_name="{1}", engine="0"}}'
    running = waiting.replace("waiting", "running")
    servers = {"own:8000": ("big", 30), "big:8000": ("big", 30), "full:8000": ("big", 60), "other:8000": ("m", 60)}
    limits = {"own:8000": 20, "big:8000": 50, "full:8000": 50, "other:8000": 100}
    document = {
        "rule_files": [str(tmp_path / "rules" / "*.yml"), str(tmp_path / "alerts" / "load.alerts.yml")],
        "evaluation_interval": "5s",
        "tests": [
            {
                "interval": "5s",
                "input_series": [
                    {"series": name.format(server, model), "values": f"{value}x24"}
                    for server, (model, value) in servers.items()
                    for name in (waiting, running)
                ],
                "promql_expr_test": [
                    {
                        "expr": "server:vllm_threshold:queue_waiting_requests",
                        "eval_time": "2m",
                        "exp_samples": [
                            {
                                "labels": f'server:vllm_threshold:queue_waiting_requests{{server="{server}"}}',
                                "value": limit,
                            }
                            for server, limit in limits.items()
                        ],
                    },
                    {
                        "expr": 'count by (server) (ALERTS{alertname="VllmQueueOverload", alertstate="firing"})',
                        "eval_time": "2m",
                        "exp_samples": [
                            {"labels": '{server="own:8000"}', "value": 1},
                            {"labels": '{server="full:8000"}', "value": 1},
                        ],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "overrides.test.yml"
    file.write_text(yaml.safe_dump(document))
    output_of(tools.promtool, "test", "rules", file)


@pytest.mark.parametrize(("name", "hardest"), [("host_cpu_ratio", "max"), ("host_disk_free_ratio", "min")])
def test_an_alert_on_a_host_compares_with_the_number_of_its_servers_that_is_hardest_to_pass(
    name: str, hardest: str
) -> None:
    text = f"{name}: {{value: 0.9, reason: x, overrides: [{{server: a, value: 0.99}}]}}"
    rules = yaml.safe_load(render(parse(text)))["groups"][0]["rules"]
    assert [rule["record"] for rule in rules] == [
        "instance:vllm_exporter:group",
        f"server:vllm_threshold:{name}",
        f"instance:vllm_threshold:{name}",
    ]
    assert rules[2]["expr"].startswith(f"{hardest} by (instance) (")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected names"),
        ("a: [", "line 1: not YAML"),
        ("\nQueue: {value: 1, reason: x}", "line 2: 'Queue' is no name"),
        ("queue: 100", "line 1: queue needs the keys: reason, value"),
        ("queue: {value: 1, reason: x, unit: y}", "queue needs the keys"),
        ("queue: {value: true, reason: x}", "value True is no number"),
        ("queue:\n  reason: x\n  value: '100'", "line 3: queue: value '100' is no number"),
        ("queue: {value: .nan, reason: x}", "value nan is no number"),
        ("queue: {value: 1, reason: ' '}", "queue needs a reason"),
        ("queue: {value: 1, reason: x}\nqueue: {value: 2, reason: x}", "line 2: queue is there already, on line 1"),
        ("queue: {value: 1, reason: x, overrides: {model: m, value: 1}}", "overrides are a list"),
        ("queue: {value: 1, reason: x, overrides: [m]}", "an override is a mapping"),
        ("queue: {value: 1, reason: x, overrides: [{value: 2}]}", "needs value and one of model and server"),
        ("queue: {value: 1, reason: x, overrides: [{model: m, server: s, value: 2}]}", "one of model and server"),
        ("queue: {value: 1, reason: x, overrides: [{model: m, value: many}]}", "value 'many' of m is no number"),
        ("queue: {value: 1, reason: x, overrides: [{server: 8000, value: 2}]}", "server 8000 is no name"),
        (QUEUE + '    - {server: "own:8000", value: 3}', "line 7: .* own:8000 has an override already"),
    ],
)
def test_says_what_is_wrong_with_a_threshold(text: str, message: str) -> None:
    with pytest.raises(ThresholdError, match=message):
        parse(text)
