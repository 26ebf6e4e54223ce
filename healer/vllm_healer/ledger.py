"""Values that guards are shown of the past: earlier actions, and what people have allowed, refused and begun."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile

from vllm_healer.model import Instant

APPROVAL = "approval"  # the reason of a refusal that a person is asked to lift
# Seconds from asking to an answer, and from an approval to the action: what was judged is old by then.
APPROVAL_EXPIRES = 900.0
EVERYTHING = "all"  # that maintenance is about


@dataclass(frozen=True)
class LedgerEntry:
    """An earlier destructive action, as the guards see it."""

    action: int
    server: str
    pool: str
    remediation: str
    at: Instant
    finished: bool  # verification ended
    recovered: bool  # verified, seen to work since, or dropped before anything was done
    incarnation: str = ""  # the one it acted on
    stopped: bool = False  # it had begun to stop the server and did not start it again
    dropped: bool = False  # given up before anything was done: it says nothing about the remedy
    took: float = 0.0  # seconds from the intent until it was proven to help; 0: it was not


class Consent(StrEnum):
    """A person's answer to a request for approval."""

    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True)
class Approval:
    """The request that a person allow one remediation on one incarnation for one incident, and what became of it."""

    id: int
    incident: int
    server: str
    remediation: str
    asked: Instant
    answer: Consent | None = None  # None: nobody has answered
    answered: Instant | None = None
    words: str = ""  # who answered, and why
    used_by: int = 0  # the action that was begun on it; 0: none


@dataclass(frozen=True)
class Maintenance:
    """A time in which people work on something, begun by a command."""

    about: str  # EVERYTHING, "server NAME" or "pool NAME"
    begun: Instant
    seconds: float
    words: str  # who began it, and why

    def covers(self, server: str, pool: str) -> bool:
        return self.about in (EVERYTHING, f"server {server}", f"pool {pool}")


@dataclass(frozen=True)
class Ledger:
    """The earlier actions in the journal, read in the same transaction that reserves."""

    paused: str = ""  # who paused it and why; '' when it is not paused
    entries: tuple[LedgerEntry, ...] = ()  # newest first: unfinished ones, those near the plan, the last ones anywhere
    approval: Approval | None = None  # the newest request for the plan's remediation, incident and incarnation
    maintenance: tuple[Maintenance, ...] = ()  # those begun by a command and not ended, also such as are over by now
    resumed: int = 0  # the newest action when a person ran `resume` last: what was before it breaks nothing any more

    def failed_in_a_row(self, server: str, remediation: str) -> int:
        """Counts how often in a row, up to now, this remediation did not help this server."""
        tried = (e for e in self.entries if e.finished and not e.dropped)
        same = (e for e in tried if e.server == server and e.remediation == remediation)
        return sum(1 for _ in takewhile(lambda entry: not entry.recovered, same))

    def without(self, action: int) -> Ledger:
        """Leaves this action out."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.action != action))
