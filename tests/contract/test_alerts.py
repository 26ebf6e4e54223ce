"""What every alert has: a severity, words, a reason for its `for`, a runbook and tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TypedDict

import pytest
import yaml

from vllm_healer import registry
from vllm_healer.detectors.overload import QUEUE_LIMIT

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
URL = "https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/runbooks/{}.md"
DASHBOARD = re.compile(r"/d/vllm-monitor-\w+(\?var-server=|\{\{|$)")  # from the root of whatever Grafana has it
NO_MESSAGE = {"Watchdog", "VllmSetAside"}  # one shows that alerts arrive, one only mutes others
COMPONENTS = {"server", "engine", "gpu", "host", "traffic", "slo", "monitoring", "healer"}
HEADINGS = ["Meaning", "Impact", "Check", "What the healer does", "What you do", "Silence or tune"]

ALERT_FILES = sorted((ROOT / "prometheus").glob("alerts/*.alerts.yml"))
TEST_FILES = sorted((ROOT / "prometheus").glob("tests/*.test.yml"))

Alert = TypedDict(
    "Alert", {"alert": str, "expr": str, "for": str, "labels": dict[str, str], "annotations": dict[str, str]}
)


@cache
def alert_tests() -> list[tuple[str, bool]]:
    """Each expectation of the alerts' tests: the alert's name, and whether it fires."""
    documents = (yaml.safe_load(file.read_text()) for file in TEST_FILES)
    return [
        (case["alertname"], bool(case["exp_alerts"]))
        for document in documents
        for test in document["tests"]
        for case in test.get("alert_rule_test", [])
    ]


@cache
def stories() -> list[str]:
    """The name of each group of tests: which alert does what, and for whom."""
    documents = (yaml.safe_load(file.read_text()) for file in TEST_FILES)
    return [test.get("name", "") for document in documents for test in document["tests"]]


@cache
def endings() -> set[str]:
    """The alerts that some group of tests sees fire and then end."""
    found = set()
    for file in TEST_FILES:
        for test in yaml.safe_load(file.read_text())["tests"]:
            fired = set()
            for case in test.get("alert_rule_test", []):
                if case["exp_alerts"]:
                    fired.add(case["alertname"])
                elif case["alertname"] in fired:
                    found.add(case["alertname"])
    return found


@cache
def alerts() -> list[Alert]:
    documents = (yaml.safe_load(file.read_text()) for file in ALERT_FILES)
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def of(file: str) -> set[str]:
    """The names of a file's alerts; none where there is no such file."""
    found = ROOT / "prometheus" / "alerts" / f"{file}.alerts.yml"
    groups = yaml.safe_load(found.read_text())["groups"] if found.exists() else []
    return {rule["alert"] for group in groups for rule in group["rules"]}


NAMES = sorted({alert["alert"] for alert in alerts()})
UNHEALED = "Unhealed"  # ends the name of a page about an alert that the healer acts on: it has that alert's runbook
WITH_RUNBOOK = [name for name in NAMES if not name.endswith(UNHEALED)]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_says_how_bad_what_and_where_to_read_on(alert: Alert) -> None:
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in alert["annotations"]["summary"]  # the same for every server, so that it groups
    assert alert["annotations"]["runbook_url"] == URL.format(alert["alert"].removesuffix(UNHEALED))
    assert DASHBOARD.match(alert["annotations"]["dashboard_url"])


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_is_labelled_for_routes_and_for_the_healer(alert: Alert) -> None:
    labels = alert["labels"]
    severities = {"none"} if alert["alert"] in NO_MESSAGE else {"critical", "warning", "info"}
    assert labels["severity"] in severities
    assert labels["component"] in COMPONENTS
    assert labels["failure_mode"] in yaml.safe_load((ROOT / "prometheus" / "failure_modes.yml").read_text())
    assert labels["healable"] in {"true", "false"}
    assert labels["healable"] == "false" or alert["alert"] in registry.alerts()


@pytest.mark.parametrize("name", sorted(registry.alerts()))
def test_what_the_healer_may_act_on_is_labelled_so(name: str) -> None:
    assert "true" in {alert["labels"]["healable"] for alert in alerts() if alert["alert"] == name}


@pytest.mark.parametrize("name", sorted(registry.hints()))
def test_what_the_healer_looks_after_is_an_alert_that_it_does_not_act_on(name: str) -> None:
    assert {alert["labels"]["healable"] for alert in alerts() if alert["alert"] == name} == {"false"}


@pytest.mark.parametrize("file", ALERT_FILES, ids=lambda file: file.name)
def test_no_group_has_labels_which_prometheus_2_refuses(file: Path) -> None:
    assert [group["name"] for group in yaml.safe_load(file.read_text())["groups"] if "labels" in group] == []


@pytest.mark.parametrize("file", ALERT_FILES, ids=lambda file: file.name)
def test_every_for_has_a_reason_beside_it(file: Path) -> None:
    text = file.read_text()
    fors = re.findall(r"^ +for: .*", text, re.MULTILINE)
    assert len(fors) == text.count("- alert:")
    assert [line for line in fors if not re.search(r" # \w+", line)] == []


@pytest.mark.parametrize("name", WITH_RUNBOOK)
def test_has_a_runbook_with_the_usual_headings(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS


def test_every_runbook_is_an_alert_s() -> None:
    assert sorted(file.stem for file in RUNBOOKS.glob("*.md")) == WITH_RUNBOOK


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Watchdog"])
def test_is_seen_to_fire_and_to_stay_quiet(name: str) -> None:
    cases = [fires for alert, fires in alert_tests() if alert == name]
    assert set(cases) == {True, False}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"Watchdog", *of("pages")}])
def test_its_stories_say_for_whom_it_stays_quiet_and_what_it_does_without_data_and_in_the_end(name: str) -> None:
    """The nearest innocent case stands in the story's name, as do absent data."""
    told = " ".join(story for story in stories() if re.search(rf"\b{name}\b", story))
    assert "fires" in told
    assert "stays quiet" in told
    assert "no data" in told
    assert name in endings()


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_says_the_value_and_the_limit_that_it_has_passed(alert: Alert) -> None:
    """Of alerts that compare with a threshold; what is yes or no has neither."""
    if "server:vllm_threshold:" in alert["expr"] and alert["alert"] not in of("pages"):
        assert "limit" in alert["annotations"]["description"]
        assert "$value" in alert["annotations"]["description"]


@pytest.mark.parametrize("name", NAMES)
def test_its_runbook_has_queries_and_says_how_to_silence_it(name: str) -> None:
    text = (RUNBOOKS / f"{name.removesuffix(UNHEALED)}.md").read_text()
    assert "```" in text.partition("## Check")[2].partition("##")[0]
    assert text.partition("## Silence or tune")[2].strip()


def test_the_healer_and_the_alert_mean_the_same_queue() -> None:
    """The two share no code; what ties them is this number."""
    thresholds = yaml.safe_load((ROOT / "prometheus" / "thresholds.yml").read_text())
    assert thresholds["queue_waiting_requests"]["value"] == QUEUE_LIMIT
