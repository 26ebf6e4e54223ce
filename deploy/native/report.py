"""The words that `up` ends with."""

from __future__ import annotations

from deploy.config.render import Rendered
from deploy.config.settings import Settings
from deploy.native.layout import Layout
from deploy.native.programs import Program
from deploy.native.watched import is_dry_run, server_states

_PAGES = {"exporter": "/metrics", "healer": "/", "prometheus": "/alerts", "alertmanager": "/#/alerts"}

_MODES = {
    True: "dry run: it says what it would do and touches nothing",
    False: "ACTS: it restarts servers that healer.yml lists",
    None: "mode unknown: its /metrics does not say",
}


def report(layout: Layout, settings: Settings, rendered: Rendered, programs: tuple[Program, ...]) -> str:
    """Where things are, what is watched, what would be done, who is told, and what to do next."""
    states = server_states(settings.ports.exporter, rendered.targets)
    dry_run = is_dry_run(settings.ports.healer)
    addresses = {program.name: program.address + _PAGES[program.name] for program in programs}
    sections = [
        "vllm-monitor is up",
        table(addresses),
        "Watches",
        table(states),
        table(
            {
                "Healer": _MODES[dry_run],
                "People": settings.people.words(),
                "Boards": boards(layout),
            },
            indent="",
        ),
        "Next",
        *(f"  {step}" for step in next_steps(rendered, states, dry_run)),
    ]
    return "\n".join(sections)


def table(rows: dict[str, str], indent: str = "  ") -> str:
    width = max(map(len, rows), default=0)
    return "\n".join(f"{indent}{name:<{width}}  {words}" for name, words in rows.items())


def boards(layout: Layout) -> str:
    dashboards = layout.root / "grafana" / "dashboards"
    return f"import {dashboards}/*.json into a Grafana" if dashboards.is_dir() else "none in this checkout"


def next_steps(rendered: Rendered, states: dict[str, str], dry_run: bool | None) -> list[str]:
    """Only what is left to do."""
    steps = []
    if not rendered.chosen:
        steps.append("name your servers: VLLM_TARGETS=host:port,… in .env (cp .env.example .env), then `make up`")
    if any(state != "ready" for state in states.values()):
        steps.append("start the servers that are not ready, or correct their addresses")
    if dry_run:
        steps.append("let it heal: list the servers in healer.yml and set VLLM_HEALER_MODE=act in .env; docs/safety.md")
    return [*steps, "make status, make logs, make down; settings: docs/settings.md"]
