"""The whole loop on free loopback ports: Prometheus, Alertmanager, exporter and healer as the project renders them."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.config.access import USER
from tests.e2e.harness import faults, httpio
from tests.e2e.harness.faults import Tree
from tests.e2e.harness.journal_reader import JournalFile
from tests.e2e.harness.processes import Part, tail
from tests.e2e.harness.supervisor import Supervisor
from tests.e2e.harness.timeline import Watch
from tests.e2e.harness.vllm_server import CHECKOUT, VllmServer
from tests.e2e.harness.waiting import until
from tests.ports import free_port

PARTS_UP = 60.0  # seconds for all four; Prometheus replays nothing, the healer imports for 2 s on a busy machine

# Alerts about whether a server lives: none of them may be left over from the scenario before.
AVAILABILITY = frozenset({"VllmDown", "VllmEngineStalled", "VllmCanaryFailing", "VllmProcessOrphaned"})

_EXPORTER = """\
probe:
  warmup_seconds: 10  # the tiny model compiles nothing
"""

# Short brakes: the scenarios break the same server again and again.
_HEALER = """\
mode: act
remediations: [restart_engine, reap_orphans]
limits:
  cooldown_seconds: {{restart_engine: 5, reap_orphans: 5}}
  budget_per_hour: 1000
  budget_per_hour_in_all: 1000
  breaker_after: 1000
  reopen_after: 15
targets:
  - server: localhost:{port}
    actuator: supervisord
    start_timeout: 300
    options:
      url: {supervisor}
      program: vllm
"""


@dataclass(frozen=True)
class Urls:
    exporter: str
    healer: str
    prometheus: str
    alertmanager: str


class Stack:
    """Everything but vLLM runs from `start` on; vLLM runs from `launch` on."""

    def __init__(
        self,
        run: Path,
        vllm_port: int,
        with_healer: bool = True,
        others: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        exporter: str = _EXPORTER,
    ) -> None:
        """`others`: ports of servers that are watched, too, but not run by supervisord; `env`: of the parts;
        `exporter`: its settings."""
        self.run = run
        self.port = vllm_port
        self.logs = run / "logs"
        self.logs.mkdir(parents=True)
        self.supervisor = Supervisor(run, self.logs)
        self.urls, self.token_file, self.parts = _make_parts(
            run, self.logs, (vllm_port, *others), self.supervisor.url, env or {}, exporter
        )
        if not with_healer:
            del self.parts["healer"]
        self.journal = JournalFile(run / "data" / "healer" / "journal.sqlite")
        self.name = f"{socket.gethostname()}:{vllm_port}"  # the server's identity in labels
        self._runs: tuple[VllmServer, bool] | None = None  # what was launched last

    @property
    def healer(self) -> Part:
        return self.parts["healer"]

    @property
    def server(self) -> VllmServer:
        """What was launched last."""
        assert self._runs, "no vLLM was launched yet"
        return self._runs[0]

    def start(self) -> None:
        self.supervisor.start()
        for part in self.parts.values():
            part.start()
        self.wait_parts()

    def wait_parts(self) -> None:
        """Until each answers its health path."""
        paths = {"exporter": "/metrics", "healer": "/-/ready", "prometheus": "/-/ready", "alertmanager": "/-/ready"}
        for name, part in self.parts.items():
            url = getattr(self.urls, name) + paths[name]
            until(f"{name} ({url})", lambda part=part, url=url: _answers(part, url), PARTS_UP)  # type: ignore[misc]

    def stop(self) -> None:
        """Healer first: it must not heal what is being torn down."""
        for part in reversed(self.parts.values()):
            part.stop()
        self.supervisor.stop()

    def launch(self, server: VllmServer, autorestart: bool) -> Tree:
        """Defines and starts vLLM, and waits until every part knows it. Stops the one before."""
        self.supervisor.set_program(server.program(autorestart))
        self._runs = (server, autorestart)
        self.supervisor.start_program()
        server.wait_ready()
        return self.settle()

    def ensure(self, server: VllmServer, autorestart: bool) -> Tree:
        """As `launch`, but keeps a server that already runs this way: a start costs 30 to 45 s."""
        if self._runs == (server, autorestart) and server.health() == 200:
            return self.settle()
        return self.launch(server, autorestart)

    def relaunch(self) -> Tree:
        """A fresh start of what was launched last, whatever became of it; orphans of it end with their session."""
        assert self._runs, "no vLLM was launched yet"
        self.supervisor.end_leftovers()
        return self.launch(*self._runs)

    def settle(self) -> Tree:
        """The tree, once nothing is left of the scenario before and the next fault would be judged as usual."""
        tree = faults.tree_of(self.supervisor)
        until("availability alerts to end", lambda: not (self.active() & AVAILABILITY), 180)
        until("the exporter's warm-up to end", self._is_warm, 90)
        if "healer" in self.parts:
            until("the healer to know the process tree", lambda: self.journal.remembers(tree.engine_core.pid), 90)
            until("open incidents to end", lambda: self.journal.open_incidents() == 0, 180)
        return tree

    def watch(self) -> Watch:
        return Watch(self.urls.alertmanager, self.name, f"http://127.0.0.1:{self.port}/health")

    def active(self) -> set[str]:
        """Names of all alerts that Alertmanager has active."""
        alerts = httpio.get_json(f"{self.urls.alertmanager}/api/v2/alerts?active=true") or []
        return {str(alert["labels"]["alertname"]) for alert in alerts}

    def firing(self) -> set[tuple[str, str]]:
        """(alert, server) of those that fire in Prometheus now; the server is '' in alerts of a host."""
        answer = httpio.get_json(f"{self.urls.prometheus}/api/v1/alerts", timeout=4)
        labels = [one["labels"] for one in answer["data"]["alerts"] if one["state"] == "firing"] if answer else []
        return {(str(each["alertname"]), str(each.get("server", ""))) for each in labels}

    def exported(self, family: str, server: str = "") -> float | None:
        """The exporter's value of one family of a server; of the first one without a name."""
        start = f'{family}{{server="{server or self.name}"'
        lines = httpio.get_text(f"{self.urls.exporter}/metrics").splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start)), None)

    def tails(self) -> str:
        """The ends of all logs and the journal, for the report of a failure."""
        last = self.journal.sentences(0)[-60:]
        sentences = "\n".join(f"{entry.at:.1f} {entry.kind}: {entry.words}" for entry in last)
        return "".join(tail(path) for path in sorted(self.logs.iterdir())) + f"--- journal\n{sentences}\n"

    def _is_warm(self) -> bool:
        limit = self.exported("vllm_server_stall_limit_seconds")
        return self.exported("vllm_server_ready") == 1 and limit is not None and limit < 300


