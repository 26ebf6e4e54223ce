"""Alertmanager's API v2 (0.16 and later): tells which alerts have not ended, whatever webhooks were lost.

That an alert is active does not mean that it is sent: /api/v2/alerts knows no mute times. From 0.28 on
/api/v2/alerts/groups has them, for each route. Before that nobody can tell, and only what a webhook brought was sent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping

from vllm_healer.errors import Blind
from vllm_healer.jsonapi import JsonApi
from vllm_healer.model import Alert, Standing
from vllm_healer.net.http_config import HttpConfig
from vllm_healer.printable import shown

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds; a list of thousands of alerts takes a tenth of one
MAX_BODY = 16 * 1024 * 1024  # bytes: some 15,000 alerts, which take the healer five times that in memory
MAX_FILTER = 3000  # characters of names in one request: proxies refuse an address of more than some 8,000 with 414
# Those that are suppressed are asked for, too: silenced is not the same as ended.
WANTED = {"active": "true", "silenced": "true", "inhibited": "true", "unprocessed": "false"}
SENT = {"active": "true", "silenced": "false", "inhibited": "false", "muted": "true"}

WATCHDOG = "Watchdog"  # the one alert of no server that is heard

RawAlert = Mapping[object, object]


class Alertmanager:
    """Implements the port ActiveAlerts. `receiver` is the name of the receiver that sends to the healer."""

    def __init__(
        self, url: str, timeout: float = TIMEOUT, http_config: HttpConfig | None = None, receiver: str = "healer"
    ) -> None:
        self._receiver = receiver
        self._hinted = False
        self._api = JsonApi(
            url, "Alertmanager", "alertmanager_http_config", timeout, http_config or HttpConfig(), MAX_BODY
        )

    def active(self, servers: frozenset[str] | None = None) -> tuple[Alert, ...]:
        if servers is None:
            return self._asked({})
        watchdog = self._asked({"filter": f'alertname="{WATCHDOG}"'}, routed=False)
        found = (alert for only in choose_filters(servers) for alert in self._asked(only))
        # Chosen again, since a server that ignores the filters must show nothing twice.
        of_servers = tuple(alert for alert in found if alert.server in servers)
        return of_servers + tuple(alert for alert in watchdog if alert.name == WATCHDOG and alert.server not in servers)

    def _asked(self, only: Mapping[str, str], routed: bool = True) -> tuple[Alert, ...]:
        """The alerts that a filter lets through; if they are not `routed`, none of them has a way to the healer."""
        found = parse_entries(self._api.get("/api/v2/alerts", {**WANTED, **only}).document, self._api.who)
        muted = self._muted(found, only) if routed and knows_mutes(found) else None
        return tuple(alert for entry in found if (alert := parse_alert(entry, muted, self._api.who)) is not None)

    def _muted(self, found: Iterable[RawAlert], only: Mapping[str, str]) -> dict[str, bool]:
        """Asks whether a mute time holds for each alert that has a way to the healer; the answer is by fingerprint."""
        wanted = {**SENT, **only, "receiver": re.escape(self._receiver)}
        muted = parse_muted(self._api.get("/api/v2/alerts/groups", wanted).document, self._receiver, self._api.who)
        if not muted:
            self._hint(found)
        return muted

    def _hint(self, found: Iterable[RawAlert]) -> None:
        """Says once that alerts of these servers go to other receivers only: ours may have another name there."""
        elsewhere = {name for entry in found if _labels(entry).get("server") for name in receivers(entry)}
        if elsewhere and self._receiver not in elsewhere and not self._hinted:
            self._hinted = True
            names = ", ".join(sorted(elsewhere))
            words = "if one of them is the healer's, name it in alertmanager_receiver in healer.yml"
            log.warning("%s sends to %s and not to %s: %s", self._api.who, names, self._receiver, words)


def choose_filters(servers: frozenset[str]) -> list[dict[str, str]]:
    """The parameters that ask for alerts of these servers, one of each request.

    Of others nothing is asked: a storm of them would be larger than what is read.
    """
    groups: list[list[str]] = [[]]
    for name in map(re.escape, sorted(servers)):
        if sum(map(len, groups[-1])) + len(name) > MAX_FILTER:
            groups.append([])
        groups[-1].append(name)
    patterns = ("|".join(group).replace("\\", "\\\\").replace('"', '\\"') for group in groups if group)
    return [{"filter": f'server=~"{pattern}"'} for pattern in patterns]


def parse_entries(answer: object, who: str) -> tuple[RawAlert, ...]:
    """The alerts of a list. Raises Blind when one is none: a list with holes would look like alerts that ended."""
    if not isinstance(answer, list):
        raise Blind(f"{who} answered no list of alerts: {shown(answer)}")
    for entry in answer:
        _mapping(entry, "status", who)
    return tuple(answer)


def knows_mutes(entries: Iterable[RawAlert]) -> bool:
    """True if this Alertmanager can tell of mute times (0.28 and later)."""
    every = [entry.get("status") for entry in entries]
    return bool(every) and all(isinstance(status, dict) and "mutedBy" in status for status in every)


def parse_muted(answer: object, receiver: str, who: str) -> dict[str, bool]:
    """True by fingerprint for an alert that a mute time holds back on each of its ways to `receiver`. Raises Blind."""
    if not isinstance(answer, list):
        raise Blind(f"{who} answered no list of groups: {shown(answer)}")
    muted: dict[str, bool] = {}
    for group in answer:
        if _mapping(group, "receiver", who).get("name") != receiver:
            continue
        given = group.get("alerts", "")  # null is how Go writes an empty list; what is not there is none
        for entry in parse_entries([] if given is None else given, who):
            fingerprint = _text(entry, "fingerprint", who)
            muted[fingerprint] = muted.get(fingerprint, True) and bool(_mapping(entry, "status", who).get("mutedBy"))
    return muted


def parse_alert(entry: RawAlert, muted: Mapping[str, bool] | None, who: str) -> Alert | None:
    """The alert with its standing; None for one that Alertmanager has not worked on yet. Raises Blind.

    `muted` is None where mute times are not known.
    """
    standing = choose_standing(entry, muted, who)
    if standing is None:
        return None
    empty = entry.get("annotations", "") is None
    labels, annotations = _texts(entry, "labels", who), {} if empty else _texts(entry, "annotations", who)
    fingerprint, starts_at = _text(entry, "fingerprint", who), _text(entry, "startsAt", who)
    name = labels.get("alertname", "")
    return Alert(fingerprint, name, True, starts_at, labels, annotations, standing=standing)


def choose_standing(entry: RawAlert, muted: Mapping[str, bool] | None, who: str) -> Standing | None:
    status = _mapping(entry, "status", who)
    if status.get("silencedBy") or status.get("inhibitedBy"):
        return Standing.SUPPRESSED
    if status.get("state") not in ("active", "suppressed"):
        return None
    if status.get("state") == "suppressed":
        return Standing.MUTED if status.get("mutedBy") else Standing.SUPPRESSED
    held_back = None if muted is None else muted.get(_text(entry, "fingerprint", who))
    if held_back is None:
        return Standing.UNKNOWN
    return Standing.MUTED if held_back else Standing.SENT


def receivers(entry: RawAlert) -> tuple[str, ...]:
    """The names of the receivers that its labels lead to."""
    named = entry.get("receivers")
    return tuple(str(one.get("name")) for one in named if isinstance(one, dict)) if isinstance(named, list) else ()


def _labels(entry: RawAlert) -> Mapping[object, object]:
    labels = entry.get("labels")
    return labels if isinstance(labels, dict) else {}


def _texts(entry: object, key: str, who: str) -> dict[str, str]:
    """The mapping with text as values, which Alertmanager always answers; what is something else is shown in short."""
    given = _mapping(entry, key, who)
    return {str(name): value if isinstance(value, str) else shown(value) for name, value in given.items()}


def _mapping(entry: object, key: str, who: str) -> dict[object, object]:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, dict):
        raise Blind(f"{who} answered an alert without {key}: {shown(entry)}")
    return value


def _text(entry: object, key: str, who: str) -> str:
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise Blind(f"{who} answered an alert without {key}: {shown(entry)}")
    return value
