"""What makes each alert of prometheus/alerts/ fire: the series of its own test, with names of its own.

The identity of each case (its servers, instances and models) gets a prefix, so that many fire in one Prometheus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.alerts.sending.series import Series, expand, parse_series, seconds
from tests.alerts.toolchain import PROMETHEUS

# Recorded series over days are made of recorded ones, which a test has and a Prometheus just started has not.
RECORDED = {
    "SloBurnSlow": [
        {
            "series": f'server:vllm_slo_{what}:rate1h{{server="a:8000", model_name="m", slo="ttft"}}',
            "values": f"{rate}x480",
        }
        for what, rate in (("events", 50 / 60), ("good", 46 / 60))
    ]
}
IDENTITY = ("server", "instance", "model_name", "target", "host")


@dataclass(frozen=True)
class Case:
    """One alert that must fire, `age` seconds after the first sample of its series."""

    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]
    series: tuple[Series, ...]
    age: float

    @property
    def people_only(self) -> bool:
        return self.labels.get("notify") == "people"

    @property
    def left_to_the_healer(self) -> bool:
        """True for what people hear of by another alert, if nothing heals it."""
        critical = self.labels.get("severity") == "critical" and self.labels.get("healable") == "true"
        return critical and bool(self.labels.get("server")) and not self.people_only

    @property
    def receivers(self) -> set[str]:
        """Who must hear of it, by the .env of the test: docs/notifications.md, in other words."""
        if self.alert == "Watchdog":
            return {"deadman"}
        if self.labels["severity"] == "none":  # mutes others, and is no message
            return set()
        told = {"healer"} if self.labels.get("server") and not self.people_only else set()
        if self.left_to_the_healer:
            return told
        if self.alert == "VllmHealed":  # opens no incident
            return told | {"slack", "webhook", "mail"}
        told |= {"slack", "webhook", "opsgenie"}
        told |= {"pagerduty"} if self.labels["severity"] == "critical" else {"mail"}
        return told | ({"gpu mail"} if self.labels["component"] in ("gpu", "host") else set())


def read_cases() -> tuple[Case, ...]:
    """Returns one case for each alert, from the first test in which it fires, in the order of the files."""
    found: dict[str, Case] = {}
    for file in sorted(PROMETHEUS.glob("tests/*.test.yml")):
        for test in yaml.load(file.read_text(), yaml.BaseLoader)["tests"]:  # texts only: 0x36 is no number here
            for check in test.get("alert_rule_test", []):
                if check["exp_alerts"] and check["alertname"] not in found:
                    found[check["alertname"]] = _case(check, test, f"c{len(found):02d}-")
    return tuple(found.values())


def alerts_of_rules() -> set[str]:
    return {
        rule["alert"]
        for file in PROMETHEUS.glob("alerts/*.alerts.yml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    }


def _case(check: dict[str, Any], test: dict[str, Any], prefix: str) -> Case:
    expected = check["exp_alerts"][0]
    given = [*test["input_series"], *RECORDED.get(check["alertname"], [])]
    written = [(*parse_series(one["series"]), one["values"]) for one in given]
    names = {labels[key] for _, labels, _ in written for key in IDENTITY if labels.get(key)}
    names |= {value for key, value in expected["exp_labels"].items() if key in IDENTITY}
    step = seconds(test.get("interval", "1m"))
    return Case(
        alert=check["alertname"],
        labels=_renamed(expected["exp_labels"], prefix),
        annotations={key: _in_text(text, names, prefix) for key, text in expected.get("exp_annotations", {}).items()},
        series=tuple(Series(name, _renamed(labels, prefix), expand(values), step) for name, labels, values in written),
        age=seconds(check["eval_time"]),
    )


def _renamed(labels: dict[str, str], prefix: str) -> dict[str, str]:
    return {key: f"{prefix}{value}" if key in IDENTITY and value else value for key, value in labels.items()}


def _in_text(text: str, names: set[str], prefix: str) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.:-]){re.escape(name)}(?![\w:-])", f"{prefix}{name}", text)
    return text
