"""Which of a server's processes, one after the other, is there; and what of its life outlives the exporter. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_exporter.facts.values import Ref

# Seconds by which one process may tell two times at which it began: some work it out anew from a clock that is set.
# Two processes of one server are further apart: to start takes longer.
SAME_START = 2.0


@dataclass(frozen=True)
class Identity:
    """What tells a server's process from the next one. None: not known."""

    started: float | None = None  # Unix time, as the process says itself
    ref: Ref | None = None  # on this host, since it booted

    @property
    def known(self) -> bool:
        return self.started is not None or self.ref is not None

    def merged(self, newer: Identity) -> Identity:
        """What the newer one does not say is kept."""
        started = self.started if newer.started is None else newer.started
        return Identity(started, self.ref if newer.ref is None else newer.ref)

    def is_other(self, newer: Identity) -> bool:
        """Whether the process itself says that it is another one."""
        return self._apart(newer) is True

    def is_same(self, newer: Identity) -> bool:
        """Whether it is the same beyond doubt: what the process says counts more than what is seen of it."""
        apart = self._apart(newer)
        return apart is False or (apart is None and self.ref is not None and self.ref == newer.ref)

    def _apart(self, newer: Identity) -> bool | None:
        if self.started is None or newer.started is None:
            return None
        return abs(self.started - newer.started) > SAME_START


UNKNOWN = Identity()


@dataclass(frozen=True)
class Memory:
    """What was learned in one life of a server."""

    identity: Identity
    ready_at: float  # monotonic seconds
    longest_gap: float  # seconds between two movements while work was present
