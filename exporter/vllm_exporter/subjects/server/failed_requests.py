"""How many requests a server failed to answer, without our own canaries. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass

GATHER_SECONDS = 10.0  # that failures are gathered for one event; a canary's own result is known by then


@dataclass
class FailedRequests:
    """Of one server. What failed before the first look is not told."""

    _told: float | None = None  # the server's count when it was last told
    _canaries: int = 0  # ours that failed by then
    _since: float | None = None  # when the first was seen that is not told yet, in monotonic seconds

    def saw(self, now: float, failed: float, canaries: int) -> int:
        """How many are to be told now, mostly 0. `failed` are all answers of 5xx, `canaries` ours that got an error.

        A count that falls is that of a new process.
        """
        if self._told is None or failed < self._told:
            self._told, self._canaries, self._since = failed, canaries, None
            return 0
        new = int(failed - self._told) - (canaries - self._canaries)
        if new <= 0:
            self._since = None
            return 0
        self._since = now if self._since is None else self._since
        if now - self._since < GATHER_SECONDS:
            return 0
        self._told, self._canaries, self._since = failed, canaries, None
        return new
