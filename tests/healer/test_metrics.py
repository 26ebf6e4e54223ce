from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vllm_healer.metrics import HealerMetrics


def families(metrics: HealerMetrics) -> dict[str, str]:
    """Name and type of each, as a scraper sees them."""
    text = generate_latest(metrics.registry).decode()
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def test_publishes_the_names_that_rules_and_boards_read() -> None:
    assert {name: kind for name, kind in families(HealerMetrics()).items() if not name.endswith("_created")} == {
        "vllm_healer_build_info": "gauge",
        "vllm_healer_alerts_received": "counter",
        "vllm_healer_alerts_dropped": "counter",
        "vllm_healer_webhook_requests": "counter",
        "vllm_healer_webhook_seconds": "histogram",
        "vllm_healer_actions": "counter",
        "vllm_healer_last_action_timestamp_seconds": "gauge",
        "vllm_healer_refusals": "counter",
        "vllm_healer_incidents": "gauge",
        "vllm_healer_given_up": "gauge",
        "vllm_healer_paused": "gauge",
        "vllm_healer_dry_run": "gauge",
        "vllm_healer_last_reconcile_timestamp_seconds": "gauge",
        "vllm_healer_worker_last_tick_timestamp_seconds": "gauge",
        "vllm_healer_alerts_suppressed": "gauge",
        "vllm_healer_targets_differ": "gauge",
        "vllm_healer_jobs_overdue": "gauge",
        "vllm_healer_verification_seconds": "histogram",
    }


def test_known_reasons_codes_and_states_start_at_zero() -> None:
    registry = HealerMetrics().registry
    assert registry.get_sample_value("vllm_healer_refusals_total", {"reason": "cooldown"}) == 0
    assert registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "503"}) == 0
    assert registry.get_sample_value("vllm_healer_incidents", {"state": "verifying"}) == 0


def test_says_whether_it_acts() -> None:
    metrics = HealerMetrics()
    for mode, shown in (("dry_run", 1), ("act", 0)):
        metrics.mode(mode)
        assert metrics.registry.get_sample_value("vllm_healer_dry_run") == shown


def test_two_healers_in_one_process_do_not_share_a_registry() -> None:
    HealerMetrics().alerts_received.inc()
    assert HealerMetrics().registry.get_sample_value("vllm_healer_alerts_received_total") == 0
    registry = CollectorRegistry()
    HealerMetrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        HealerMetrics(registry)
