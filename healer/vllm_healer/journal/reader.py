"""The journal for those that only read it: the history commands, beside a running healer, and the healer itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from vllm_healer.errors import JournalError
from vllm_healer.journal import actions, alerts, approvals, entries, findings, incidents, ledger, memory, schema
from vllm_healer.journal.store import journal_errors, read_only_engine
from vllm_healer.journal.values import Entry, IncidentSummary, StoredAlert, Unfinished
from vllm_healer.ledger import Approval, Ledger
from vllm_healer.model import Incident, IncidentState, Instant, Lesson, Plan, TargetMemory

T = TypeVar("T")


class JournalReader:
    """Reads what was committed last. Every method raises JournalError when the file cannot be read."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._reader = engine

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """A reader of the file. Raises JournalError when there is no journal, or one of a newer healer."""
        if not path.is_file():
            raise JournalError(f"there is no journal {path}; run `vllm-healer serve` first, or give --journal its file")
        reader = cls(path, read_only_engine(path))
        reader._read(lambda connection: schema.check(connection, path))
        return reader

    def close(self) -> None:
        self._reader.dispose()

    def unassigned(self) -> tuple[StoredAlert, ...]:
        """The firing alerts that belong to no incident, oldest first."""
        return self._read(alerts.unassigned)

    def open_incidents(self) -> tuple[Incident, ...]:
        """The incidents not closed yet, oldest first; their alerts' `firing` is what was heard last."""
        return self._read(incidents.open_incidents)

    def open_incident_now(self, incident_id: int) -> Incident | None:
        """One incident as it is now; None if it has ended."""
        return self._read(lambda connection: incidents.get_open(connection, incident_id))

    def incident_counts(self) -> dict[IncidentState, int]:
        """The number of incidents in each state."""
        return self._read(incidents.counts)

    def summaries(self) -> tuple[IncidentSummary, ...]:
        """The open incidents, the newest closed ones, and those for which a person is needed; oldest first."""
        return self._read(findings.summaries)

    def waiting_approvals(self, now: Instant) -> tuple[Approval, ...]:
        """The requests for approval that can be answered now, oldest first."""
        return self._read(lambda connection: approvals.waiting(connection, now))

    def last_closed(self, server: str) -> tuple[Incident, Instant] | None:
        """The server's newest closed incident and when it was closed."""
        return self._read(lambda connection: incidents.last_closed(connection, server))

    def entered(self, incident_id: int) -> Instant:
        """The moment when the incident came into its present state."""
        return self._read(lambda connection: incidents.entered(connection, incident_id))

    def steps(self, action: int) -> tuple[str, ...]:
        """The steps taken so far, in order."""
        return self._read(lambda connection: actions.steps_of(connection, action))

    def unfinished(self) -> tuple[Unfinished, ...]:
        """The actions whose verification has not ended, oldest first."""
        return self._read(actions.unfinished)

    def unsettled(self, server: str) -> bool:
        """True if an action or an incident of this server failed and it was not seen to work since."""
        return self._read(
            lambda connection: actions.unsettled(connection, server) or findings.is_needy(connection, server)
        )

    def failing(self) -> dict[tuple[str, str], int]:
        """Counts how often in a row each (server, remediation) did not help; those that helped since are not in it."""
        return self._read(actions.failing)

    def memory(self, server: str) -> TargetMemory:
        """The memory of a server; it is empty for one that was never seen."""
        return self._read(lambda connection: memory.memory(connection, server))

    def ledger(self, plan: Plan) -> Ledger:
        """The ledger that `reserve` would show the guards of this plan, for a look that reserves nothing."""
        return self._read(lambda connection: ledger.read_ledger(connection, plan))

    def paused(self) -> str:
        """The words that say who paused the healer and why; '' when it is not paused."""
        return self._read(ledger.paused)

    def history(self, limit: int) -> tuple[Entry, ...]:
        """The newest `limit` sentences, oldest of them first."""
        return self._read(lambda connection: entries.history(connection, limit))

    def explain(self, incident_id: int) -> tuple[Entry, ...]:
        """All sentences about one incident, oldest first."""
        return self._read(lambda connection: entries.explain(connection, incident_id))

    def lessons(self) -> tuple[Lesson, ...]:
        """The lessons of verified actions, oldest first."""
        return self._read(actions.lessons)

    def _read(self, query: Callable[[Connection], T]) -> T:
        with journal_errors(self.path), self._reader.begin() as connection:
            return query(connection)
