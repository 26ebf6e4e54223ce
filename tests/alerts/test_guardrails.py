"""prometheus/guardrails.py: alerts of users, from data to rules."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus import guardrails
from prometheus.guardrails import GuardrailError, main, parse, read_shipped, render
from tests.alerts.toolchain import PROMETHEUS, ROOT, Tools, output_of

SHIPPED = read_shipped(PROMETHEUS)
PAGE = (ROOT / "docs" / "guardrails.md").read_text()
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
GOOD = """\
guardrails:
  - name: TtftSlow
    signal: server:vllm_ttft_seconds:p95_2m
    above: 3
    for: 5m
    severity: warning
"""


def rules(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(render(parse({"a.yml": text}, SHIPPED)))["groups"][0]["rules"]
    return found


def test_a_signal_and_a_number_become_an_alert() -> None:
    assert rules(GOOD) == [
        {
            "alert": "TtftSlow",
            "expr": "server:vllm_ttft_seconds:p95_2m > 3",
            "for": "5m",
            "labels": {"severity": "warning", "component": "guardrail", "healable": "false"},
            "annotations": {
                "summary": "TtftSlow: a limit of your own is passed",
                "description": "{{ $labels.server }}{{ $labels.model_name }}: {{ $value | humanize }}",
            },
        }
    ]


def test_a_threshold_by_name_follows_its_overrides() -> None:
    text = GOOD.replace("above: 3", "below: e2e_p99_seconds")
    assert rules(text)[0]["expr"] == (
        "server:vllm_ttft_seconds:p95_2m < on (server) server:vllm_threshold:e2e_p99_seconds"
    )


def test_nobody_is_told_of_one_without_an_action_and_its_severity_stays() -> None:
    labels = rules(GOOD + "    action: none\n")[0]["labels"]
    assert labels == {"severity": "warning", "component": "guardrail", "healable": "false", "notify": "nobody"}


def test_the_healer_is_never_told_to_act_whatever_the_words_are() -> None:
    text = GOOD + '    summary: "restart_engine healable=true"\n    description: "{{ $labels.server }}\\n- alert: X"\n'
    [rule] = rules(text)
    assert rule["labels"]["healable"] == "false"
    assert rule["annotations"]["description"] == "{{ $labels.server }}\n- alert: X"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("guardrails: [", r"a.yml line 1: not YAML"),
        ("rules: []", "a.yml: expected the one key 'guardrails'"),
        ("guardrails: TtftSlow", "a.yml line 1: guardrails is a list"),
        ("guardrails: [TtftSlow]", "'TtftSlow' is no guardrail"),
        (GOOD.replace("name: TtftSlow", "name: ttft slow"), "line 2: 'ttft slow' is no name of an alert"),
        (GOOD.replace("name: TtftSlow", "name: VllmDown"), "line 2: VllmDown is an alert of vllm-monitor"),
        (GOOD.replace("p95_2m", "p90_2m"), "line 3: unknown signal .*near it are .*server:vllm_ttft_seconds:p50_2m"),
        (GOOD.replace("server:vllm_ttft_seconds:p95_2m", "ttft"), "unknown signal 'ttft'; docs/recorded-series.md"),
        (GOOD.replace("above: 3", "above: many"), "line 4: above: 'many' is neither a number nor a name"),
        (GOOD.replace("above: 3", "above: .inf"), "line 4: above: inf is neither"),
        (GOOD.replace("    above: 3\n", ""), "line 3: a signal needs one of above and below"),
        (GOOD.replace("above: 3", "above: 3\n    below: 1"), "needs one of above and below"),
        (GOOD.replace("server:", "model:").replace(": 3", ": error_ratio"), "thresholds are of servers"),
        (GOOD.replace("5m", "5 minutes"), "line 5: '5 minutes' is no time; write 30s, 5m or 1h30m"),
        (GOOD.replace("5m", "300"), "line 5: for must be words, not 300; put it in quotes"),
        (GOOD.replace("warning", "urgent"), "line 6: unknown severity 'urgent'; known: critical, warning, info"),
        (GOOD + "    action: restart_engine\n", "line 7: unknown action 'restart_engine'; known: none, notify; the"),
        (GOOD + "    wait: 5m\n", "line 7: unknown key 'wait'; known: above, action"),
        (GOOD + "    for: 6m\n", "line 7: for is there already, on line 5"),
        (GOOD + GOOD.partition("\n")[2], "line 7: TtftSlow is there already, in a.yml line 2"),
        (GOOD.replace("signal: server:vllm_ttft_seconds:p95_2m", "expr: up == 0"), "line 4: above goes with signal"),
        (GOOD.replace("    signal: server:vllm_ttft_seconds:p95_2m\n    above: 3\n", ""), "needs one of expr and"),
        ("guardrails:\n  - {name: Own, expr: 'sum(up', for: 5m, severity: info}", r"line 2: '\(' is not closed"),
        ("guardrails:\n  - {name: Own, expr: 'up{a=\"b} == 0', for: 5m, severity: info}", "a quote is not closed"),
        ("guardrails:\n  - {name: Own, expr: '', for: 5m, severity: info}", "expr must be words"),
    ],
)  # fmt: skip
def test_says_which_line_is_wrong_and_what_helps(text: str, message: str) -> None:
    with pytest.raises(GuardrailError, match=message):
        parse({"a.yml": text}, SHIPPED)


def checkout(tmp_path: Path, **texts: str) -> Path:
    """A copy of prometheus/ with such files of guardrails."""
    home = tmp_path / "prometheus"
    for folder in ("rules", "alerts"):
        shutil.copytree(PROMETHEUS / folder, home / folder)
    (home / "guardrails.d").mkdir()
    for name, text in texts.items():
        (home / "guardrails.d" / f"{name}.yml").write_text(text)
    return home


def test_make_rules_writes_them_and_takes_them_away_again(tmp_path: Path) -> None:
    home = checkout(tmp_path, mine=GOOD)
    assert main([], home) == 0
    assert "alert: TtftSlow" in (home / guardrails.TARGET).read_text()
    (home / "guardrails.d" / "mine.yml").unlink()
    assert main([], home) == 0
    assert not (home / guardrails.TARGET).exists()


def test_a_wrong_one_leaves_the_old_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = checkout(tmp_path, mine=GOOD)
    main([], home)
    (home / "guardrails.d" / "mine.yml").write_text(GOOD.replace("warning", "urgent"))
    assert main([], home) == 2
    assert "guardrails.d/mine.yml line 6: unknown severity" in capsys.readouterr().err
    assert "severity: warning" in (home / guardrails.TARGET).read_text()


@pytest.mark.alerts
def test_what_promtool_refuses_is_refused_with_its_line(
    tools: Tools, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(tools.promtool).parent))
    text = "guardrails:\n  - {name: Own, expr: 'sum(up) by', for: 5m, severity: info}"
    assert main([], checkout(tmp_path, mine=text)) == 2
    assert "guardrails.d/mine.yml line 2: Own: promtool says:" in capsys.readouterr().err


@pytest.mark.alerts
def test_the_example_of_the_page_fires_and_stays_quiet(tools: Tools, tmp_path: Path) -> None:
    home = checkout(tmp_path, mine=EXAMPLE)
    assert main([], home) == 0
    output_of(tools.promtool, "check", "rules", home / guardrails.TARGET)
    waiting = 'vllm:num_requests_waiting{{job="vllm", instance="{0}", server="{0}", model_name="m", engine="0"}}'
    running = waiting.replace("waiting", "running")
    document = {
        "rule_files": [str(home / "rules" / "*.yml"), str(home / guardrails.TARGET)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {"series": name.format(server), "values": f"{value}x60"}
                    for server, value in (("half:8000", 60), ("calm:8000", 40))
                    for name in (waiting, running)
                ],
                "promql_expr_test": [
                    {
                        "expr": "count by (alertname, server, notify) "
                        '(ALERTS{component="guardrail", alertstate="firing"})',
                        "eval_time": "12m",
                        "exp_samples": [
                            {
                                "labels": '{alertname="QueueNearItsLimit", server="half:8000", notify="nobody"}',
                                "value": 1,
                            }
                        ],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "guardrails.test.yml"
    file.write_text(yaml.safe_dump(document))
    output_of(tools.promtool, "test", "rules", file)
