"""Nothing is lost: not while receivers fail, and not when Alertmanager is restarted with messages on their way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.alerts.live import ask, wait_until
from tests.alerts.sending.cases import read_cases
from tests.alerts.sending.receivers import Inbox, receive
from tests.alerts.sending.stack import Source, prepare_alertmanager, run_prometheus
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(300)]

CASES = {case.alert: case for case in read_cases()}
LOST, HOT = CASES["GpuLost"], CASES["GpuHot"]  # critical, warning
MINUTE = 60.0
SETTLED = 8.0  # seconds, four times the shortened group_interval: what is told twice is told again by then


def told(inbox: Inbox, receiver: str, alert: str) -> int:
    """How many messages say that it fires."""
    summary = CASES[alert].annotations["summary"]
    return sum(summary in one.text for one in inbox.of(receiver) if not one.resolved)


def test_receivers_that_fail_for_a_minute_lose_nothing_and_delay_no_other(tools: Tools, tmp_path: Path) -> None:
    inbox = Inbox(refuse={"slack", "pagerduty", "mail"})
    wanted = [("slack", "GpuLost"), ("slack", "GpuHot"), ("pagerduty", "GpuLost"), ("mail", "GpuHot")]
    with receive(inbox) as addresses:
        alertmanager = prepare_alertmanager(tools, tmp_path, addresses, teams=False)
        source = Source([LOST, HOT], time.time())
        with alertmanager.run(), run_prometheus(tools, tmp_path, source, alertmanager.port):
            wait_until(lambda: inbox.refused.get("slack", 0) > 0, PATIENCE, "Slack is tried")
            failing_since = time.monotonic()
            at_once = [("webhook", "GpuLost"), ("webhook", "GpuHot"), ("gpu mail", "GpuLost")]
            wait_until(lambda: all(told(inbox, *one) for one in at_once), PATIENCE, "the others are told")
            assert all(told(inbox, *one) == 0 for one in wanted)
            wait_until(lambda: time.monotonic() > failing_since + MINUTE, 2 * MINUTE, "the minute is over")
            inbox.refuse.clear()
            wait_until(lambda: all(told(inbox, *one) for one in wanted), PATIENCE, f"told late: {inbox.refused}")
            wait_until(settled(), 2 * SETTLED, "nothing more comes")
    assert inbox.cut or [told(inbox, *one) for one in (*wanted, *at_once)] == [1] * 7
    assert inbox.wrong == []


def test_a_restart_loses_nothing_and_repeats_nothing(tools: Tools, tmp_path: Path) -> None:
    inbox = Inbox()
    with receive(inbox) as addresses:
        alertmanager = prepare_alertmanager(tools, tmp_path, addresses, teams=False, group_wait="4s")
        source = Source([LOST], time.time())
        with run_prometheus(tools, tmp_path, source, alertmanager.port):
            with alertmanager.run():
                wait_until(lambda: told(inbox, "pagerduty", "GpuLost") == 1, PATIENCE, "the first is told")
                source.cases = [LOST, HOT]
                wait_until(lambda: holds(alertmanager.port, "GpuHot"), PATIENCE, "Alertmanager has the second")
                assert told(inbox, "slack", "GpuHot") == 0  # its group still waits
            with alertmanager.run():
                wait_until(lambda: told(inbox, "slack", "GpuHot") == 1, PATIENCE, "the second is told")
                wait_until(settled(), 2 * SETTLED, "nothing more comes")
    wanted = [("pagerduty", "GpuLost"), ("slack", "GpuLost"), ("slack", "GpuHot"), ("mail", "GpuHot")]
    assert inbox.cut or [told(inbox, *one) for one in wanted] == [1] * 4
    assert inbox.wrong == []


def holds(port: int, alert: str) -> bool:
    alerts = json.loads(ask(f"http://127.0.0.1:{port}/api/v2/alerts")[1])
    return any(one["labels"]["alertname"] == alert for one in alerts)


def settled() -> Callable[[], bool]:
    until = time.monotonic() + SETTLED
    return lambda: time.monotonic() > until
