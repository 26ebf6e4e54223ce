"""Counts vLLM processes that end: each once, with the best cause that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vllm_exporter.facts.events import ProcessExited, ProcessOomKilled, Severity
from vllm_exporter.facts.values import ExitCause, Ref, Role
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.processes.ask_supervisors import SupervisorQueries
from vllm_exporter.subjects.processes.cgroup import CgroupPlace, OomKills
from vllm_exporter.subjects.processes.exit_watch import ExitWatch, ProcessExit
from vllm_exporter.subjects.processes.exits import ExitCode, explain, is_sigkill
from vllm_exporter.subjects.processes.lineage import Living, Record, Records

PATIENCE = 10.0  # seconds for a cause, then it is unknown; a supervisor answers in milliseconds, or within 4 s
_SEVERITY: dict[ExitCause, Severity] = {
    "clean": "info",
    "sigterm": "info",
    "oom_kill": "critical",
    "unknown": "warning",
}


@dataclass
class _Account:
    """A process that is gone and has no cause yet."""

    record: Record
    place: CgroupPlace
    container: str  # its name
    parent: int  # pid
    watched: bool  # its end will be, or was, seen
    gone: float  # monotonic seconds at which it was first missing
    at: float  # Unix time of its end, as exact as it is known
    asked: bool = False


class ExitCounter:
    """Counts ends by server, role and cause. All methods are called from the collector's thread."""

    def __init__(self, context: Context, supervisors: SupervisorQueries) -> None:
        self.counts: Counter[tuple[str, Role, ExitCause]] = Counter()
        self._clock, self._bus = context.clock, context.bus
        self._watch = ExitWatch(context.proc, context.clock)
        self._oom = OomKills(context.proc, context.sys)
        self._supervisors = supervisors
        self._watched: dict[Ref, bool] = {}
        self._open: dict[Ref, _Account] = {}
        self._seen: dict[Ref, ProcessExit] = {}  # ends that were seen and not accounted for yet

    def follow(
        self,
        records: Records,
        living: Living,
        before: Records,
        places: Mapping[Ref, CgroupPlace],
        names: Mapping[int, str],
    ) -> None:
        """Opens an account for each process that is gone, and watches the new ones.

        `names` are those of containers, by the pids of `before`.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        for ref, record in before.items():
            found = living.get(ref.pid)
            if ref in self._watched and ref not in records and (found is None or found.ref != ref):
                place, parent = places.get(ref, CgroupPlace()), record.parent.pid if record.parent else 0
                name = names.get(ref.pid, "")
                self._open[ref] = _Account(record, place, name, parent, self._watched[ref], now, wall)
        self._watched = {ref: self._watched[ref] if ref in self._watched else self._watch.watch(ref) for ref in records}

    def follow_places(self, places: Iterable[CgroupPlace]) -> None:
        """Sets the control groups whose OOM kills are counted; called every 10 s or so."""
        self._oom.follow({*places, *(one.place for one in self._open.values())}, self._clock.monotonic())

    def settle(self) -> bool:
        """Closes the accounts that can be closed. Returns True if one was: `counts` has changed."""
        for seen in self._watch.drain():
            self._seen[seen.ref] = seen
        if not self._open:
            return False
        answers = dict(self._supervisors.answers())
        closed = [ref for ref, account in list(self._open.items()) if self._settle(ref, account, answers)]
        return bool(closed)

    def close(self) -> None:
        self._watch.close()

    def _settle(self, ref: Ref, account: _Account, answers: Mapping[Ref, int | None]) -> bool:
        seen = self._seen.pop(ref, None)
        if seen is not None:
            account.at, account.watched = seen.at, False  # the watch will not report more about it
        status = seen.status if seen is not None else answers.get(ref)
        over = ref in answers or self._clock.monotonic() - account.gone > PATIENCE
        if status is None and not over and (account.watched or self._ask(account)):
            return False
        del self._open[ref]
        oom = status is not None and is_sigkill(status) and self._oom.claim(account.place, self._clock.monotonic())
        self._write(account, explain(status, oom))
        return True

    def _ask(self, account: _Account) -> bool:
        """Asks about an API server only: supervisors know what they started. Returns False if none can be asked."""
        if not account.asked and account.record.role == "api_server" and self._supervisors.can_tell:
            account.asked = True
            self._supervisors.ask(account.record.ref, account.parent, account.place)
        return account.asked

    def _write(self, account: _Account, ending: ExitCode) -> None:
        record = account.record
        self.counts[record.server, record.role, ending.cause] += 1
        of = f" of {record.server}" if record.server else ""
        who = f"{' '.join(filter(None, (record.role, record.rank)))}{of} (pid {record.ref.pid})"
        severity = _SEVERITY.get(ending.cause, "error")
        event = ProcessExited(
            severity=severity,
            summary=f"{who} ended: {ending.words}",
            server=record.server,
            time=account.at,
            cause=ending.cause,
            code=ending.code,
            pid=record.ref.pid,
            role=record.role,
            rank=record.rank,
            container=account.container,
        )
        self._bus.emit(event)
        if ending.cause == "oom_kill":
            self._bus.emit(oom_kill(event, f"the kernel killed {who}: out of memory"))


def oom_kill(event: ProcessExited, summary: str) -> ProcessOomKilled:
    """Returns the event of the OOM kill, which accompanies that of the exit."""
    return ProcessOomKilled(
        severity="critical",
        summary=summary,
        server=event.server,
        time=event.time,
        pid=event.pid,
        role=event.role,
        rank=event.rank,
        container=event.container,
    )
