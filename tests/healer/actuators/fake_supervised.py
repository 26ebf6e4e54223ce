"""A real supervisord with programs that look like vLLM: an API server, an engine below it, a worker below that.

The API server is a small Python script called `vllm`; engine and worker are `sleep` under vLLM's process titles. Each
start adds a line to a file, so that a test can count starts.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.patience import PATIENCE, wait_for
from vllm_healer.actuators.processes import Process, read_snapshot
from vllm_healer.actuators.supervisor_rpc import Supervisor
from vllm_healer.model import ProcessRef, SupervisorView, Target

SCRIPT = """\
import os, signal, sys, time

_, _, starts, marker, *flags = sys.argv
if "stubborn" in flags:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sleep inherits it
if "once" in flags and os.path.exists(starts):
    sys.exit(1)  # it was started before
if os.fork() == 0:
    if os.fork() == 0:
        os.execv("/bin/sleep", ["VLLM::Worker_TP0", marker])
    os.execv("/bin/sleep", ["VLLM::EngineCore", marker])
with open(starts, "a") as file:
    file.write("started\\n")
time.sleep(600)
"""

CONFIG = """\
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
user={user}
[unix_http_server]
file={folder}/s.sock
[inet_http_server]
port=127.0.0.1:{port}
username=healer
password=swordfish
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""

PROGRAM = """\
[program:{name}]
command={command}
autostart=false
autorestart={autorestart}
startsecs=0
stopwaitsecs=20
"""


@dataclass
class Program:
    """One program of the supervisord, and what a healer's journal would remember of it."""

    name: str
    target: Target
    starts_file: Path
    marker: str
    remembered: dict[str, tuple[ProcessRef, ...]] = field(default_factory=dict)

    def starts(self) -> int:
        return len(self.starts_file.read_text().splitlines()) if self.starts_file.exists() else 0

    def processes(self) -> dict[str, Process]:
        """Living ones by role."""
        found = (process for process in read_snapshot().processes.values() if self.marker in process.argv)
        return {process.role: process for process in found if process.state != "Z"}

    def start(self, observe: Callable[[Target], SupervisorView]) -> SupervisorView:
        """Starts it and remembers its tree, as the worker does for a server that is well."""
        Supervisor(self.target).start()
        wait_for(lambda: len(self.processes()) == 3 and self.starts() == 1, f"{self.name} with its children")
        seen = observe(self.target)
        self.remembered[seen.incarnation.key] = seen.tree
        return seen

    def clean_up(self) -> None:
        Supervisor(self.target).stop()
        for process in read_snapshot().processes.values():
            if self.marker in process.argv:
                os.kill(process.pid, signal.SIGKILL)


@dataclass
class Fleet:
    """A running supervisord and its programs."""

    folder: Path
    port: int
    programs: dict[str, Program]
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """supervisord has nothing left to end then, and its own shutdown would take a second more."""
        for program in self.programs.values():
            program.clean_up()
        self.process.kill()
        self.process.wait(PATIENCE)


def start_fleet(supervisord: str, folder: Path, port: int, programs: dict[str, str]) -> Fleet:
    """`programs`: name -> "autorestart [wrapped] [stubborn] [once]"."""
    (folder / "vllm").write_text(f"#!{sys.executable} -IS\n{SCRIPT}")
    (folder / "vllm").chmod(0o755)
    made = {name: make_program(name, folder) for name in programs}
    parts = [CONFIG.format(folder=folder, port=port, user="root" if os.getuid() == 0 else os.getuid())]
    for name, words in programs.items():
        autorestart, *flags = words.split()
        parts.append(PROGRAM.format(name=name, autorestart=autorestart, command=command(made[name], folder, flags)))
    (folder / "s.conf").write_text("".join(parts))
    process = subprocess.Popen([supervisord, "-c", str(folder / "s.conf")], stdout=subprocess.DEVNULL)
    wait_for(lambda: listens(folder / "s.sock"), "supervisord")
    return Fleet(folder, port, made, process)


def listens(path: Path) -> bool:
    """The file is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def make_program(name: str, folder: Path) -> Program:
    options = {"url": f"unix://{folder}/s.sock", "program": name}
    target = Target(f"{name}:8000", "http://127.0.0.1:1", "pool", "supervisord", options)
    # A number that sleep understands and that no other process on the machine has as its argument.
    marker = f"600.{os.getpid()}{abs(hash(name)) % 10**6:06d}"
    return Program(name, target, folder / f"{name}.starts", marker)


def command(program: Program, folder: Path, flags: list[str]) -> str:
    serve = f"{folder}/vllm serve {program.starts_file} {program.marker} {' '.join(flags)}"
    return f"/bin/bash -c '{serve}; exit 0'" if "wrapped" in flags else serve
