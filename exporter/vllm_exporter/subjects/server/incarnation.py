"""Recognises the process of a server among those before and after it, over a restart of the exporter too. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.facts.values import Ref

# Seconds by which two start times reported by one process may differ: some compute it anew from a clock that is set.
# Two processes of one server are further apart: a start takes longer.
SAME_START = 2.0


@dataclass(frozen=True)
class Identity:
    """The identity of a server's process. None: not known."""

    started: float | None = None  # Unix time, as the process reports it
    ref: Ref | None = None  # on this host, since it booted

    @property
    def known(self) -> bool:
        return self.started is not None or self.ref is not None

    def merged(self, newer: Identity) -> Identity:
        """Returns the newer identity; parts that it does not have are kept."""
        started = self.started if newer.started is None else newer.started
        return Identity(started, self.ref if newer.ref is None else newer.ref)

    def is_other(self, newer: Identity) -> bool:
        """True if the process itself reports that it is another one."""
        return self._apart(newer) is True

    def is_same(self, newer: Identity) -> bool:
        """True if it is the same beyond doubt: the process's own report counts more than its process id."""
        apart = self._apart(newer)
        return apart is False or (apart is None and self.ref is not None and self.ref == newer.ref)

    def _apart(self, newer: Identity) -> bool | None:
        if self.started is None or newer.started is None:
            return None
        return abs(self.started - newer.started) > SAME_START


UNKNOWN = Identity()


@dataclass(frozen=True)
class Memory:
    """Everything that is kept of one life of a server."""

    identity: Identity
    ready_at: float  # monotonic seconds
    longest_gap: float  # seconds between two movements while it worked
    gap_ended: float | None = None  # monotonic seconds; None: not known, as in files of the first release
