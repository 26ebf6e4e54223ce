"""Makes evidence for the machine: log lines by the exporter's own table of classes, and the rest by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files

from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import EngineValues, Ref, Role
from vllm_exporter.subjects.lifecycle.evidence import Evidence, Exit, LifecycleLimits, Mark, Processes
from vllm_exporter.subjects.lifecycle.history import Transition
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.logs.table import Pattern, parse_table

SERVER = Ref(100, 5000)
AFTER = Ref(200, 9000)  # the next incarnation
REFUSED = ServerSight("refused")
PREFIX = re.compile(r"\((APIServer|EngineCore|Worker)(?:_(\w+))? pid=(\d+)\)")
ROLES: dict[str, Role] = {"APIServer": "api_server", "EngineCore": "engine_core", "Worker": "worker"}


@lru_cache
def read_table() -> tuple[Pattern, ...]:
    return parse_table((files("vllm_exporter.subjects.logs") / "classes.txt").read_text(encoding="utf-8"))


def mark(line: str, at: float) -> Mark | None:
    """What a line proves; None: nothing."""
    text = line.encode()
    state = next((pattern.state for pattern in read_table() if pattern.state and pattern.span(text) is not None), "")
    if not state:
        return None
    wrote = PREFIX.match(line)
    if wrote is None:
        return Mark(at, state)
    return Mark(at, state, ROLES[wrote[1]], wrote[2] or "", int(wrote[3]))


def marks(lines: Iterable[str], at: float = 0.0) -> tuple[Mark, ...]:
    return tuple(one for line in lines if (one := mark(line, at)) is not None)


def sight(health: str = "ok", **known: object) -> ServerSight:
    """A server that is fine, but for what is said."""
    usual = ServerSight("ok", stalled=False, paused=None, sleeping=False, canary_ok=True, progress_age=0.0, work=False)
    return replace(usual, health=health, **known)  # type: ignore[arg-type] # the names are checked by replace


def values(running: float = 0, waiting: float = 0, iterations: float = 100, preemptions: float = 0) -> EngineValues:
    return EngineValues(running, waiting, iterations=iterations, preemptions=preemptions)


def tree(ref: Ref = SERVER, **known: object) -> Processes:
    whole = Processes(api=(ref,), engines=frozenset({""}), workers=frozenset({""}))
    return replace(whole, **known)  # type: ignore[arg-type] # the names are checked by replace


BARE = Processes(api=(SERVER,))
GONE = Processes()


@dataclass
class Server:
    """A machine with a clock. Each call is one look, a second after the one before."""

    machine: Machine = field(default_factory=lambda: Machine(LifecycleLimits(quiet=3.0, saturated=2.0)))
    now: float = 1000.0
    made: list[Transition] = field(default_factory=list)

    def look(self, *said: Mark | str, after: float = 1.0, **known: object) -> str:
        self.now += after
        told = tuple(Mark(self.now, one) if isinstance(one, str) else replace(one, at=self.now) for one in said)
        evidence = replace(Evidence(self.now, marks=told), **known)  # type: ignore[arg-type] # checked by replace
        self.made += self.machine.fold(evidence)
        return self.machine.state

    def path(self) -> list[str]:
        """All states since the first look, in order."""
        return [one.new for one in self.made]

    def started(self) -> Server:
        """Ready, verified and idle."""
        self.look(processes=GONE, sight=REFUSED)
        self.look(processes=tree(), sight=REFUSED)
        self.look(processes=tree(), sight=sight(values=values()))
        self.look(processes=tree(), sight=sight(values=values()))
        assert self.machine.state == "idle"
        self.made.clear()
        return self

    def exit(self, cause: str, code: str = "0", role: str = "api_server", pid: int = 100) -> Exit:
        return Exit(self.now, role, pid, cause, code)
