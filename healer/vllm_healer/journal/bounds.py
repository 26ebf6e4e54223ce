"""Bounds of what is stored of one alert: it is a stranger's text, and each round reads it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vllm_healer.model import Alert

NAME = 256  # characters of an alert's name, its server, and the name of a label; a server is host:port, at most 261
VALUE = 1024  # bytes of a label's value, and of a summary
LABELS = 64  # as many as Prometheus' own limits advise
TOTAL = 8192  # bytes of all labels of one alert: those of a large Kubernetes cluster are below 3 KiB
READ = ("alertname", "server", "healable", "severity")  # kept first; the first three decide something
SUMMARY = "summary"  # the one annotation that is read
CUT = "…"


def bounded(alert: Alert) -> Alert:
    """The alert with what is too long cut and marked, too many labels left out, and no annotation but the summary."""
    labels = bounded_labels(alert.labels)
    summary = {SUMMARY: cut(alert.annotations[SUMMARY], VALUE)} if alert.annotations.get(SUMMARY) else {}
    return replace(alert, name=cut(alert.name, NAME), labels=labels, annotations=summary)


def bounded_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """At most LABELS and TOTAL of them, in their order; what is read is never left out."""
    if len(labels) <= LABELS and sum(map(len, labels)) + sum(map(len, labels.values())) <= NAME:
        return dict(labels)  # as nearly all are
    first = [name for name in READ if name in labels]
    kept, left = set(), TOTAL
    values = {name: cut(value, NAME if name in READ else VALUE) for name, value in labels.items()}
    for name in [*first, *(name for name in labels if name not in READ)][:LABELS]:
        left -= len(name.encode()) + len(values[name].encode())
        if name in READ or (left >= 0 and len(name) <= NAME):
            kept.add(name)
    found = {name: value for name, value in values.items() if name in kept}
    more = len(labels) - len(found)
    return {**found, CUT: f"{more} more"} if more else found


def cut(text: str, size: int) -> str:
    """The text, or as much of it as fits into so many bytes of UTF-8, with a mark that it goes on."""
    if len(text) <= size // 4 or len(raw := text.encode()) <= size:
        return text
    return raw[: size - len(CUT.encode())].decode(errors="ignore") + CUT
