"""`status`: one line for each part; `logs`, `query` and `test-message`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from deploy.config.access import ADMIN, GUARDED, USER
from deploy.config.addresses import HOST
from deploy.config.alertmanager_api import Alertmanager
from deploy.config.files import read_secret
from deploy.config.query import query
from deploy.config.trial import try_channels
from deploy.errors import NativeError
from deploy.native.layout import Layout, last_lines
from deploy.native.leftovers import find_leftovers
from deploy.native.ports import is_free, is_trusted, owner
from deploy.native.programs import parse_addresses
from deploy.native.supervisor import ProcessState, Supervisor

PARTS = ("exporter", "healer", "prometheus", "alertmanager")
LOGS = (*PARTS, "grafana", "supervisord")  # grafana: where one is installed
_LOG_LINES = 40


def status(layout: Layout, as_json: bool) -> int:
    """Prints the state of each part. Returns 0 when all run, else 1."""
    supervisor = Supervisor(layout)
    processes = supervisor.processes() if supervisor.pid() else ()
    addresses = read_addresses(layout)
    if as_json:
        print(render_json(processes, addresses))
    else:
        print(f"{render_table(processes, addresses)}\n{login(layout)}" if processes else _nothing(layout))
    return 0 if processes and all(map(runs, processes)) else 1


def logs(layout: Layout, part: str, follow: bool) -> int:
    """Prints the last lines of one part's log or of all. With `follow`, tail takes over and shows what comes."""
    if part and part not in LOGS:
        raise NativeError(f"no part {part!r}; known: {', '.join(LOGS)}")
    paths = [layout.log(name) for name in ([part] if part else _running_parts(layout))]
    if follow:
        os.execvp("tail", ["tail", "-n", "10", "-F", *map(str, paths)])
    for path in paths:
        print(f"==> {path} <==", *last_lines(path, _LOG_LINES), sep="\n")
    return 0


def _running_parts(layout: Layout) -> tuple[str, ...]:
    return (*PARTS, *(("grafana",) if "grafana" in read_addresses(layout) else ()))


def ask(layout: Layout, expression: str) -> int:
    """Prints Prometheus' answer. Raises NativeError when a stranger has its port, and QueryError."""
    port = own_port(layout, "prometheus")
    print(query(HOST, port, read_secret(layout.password("prometheus")), expression))
    return 0


def send_test(layout: Layout) -> int:
    """Sends one to every channel, and says what became of it. Raises NativeError and QueryError."""
    port = own_port(layout, "alertmanager")
    log = layout.log("alertmanager")
    size = log.stat().st_size
    alertmanager = Alertmanager(HOST, port, read_secret(layout.password("alertmanager")))
    return try_channels(alertmanager, lambda: log.read_bytes()[size:].decode(errors="replace"), print)


def own_port(layout: Layout, part: str) -> int:
    """Returns the part's port. Raises NativeError when nothing was started, or a stranger would get the password."""
    address = read_addresses(layout).get(part)
    if not address:
        raise NativeError("nothing was started here: `make up`")
    port = int(address.rpartition(":")[2])
    if not is_free(port) and not is_trusted(port):
        raise NativeError(
            f"port {port} is held by {owner(port)}, not by our {part.capitalize()}, so the password was not sent; "
            "end it, then `make up`"
        )
    return port


def render_table(processes: Sequence[ProcessState], addresses: Mapping[str, str]) -> str:
    """Returns one line for each part, in fixed columns, and what to do about one that does not run."""
    rows = [("PART", "STATE", "PID", "UPTIME", "ADDRESS")]
    rows += [
        (one.name, one.state, str(one.pid or "-"), words(one.uptime), addresses.get(one.name, "-")) for one in processes
    ]
    table = [f"{part:<14}{state:<10}{pid:<9}{uptime:<12}{address}" for part, state, pid, uptime, address in rows]
    return "\n".join([*table, *(_advice(one) for one in processes if not runs(one))])


def login(layout: Layout) -> str:
    """Says where the passwords are, and none of them."""
    files = " and ".join(str(layout.password(part)) for part in GUARDED)
    said = f"Prometheus and Alertmanager ask for a user and a password: {USER}, and that in {files}"
    admin = f"; Grafana: admin, and that in {layout.run / 'secrets' / ADMIN}"
    return said + admin * ("grafana" in read_addresses(layout))


def runs(process: ProcessState) -> bool:
    """True if it runs, or has just been started."""
    return process.state in ("RUNNING", "STARTING")


def render_json(processes: Sequence[ProcessState], addresses: Mapping[str, str]) -> str:
    return json.dumps([{**asdict(one), "address": addresses.get(one.name, "")} for one in processes], indent=2)


def words(seconds: float) -> str:
    """Writes a duration in two units: '3 d 4 h', '5 min 2 s'."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left, said = int(seconds), []
    for unit, size in units:
        count, left = divmod(left, size)
        said += [f"{count} {unit}"] if count else []
    return " ".join(said[:2]) or "-"


def read_addresses(layout: Layout) -> dict[str, str]:
    """Returns part -> address, from the supervisord.conf that is in effect."""
    try:
        return parse_addresses(layout.conf.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _advice(process: ProcessState) -> str:
    why = f" ({process.error})" if process.error else ""
    return f"{process.name} does not run{why}: `make logs PART={process.name}` shows why, `make up` starts it again"


def _nothing(layout: Layout) -> str:
    if leftovers := find_leftovers(layout.server_url):
        pids = ", ".join(str(process.pid) for process in leftovers)
        return (
            f"supervisord was killed; pids {pids} that it started still run: `make up` replaces them, "
            "`make down` stops them"
        )
    return "nothing runs: `make up` starts it"
