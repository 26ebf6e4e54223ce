"""Every alert fires in a real Prometheus, and a real Alertmanager tells who must know, by each real protocol."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.alerts.live import ask, wait_until
from tests.alerts.sending.cases import Case, alerts_of_rules, read_cases
from tests.alerts.sending.receivers import Inbox, Message, receive
from tests.alerts.sending.series import masked
from tests.alerts.sending.stack import Source, forget, prepare_alertmanager, run_prometheus
from tests.alerts.test_sent import version
from tests.alerts.toolchain import Tools

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(300)]

CASES = read_cases()
ENDLESS = ("Watchdog", "VllmHealed")  # one never ends, of the other only the beginning is told
TOLD = 90.0  # seconds in which every message must have come, on a busy machine


def test_each_alert_has_a_test_that_makes_it_fire() -> None:
    assert {case.alert for case in CASES} == alerts_of_rules()


def test_each_alert_is_told_once_where_it_must_be_and_then_resolved(tools: Tools, tmp_path: Path) -> None:
    inbox, teams = Inbox(), version(tools) >= (0, 28)
    source = Source(CASES, time.time())
    with receive(inbox) as addresses:
        alertmanager = prepare_alertmanager(tools, tmp_path, addresses, teams)
        with alertmanager.run(), run_prometheus(tools, tmp_path, source, alertmanager.port) as prometheus:
            wanted = {(case.alert, one) for case in CASES for one in receivers(case, teams)}
            ledger = Ledger(inbox)
            wait_for_all(lambda: wanted - ledger.read().told, inbox, prometheus)
            fired = firing(prometheus)
            source.on = False
            forget(prometheus)
            end = {pair for pair in wanted if pair[0] not in ENDLESS}
            wait_for_all(lambda: end - ledger.read().ended, inbox, prometheus)
    assert inbox.wrong == []
    for case in CASES:
        assert masked(fired[case.alert]["summary"]) == masked(case.annotations["summary"])
        assert masked(fired[case.alert].get("description", "")) == masked(case.annotations.get("description", ""))
        assert {receiver for alert, receiver in ledger.told if alert == case.alert} == receivers(case, teams)
        for message in (one for one in inbox.messages if about(one, case) and one.receiver in READ):
            assert masked(case.annotations["summary"]) in masked(message.text)
    assert inbox.cut or repeated(inbox) == []


def wait_for_all(missing: Callable[[], set[tuple[str, str]]], inbox: Inbox, prometheus: int) -> None:
    wait_until(lambda: not missing(), TOLD, Late(missing, inbox, prometheus))


READ = ("slack", "mail", "gpu mail", "pagerduty")  # what is text for people


def receivers(case: Case, teams: bool) -> set[str]:
    return case.receivers | ({"teams"} if teams and "slack" in case.receivers else set())


def about(message: Message, case: Case) -> bool:
    """Whether it is about this alert: by its name where it is JSON, else by what is unique in the text of the case."""
    if message.receiver in ("webhook", "healer", "deadman"):
        return any(is_of(alert, case) for alert in message.body["alerts"])
    if message.receiver == "opsgenie" and message.resolved:
        return False
    # The summary ends there: another alert's may go on.
    summary = re.escape(masked(case.annotations["summary"])) + r"(?:\*| \(|\n|$)"
    return bool(re.search(summary, masked(message.text))) and named(case) in message.text


def named(case: Case) -> str:
    """What is in the message and belongs to this case alone: its server, instance or model."""
    return next((case.labels[key] for key in ("server", "instance", "model_name") if key in case.labels), "")


def is_of(alert: dict[str, Any], case: Case) -> bool:
    return bool(case.labels.items() | {("alertname", case.alert)} <= alert["labels"].items())


class Ledger:
    """Which alert was told where, and where its end was. Reads each message once: receivers share this process."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._read = 0
        self._aliases: dict[str, set[str]] = {}  # of Opsgenie, whose alerts are closed by their alias alone
        self.told: set[tuple[str, str]] = set()
        self.ended: set[tuple[str, str]] = set()

    def read(self) -> Ledger:
        for message in self._inbox.messages[self._read :]:
            self._read += 1
            alerts = {case.alert for case in CASES if about(message, case)}
            if message.receiver == "opsgenie":
                known = self._aliases.setdefault(message.body["alias"], set())
                known |= alerts
                alerts = set(known)
            pairs = {(alert, message.receiver) for alert in alerts}
            if message.resolved:
                self.ended |= pairs
            else:
                self.told |= pairs
        return self


def firing(port: int) -> dict[str, dict[str, str]]:
    """Alert -> its annotations, by Prometheus itself."""
    alerts = json.loads(ask(f"http://127.0.0.1:{port}/api/v1/alerts")[1])["data"]["alerts"]
    own = {case.alert: case for case in CASES}
    return {
        alert["labels"]["alertname"]: alert["annotations"]
        for alert in alerts
        if alert["state"] == "firing" and is_of(alert, own[alert["labels"]["alertname"]])
    }


def repeated(inbox: Inbox) -> list[str]:
    """Groups of which something was told twice though nothing had changed."""
    last: dict[tuple[str, str], set[tuple[str, str]]] = {}
    found = []
    for message in (one for one in inbox.messages if one.receiver in ("webhook", "healer")):
        key = (message.receiver, message.body["groupKey"])
        now = {(json.dumps(alert["labels"], sort_keys=True), alert["status"]) for alert in message.body["alerts"]}
        if last.get(key) == now:
            found.append(str(key))
        last[key] = now
    return found


class Late:
    """What is missing, in words, for the message of a test that waited in vain."""

    def __init__(self, missing: Callable[[], set[tuple[str, str]]], inbox: Inbox, prometheus: int) -> None:
        self._missing, self._inbox, self._prometheus = missing, inbox, prometheus

    def __str__(self) -> str:
        missing, fire = self._missing(), firing(self._prometheus)
        quiet = sorted({alert for alert, _ in missing if alert not in fire})
        return f"missing {sorted(missing)}; do not fire: {quiet}; wrong: {self._inbox.wrong[:3]}"
