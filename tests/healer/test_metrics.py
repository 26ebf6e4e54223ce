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
        "vllm_healer_alerts_dropped": "counter",
        "vllm_healer_webhook_requests": "counter",
        "vllm_healer_webhook_seconds": "histogram",
        "vllm_healer_actions": "counter",
        "vllm_healer_last_action_timestamp_seconds": "gauge",
        "vllm_healer_refusals": "counter",
        "vllm_healer_incidents": "gauge",
        "vllm_healer_given_up": "gauge",
        "vllm_healer_working_until_timestamp_seconds": "gauge",
        "vllm_healer_needs_person": "gauge",
        "vllm_healer_incident_started_timestamp_seconds": "gauge",
        "vllm_healer_incident_ended_timestamp_seconds": "gauge",
        "vllm_healer_paused": "gauge",
        "vllm_healer_dry_run": "gauge",
        "vllm_healer_last_reconcile_timestamp_seconds": "gauge",
        "vllm_healer_worker_last_tick_timestamp_seconds": "gauge",
        "vllm_healer_alerts_suppressed": "gauge",
        "vllm_healer_targets_differ": "gauge",
        "vllm_healer_jobs_overdue": "gauge",
        "vllm_healer_journal_errors": "counter",
        "vllm_healer_journal_bytes": "gauge",
        "vllm_healer_journal_free_bytes": "gauge",
        "vllm_healer_verification_seconds": "histogram",
    }


def test_known_reasons_codes_and_states_start_at_zero() -> None:
    metrics = HealerMetrics()
    metrics.start_at_zero(["gpu1:8000"], ["restart_engine"])
    registry = metrics.registry
    refused = {"reason": "cooldown", "server": "gpu1:8000"}
    assert registry.get_sample_value("vllm_healer_refusals_total", refused) == 0
    failed = {"remediation": "restart_engine", "outcome": "failed", "server": "gpu1:8000"}
    assert registry.get_sample_value("vllm_healer_actions_total", failed) == 0
    assert registry.get_sample_value("vllm_healer_webhook_requests_total", {"code": "503"}) == 0
    assert registry.get_sample_value("vllm_healer_incidents", {"state": "verifying"}) == 0


def test_says_whether_it_acts() -> None:
    metrics = HealerMetrics()
    for mode, shown in (("dry_run", 1), ("act", 0)):
        metrics.mode(mode)
        assert metrics.registry.get_sample_value("vllm_healer_dry_run") == shown


def test_two_healers_in_one_process_do_not_share_a_registry() -> None:
    HealerMetrics().paused.set(1)
    assert HealerMetrics().registry.get_sample_value("vllm_healer_paused") == 0
    registry = CollectorRegistry()
    HealerMetrics(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        HealerMetrics(registry)


def test_rows_that_go_are_taken_away_and_others_never_are() -> None:
    rows = (metrics := HealerMetrics()).needs_person
    rows.replace({("a:1", "orphans"): 1.0, ("b:1", "orphans"): 1.0})
    rows.replace({("b:1", "orphans"): 1.0})
    value = metrics.registry.get_sample_value
    assert value("vllm_healer_needs_person", {"server": "b:1", "cause": "orphans"}) == 1
    assert value("vllm_healer_needs_person", {"server": "a:1", "cause": "orphans"}) is None


def test_a_scrape_reads_the_work_before_how_it_ended() -> None:
    """Between the two a change may come: then it finds both, and never neither, which would wake people."""
    names = [family.name for family in HealerMetrics().registry.collect()]
    work = names.index("vllm_healer_working_until_timestamp_seconds")
    assert work < names.index("vllm_healer_incident_ended_timestamp_seconds")
    assert work < names.index("vllm_healer_needs_person")
