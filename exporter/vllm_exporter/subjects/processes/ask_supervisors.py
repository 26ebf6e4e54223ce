"""Asks container engine and supervisors in threads of their own: none of them may delay the collector."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.errors import SourceError
from vllm_exporter.facts.values import Ref
from vllm_exporter.log import Log
from vllm_exporter.subjects.processes.cgroup import CgroupPlace
from vllm_exporter.subjects.processes.docker_engine import Container, ask_exit, list_containers
from vllm_exporter.subjects.processes.supervisors import Program, ask_systemd, list_programs

SYSTEMD = Path("/run/systemd/system")  # is there where systemd runs, see sd_booted(3)


@dataclass(frozen=True)
class Supervisors:
    """The supervisors that may be asked; '' and False: not this one."""

    docker_socket: str = ""
    supervisord: str = ""
    systemd: bool = False


class SupervisorQueries:
    """Asks in threads; the collector's thread reads the answers at its next run."""

    def __init__(self, whom: Supervisors, log: Log) -> None:
        self.containers: dict[str, Container] = {}  # the newest list, replaced as a whole
        self._whom = whom
        self._log = log
        self._programs: dict[int, str] = {}  # pid to the name of the program that it was started as
        self._statuses: deque[tuple[Ref, int | None]] = deque()
        self._failed: set[str] = set()
        self._renewal: threading.Thread | None = None

    @property
    def can_tell(self) -> bool:
        return self._whom != Supervisors()

    def renew(self) -> None:
        """Asks for the lists of containers and programs; at most one such request at a time."""
        whom = self._whom
        if (whom.docker_socket or whom.supervisord) and (self._renewal is None or not self._renewal.is_alive()):
            self._renewal = self._start(self._renew)

    def ask(self, ref: Ref, ppid: int, place: CgroupPlace) -> None:
        """Asks how this process ended; `answers` always has an answer later."""
        self._start(lambda: self._statuses.append((ref, self._status(ref, ppid, place))))

    def answers(self) -> list[tuple[Ref, int | None]]:
        """Returns the wait statuses that have arrived; None: not known."""
        return [self._statuses.popleft() for _ in range(len(self._statuses))]

    def _renew(self) -> None:
        if self._whom.docker_socket:
            try:
                found = list_containers(self._whom.docker_socket)
                self.containers = self.containers if found == self.containers else found
                self._works("docker_socket")
            except SourceError as error:
                self._fails("docker_socket", error)
        if self._whom.supervisord:
            programs = self._list_programs()
            self._programs = {program.pid: name for name, program in programs.items() if program.pid}

    def _list_programs(self) -> dict[str, Program]:
        try:
            found = list_programs(self._whom.supervisord)
            self._works("supervisord")
            return found
        except SourceError as error:
            self._fails("supervisord", error)
            return {}

    def _status(self, ref: Ref, ppid: int, place: CgroupPlace) -> int | None:
        """Returns the wait status from the first supervisor that knows it."""
        try:
            if place.container and self._whom.docker_socket:
                return ask_exit(self._whom.docker_socket, place.container)
            name = self._programs.get(ref.pid) or self._programs.get(ppid)
            if name:
                program = self._list_programs().get(name)
                return program.status if program else None
            if place.unit and self._whom.systemd:
                return ask_systemd(place.unit, ref.pid)
        except SourceError as error:
            self._fails("exit", error)
        return None

    def _works(self, what: str) -> None:
        self._failed.discard(what)

    def _fails(self, what: str, error: SourceError) -> None:
        """Logs a failure once, until it works again."""
        if what not in self._failed:
            self._log("warning", "a supervisor cannot be asked about processes", who=what, reason=error)
        self._failed.add(what)

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name="inquiry", daemon=True)
        thread.start()
        return thread
