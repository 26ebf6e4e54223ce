"""What is stored of one alert: enough to act on and to read, whatever a stranger has sent."""

from __future__ import annotations

import pytest

from vllm_healer.journal.bounds import bounded, cut
from vllm_healer.model import Alert

LABELS = {"alertname": "VllmDown", "server": "gpu1:8000", "healable": "true"}


def alert(labels: dict[str, str], annotations: dict[str, str] | None = None) -> Alert:
    return Alert("f1", labels["alertname"], True, "2023-11-14T22:13:20Z", labels, annotations or {})


def test_an_alert_as_it_is_shipped_is_kept_whole_but_for_what_nobody_reads() -> None:
    given = alert(LABELS, {"summary": "no answer", "description": "d" * 300, "runbook_url": "https://example"})
    assert bounded(given) == alert(LABELS, {"summary": "no answer"})


def test_long_values_are_cut_and_marked() -> None:
    kept = bounded(alert({**LABELS, "pod": "p" * 5000}, {"summary": "s" * 1_000_000}))
    assert kept.labels["pod"] == "p" * 1021 + "…"
    assert kept.annotations["summary"] == "s" * 1021 + "…"
    assert kept.labels["server"] == "gpu1:8000"


def test_a_long_name_and_a_long_server_are_cut_to_256_bytes() -> None:
    kept = bounded(alert({"alertname": "A" * 1000, "server": "s" * 1000}))
    assert kept.name == kept.labels["alertname"] == "A" * 253 + "…"
    assert kept.server == "s" * 253 + "…"


def test_of_too_many_labels_those_that_are_read_stay_and_the_others_are_counted() -> None:
    many = {f"label{number}": "x" for number in range(100)}
    kept = bounded(alert({**many, **LABELS})).labels
    assert LABELS.items() <= kept.items()
    assert len(kept) == 65
    assert kept["…"] == "39 more"


def test_the_labels_of_one_alert_have_a_bound_together() -> None:
    many = {f"label{number}": "x" * 1024 for number in range(60)}
    kept = bounded(alert({**many, **LABELS})).labels
    assert LABELS.items() <= kept.items()
    assert sum(len(name) + len(value) for name, value in kept.items()) <= 8192 + len("…53 more")


def test_a_label_whose_name_is_too_long_is_left_out() -> None:
    assert bounded(alert({**LABELS, "n" * 300: "x"})).labels == {**LABELS, "…": "1 more"}


@pytest.mark.parametrize(
    ("text", "size", "kept"),
    [("abc", 3, "abc"), ("abcdef", 5, "ab…"), ("жжжж", 8, "жжжж"), ("жжжж", 7, "жж…"), ("🙂🙂", 7, "🙂…"), ("", 5, "")],
)
def test_cuts_between_characters(text: str, size: int, kept: str) -> None:
    assert cut(text, size) == kept
