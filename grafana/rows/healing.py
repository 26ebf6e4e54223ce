"""What fires, what the healer does about it, and whether it needs a person."""

from __future__ import annotations

from grafana.builder.colours import any_is, words
from grafana.builder.lines import bars
from grafana.builder.marks import FIRED_AT, FIRING, PENDING, firing_as
from grafana.builder.numbers import stat
from grafana.builder.panel import Json, Panel, Query, override
from grafana.builder.states import state_timeline
from grafana.builder.table import Column, table
from grafana.rows.common import RUNBOOKS, appeared, named_server, now

INCIDENTS = 'vllm_healer_incident_started_timestamp_seconds{server=~"$server|"}'
CHOSEN = '{server=~"$server|"}'
ENDED = 'vllm_healer_incident_ended_timestamp_seconds{server=~"$server|"}'
KEYS = "incident, server, cause, remediation, state"
SILENT = "max(time() - vllm_healer_worker_last_tick_timestamp_seconds)"
WATCHED = 'ALERTS{alertstate="firing", severity="none"}'  # the Watchdog: while it does not fire, no alert can
DOES = words(
    {
        0: ("idle", "green"),
        1: ("dry run", "blue"),
        2: ("paused", "orange"),
        3: ("paused, dry run", "orange"),
        4: ("at work", "blue"),
        5: ("stuck", "red"),
    }
)[:1]
SEVERITIES: tuple[Json, ...] = (
    {
        "type": "value",
        "options": {
            "critical": {"text": "critical", "color": "red", "index": 0},
            "warning": {"text": "warning", "color": "orange", "index": 1},
            "info": {"text": "info", "color": "blue", "index": 2},
        },
    },
)


def firing(width: int = 4) -> Panel:
    return stat(
        "Firing alerts",
        "Of the chosen servers and about no server, critical and warning. Unknown while the Watchdog alert does not "
        "fire: then none can.",
        *(
            now(f"count({firing_as(severity)}) or 0 * count({WATCHED})", severity)
            for severity in ("critical", "warning")
        ),
        width=width,
        thresholds=any_is("red"),
        overrides=(override("warning", thresholds=any_is("orange")),),
    )


def healer(width: int = 3) -> Panel:
    """The first that holds: stuck, at work, paused or in dry run, idle."""
    at_work = f'max by (server, remediation) ({INCIDENTS[:-1]}, state=~"acting|verifying"}})'
    return stat(
        "Healer",
        "What it does now, and to which server. dry run: it only writes down what it would have done. paused: a person "
        "has told it to wait. stuck: it has not looked for a minute.",
        now(
            f'label_replace(5 + 0 * ({SILENT} > 60), "who", "it is", "", "")'
            f" or on () topk(1, 4 + 0 * {at_work})"
            ' or on () label_replace(max(vllm_healer_dry_run) + 2 * max(vllm_healer_paused), "who", "it is", "", "")',
            "{{who}}{{remediation}} {{server}}",
        ),
        width=width,
        mappings=DOES,
        shown="value_and_name",
        missing="no healer",
    )


def needs_a_person(width: int = 3) -> Panel:
    return stat(
        "Needs a person",
        "Servers that the healer could not heal, or may not, until they are well or somebody acknowledges it.",
        now('count(vllm_healer_needs_person{server=~"$server|"} == 1) or 0 * count(vllm_healer_build_info)'),
        width=width,
        thresholds=any_is("red"),
        missing="no healer",
    )


def firing_alerts(width: int, height: int) -> Panel:
    return table(
        "Firing alerts now",
        "Of the chosen servers and about no server. Each opens its runbook.",
        (Column("For", named_server(f"time() - {FIRED_AT} / 1000"), "s", decimals=0),),
        keys={"severity": "Severity", "alertname": "Alert", "server": "Server"},
        links={"Alert": f"{RUNBOOKS}/${{__value.raw}}.md"},
        colours={"Severity": SEVERITIES},
        widths={"Severity": 80, "Alert": 150},
        sort="For",
        width=width,
        height=height,
        missing="No firing alert is known",
    )


def incidents(width: int, height: int) -> Panel:
    return table(
        "Incidents",
        "Those that are open and the last that ended, the newest first. Did: the remediation that was tried. The story "
        "of each: `vllm-healer explain`, or the healer's page.",
        (
            Column("Ago", f"time() - max by ({KEYS}) ({INCIDENTS})", "s", decimals=0),
            Column(
                "Took",
                f"max by ({KEYS}) ({ENDED} - {INCIDENTS})"
                f" or time() - max by ({KEYS}) ({INCIDENTS} unless on (incident) {ENDED})",
                "s",
                decimals=0,
            ),
        ),
        keys={"incident": "Incident", "server": "Server", "cause": "Cause", "remediation": "Did", "state": "State"},
        widths={"Incident": 70, "Server": 150, "Cause": 130, "Did": 130, "State": 80},
        sort="Ago",
        width=width,
        height=height,
        missing="No incident",
    )


def actions(width: int, height: int) -> Panel:
    return bars(
        "Actions and refusals",
        "What the healer did, by outcome, and what a guard refused, by reason; docs/safety.md explains each.",
        Query(
            appeared("vllm_healer_actions_total", "remediation, outcome", "healer", CHOSEN),
            "{{remediation}}: {{outcome}}",
        ),
        Query(appeared("vllm_healer_refusals_total", "reason", "healer", CHOSEN), "refused: {{reason}}"),
        width=width,
        height=height,
        missing="Nothing was done",
    )


def alerts_over_time(width: int, height: int) -> Panel:
    return state_timeline(
        "Alerts",
        "Yellow: its condition holds. Red: it fires.",
        Query(
            f"2 * max by (alertname, server) (max_over_time({FIRING}[$__interval]) or {FIRING})"
            f" or max by (alertname, server) (max_over_time({PENDING}[$__interval]) or {PENDING})",
            "{{alertname}} {{server}}",
        ),
        mappings=words({1: ("pending", "yellow"), 2: ("firing", "red")})[:1],
        width=width,
        height=height,
    )
