"""One test message to people, through the Alertmanager that runs, to every channel: `make test-alerts LIVE=1`."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from deploy.config.alertmanager_api import TEST, Alertmanager
from deploy.errors import QueryError

_UTC = timezone.utc  # noqa: UP017  (the host's Python may be old)
_PATIENCE = 25.0  # seconds: Alertmanager gives a request up after ten, and tries again
# The healer and a dead man's switch are webhooks too, and counted with yours: that one failed is known after so long.
_SHARED, _SHARED_SECONDS = "webhook", 11.0
_LABELS = {"alertname": TEST, "severity": "info", "component": "monitoring", "failure_mode": "test"}
_ANNOTATIONS = {
    "summary": "A test of notifications",
    "description": "Sent by `make test-alerts LIVE=1`. Nothing is wrong, and nothing needs to be done.",
}
# What Alertmanager writes when a try fails, and when it gives up; names as in its configuration.
_TRY = re.compile(
    r'receiver="?(?P<receiver>[^\s"]+)"? integration="?(?P<kind>\w+)\[\d+\].*? err="(?P<why>(?:[^"\\]|\\.)*)"'
)
_SUCCESS = re.compile(
    r'(?=.*msg="Notify success").*receiver="?(?P<receiver>[^\s"]+)"? integration="?(?P<kind>\w+)\[\d+\]'
)
_END = re.compile(r'err="(?P<receiver>[^\s"/]+)/(?P<kind>\w+)\[\d+\]: (?P<why>(?:[^"\\]|\\.)*)"')
_ADDRESS = re.compile(r"https?://[^\s\"\\]+")
_FIXES = (
    (
        r"status code 40[13]|invalid.?(?:key|token|auth)|\b535\b|authentication",
        "its key or password is refused: make a new one",
    ),
    (
        r"status code 4(?:04|10)|no_service|no_team|channel_not_found",
        "its address is gone: make a new one on the other side",
    ),
    (r"status code 400", "it refuses the message, mostly for a wrong key: compare it with that on the other side"),
    (r"status code 429", "it has had too many messages: try again in a few minutes"),
    (r"status code 5", "it is out of order: Alertmanager keeps trying"),
    (
        r"STARTTLS|require_tls",
        "no STARTTLS there: another port, or SMTP_REQUIRE_TLS=false for a mail server on this host",
    ),
    (r"certificate|x509", "its certificate is not trusted here: a proxy in between, or an authority of your own"),
    (r"no such host|lookup ", "its name is not found from where Alertmanager runs: correct the address"),
    (
        r"refused|timeout|deadline|unreachable|EOF|reset",
        "not reached from where Alertmanager runs: address, firewall or proxy",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """One receiver's integrations of one kind: whether they took the message."""

    receiver: str
    kind: str
    delivered: bool
    why: str = ""


def try_channels(alertmanager: Alertmanager, read_log: Callable[[], str], say: Callable[[str], None]) -> int:
    """Sends the message, says what became of it, and ends it. Returns 0 if every channel took it. Raises QueryError."""
    say(_watchdog(alertmanager))
    before, begun = alertmanager.delivered(), datetime.now(_UTC)
    _send(alertmanager, begun, begun + timedelta(minutes=5))
    try:
        wanted = _wanted(alertmanager)
        if not wanted:
            say("nobody is told: name a channel in .env (docs/notifications.md), then `make up`")
            return 1
        counted = _wait(alertmanager, before, wanted)
    finally:
        _send(alertmanager, begun, datetime.now(_UTC))
    outcomes = judge(wanted, counted, read_failures(read_log()))
    for outcome in outcomes:
        say(words(outcome))
    return 0 if all(outcome.delivered for outcome in outcomes) else 1


