"""Folds evidence into one state of one server: what it is now, since when, and how it got there. Pure.

The state is chosen anew at each look, from the present evidence and the memory of this life. Log lines are folded one
by one, so that states which pass within a second are not lost.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from vllm_exporter.subjects.lifecycle.evidence import Evidence, Exit, LifecycleLimits, Mark, Processes
from vllm_exporter.subjects.lifecycle.history import History, Transition
from vllm_exporter.subjects.lifecycle.ready_states import ReadyStates
from vllm_exporter.subjects.lifecycle.server_life import Failures, Life, is_alive, is_up
from vllm_exporter.subjects.lifecycle.states import DOWN, ORDER, STARTING
from vllm_exporter.subjects.lifecycle.traffic import BUSY


class Machine:
    """The state machine of one server. Times are monotonic seconds; one before the last counts as the last."""

    def __init__(self, limits: LifecycleLimits | None = None) -> None:
        self.limits = limits or LifecycleLimits()
        self.history = History()
        self.last_exit: Exit | None = None
        self.life: Life | None = None
        self.failures = Failures()
        self.joined = False  # its processes were seen at some time
        self.known_at = 0.0  # time of the last evidence
        self._runner = ReadyStates(self.limits)
        self._outcome = "absent"  # the state in which the last life ended
        self._past: Life | None = None  # the last one
        self._now = 0.0

    def fold(self, evidence: Evidence) -> list[Transition]:
        """Returns the changes of this look, in their order."""
        self._now = max(self._now, evidence.now)
        evidence = self._current(evidence)
        if evidence.marks or evidence.exits or evidence.processes is not None or evidence.sight is not None:
            self.known_at = self._now
        for ended in evidence.exits:
            self._see_exit(ended)
        born = self._born(evidence.processes)
        self._see_marks(evidence.marks, 0.0, born)
        if evidence.processes is not None:
            self._see_processes(evidence.processes)
        self._see_marks(evidence.marks, born, inf)
        if self.life is not None and evidence.errors:
            self.life.note_errors(evidence.errors)
        self._enter(self._choose(evidence), self._now)
        return self.history.take()

    def restore(self, state: str, since: float, life: Life | None, outcome: str) -> None:
        """Restores what was known before the exporter was restarted."""
        self.history.state, self.history.since, self.life, self._outcome = state, since, life, outcome
        self._runner = ReadyStates(self.limits, busy=state in BUSY)

    @property
    def state(self) -> str:
        """Returns the state; '' before the first look."""
        return self.history.state

    @property
    def outcome(self) -> str:
        return self._outcome

    def _current(self, evidence: Evidence) -> Evidence:
        """Returns the evidence without a time that goes back, and without a process that has ended: lists lag."""
        if evidence.now != self._now:
            evidence = replace(evidence, now=self._now)
        processes, past = evidence.processes, self._past
        if processes is None or past is None or past.exit is None or past.ref not in processes.api:
            return evidence
        api = tuple(ref for ref in processes.api if ref != past.ref)
        return replace(evidence, processes=replace(processes, api=api, started=None))

    def _born(self, processes: Processes | None) -> float:
        """Returns the start of a life that this look sees first, else 0: older lines are of the life before."""
        if processes is None or not processes.api or processes.started is None or self.life is None:
            return 0.0
        return 0.0 if self.life.ref in (None, processes.api[0]) else processes.started

    def _see_processes(self, processes: Processes) -> None:
        """Begins another life with another first process; the end of the life before was not seen."""
        if not processes.api:
            return
        self.joined = True
        ref, began = processes.api[0], processes.started if processes.started is not None else self._now
        if self.life is not None and self.life.ref is None:
            self.life.ref = ref
        if self.life is None or self.life.ref != ref:
            self._begin(Life(min(began, self._now), ref, marked=self._now))
        if self.life is not None:
            self.life.startup.saw_processes(processes)
            self.life.had_engine = self.life.had_engine or bool(processes.engines)

    def _see_marks(self, marks: tuple[Mark, ...], first: float, end: float) -> None:
        """Folds the marks from `first` on and before `end`."""
        for mark in marks:
            if not first <= mark.at < end:
                continue
            at = self.history.clamp(mark.at, self._now)
            if ORDER[mark.state] <= ORDER["listening"]:
                self._see_start_mark(mark, at)
            elif self.life is not None:
                self.life.note(mark)
                self._enter(self._told(self.life, mark.state), at)

    def _told(self, life: Life, state: str) -> str:
        """Returns the state that a line has just caused: it may be over before the next look."""
        if life.dead_at is not None:
            return "engine_dead"
        if life.ending:
            return life.ending
        return state if life.ready and life.held == state else self.state

    def _see_start_mark(self, mark: Mark, at: float) -> None:
        """Folds a line of a start. On a ready server it is refused: it is of another server, or of a side task."""
        if mark.state in DOWN:
            self._outcome = "preflight" if self.life is None and mark.state == "preflight" else self._outcome
            return
        if self.life is None:
            if self._past is not None and self._past.may_have_written(mark, self._now):
                return
            self._begin(Life(at, marked=at), at)
        life = self.life
        if life is None or (life.ready and mark.state == "listening"):
            return
        if life.ready or life.ending:
            self.history.refuse(self.state, mark.state)
            return
        life.note(mark)
        self._enter("listening" if life.ready else self._starting(life), at)

    def _see_exit(self, ended: Exit) -> None:
        """Notes the end of a process of this life or, since causes come late, of the one before."""
        self.history.version += 1
        life = self.life
        own = ended.role != "api_server" or life is None or life.ref is None or life.ref.pid == ended.pid
        if life is not None and own and ended.at >= life.began:
            life.note_exit(ended)
        elif self._past is not None:
            self._past.note_exit(ended)
            self.last_exit = self._past.account()

    def _begin(self, life: Life, at: float | None = None) -> None:
        if self.life is not None:
            self._end()
        self.life, self._runner = life, ReadyStates(self.limits)
        began = max(life.began, self.history.since) if self.state else life.began
        if not self.state:
            return  # it may have run for a long time: its start was not seen
        self.history.phases.begin(began)
        if not self.failures.looping(self.limits):
            self._enter("spawned", began if at is None else at)

    def _end(self) -> None:
        """Ends the life: sets its outcome, counts it if it failed, and enters the end now if it was not seen."""
        life = self.life
        if life is None:
            return
        self._outcome = "exited" if life.ready or life.is_clean() else "start_failed"
        self.failures.count(life, self._now, self.limits)
        life.ended_at = self._now
        self.last_exit = life.account()
        self.life, self._past = None, life
        self._enter(self._down(Evidence(self._now)), self._now)

    def _choose(self, evidence: Evidence) -> str:
        alive = is_alive(self.life, evidence, self.joined)
        if alive is None:
            return self.state
        if not alive:
            self._end()
            return self._down(evidence)
        if self.life is None:
            self._begin(Life(self._now))
        assert self.life is not None  # _begin made it
        return self._living(self.life, evidence)

    def _down(self, evidence: Evidence) -> str:
        if evidence.processes is not None and evidence.processes.orphans:
            return "orphaned"
        if self._outcome in ("absent", "preflight"):
            return self._outcome
        if evidence.faults:
            return "quarantined"
        return "crash_loop" if self.failures.looping(self.limits) else self._outcome

    def _living(self, life: Life, evidence: Evidence) -> str:
        sight = evidence.sight
        if sight is not None and sight.health == "ok" and not life.ready and not life.ending:
            life.become_ready()
            self.history.phases.ready(self._now)
            self._enter("listening", self._now)
        elif not life.ready and not life.ending and is_up(life, evidence):
            life.ready = True  # without "listening", which /health must prove, and without a duration of the start
        contradicted = self._runner.contradicts(life, evidence)
        if contradicted:
            self.history.refuse(contradicted, "serving")
        if life.is_dead(evidence):
            return "quarantined" if evidence.faults else "engine_dead"
        if life.ending:
            return life.ending
        if not life.ready:
            return self._not_ready(life, evidence)
        chosen = self._runner.choose(life, evidence)
        if life.verified and self.failures.starts:
            self.failures.starts = 0
            self.history.version += 1
        return "quarantined" if evidence.faults and chosen == "stalled" else chosen

    def _not_ready(self, life: Life, evidence: Evidence) -> str:
        if self.failures.looping(self.limits):
            return "crash_loop"
        if life.failing:
            return "start_failed"
        if evidence.bound:
            if self.state == "spawned":
                self._enter("args_parsed", self._now)  # the port is an argument; the line about them may be late
            life.startup.saw_bound(self._now)
        life.startup.saw_time(self._now)
        return self._starting(life)

    def _starting(self, life: Life) -> str:
        """Returns how far the start is, never back: an engine that is seen late does not undo another's progress."""
        if self.failures.looping(self.limits):
            return "crash_loop"
        reached = life.startup.reached
        backwards = self.state in STARTING and ORDER[reached] < ORDER[self.state]
        return self.state if backwards else reached

    def _enter(self, state: str, at: float) -> None:
        self.history.enter(state, at, self._now)
