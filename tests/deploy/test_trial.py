"""What `make test-alerts LIVE=1` makes of counters and log; tests/alerts/test_trial.py asks a real Alertmanager."""

from __future__ import annotations

from collections import Counter

import pytest

from deploy.config.alertmanager_api import read_delivered, read_integrations
from deploy.config.trial import Outcome, judge, read_failures, words

METRICS = """\
# TYPE alertmanager_notification_requests_total counter
alertmanager_notification_requests_total{integration="slack"} 5
alertmanager_notification_requests_total{integration="email",receiver_name="human"} 1
alertmanager_notification_requests_failed_total{integration="slack"} 2
alertmanager_notifications_total{integration="slack"} 9
"""
CONFIG = """\
global:
  resolve_timeout: 5m
route:
  receiver: human
receivers:
- name: human
  slack_configs:
  - send_resolved: true
    actions:
    - type: button
  - send_resolved: true
  email_configs:
  - to: a@b.c
- name: "nobody"
templates:
- x.tmpl
"""
# Recorded from Alertmanager 0.25.0 and 0.34.2, shortened.
LOG = (
    "level=warn component=dispatcher receiver=human integration=webhook[0] "
    r'msg="Notify attempt failed, will retry later" attempts=1 err="Post \"https://h/secret\": connection refused"'
    '\ntime=2026-11-30T22:00:00.000Z level=ERROR msg="Notify for alerts failed" component=dispatcher num_alerts=1 '
    'err="human-slack-2/slack[0]: notify retry canceled due to unrecoverable error after 1 attempts: '
    r'channel \"\": unexpected status code 404: no_service"'
    '\ntime=2026-11-30T22:00:00.000Z level=INFO msg="Completed loading of configuration file"\n'
)


def test_delivered_is_what_was_asked_and_not_refused() -> None:
    assert read_delivered(METRICS) == Counter({"slack": 3, "email": 1})


def test_the_integrations_of_each_receiver_are_counted() -> None:
    assert read_integrations(CONFIG) == {"human": Counter({"slack": 2, "email": 1}), "nobody": Counter()}


def test_reasons_are_read_of_both_generations_without_addresses() -> None:
    failures = read_failures(LOG)
    assert set(failures) == {("human", "webhook"), ("human-slack-2", "slack")}
    assert "connection refused" in failures["human", "webhook"]
    assert "secret" not in str(failures)
    assert failures["human-slack-2", "slack"].endswith("unexpected status code 404: no_service")


def test_who_took_it_at_a_further_try_has_not_failed() -> None:
    success = 'level=info component=dispatcher receiver=human integration=webhook[0] msg="Notify success" attempts=3\n'
    newer = 'level=INFO msg="Notify success" component=dispatcher receiver=human integration=webhook[0] attempts=3\n'
    for line in (success, newer):
        assert set(read_failures(LOG + line)) == {("human-slack-2", "slack")}


def test_a_failure_in_the_log_goes_before_a_count_to_which_the_healer_adds() -> None:
    [outcome] = judge({"human": Counter({"webhook": 1})}, Counter({"webhook": 4}), {("human", "webhook"): "refused"})
    assert not outcome.delivered


def test_all_delivered() -> None:
    wanted = {"human": Counter({"slack": 2, "email": 1})}
    assert judge(wanted, Counter({"slack": 2, "email": 1}), {}) == [
        Outcome("human", "email", True),
        Outcome("human", "slack", True),
    ]


def test_the_log_says_which_of_two_failed() -> None:
    wanted = {"human": Counter({"slack": 1}), "human-slack-2": Counter({"slack": 1})}
    why = {("human-slack-2", "slack"): "unexpected status code 404: no_service"}
    first, second = judge(wanted, Counter({"slack": 1}), why)
    assert (first.delivered, second.delivered) == (True, False)
    assert words(first) == "slack (human): delivered"
    assert words(second).splitlines() == [
        "slack (human-slack-2): FAILED: unexpected status code 404: no_service",
        "    its address is gone: make a new one on the other side",
    ]


def test_without_a_word_in_the_log_none_of_a_kind_counts_as_delivered() -> None:
    wanted = {"human": Counter({"slack": 1}), "human-slack-2": Counter({"slack": 1})}
    assert [one.delivered for one in judge(wanted, Counter({"slack": 1}), {})] == [False, False]


@pytest.mark.parametrize(
    ("why", "fix"),
    [
        ("unexpected status code 403: invalid_token", "its key or password is refused: make a new one"),
        ("unexpected status code 400: Invalid routing key", "it refuses the message, mostly for a wrong key"),
        ("'require_tls' is true (default) but \"h:25\" does not advertise the STARTTLS extension", "no STARTTLS there"),
        ("dial tcp: lookup hooks.example.org: no such host", "its name is not found from where Alertmanager runs"),
        ("context deadline exceeded", "not reached from where Alertmanager runs"),
        ("something new", "`make logs PART=alertmanager`"),
    ],
)
def test_each_reason_has_a_fix(why: str, fix: str) -> None:
    assert words(Outcome("human", "slack", False, why)).splitlines()[1].strip().startswith(fix)
