"""Counts requests that a server failed to answer, without our own canaries. Pure: time is passed in."""

from __future__ import annotations

from dataclasses import dataclass

GATHER_SECONDS = 10.0  # for which failures are gathered into one event; a canary's own result is known by then


@dataclass
class FailedRequests:
    """The failed requests of one server. Those before the first look are not reported."""

    _told: float | None = None  # the server's count at the last report
    _canaries: int = 0  # ours that failed by then
    _since: float | None = None  # when the first unreported failure was seen, in monotonic seconds

    def saw(self, now: float, failed: float, canaries: int) -> int:
        """Returns how many to report now, mostly 0. `failed` are all answers of 5xx, `canaries` ours that got an error.

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
