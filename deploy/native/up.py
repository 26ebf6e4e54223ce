"""`up`: starts what does not run, applies what changed, waits until each part answers, says what it watches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deploy.config.access import ADMIN, USER
from deploy.config.files import private_directory, write_if_changed
from deploy.config.grafana import OVERVIEW
from deploy.config.keys import KNOWN
from deploy.config.render import Rendered, render
from deploy.config.settings import Settings, load_settings
from deploy.config.sources import Source, read_source
from deploy.config.versions import version_said
from deploy.errors import NativeError
from deploy.native.accounts import ROOT, Account, Accounts, choose_accounts, hand_over, runs_as_another
from deploy.native.environment import choose_environment
from deploy.native.grafana import Grafana, publish
from deploy.native.health import read_dry_run, read_server_states, wait_until_healthy
from deploy.native.layout import Layout
from deploy.native.leftovers import find_leftovers, stop_leftovers
from deploy.native.monitor_dir import choose_owner, make_monitor_dir
from deploy.native.own_grafana import Choice, choose_grafana, grafana_program
from deploy.native.ports import check_ports
from deploy.native.programs import Program, choose_programs, find_binary, render_conf
from deploy.native.reloading import choose_reloads, read_applied, reload_and_check, write_applied
from deploy.native.supervisor import RUNNING, Applied, Supervisor

_PAGES = {
    "exporter": "/metrics",
    "healer": "/",
    "prometheus": "/alerts",
    "alertmanager": "/#/alerts",
    "grafana": OVERVIEW,
}
_MODES = {
    True: "dry run: it says what it would do and touches nothing",
    False: "ACTS: it restarts servers that healer.yml lists",
    None: "mode unknown: its /metrics does not say",
}


@dataclass(frozen=True)
class Plan:
    """The programs that shall run, and their settings."""

    settings: Settings
    rendered: Rendered
    programs: tuple[Program, ...]
    warnings: tuple[str, ...]
    grafana: Choice


def up(layout: Layout) -> int:
    """Returns the exit code. Raises DeployError with what stopped it."""
    settings = load_settings(layout.env_file, os.environ, socket.gethostname())
    plan = bring_up(layout, settings, users=True)
    left = make_monitor_dir(
        Path(settings.monitor_dir or KNOWN["VLLM_MONITOR_DIR"].default),
        choose_owner(plan.rendered.computed.targets, os.environ),
    )
    print(report(layout, plan, left))
    return 0


def bring_up(layout: Layout, settings: Settings, others: tuple[Program, ...] = (), users: bool = False) -> Plan:
    """Returns when every part answers. `others` run beside the parts in the same supervisord, and stop before them.

    `users`: as root, all parts but the healer run as users of their own.
    """
    supervisor = Supervisor(layout)
    _stop_leftovers(layout, supervisor)
    check_ports(settings.ports.by_part(), _supervised(supervisor))
    plan = _prepare(layout, supervisor, settings, others, users)
    if supervisor.pid():
        _apply(layout, supervisor, plan)
    else:
        supervisor.start(choose_environment(os.environ))
        print("started: " + ", ".join(program.name for program in plan.programs))
    wait_until_healthy(layout, supervisor, plan.programs)
    write_applied(layout.applied, plan.programs)
    return plan


def check_source(layout: Layout, part: str, settings: Settings) -> None:
    """Lets the part check its file as the user wrote it, so that messages name its lines. Raises NativeError."""
    source = read_source(layout.root, layout.home, part)
    file = source.path.absolute()
    command = [str(layout.program(f"vllm-{part}")), "check-config", "--config", str(file)]
    environ = {**choose_environment(os.environ), **settings.passed.get(part, {})}
    if part == "exporter":
        environ |= {"VLLM_TARGETS": targets_to_check(settings, source)}
        environ |= {"VLLM_EXPORTER_STATE_DIR": str(layout.data(part).absolute())}
    warnings = _check(command, environ, file.parent)
    print(warnings, end="", file=sys.stderr)


def targets_to_check(settings: Settings, source: Source) -> str:
    """Returns the targets that exporter.yml may name in its other sections; '' for those that it lists itself."""
    if settings.targets:
        return " ".join(f"{one.scheme}://{one.address}" for one in settings.targets)
    return "" if source.values.get("targets") else KNOWN["VLLM_TARGETS"].default


def describe(applied: Applied, revived: tuple[str, ...], reloaded: tuple[str, ...]) -> str:
    """Says in one line what was done to what ran."""
    done = {
        "started": (*applied.started, *revived),
        "restarted": applied.restarted,
        "reloaded": reloaded,
        "stopped": applied.stopped,
    }
    said = [f"{verb} {', '.join(sorted(names))}" for verb, names in done.items() if names]
    return f"was up already: {'; '.join(said) or 'nothing changed'}"


def report(layout: Layout, plan: Plan, left: str = "") -> str:
    """Says where things are, what is watched, what would be done, who is told, and what to do next, `left` included."""
    states = read_server_states(plan.settings.ports.exporter, plan.rendered.computed.targets)
    dry_run = read_dry_run(plan.settings.ports.healer)
    passwords = f"user {USER}, passwords in {layout.run / 'secrets'}: prometheus_password, alertmanager_password"
    ends = {
        "Log in": passwords,
        "Healer": _MODES[dry_run],
        "People": plan.settings.people.words(),
        "Boards": _boards(layout, plan),
    }
    return "\n".join(
        [
            "vllm-monitor is up",
            table({program.name: program.address + _PAGES[program.name] for program in plan.programs}),
            "Watches",
            table(states),
            table(ends, indent=""),
            *(f"Warning: {warning}" for warning in (*plan.rendered.computed.warnings, *plan.warnings)),
            "Next",
            *(f"  {step}" for step in next_steps(plan.rendered.computed.chosen, states, dry_run)),
            *([f"  {left}"] if left else []),
        ]
    )


def table(rows: Mapping[str, str], indent: str = "  ") -> str:
    """Returns one line for each row, its words in one column."""
    width = max(map(len, rows), default=0)
    return "\n".join(f"{indent}{name:<{width}}  {words}" for name, words in rows.items())


def next_steps(chosen: bool, states: Mapping[str, str], dry_run: bool | None) -> list[str]:
    """Says only what is left to do."""
    steps = []
    if not chosen:
        steps.append("name your servers: VLLM_TARGETS=host:port,… in .env (cp .env.example .env), then `make up`")
    if any(state != "ready" for state in states.values()):
        steps.append("start the servers that are not ready, or correct their addresses")
    if dry_run:
        steps.append("let it heal: list the servers in healer.yml and write mode: act there; docs/safety.md")
    return [*steps, "make status, make logs, make down; settings: docs/settings.md"]


def _prepare(
    layout: Layout, supervisor: Supervisor, settings: Settings, others: tuple[Program, ...], users: bool
) -> Plan:
    """Renders, and lets each part check its configuration before anything that runs is touched."""
    for part in ("exporter", "healer"):
        check_source(layout, part, settings)
    _check_alertmanager(settings)
    grafana = choose_grafana(layout, settings, _supervised(supervisor))
    accounts = _accounts(layout, settings, grafana) if users else Accounts({})
    with_grafana = grafana.installed is not None
    rendered = render(
        layout.root, layout.home, layout.run, settings, socket.gethostname(), accounts.apart, with_grafana
    )
    parts = choose_programs(layout, settings, rendered)
    if grafana.installed:
        parts += (grafana_program(grafana.installed, rendered.config / "grafana", settings.grafana_port),)
    programs = (*(with_user(one, accounts) for one in parts), *others)
    _check([find_binary("promtool"), "check", "config", str(rendered.file("prometheus"))])
    _check([find_binary("amtool"), "check-config", str(rendered.file("alertmanager"))])
    for program in programs:
        private_directory(layout.data(program.name))
    private_directory(layout.log("").parent)
    _stop_former(supervisor, accounts)
    hand_over(layout, rendered.config, accounts)
    if "exporter" in accounts.apart:
        _warn_of_what_is_closed(layout, rendered, accounts.of["exporter"])
    write_if_changed(layout.conf, render_conf(layout, programs))
    return Plan(settings, rendered, programs, accounts.warnings, grafana)


def _check_alertmanager(settings: Settings) -> None:
    binary = find_binary("alertmanager")
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    fix = f"put a newer one on PATH before {binary}, run it in containers, or take the channel out of .env"
    settings.people.check_version(version_said(done.stdout + done.stderr), fix)


def _stop_former(supervisor: Supervisor, accounts: Accounts) -> None:
    """Stops parts that run as another user than they shall: at their end they write once more, as that user."""
    for process in supervisor.processes() if accounts.of and supervisor.pid() else ():
        account = accounts.of.get(process.name)
        if account and process.pid and runs_as_another(process.pid, account):
            supervisor.stop_process(process.name)


def _warn_of_what_is_closed(layout: Layout, rendered: Rendered, account: Account) -> None:
    """Lets the exporter's own user look for the logs and directories that exporter.yml names."""
    command = [str(layout.program("vllm-exporter")), "check-config", "--config", str(rendered.file("exporter"))]
    print(_check(command, choose_environment(os.environ), Path("/"), account), end="", file=sys.stderr)


