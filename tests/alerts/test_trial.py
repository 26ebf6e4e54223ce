"""`make test-alerts LIVE=1` on a real Alertmanager: each channel is told, and one that fails is named with the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config.alertmanager_api import Alertmanager
from deploy.config.trial import try_channels
from tests.alerts.live import PASSWORD, wait_until
from tests.alerts.sending.receivers import Inbox, receive
from tests.alerts.sending.stack import prepare_alertmanager
from tests.alerts.test_sent import version
from tests.alerts.toolchain import Tools
from tests.patience import PATIENCE

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(150)]

DELIVERED = {
    "email (human-email): delivered",
    "email (human-email-2): delivered",
    "opsgenie (human): delivered",
    "pagerduty (human-pagerduty): delivered",
    "slack (human): delivered",
    "webhook (human): delivered",
}


def test_every_channel_is_told_and_a_failing_one_is_named(tools: Tools, tmp_path: Path) -> None:
    inbox, teams = Inbox(), version(tools) >= (0, 28)
    wanted = DELIVERED | ({"msteamsv2 (human): delivered"} if teams else set())
    with receive(inbox) as addresses:
        prepared = prepare_alertmanager(tools, tmp_path, addresses, teams)
        log = tmp_path / "alertmanager.log"
        with prepared.run():
            alertmanager = Alertmanager("127.0.0.1", prepared.port, PASSWORD)
            said: list[str] = []
            assert try_channels(alertmanager, log.read_text, said.append) == 0
            assert said[0].startswith("Prometheus -> Alertmanager: FAILED: no Watchdog is there")
            assert set(said[1:]) == wanted
            wait_until(lambda: any(one.resolved for one in inbox.of("pagerduty")), PATIENCE, "its incident is closed")
            wait_until(lambda: not alertmanager.get("/api/v2/alerts"), PATIENCE, "the alert is over")

            (tmp_path / "slack").write_text(f"http://127.0.0.1:{addresses.http}/gone")
            said.clear()
            assert try_channels(alertmanager, log.read_text, said.append) == 1
    assert set(said[1:]) - wanted == {
        'slack (human): FAILED: notify retry canceled due to unrecoverable error after 1 attempts: channel "": '
        "unexpected status code 404: no such page\n    its address is gone: make a new one on the other side"
    }
    told = {message.receiver for message in inbox.messages}
    assert told == {"slack", "mail", "gpu mail", "pagerduty", "opsgenie", "webhook", *(["teams"] if teams else [])}
    assert all("A test of notifications" in message.text for message in inbox.of("slack") + inbox.of("mail"))
