from __future__ import annotations

from dataclasses import dataclass

import pytest

from vllm_healer.metrics import HealerMetrics
from vllm_healer.web.refusals import Refusals


@dataclass
class Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def refusals(metrics: HealerMetrics, seconds: Seconds) -> Refusals:
    return Refusals(metrics, seconds)


def counted(metrics: HealerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_each_refusal_counts_and_one_line_in_ten_seconds_tells_of_them(
    refusals: Refusals, metrics: HealerMetrics, seconds: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(500):
        refusals.note(401, "no or wrong bearer token", "10.0.0.7")
    assert counted(metrics, "vllm_healer_webhook_requests_total", code="401") == 500
    assert [record.getMessage() for record in caplog.records] == [
        "webhook refused status=401 from=10.0.0.7: no or wrong bearer token"
    ]
    seconds.now += 10.0
    refusals.note(401, "no or wrong bearer token", "10.0.0.7")
    assert caplog.records[-1].getMessage().endswith("(499 more of this kind since the last line)")


def test_another_status_has_its_own_line_at_once(refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
    refusals.note(401, "no token", "10.0.0.7")
    refusals.note(400, "no JSON", "10.0.0.7")
    assert len(caplog.records) == 2


def test_an_unreadable_alert_is_named(
    refusals: Refusals, metrics: HealerMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    refusals.unreadable(["alerts[2].labels has no 'alertname'"], "10.0.0.7")
    assert "1 of a webhook's alerts cannot be read from=10.0.0.7: alerts[2].labels has no 'alertname'" in caplog.text
    assert counted(metrics, "vllm_healer_alerts_dropped_total", reason="unreadable") == 1


def test_nothing_is_told_where_nothing_was_left_out(refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
    refusals.unreadable([], "10.0.0.7")
    refusals.left_out(0, "10.0.0.7")
    assert caplog.records == []