def _answers(part: Part, url: str) -> bool:
    """Raises AssertionError when the part has ended: waiting would not help."""
    assert part.is_alive(), f"{part.name} has exited; see its log"
    return httpio.status(url, 2) == 200


def run_directory() -> Path:
    """A new one, kept after the run: pytest's own would go with the third run after it."""
    return Path(tempfile.mkdtemp(prefix="vllm-monitor-e2e-"))


@contextmanager
def running_stack(run: Path, vllm_port: int, with_healer: bool = True) -> Iterator[Stack]:
    """A started stack, ended whatever happens; the logs stay in `run`."""
    stack = Stack(run, vllm_port, with_healer)
    try:
        stack.start()
        yield stack
    except BaseException:
        print(stack.tails())
        raise
    finally:
        stack.stop()


def _make_parts(
    run: Path, logs: Path, ports: Sequence[int], supervisor: str, env: Mapping[str, str], exporter: str
) -> tuple[Urls, Path, dict[str, Part]]:
    """The project's own rendering and command lines, with two files of settings instead of the checkout's."""
    _use_newest_tools()
    from deploy.config.render import render
    from deploy.config.settings import load_settings
    from deploy.native.layout import Layout
    from deploy.native.programs import choose_programs

    env_file = run / "env"
    env_file.write_text(_settings(ports))
    (run / "exporter.yml").write_text(exporter)
    (run / "healer.yml").write_text(_HEALER.format(port=ports[0], supervisor=supervisor))
    hostname = socket.gethostname()
    settings = load_settings(env_file, {}, hostname)
    rendered = render(CHECKOUT, run, run, settings, hostname)
    chosen = choose_programs(Layout(CHECKOUT, run, env_file), settings, rendered)
    programs = {program.name: program for program in chosen}
    for name in programs:
        (run / "data" / name).mkdir(parents=True, exist_ok=True)
    urls = Urls(
        **{
            name: f"http://{_login(program.password_file)}127.0.0.1:{program.port}"
            for name, program in programs.items()
        }
    )
    parts = {
        name: Part(name, program.command, logs / f"{name}.log", {**os.environ, **program.environment, **env}, CHECKOUT)
        for name, program in programs.items()
    }
    return urls, rendered.token, parts


def _login(password_file: Path | None) -> str:
    """What stands before the host in a URL; httpio sends it."""
    return f"{USER}:{password_file.read_text().strip()}@" if password_file else ""


def _settings(vllm: Sequence[int]) -> str:
    ports = "".join(f"{name}_PORT={free_port()}\n" for name in ("EXPORTER", "HEALER", "PROMETHEUS", "ALERTMANAGER"))
    targets = ",".join(f"localhost:{port}" for port in vllm)
    return f"VLLM_TARGETS={targets}\n{ports}"


def _use_newest_tools() -> None:
    """Current Prometheus and Alertmanager where they were built, else the distribution's; `deploy` of this checkout."""
    home = os.environ.get("GO_TOOLS_HOME") or str(Path.home() / ".cache" / "go-tools")
    path = os.environ.get("PATH", "").split(os.pathsep)
    if (built := f"{home}/bin") not in path and Path(built, "prometheus").exists():
        os.environ["PATH"] = os.pathsep.join([built, *path])
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
