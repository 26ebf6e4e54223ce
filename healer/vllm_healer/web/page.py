"""The page at /: plain HTML that needs no script. Everything in it is escaped, for alerts are strangers' text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from jinja2 import Environment

from vllm_healer.journal import Entry
from vllm_healer.ledger import Approval
from vllm_healer.model import Incident
from vllm_healer.names import plain_name

TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>vllm-healer</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd }
td:first-child { white-space: nowrap }
</style>
<h1>vllm-healer</h1>
<p>Mode: <strong>{{ mode }}</strong>{% if mode == "dry_run" %} (only says what it would do){% endif %}.
{% if paused %}<strong>Paused</strong>: {{ paused }}.{% else %}Not paused.{% endif %}</p>
<h2>Open incidents</h2>
{% if incidents %}
<table>
<tr><th>Since</th><th>Incident</th><th>Server</th><th>State</th><th>Alerts</th></tr>
{% for incident in incidents %}
<tr><td>{{ incident.opened.wall | time }}</td><td>{{ incident.id }}</td><td>{{ incident.server | plain_name }}</td>
<td>{{ incident.state.value }}</td><td>{{ incident | alerts }}</td></tr>
{% endfor %}
</table>
{% else %}<p>None.</p>{% endif %}
{% if waiting %}
<h2>Waiting for approval</h2>
<table>
<tr><th>Since</th><th>Incident</th><th>Server</th><th>What</th><th>Answer</th></tr>
{% for one in waiting %}
<tr><td>{{ one.asked.wall | time }}</td><td>{{ one.incident }}</td><td>{{ one.server | plain_name }}</td>
<td>{{ one.remediation }}</td>
<td><code>vllm-healer approve {{ one.id }}</code> or <code>refuse {{ one.id }}</code></td></tr>
{% endfor %}
</table>
{% endif %}
<h2>Last entries of the journal</h2>
{% if entries %}
<table>
<tr><th>Time (UTC)</th><th>Incident</th><th>Kind</th><th></th></tr>
{% for entry in entries %}
<tr><td>{{ entry.at | time }}</td><td>{{ entry.incident or "" }}</td><td>{{ entry.kind }}</td>
<td>{{ entry.words }}</td></tr>
{% endfor %}
</table>
{% else %}<p>The journal is empty.</p>{% endif %}
</html>
"""


BRIEF = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>vllm-healer</title>
<h1>vllm-healer</h1>
<p>Mode: <strong>{{ mode }}</strong>{% if mode == "dry_run" %} (only says what it would do){% endif %}.
{% if paused %}<strong>Paused</strong>.{% else %}Not paused.{% endif %} Open incidents: {{ incidents }}.</p>
<p>Which, and why, is for who may read its files: <code>vllm-healer history</code>, or this page with
<code>Authorization: Bearer</code> and a token that may read.</p>
</html>
"""


def render_brief(mode: str, paused: bool, incidents: int) -> str:
    """The page for who has no token: nothing that an alert or a person wrote."""
    return BRIEF_PAGE.render(mode=mode, paused=paused, incidents=incidents)


def render(
    mode: str,
    paused: str,
    incidents: Sequence[Incident],
    entries: Sequence[Entry],
    waiting: Sequence[Approval] = (),
) -> str:
    """The whole page, newest entry first."""
    newest_first = list(reversed(entries))
    return PAGE.render(mode=mode, paused=paused, incidents=incidents, entries=newest_first, waiting=waiting)


def utc(wall: float) -> str:
    """The time as `2026-03-01 12:00:05`, in UTC."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S")


def alert_names(incident: Incident) -> str:
    """The names, each once, as in `VllmDown, VllmEngineStalled (resolved)`."""
    firing = {alert.name for alert in incident.alerts if alert.firing}
    return ", ".join(
        name if name in firing else f"{name} (resolved)" for name in sorted({alert.name for alert in incident.alerts})
    )


def _environment() -> Environment:
    environment = Environment(autoescape=True, trim_blocks=True)
    environment.filters |= {"time": utc, "alerts": alert_names, "plain_name": plain_name}
    return environment


PAGE = _environment().from_string(TEMPLATE)
BRIEF_PAGE = _environment().from_string(BRIEF)
