"""Several receivers of one kind, and who hears what."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.config.alertmanager import render_alertmanager
from deploy.config.people import People
from deploy.config.settings import Ports, load_settings
from deploy.config.site import native_site
from deploy.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
SITE = native_site(Ports(), Path("/run-directory"))
URL = "https://hooks.example.org/x"
SLACK = "SLACK_WEBHOOK_URL_FILE=url\n"
MAIL = "SMTP_SMARTHOST=mail:587\nSMTP_FROM=v@b.c\nSMTP_TO=a@b.c\n"


def people(tmp_path: Path, env: str) -> People:
    """Settings beside which a file `url` lies, and a file `key` as PagerDuty wants it."""
    (tmp_path / "url").write_text(URL)
    (tmp_path / "key").write_text("k" * 32)
    (tmp_path / ".env").write_text(env)
    return load_settings(tmp_path / ".env", {}, "gpu1").people


def rendered(of: People) -> dict[str, dict[str, object]]:
    """Receiver name -> receiver."""
    text = render_alertmanager(ROOT / "alertmanager", SITE, of)["alertmanager.yml"]
    return {one["name"]: one for one in yaml.safe_load(text)["receivers"]}


def test_a_number_makes_one_more_receiver_of_the_kind(tmp_path: Path) -> None:
    urls = {
        "ALERT_WEBHOOK_URL": "https://h/1",
        "ALERT_WEBHOOK_URL_2": "https://h/2",
        "ALERT_WEBHOOK_URL_10": "https://h/10",
    }
    of = people(tmp_path, "".join(f"{name}={url}\n" for name, url in urls.items()))
    assert [block["url"] for block in of.blocks()["webhook_configs"]] == list(urls.values())


def test_a_number_may_come_without_the_first(tmp_path: Path) -> None:
    assert people(tmp_path, "SLACK_WEBHOOK_URL_FILE_3=url\n").words() == "Slack"


def test_one_more_mail_goes_by_the_same_server_unless_it_says_otherwise(tmp_path: Path) -> None:
    first, second, third = people(
        tmp_path, MAIL + "SMTP_TO_2=lead@b.c\nSMTP_TO_3=x@b.c\nSMTP_SMARTHOST_3=other:25\nSMTP_REQUIRE_TLS_3=false\n"
    ).blocks()["email_configs"]
    assert {**first, "to": "lead@b.c"} == second
    assert (third["smarthost"], third["require_tls"], third["from"]) == ("other:25", False, "v@b.c")


def test_who_does_not_hear_all_has_a_receiver_of_his_own(tmp_path: Path) -> None:
    of = people(
        tmp_path,
        SLACK + "PAGERDUTY_ROUTING_KEY_FILE=key\nPAGERDUTY_SEVERITIES=critical\n"
        "SLACK_WEBHOOK_URL_FILE_2=url\nSLACK_SEVERITIES_2=warning,info\nSLACK_COMPONENTS_2=gpu\n",
    )
    assert of.words() == "PagerDuty (critical only), Slack, Slack (warning, info, gpu only)"
    receivers = rendered(of)
    shipped = {"healer", "human", "human-once", "deadman", "nobody"}
    assert set(receivers) == shipped | {"human-pagerduty", "human-slack-2", "human-slack-2-once"}
    assert set(receivers["human"]) == {"name", "slack_configs"}
    assert set(receivers["human-pagerduty"]) == {"name", "pagerduty_configs"}


def test_what_is_told_once_has_no_end_and_opens_no_incident(tmp_path: Path) -> None:
    of = people(
        tmp_path,
        SLACK + "PAGERDUTY_ROUTING_KEY_FILE=key\nALERT_WEBHOOK_URL=https://h/1\nALERT_WEBHOOK_SEVERITIES=info\n",
    )
    receivers = rendered(of)
    assert set(receivers["human-once"]) == {"name", "slack_configs"}
    told = [{**block, "send_resolved": False} for block in of.blocks()["slack_configs"]]
    assert receivers["human-once"]["slack_configs"] == told
    assert receivers["human-webhook-once"]["webhook_configs"] == [{"url": "https://h/1", "send_resolved": False}]
    config = yaml.safe_load(render_alertmanager(ROOT / "alertmanager", SITE, of)["alertmanager.yml"])
    [route] = [one for one in config["route"]["routes"] if one["receiver"] == "human-once"]
    assert [way["receiver"] for way in route["routes"]] == ["human-webhook-once", "human-once"]


def test_a_severity_of_your_own_is_fine(tmp_path: Path) -> None:
    of = people(tmp_path, SLACK + "SLACK_SEVERITIES=page,critical,warning,info\n")
    assert of.warnings() == ()


def test_a_critical_alert_that_nobody_hears_of_is_warned_of(tmp_path: Path) -> None:
    of = people(tmp_path, SLACK + "SLACK_SEVERITIES=warning\n")
    assert of.warnings() == ("no channel hears of every alert of severity critical",)


def test_a_component_that_nobody_else_hears_is_warned_of(tmp_path: Path) -> None:
    of = people(tmp_path, SLACK + "SLACK_COMPONENTS=gpu\n")
    assert len(of.warnings()) == 2


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("SLACK_SEVERITIES=critical\n", "line 1: SLACK_SEVERITIES is set and SLACK_WEBHOOK_URL_FILE is not: set both"),
        (SLACK + "SLACK_SEVERITIES_2=critical\n", "2: SLACK_SEVERITIES_2 is set and SLACK_WEBHOOK_URL_FILE_2 is not"),
        (MAIL + "SMTP_FROM_2=x@b.c\n", "line 4: SMTP_FROM_2 is set and SMTP_TO_2 is not: set both, or neither"),
        ("SMTP_TO_2=x@b.c\n", "line 1: SMTP_TO_2 is set and SMTP_SMARTHOST is not: set both, or neither"),
        ("ALERT_WEBHOOK_COMPONENTS=gpu\n", "COMPONENTS is set and ALERT_WEBHOOK_URL_FILE or ALERT_WEBHOOK_URL is not"),
        ("ALERT_WEBHOOK_URL_2=https://h/2\nALERT_WEBHOOK_URL_FILE_2=url\n", "_FILE_2 is set and ALERT_WEBHOOK_URL_2 t"),
        (SLACK + "SLACK_SEVERITIES=critcal\n", "line 2: SLACK_SEVERITIES: unknown severity 'critcal': write critical"),
        (SLACK + "SLACK_SEVERITIES=Critical\n", "unknown severity 'Critical': write critical"),
        (SLACK + "SLACK_SEVERITIES=,\n", "SLACK_SEVERITIES is ',': it names nothing: write names"),
        (SLACK + 'SLACK_COMPONENTS=gpu|"}\n', "SLACK_COMPONENTS is .* in it is no name: write names"),
        ("SLACK_WEBHOOK_URL_FILE_1=url\n", "unknown setting 'SLACK_WEBHOOK_URL_FILE_1': write SLACK_WEBHOOK_URL_FILE"),
        ("SLACK_WEBHOOK_URL_FILE_2=nothing\n", "line 1: SLACK_WEBHOOK_URL_FILE_2: .*/nothing cannot be read"),
        ("EXPORTER_PORT_2=1\n", "unknown setting 'EXPORTER_PORT_2': write EXPORTER_PORT"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_names_the_line_and_the_fix(tmp_path: Path, env: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        people(tmp_path, env)
