"""The Watchdog: the alert that always fires, by which it is known that Prometheus' alerts arrive.

Others have an alert of that name, too: kube-prometheus does, and an Alertmanager may be shared. So ours has a label.
"""

from __future__ import annotations

from collections.abc import Iterable

from vllm_healer.model import Alert, Standing

NAME = "Watchdog"
LABEL, VALUE = "part_of", "vllm-monitor"  # as in prometheus/alerts/monitoring.alerts.yml


def is_watchdog(alert: Alert) -> bool:
    return alert.name == NAME and alert.labels.get(LABEL) == VALUE


def missing_watchdog(active: Iterable[Alert]) -> str:
    """Words for why the Watchdog is not there, with the fix where only another's is; '' when it is there."""
    named = [alert for alert in active if alert.name == NAME]
    ours = [alert for alert in named if is_watchdog(alert)]
    if any(alert.standing is not Standing.SUPPRESSED for alert in ours):
        return ""
    if ours:
        return "our Watchdog is silenced or inhibited in Alertmanager (end that: it vouches for the others)"
    if not named:
        return "Alertmanager has no Watchdog alert from Prometheus"
    return (
        f'Alertmanager has a Watchdog, but none with {LABEL}="{VALUE}", so it may be another Prometheus\''
        " (rules older than this healer lack the label: load prometheus/alerts/monitoring.alerts.yml of this release)"
    )
