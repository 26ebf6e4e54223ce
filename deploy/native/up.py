"""`up`: starts what does not run, applies what changed, waits until each part answers, says what it watches."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.files import private_directory, write_if_changed
from deploy.config.keys import KNOWN
from deploy.config.render import Rendered, render
from deploy.config.settings import Settings, load_settings
from deploy.config.sources import Source, read_source
from deploy.errors import NativeError
from deploy.native.binaries import find_binary
from deploy.native.layout import Layout
from deploy.native.leftovers import find_leftovers, stop_leftovers
from deploy.native.ports import check_ports
from deploy.native.programs import Program, choose_programs
from deploy.native.reloading import choose_reloads, read_applied, reload_and_check, write_applied
from deploy.native.report import report
from deploy.native.supervisor import RUNNING, Applied, Supervisor
from deploy.native.supervisord_conf import render_conf
from deploy.native.waiting import wait_until_healthy


@dataclass(frozen=True)
class Plan:
    """What shall run."""

    settings: Settings
    rendered: Rendered
    programs: tuple[Program, ...]


def up(layout: Layout) -> int:
    """Returns the exit code; raises DeployError with what stopped it."""
    plan = bring_up(layout, load_settings(layout.env_file, os.environ, socket.gethostname()))
    print(report(layout, plan.settings, plan.rendered, plan.programs))
    return 0


def bring_up(layout: Layout, settings: Settings, others: tuple[Program, ...] = ()) -> Plan:
    """Returns when all answer. `others` run beside the parts, in the same supervisord, and stop before them."""
    supervisor = Supervisor(layout)
    _stop_leftovers(layout, supervisor)
    check_ports(settings.ports.by_part(), _supervised(supervisor))
    plan = _prepare(layout, settings, others)
    if supervisor.pid():
        _apply(layout, supervisor, plan)
    else:
        supervisor.start(choose_environment(os.environ))
        print("started: " + ", ".join(program.name for program in plan.programs))
    wait_until_healthy(layout, supervisor, plan.programs)
    write_applied(layout.applied, plan.programs)
    return plan


def choose_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What all parts inherit: settings reach each part by name, not by what the shell happens to hold."""
    return {name: value for name, value in environ.items() if not name.startswith("VLLM_")}


def _prepare(layout: Layout, settings: Settings, others: tuple[Program, ...]) -> Plan:
    """Renders, and lets each part check its configuration before anything that runs is touched."""
    for part in ("exporter", "healer"):
        check_source(layout, part, settings)
    rendered = render(layout.root, layout.home, layout.run, settings, socket.gethostname())
    programs = (*choose_programs(layout, settings, rendered), *others)
    _check([find_binary("promtool"), "check", "config", str(rendered.file("prometheus"))])
    _check([find_binary("amtool"), "check-config", str(rendered.file("alertmanager"))])
    for program in programs:
        private_directory(layout.data(program.name))
    private_directory(layout.log("").parent)
    write_if_changed(layout.conf, render_conf(layout, programs))
    return Plan(settings, rendered, programs)


def check_source(layout: Layout, part: str, settings: Settings) -> None:
    """The file as the user wrote it, so that messages name its lines; from where its relative paths begin."""
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
    """What exporter.yml names elsewhere must be a target; '': those that it lists itself."""
    if settings.targets:
        return " ".join(f"{one.scheme}://{one.address}" for one in settings.targets)
    return "" if source.values.get("targets") else KNOWN["VLLM_TARGETS"].default


def _check(command: list[str], environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What it says on stderr where all is well. `environ`: of one of our parts, whose stdout is its configuration."""
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
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
    """Pids that belong to the running supervisord."""
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
    """Starts what had given up; what `apply` just added starts by itself."""
    fresh = {*applied.started, *applied.restarted}
    down = tuple(one.name for one in supervisor.processes() if one.state not in RUNNING and one.name not in fresh)
    for name in down:
        supervisor.start_process(name)
    return down


def describe(applied: Applied, revived: tuple[str, ...], reloaded: tuple[str, ...]) -> str:
    """One line for a person."""
    done = {
        "started": (*applied.started, *revived),
        "restarted": applied.restarted,
        "reloaded": reloaded,
        "stopped": applied.stopped,
    }
    said = [f"{verb} {', '.join(names)}" for verb, names in done.items() if names]
    return f"was up already: {'; '.join(said) or 'nothing changed'}"
