"""Who is woken by what: pages are alerts of their own, few, and never mixed up with what the healer acts on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MATCHER = re.compile(r'(\w+) (=~|!~|!=|=) "(.*)"')

MOST = 12  # alerts that wake people: of more, the one that matters is overlooked


def rules(file: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


ALERTS = [rule for file in sorted((ROOT / "prometheus").glob("alerts/*.alerts.yml")) for rule in rules(file)]
PAGES = rules(ROOT / "prometheus" / "alerts" / "pages.alerts.yml")
CONFIG = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
ACTED_ON = [
    rule for rule in ALERTS if rule["labels"]["healable"] == "true" and rule["labels"]["severity"] == "critical"
]


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """As Alertmanager does it: a label that is not there is empty."""
    return all(_holds(found, labels) for text in matchers if (found := MATCHER.fullmatch(text)))


def _holds(matcher: re.Match[str], labels: dict[str, str]) -> bool:
    label, operator, value = matcher.groups()
    given = labels.get(label, "")
    same = given == value if operator in ("=", "!=") else re.fullmatch(value, given) is not None
    return same == operator.startswith("=")


def labels_of(rule: dict[str, Any]) -> dict[str, str]:
    return {"alertname": rule["alert"], "server": "gpu1:8000", **rule["labels"]}


def test_what_is_for_people_only_says_so_and_nothing_else_does() -> None:
    assert {rule["alert"] for rule in ALERTS if "notify" in rule["labels"]} == {rule["alert"] for rule in PAGES}
    assert {(rule["labels"]["notify"], rule["labels"]["healable"]) for rule in PAGES} == {("people", "false")}


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ACTED_ON}))
def test_what_the_healer_acts_on_has_a_page_of_its_own(name: str) -> None:
    [page] = [rule for rule in PAGES if rule["alert"] == f"{name}Unhealed"]
    assert f'alertname="{name}", alertstate="firing"' in page["expr"]
    assert page["labels"]["failure_mode"] in {
        rule["labels"]["failure_mode"] for rule in ACTED_ON if rule["alert"] == name
    }


def test_few_alerts_wake_people_and_the_page_names_them() -> None:
    """Symptoms wake people; what is only a cause is a warning, and the symptom follows if it matters."""
    wake = {rule["alert"] for rule in ALERTS if rule["labels"]["severity"] == "critical" and rule not in ACTED_ON}
    assert len(wake) <= MOST, sorted(wake)
    text = (ROOT / "docs" / "pages.md").read_text()
    assert {name for name in wake if name not in text} == set()


def test_no_alert_inhibits_a_page_or_what_the_healer_acts_on() -> None:
    """But maintenance, which a person has declared."""
    inhibited = {
        rule["alert"]
        for rule in (*PAGES, *(rule for rule in ALERTS if rule["labels"]["healable"] == "true"))
        for inhibition in CONFIG["inhibit_rules"]
        if 'state = "maintenance"' not in inhibition["source_matchers"]
        and matches(inhibition["target_matchers"], labels_of(rule))
    }
    assert inhibited == set()


def test_every_matcher_is_understood_here() -> None:
    given = [
        text for rule in CONFIG["inhibit_rules"] for key in ("source_matchers", "target_matchers") for text in rule[key]
    ]
    assert [text for text in given if not MATCHER.fullmatch(text)] == []