def _accounts(layout: Layout, settings: Settings, grafana: Choice) -> Accounts:
    programs = {"exporter": str(layout.program("vllm-exporter"))}
    programs |= {name: find_binary(name) for name in ("prometheus", "alertmanager")}
    if grafana.installed:
        programs["grafana"] = grafana.installed.command[0]
    return choose_accounts(layout, programs, settings.exporter_user)


def with_user(program: Program, accounts: Accounts) -> Program:
    """Returns the program as its user runs it, whose home is nobody's."""
    account = accounts.of.get(program.name, ROOT)
    if account.is_root:
        return program
    environment = {**program.environment, "HOME": "/nonexistent", "USER": account.name, "LOGNAME": account.name}
    return replace(program, user=account.name, environment=environment)


def _check(
    command: list[str],
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
) -> str:
    """Returns what a good check says on stderr. `environ`: for one of our parts, whose stdout is its configuration."""
    run = partial(subprocess.run, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
    done = run(command, **account.process()) if account else run(command)
    if done.returncode != 0:
        said = (done.stderr if environ else done.stdout + done.stderr).strip()
        raise NativeError(f"{Path(command[0]).name} {' '.join(command[1:])} says:\n{said}")
    return done.stderr


def _stop_leftovers(layout: Layout, supervisor: Supervisor) -> None:
    if leftovers := find_leftovers(layout.server_url, _supervised(supervisor)):
        pids = ", ".join(str(process.pid) for process in leftovers)
        print(f"supervisord was killed and left its parts behind (pids {pids}): stopping them")
        stop_leftovers(leftovers)


def _supervised(supervisor: Supervisor) -> set[int]:
    """Returns the pids that belong to the running supervisord."""
    pid = supervisor.pid()
    return {pid, *(process.pid for process in supervisor.processes() if process.pid)} if pid else set()


def _apply(layout: Layout, supervisor: Supervisor, plan: Plan) -> None:
    applied = supervisor.apply()
    revived = _revive(supervisor, applied)
    reloads = choose_reloads(
        plan.programs, read_applied(layout.applied), (*applied.started, *applied.restarted, *revived)
    )
    for program in reloads:
        reload_and_check(layout, supervisor, program)
    print(describe(applied, revived, tuple(program.name for program in reloads)))


def _revive(supervisor: Supervisor, applied: Applied) -> tuple[str, ...]:
    """Starts what had given up; what `apply` has just added starts by itself."""
    fresh = {*applied.started, *applied.restarted}
    down = tuple(name for name, state in supervisor.states().items() if state not in RUNNING and name not in fresh)
    for name in down:
        supervisor.start_process(name)
    return down


def _boards(layout: Layout, plan: Plan) -> str:
    settings = plan.settings
    if settings.grafana_token:
        try:
            return publish(Grafana(settings.grafana_url, settings.grafana_token), layout, settings.ports.prometheus)
        except NativeError as error:
            return f"not uploaded: {error}"
    return plan.grafana.why or f"in Grafana: user admin, password in {layout.run / 'secrets' / ADMIN}"
