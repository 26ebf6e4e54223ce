"""What fires, and what the healer does. The healer's series are about all servers: they name none."""

from __future__ import annotations

from grafana.builder.board import FIRED_AT
from grafana.builder.colours import any_is, words
from grafana.builder.kinds import stat, timeseries
from grafana.builder.panel import Panel, Query
from grafana.builder.table import Column, table
from grafana.rows.common import now

GOING_ON = "open|acting|verifying"
OVER = "healed|failed|resolved"
RUNBOOKS = "https://github.com/vllm-monitor/vllm-monitor/blob/main/docs/runbooks"


def open_incidents() -> Panel:
    return stat(
        "Open incidents",
        "Incidents that the healer is looking at, acting on or verifying, of all servers.",
        now(f'sum(vllm_healer_incidents{{state=~"{GOING_ON}"}})'),
        thresholds=any_is("orange"),
        missing="no healer",
    )


def mode() -> Panel:
    return stat(
        "Healer",
        "acts: it may restart what healer.yml lists. dry run: it only writes down what it would have done. "
        "paused: a person has told it to wait.",
        now("max(vllm_healer_dry_run) + 2 * max(vllm_healer_paused)"),
        mappings=words(
            {0: ("acts", "green"), 1: ("dry run", "blue"), 2: ("paused", "orange"), 3: ("paused, dry run", "orange")}
        ),
        missing="no healer",
    )


def firing_alerts() -> Panel:
    return table(
        "Firing alerts",
        "Those of the chosen servers and those about no server. Each opens its runbook. "
        "Since: when its condition became true.",
        (Column("Since", FIRED_AT, "dateTimeAsLocal"),),
        keys={"severity": "Severity", "alertname": "Alert", "server": "Server"},
        links={"Alert": f"{RUNBOOKS}/${{__value.raw}}.md"},
        sort="Since",
        descending=True,
        width=12,
    )


def incidents() -> tuple[Panel, ...]:
    return (
        timeseries(
            "Incidents in progress",
            "By state. open: being looked at. acting: an action is under way. verifying: waiting to see it work.",
            Query(f'sum by (state) (vllm_healer_incidents{{state=~"{GOING_ON}"}})', "{{state}}"),
            width=6,
            stacked=True,
            stepped=True,
        ),
        stat(
            "Incidents so far",
            "How the incidents in the healer's journal ended. healed: acted, and seen to work. "
            "failed: acted in vain, a person is needed. resolved: over without an action.",
            now(f'sum by (state) (vllm_healer_incidents{{state=~"{OVER}"}})', "{{state}}"),
            width=6,
            height=8,
            missing="no healer",
        ),
    )


def actions() -> tuple[Panel, ...]:
    return (
        timeseries(
            "Actions",
            "What the healer has done since it started, by outcome. done: by it. already: another had restarted the "
            "server. In dry run there are none.",
            Query("sum by (remediation, outcome) (vllm_healer_actions_total)", "{{remediation}}: {{outcome}}"),
            width=12,
            stepped=True,
        ),
        timeseries(
            "Refusals",
            "Actions that a guard has refused since the healer started, by reason. docs/safety.md explains each.",
            Query("sum by (reason) (vllm_healer_refusals_total) > 0", "{{reason}}"),
            width=12,
            stepped=True,
        ),
    )