def judge(
    wanted: Mapping[str, Counter[str]], delivered: Counter[str], failures: Mapping[tuple[str, str], str]
) -> list[Outcome]:
    """Says for each receiver and kind whether it took the message.

    Alertmanager counts by kind alone, other messages of these seconds too; its log says which receiver failed.
    """
    total: Counter[str] = sum(wanted.values(), Counter())
    outcomes = []
    for receiver, kinds in sorted(wanted.items()):
        for kind in sorted(kinds):
            why = failures.get((receiver, kind), "")
            others = any(other == kind for _, other in failures)
            enough = delivered[kind] >= total[kind] or (others and delivered[kind] > 0)
            outcomes.append(Outcome(receiver, kind, enough and not why, why))
    return outcomes


def read_failures(log: str) -> dict[tuple[str, str], str]:
    """Returns the last reason by receiver and kind, without addresses, which are secrets of Slack and many webhooks.

    A receiver that took the message at a further try is not among them.
    """
    found: dict[tuple[str, str], str] = {}
    for line in log.splitlines():
        if match := _SUCCESS.search(line):
            found.pop((match["receiver"], match["kind"]), None)
        elif match := _TRY.search(line) or _END.search(line):
            found[match["receiver"], match["kind"]] = _ADDRESS.sub("…", match["why"].replace('\\"', '"'))[:300]
    return found


def words(outcome: Outcome) -> str:
    name = f"{outcome.kind} ({outcome.receiver})"
    if outcome.delivered:
        return f"{name}: delivered"
    fix = next((fix for pattern, fix in _FIXES if re.search(pattern, outcome.why)), "`make logs PART=alertmanager`")
    return f"{name}: FAILED: {outcome.why or 'no answer yet, and no word of it in the log'}\n    {fix}"


def _watchdog(alertmanager: Alertmanager) -> str:
    if alertmanager.get("/api/v2/alerts?filter=alertname%3D%22Watchdog%22"):
        return "Prometheus -> Alertmanager: works, its Watchdog is there"
    return (
        "Prometheus -> Alertmanager: FAILED: no Watchdog is there, so no alert arrives\n"
        "    a minute after `make up` this is normal; else `make logs PART=prometheus`"
    )


def _send(alertmanager: Alertmanager, starts: datetime, ends: datetime) -> None:
    times = {"startsAt": starts.isoformat(), "endsAt": ends.isoformat()}
    alertmanager.post("/api/v2/alerts", [{"labels": _LABELS, "annotations": _ANNOTATIONS, **times}])


def _wanted(alertmanager: Alertmanager) -> dict[str, Counter[str]]:
    """The integrations to which the message is routed. Raises QueryError when it is held back."""
    [alert] = _found(alertmanager)
    if alert["status"]["silencedBy"] or alert["status"]["inhibitedBy"]:
        raise QueryError("a silence holds the test message back: end it in Alertmanager, or wait for its end")
    known = alertmanager.integrations()
    routed = {receiver["name"] for receiver in alert["receivers"]}
    return {name: known[name] for name in routed if known.get(name)}


def _found(alertmanager: Alertmanager) -> Sequence[dict[str, Any]]:
    until = time.monotonic() + _PATIENCE
    while not (found := alertmanager.get(f"/api/v2/alerts?filter=alertname%3D%22{TEST}%22")):
        if time.monotonic() > until:
            raise QueryError("Alertmanager took the test message and does not show it: `make logs PART=alertmanager`")
        time.sleep(0.2)
    return list(found)


def _wait(alertmanager: Alertmanager, before: Counter[str], wanted: Mapping[str, Counter[str]]) -> Counter[str]:
    """Returns what was delivered by kind, as soon as it is enough, else in the end."""
    total: Counter[str] = sum(wanted.values(), Counter())
    begun = time.monotonic()
    least = _SHARED_SECONDS if total[_SHARED] else 0.0
    while True:
        counted, passed = alertmanager.delivered() - before, time.monotonic() - begun
        enough = passed >= least and all(counted[kind] >= number for kind, number in total.items())
        if enough or passed > _PATIENCE:
            return counted
        time.sleep(0.5)
