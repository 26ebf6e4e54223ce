"""`status`: one line a part; and `logs`."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import asdict

from deploy.errors import NativeError
from deploy.native.layout import Layout
from deploy.native.leftovers import find_leftovers
from deploy.native.supervisor import ProcessState, Supervisor
from deploy.native.waiting import last_lines

PARTS = ("exporter", "healer", "prometheus", "alertmanager")
_LOG_LINES = 40
_LISTEN = re.compile(r"(?:--web\.listen-address=|--listen )(\S+)")


def status(layout: Layout, as_json: bool) -> int:
    """0 when each part runs, else 1."""
    supervisor = Supervisor(layout)
    processes = supervisor.processes() if supervisor.pid() else ()
    addresses = read_addresses(layout)
    if as_json:
        print(render_json(processes, addresses))
    else:
        print(render_table(processes, addresses) if processes else _nothing(layout))
    return 0 if processes and all(process.state in ("RUNNING", "STARTING") for process in processes) else 1


def logs(layout: Layout, part: str, follow: bool) -> int:
    """The last lines of one part's log or of all; with `follow`, tail takes over and shows what comes."""
    if part and part not in (*PARTS, "supervisord"):
        raise NativeError(f"no part {part!r}; there are: {', '.join((*PARTS, 'supervisord'))}")
    paths = [layout.log(name) for name in ([part] if part else PARTS)]
    if follow:
        os.execvp("tail", ["tail", "-n", "10", "-F", *map(str, paths)])
    for path in paths:
        print(f"==> {path} <==", *last_lines(path, _LOG_LINES), sep="\n")
    return 0


def render_table(processes: tuple[ProcessState, ...], addresses: dict[str, str]) -> str:
    """Fixed columns."""
    rows = [("PART", "STATE", "PID", "UPTIME", "ADDRESS")]
    rows += [
        (one.name, one.state, str(one.pid or "-"), words(one.uptime), addresses.get(one.name, "-")) for one in processes
    ]
    return "\n".join(
        f"{part:<14}{state:<10}{pid:<9}{uptime:<12}{address}" for part, state, pid, uptime, address in rows
    )


def render_json(processes: tuple[ProcessState, ...], addresses: dict[str, str]) -> str:
    return json.dumps([{**asdict(one), "address": addresses.get(one.name, "")} for one in processes], indent=2)


def words(seconds: float) -> str:
    """Two units are enough: '3 d 4 h', '5 min 2 s'."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, said = int(seconds), []
    for unit, size in units:
        count, left = divmod(left, size)
        said += [f"{count} {unit}"] if count else []
    return " ".join(said[:2]) or "-"


def read_addresses(layout: Layout) -> dict[str, str]:
    """Part -> address, from the supervisord.conf that is in effect."""
    try:
        return parse_addresses(layout.conf.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def parse_addresses(conf: str) -> dict[str, str]:
    """The listen flag of each program's command."""
    addresses: dict[str, str] = {}
    for section in conf.split("\n[program:")[1:]:
        name, _, body = section.partition("]")
        command = next(line.partition("=")[2] for line in body.splitlines() if line.startswith("command"))
        if match := _LISTEN.search(" ".join(shlex.split(command))):
            addresses[name] = f"http://{match[1]}"
    return addresses


def _nothing(layout: Layout) -> str:
    if leftovers := find_leftovers(layout.server_url, set()):
        pids = ", ".join(str(process.pid) for process in leftovers)
        return f"supervisord was killed and left pids {pids} behind: `make up` starts afresh, `make down` stops them"
    return "nothing is running: `make up` starts it"
