"""What is marked in the graphs: alerts that began to fire, actions of the healer, starts, other versions."""

from __future__ import annotations

from grafana.builder.panel import DATASOURCE, Json

# A page is an alert of its own about a cause that fires already.
_CHOSEN = 'notify!="people", server=~"$server|"'
FIRING = f'ALERTS{{alertstate="firing", severity!="none", {_CHOSEN}}}'
PENDING = f'ALERTS{{alertstate="pending", severity!="none", {_CHOSEN}}}'


def firing_as(severity: str) -> str:
    return f'ALERTS{{alertstate="firing", severity="{severity}", {_CHOSEN}}}'


# When each began to fire, in ms.
FIRED_AT = f"1000 * min by (severity, alertname, server) (ALERTS_FOR_STATE and ignoring (alertstate) {FIRING})"
# Of the critical ones only: five incidents in a quarter of an hour make a fence.
_FIRED = (
    f"1000 * min by (severity, alertname, server) (ALERTS_FOR_STATE and ignoring (alertstate) {firing_as('critical')})"
)
_ACTED = "1000 * max by (remediation, outcome, server) (vllm_healer_last_action_timestamp_seconds)"
# A server has another version or other models only after a start.
_STARTED = (
    '1000 * max by (server) (vllm_process_start_time_seconds{role="api_server", server=~"$server"})'
    ' * on (server) group_right () max by (server, version, model_name) (vllm_server_info{server=~"$server"})'
)


def marks() -> list[Json]:
    return [
        annotation("Critical alerts", "red", _FIRED, title="{{alertname}}", text="{{server}}", tags="severity"),
        annotation(
            "Healer's actions",
            "blue",
            _ACTED,
            title="healer: {{remediation}}",
            text="{{server}} {{outcome}}",
            tags="outcome",
        ),
        annotation(
            "Starts",
            "green",
            _STARTED,
            title="{{server}} started",
            text="vLLM {{version}}, {{model_name}}",
            tags="server",
        ),
    ]


def annotation(name: str, colour: str, expr: str, title: str, text: str, tags: str) -> Json:
    """A line at each time in ms that `expr` says. Its query is there twice: Grafana 9.4 reads one, 13 the other.

    Not the time in which something is above 0: Grafana joins its points only where they are as far apart as `step`, and
    draws a line for each of them otherwise. What was before the range would stand at its left edge.
    """
    within = f"({expr}) >= $__from"
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": within,
        "useValueForTime": True,
        "step": "5s",
        "target": {"refId": "Anno", "expr": within, "interval": "5s"},
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": tags,
    }
