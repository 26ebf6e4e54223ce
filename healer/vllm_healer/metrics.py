"""The healer's own metrics. Each family is declared here once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vllm_healer.model import IncidentState, Outcome

# An acknowledgement is one fsync: about 1 ms on an SSD, tens on a busy disk. Alertmanager waits for it.
ACK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# A restart of a small model is back after half a minute, of a large one after half an hour.
VERIFICATION_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0)
CODES = ("200", "400", "401", "413", "415", "503")
DROPPED = ("left_out", "unreadable")
REASONS = (
    "approval",
    "blast_radius",
    "blind",
    "breaker",
    "budget",
    "budget_in_all",
    "cooldown",
    "dry_run",
    "gave_up",
    "incarnation_changed",
    "intended_state",
    "maintenance",
    "minimum_healthy",
    "never_ready",
    "no_way_back",
    "not_allowed",
    "not_destructive_cause",
    "not_firing",
    "observer_fault",
    "paused",
    "pool_locked",
    "pool_unverified",
    "server_paused",
    "stale_data",
    "traced",
    "unlisted_target",
)


INCIDENT = ("incident", "server", "cause", "remediation", "state")


class Rows:
    """A gauge whose label values come and go. A scrape meanwhile finds old rows too, and never none."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def replace(self, rows: Mapping[tuple[str, ...], float]) -> None:
        for labels, value in rows.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - rows.keys():
            self._gauge.remove(*labels)
        self._shown = set(rows)


class HealerMetrics:
    """The healer's own families on a registry, a new one by default. Raises ValueError when it has them already.

    Label values that are known beforehand are there from the start, at 0: a counter that appears at 1 has no increase.
    """

    def __init__(self, registry: CollectorRegistry | None = None, version: str = "") -> None:
        """`version` is the installed one unless given."""
        self.registry = registry = registry or CollectorRegistry()
        self._webhooks(registry)
        self._acting(registry)
        self._healing(registry)
        self._working(registry)
        self._journal(registry)
        build_info = Gauge("vllm_healer_build_info", "1, with the version", ["version"], registry=registry)
        build_info.labels(version=version or metadata.version("vllm-healer")).set(1)
        self._start_at_zero()

    def _webhooks(self, registry: CollectorRegistry) -> None:
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
            "vllm_healer_actions_total",
            "Actions taken on a server, by outcome",
            ["remediation", "outcome", "server"],
            registry=registry,
        )
        self.acted_at = Gauge(
            "vllm_healer_last_action_timestamp_seconds",
            "Unix time of the last action since the healer was started, by outcome",
            ["remediation", "outcome"],
            registry=registry,
        )
        self.refusals = Counter(
            "vllm_healer_refusals_total",
            "Times a guard refused an action on a server, by reason",
            ["reason", "server"],
            registry=registry,
        )
        self.incidents = Gauge(
            "vllm_healer_incidents", "Incidents in the journal, by their present state", ["state"], registry=registry
        )
        given_up = Gauge(
            "vllm_healer_given_up",
            "1 for a server that this remediation did not help several times; a person runs `vllm-healer resume`",
            ["server", "remediation"],
            registry=registry,
        )
        self.given_up = Rows(given_up)
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

    def _healing(self, registry: CollectorRegistry) -> None:
        """Families are read in this order: a scrape during a change sees the work go on, or how it ended, or both."""
        working_until = Gauge(
            "vllm_healer_working_until_timestamp_seconds",
            "Until when the work on a server that may be acted on is to be proven, in seconds since the epoch; "
            "0 while nothing is done",
            ["server"],
            registry=registry,
        )
        needs_person = Gauge(
            "vllm_healer_needs_person",
            "1 for a server whose healing failed or is refused, until it works or a person says `vllm-healer resume`",
            ["server", "cause"],
            registry=registry,
        )
        started = Gauge(
            "vllm_healer_incident_started_timestamp_seconds",
            "When an incident was opened, in seconds since the epoch: of all open ones and the last ended ones",
            INCIDENT,
            registry=registry,
        )
        ended = Gauge(
            "vllm_healer_incident_ended_timestamp_seconds",
            "When an incident was closed, in seconds since the epoch",
            INCIDENT,
            registry=registry,
        )
        self.working_until, self.needs_person = Rows(working_until), Rows(needs_person)
        self.incident_started, self.incident_ended = Rows(started), Rows(ended)

    def _journal(self, registry: CollectorRegistry) -> None:
        self.journal_errors = Counter(
            "vllm_healer_journal_errors_total",
            "Writes to the journal that failed: no action without one",
            registry=registry,
        )
        self.journal_bytes = Gauge("vllm_healer_journal_bytes", "Size of the journal and its log", registry=registry)
        self.journal_free = Gauge(
            "vllm_healer_journal_free_bytes", "Bytes left on the journal's disk", registry=registry
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

    def start_at_zero(self, servers: Iterable[str], remediations: Iterable[str]) -> None:
        """Publishes the counters of servers that may be acted on, and of what may be done to them."""
        named = tuple(remediations)
        for server in servers:
            for reason in REASONS:
                self.refusals.labels(reason=reason, server=server)
            for remediation in named:
                for outcome in Outcome:
                    self.actions.labels(remediation=remediation, outcome=outcome.value, server=server)

    def _start_at_zero(self) -> None:
        for code in CODES:
            self.webhook_requests.labels(code=code)
        for reason in DROPPED:
            self.alerts_dropped.labels(reason=reason)
        for state in IncidentState:
            self.incidents.labels(state=state.value)
