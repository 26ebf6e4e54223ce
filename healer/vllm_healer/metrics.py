"""The healer's own metrics. Each family is declared here once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vllm_healer.model import IncidentState

# An acknowledgement is one fsync: about 1 ms on an SSD, tens on a busy disk. Alertmanager waits for it.
ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# A restart of a small model is back after half a minute, of a large one after half an hour.
VERIFICATION_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
CODES = ("200", "400", "401", "413", "415", "503")
DROPPED = ("left_out", "unreadable")
REASONS = (
    "blind",
    "budget",
    "cooldown",
    "dry_run",
    "gave_up",
    "incarnation_changed",
    "intended_state",
    "minimum_healthy",
    "never_ready",
    "no_way_back",
    "not_allowed",
    "not_destructive_cause",
    "not_firing",
    "paused",
    "pool_locked",
    "pool_unverified",
    "stale_data",
    "unlisted_target",
)


class HealerMetrics:
    """The healer's own families on a registry, a new one by default. Raises ValueError when it has them already.

    Label values that are known beforehand are there from the start, at 0: a counter that appears at 1 has no increase.
    """

    def __init__(self, registry: CollectorRegistry | None = None, version: str = "") -> None:
        """`version` is the installed one unless given."""
        self.registry = registry = registry or CollectorRegistry()
        self._webhooks(registry)
        self._acting(registry)
        self._working(registry)
        build_info = Gauge("vllm_healer_build_info", "1, with the version", ["version"], registry=registry)
        build_info.labels(version=version or metadata.version("vllm-healer")).set(1)
        self._start_at_zero()

    def _webhooks(self, registry: CollectorRegistry) -> None:
        self.alerts_received = Counter(
            "vllm_healer_alerts_received_total",
            "Alerts taken from webhooks, each delivery counted",
            registry=registry,
        )
        self.alerts_dropped = Counter(
            "vllm_healer_alerts_dropped_total",
            "Alerts of webhooks that were not journalled: unreadable, or left out as too many of others wait",
            ["reason"],
            registry=registry,
        )
        self.webhook_requests = Counter(
            "vllm_healer_webhook_requests_total", "Answers to POST /alerts, by HTTP status", ["code"], registry=registry
        )
        self.webhook_seconds = Histogram(
            "vllm_healer_webhook_seconds",
            "Time in seconds from the parsed request of POST /alerts to its answer, the journal's fsync included",
            registry=registry,
            buckets=ACK_BUCKETS,
        )

    def _acting(self, registry: CollectorRegistry) -> None:
        self.actions = Counter(
            "vllm_healer_actions_total", "Actions taken, by outcome", ["remediation", "outcome"], registry=registry
        )
        self.acted_at = Gauge(
            "vllm_healer_last_action_timestamp_seconds",
            "Unix time of the last action since the healer was started, by outcome",
            ["remediation", "outcome"],
            registry=registry,
        )
        self.refusals = Counter(
            "vllm_healer_refusals_total", "Times a guard refused an action, by reason", ["reason"], registry=registry
        )
        self.incidents = Gauge(
            "vllm_healer_incidents", "Incidents in the journal, by their present state", ["state"], registry=registry
        )
        self.given_up = Gauge(
            "vllm_healer_given_up",
            "1 for a server that this remediation did not help several times; a person runs `vllm-healer resume`",
            ["server", "remediation"],
            registry=registry,
        )
        self.held_back = Gauge(
            "vllm_healer_alerts_suppressed",
            "Alerts of a listed server that ask for an action, all of them silenced or inhibited in Alertmanager",
            ["server"],
            registry=registry,
        )
        self.differ = Gauge(
            "vllm_healer_targets_differ",
            "1 for a server that is in targets and not watched (unwatched), or watched and not in targets (unlisted)",
            ["server", "difference"],
            registry=registry,
        )

    def _working(self, registry: CollectorRegistry) -> None:
        self.paused = Gauge(
            "vllm_healer_paused",
            "1 while a person has paused the healer: it diagnoses, but does not act",
            registry=registry,
        )
        self.dry_run = Gauge("vllm_healer_dry_run", "1 while the healer only says what it would do", registry=registry)
        self.last_reconcile = Gauge(
            "vllm_healer_last_reconcile_timestamp_seconds",
            "When the healer last compared its incidents with Alertmanager, in seconds since the epoch",
            registry=registry,
        )
        self.last_tick = Gauge(
            "vllm_healer_worker_last_tick_timestamp_seconds",
            "When the worker last began a round, in seconds since the epoch",
            registry=registry,
        )
        self.jobs_overdue = Gauge(
            "vllm_healer_jobs_overdue",
            "Looks and steps of incidents that run for longer than all their timeouts together; others run beside them",
            registry=registry,
        )
        self.verification_seconds = Histogram(
            "vllm_healer_verification_seconds",
            "Time in seconds from the intent of an action to its verdict",
            registry=registry,
            buckets=VERIFICATION_BUCKETS,
        )

    def mode(self, mode: str) -> None:
        """Publishes the mode, `dry_run` or `act`."""
        self.dry_run.set(mode == "dry_run")

    def suppressed(self, counts: Mapping[str, int]) -> None:
        """Publishes how many alerts of each listed server are held back."""
        for server, count in counts.items():
            self.held_back.labels(server=server).set(count)

    def differences(self, differences: Iterable[tuple[str, str]]) -> None:
        """Publishes each (server, difference) between what is watched and what may be acted on."""
        for server, difference in differences:
            self.differ.labels(server=server, difference=difference).set(1)

    def gave_up(self, given_up: Iterable[tuple[str, str]]) -> None:
        """Publishes each (server, remediation) that a person must look at, and no other."""
        self.given_up.clear()
        for server, remediation in given_up:
            self.given_up.labels(server=server, remediation=remediation).set(1)

    def _start_at_zero(self) -> None:
        for code in CODES:
            self.webhook_requests.labels(code=code)
        for reason in DROPPED:
            self.alerts_dropped.labels(reason=reason)
        for reason in REASONS:
            self.refusals.labels(reason=reason)
        for state in IncidentState:
            self.incidents.labels(state=state.value)
