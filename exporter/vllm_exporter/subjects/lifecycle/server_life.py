"""One life of a server, from the start of its process to its end, and the count of failed lives. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.lifecycle.evidence import Evidence, Exit, LifecycleLimits, Mark
from vllm_exporter.subjects.lifecycle.startup import Startup
from vllm_exporter.subjects.lifecycle.states import ENDING, ORDER

# Causes of the exit of a ready server that was asked to stop. A dead engine makes it exit cleanly too.
PLANNED_CAUSES = ("clean", "sigterm")
RELEASES = ("idle", "serving", "ready_verified")  # a line that proves one of these ends a pause
BEHEADED = 2.0  # seconds without an engine until it is dead: in a planned stop the engine ends a little earlier
LATE = 10.0  # seconds after the end of a life in which its last lines may still come


@dataclass
class Life:
    """Everything that is remembered of a server from its start to its end."""

    began: float
    ref: Ref | None = None  # None: known by its log or its answers only
    marked: float = -inf  # time of the last log line of its start
    startup: Startup = field(default_factory=Startup)
    ready: bool = False  # /health was ok, or the log said that it would be
    answered: bool = False  # /health was ok
    verified: bool = False  # it computed something
    failing: bool = False  # the log says that the start failed
    ending: str = ""
    ending_at: float = 0.0
    dead_at: float | None = None
    suspect_at: float | None = None  # time of a log line about a stall
    held: str = ""  # paused, sleeping, waking, ft_recovery
    held_at: float = 0.0
    told_at: float = -inf  # time of the last log line about a pause or a sleep
    had_engine: bool = False
    beheaded_at: float | None = None  # when its engine was first missing
    error: str = ""  # class of the first error line
    exit: Exit | None = None  # of its API server
    culprit: Exit | None = None  # of the engine or worker that ended before it: the reason why it ended
    ended_at: float | None = None

    def note_exit(self, ended: Exit) -> None:
        """Notes the end of a process. Causes become known up to 10 s late, and not in the order of the ends."""
        if ended.role == "api_server":
            self.exit = ended
            return
        end = self.exit.at if self.exit is not None else self.ended_at
        before = end is None or ended.at <= end
        if before and self.culprit is None and not self.ending and ended.cause not in (*PLANNED_CAUSES, "unknown"):
            self.culprit = ended

    def account(self) -> Exit:
        """Returns the exit that is shown as its end."""
        return self.culprit or self.exit or self._unknown()

    def _unknown(self) -> Exit:
        """Returns an exit without a known cause: nobody reported it, or not yet."""
        pid = None if self.ref is None else self.ref.pid
        cause = "stopped" if self.ending else "engine_dead" if self.dead_at is not None else "unknown"
        return Exit(self.ended_at or self.began, "api_server", pid, cause, "")

    def note(self, mark: Mark) -> None:
        """Notes a log line, except those that a ready server cannot write."""
        order = ORDER[mark.state]
        if order <= ORDER["frontend_init"]:
            self.marked = mark.at
            self.startup.note(mark)
        elif mark.state == "listening":
            self.become_ready()
        elif mark.state in ENDING or mark.state == "exited":
            self._note_ending(mark.state if mark.state in ENDING else "stopping", mark.at)
        elif mark.state == "engine_dead":
            self.note_death(mark.at)
        elif mark.state == "start_failed":
            self.failing = not self.ready
        elif mark.state in ("suspect", "stalled"):
            self.suspect_at = mark.at
        else:
            self._hold(mark)

    def become_ready(self) -> None:
        """Notes that the start succeeded: what its log called an error was none, and is no reason of a later end."""
        self.ready, self.failing, self.error = True, False, ""

    def _note_ending(self, state: str, at: float) -> None:
        """Notes an ending, but not after the engine died: nobody planned that. A drain outlasts the request to stop."""
        if self.dead_at is None and not (state == "stopping" and self.ending):
            self.ending, self.ending_at = state, at

    def note_death(self, at: float) -> None:
        """Notes a death, but not during a planned stop, which may log a dead engine too."""
        if not self.ending and self.dead_at is None:
            self.dead_at = at

    def note_errors(self, classes: tuple[str, ...]) -> None:
        if not self.error:
            self.error = classes[0]

    def is_planned(self) -> bool:
        """True if it was asked to stop. One killed while it starts counts as failed: a liveness probe may do that."""
        if self.ending:
            return True
        calm = self.ready and self.dead_at is None
        return calm and self.exit is not None and self.exit.cause in PLANNED_CAUSES

    def is_clean(self) -> bool:
        return self.is_planned() or (self.exit is not None and self.exit.cause == "clean" and not self.failing)

    def is_dead(self, evidence: Evidence) -> bool:
        """True if the engine is gone while the API server still listens, or if /health or the log said that it died."""
        if evidence.sight is not None and evidence.sight.health == "503" and not self.ending:
            self.note_death(evidence.now)
        if not self._is_beheaded(evidence):
            self.beheaded_at = None
        elif self.beheaded_at is None:
            self.beheaded_at = evidence.now
        elif evidence.now - self.beheaded_at >= BEHEADED:
            self.note_death(evidence.now)
        return self.dead_at is not None

    def may_have_written(self, mark: Mark, now: float) -> bool:
        """True if a line of a start may be a late one of this life, which has ended, and not of the next."""
        if self.ended_at is None:
            return False
        if mark.pid is not None and self.ref is not None and mark.pid == self.ref.pid:
            return True
        first = ORDER[mark.state] <= ORDER["config_resolved"]
        return not first and now - self.ended_at < LATE

    def _is_beheaded(self, evidence: Evidence) -> bool:
        """True if an engine was there and is gone, while the API server still listens."""
        processes, sight = evidence.processes, evidence.sight
        if processes is None or not processes.api or processes.engines or (sight and sight.health == "refused"):
            return False
        return self.ready and self.had_engine

    def _hold(self, mark: Mark) -> None:
        self.told_at = mark.at
        if mark.state in ("paused", "sleeping", "waking", "ft_recovery"):
            if mark.state != "paused" or self.held not in ("sleeping", "waking"):  # a sleep pauses first, and after
                self.held, self.held_at = mark.state, mark.at
        elif mark.state in RELEASES and self.held == "paused":
            self.held = ""


@dataclass
class Failures:
    """Counts ends in a row that nobody planned."""

    starts: int = 0  # starts that never computed anything
    same: int = 0  # ends with the same first error
    error: str = ""
    at: float = 0.0  # of the last one

    def count(self, life: Life, now: float, limits: LifecycleLimits) -> None:
        if life.is_planned():
            self.forget()
            return
        if now - self.at > limits.loop_gap:
            self.forget()
        self.starts = 0 if life.verified else self.starts + 1
        if life.error:
            self.same = self.same + 1 if life.error == self.error else 1
            self.error = life.error
        self.at = now

    def looping(self, limits: LifecycleLimits) -> bool:
        return max(self.starts, self.same) >= limits.loop_starts

    def forget(self) -> None:
        self.starts, self.same, self.error = 0, 0, ""


MARK_GRACE = 6.0  # seconds that a log line alone proves a life: processes are read every 2 s
START_PATIENCE = 900.0  # the same where processes cannot be seen: a large model may load that long in silence


def is_alive(life: Life | None, evidence: Evidence, joined: bool) -> bool | None:
    """True if the server's API process lives; None: not known. `joined`: its processes were seen at some time.

    A process that is there counts most, then an answer, then the log. A log that says "ready" proves no life.
    """
    processes, sight = evidence.processes, evidence.sight
    gone = life.exit.pid if life is not None and life.exit is not None else None
    if processes is not None and any(ref.pid != gone for ref in processes.api):
        return True
    if sight is not None and (sight.health in ("ok", "503", "other") or sight.values is not None):
        return True
    if life is not None and life.ref is None and evidence.now - life.marked <= MARK_GRACE:
        return True
    if processes is not None and joined:
        return False
    return _seems_alive(life, evidence.now, sight, processes is not None)


def _seems_alive(life: Life | None, now: float, sight: ServerSight | None, looked: bool) -> bool | None:
    """Decides when no process of the server was ever seen: it runs on another host, or in a container that hides it.

    On this host (`looked`) a timeout comes from a process that holds the port; elsewhere perhaps from a host that is
    off.
    """
    if sight is None:
        return False if looked and life is None else None
    if sight.health == "refused":
        return life is not None and not life.ready and now - life.marked <= START_PATIENCE
    return True if life is not None or (looked and sight.health == "timeout") else None


def is_up(life: Life, evidence: Evidence) -> bool:
    """True if start-up is over though /health was never ok: vLLM accepts connections only then."""
    sight = evidence.sight
    if sight is None or sight.health != "timeout":
        return False
    found_silent = life.ref is None and life.marked == -inf and life.began == evidence.now
    return found_silent or sight.values is not None
