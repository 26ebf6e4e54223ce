"""The worker's thread: wakes for new alerts and every second, and moves each open incident one step."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Executor
from functools import partial

from vllm_healer.errors import HealerError
from vllm_healer.model import Incident, IncidentState
from vllm_healer.pipeline.correlate import Move, choose_admitted, correlate
from vllm_healer.worker.advance import Advance
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.jobs import LIMIT, Jobs
from vllm_healer.worker.pool import DaemonPool
from vllm_healer.worker.reconcile import Reconciler
from vllm_healer.worker.report import Report

log = logging.getLogger(__name__)

TICK = 1.0  # seconds; a webhook wakes the worker at once
CONSIDER_EVERY = 5.0  # seconds between two looks at an open incident: one scrape
VERIFY_EVERY = 2.0  # seconds between two looks at a server that is coming back
THREADS = 8  # incidents and targets looked at at the same time, at least; each waits on the network
MOST_THREADS = 64  # of them for many targets; a thread that waits costs some 50 kB
SPARE = 16  # threads beyond these, in place of such as hang
STUCK_AFTER = 60.0  # seconds without a finished round or comparison; each takes moments, unless the disk hangs
STOP_WITHIN = 3.0  # seconds; a restart of a program that obeys takes less. Supervisors kill after ten


class Worker:
    """Owns the executor and the timetable; knows nothing of how an incident is judged."""

    def __init__(self, deps: Deps, executor: Executor | None = None) -> None:
        self._deps = deps
        self._wake = threading.Event()
        self._jobs = Jobs(executor or _pool(deps), lambda: deps.clock.now().boot, self._wake.set)
        self._advance = Advance(deps)
        self._report = Report(deps)
        self._reconciler = Reconciler(deps)
        self._stepped: dict[int, tuple[IncidentState, float]] = {}  # incident -> its state and when, by the boot clock
        self._next_reconcile = 0.0
        self._ticked = deps.clock.now().boot  # end of the last round without an error
        self._reconciled = self._ticked  # end of the last comparison, whether Alertmanager answered or not
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits a moment for what is in flight; what is unfinished is in the journal and goes on at the next start."""
        end = time.monotonic() + STOP_WITHIN
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._jobs.wait(max(0.0, end - time.monotonic()))

    def wake(self) -> None:
        self._wake.set()

    def alive(self) -> bool:
        """True if rounds, comparisons with Alertmanager and jobs still come to their end."""
        now = self._deps.clock.now().boot
        turning = self._thread.is_alive() and now - self._ticked < STUCK_AFTER
        comparing = now - self._reconciled < self._deps.config.reconcile_seconds + STUCK_AFTER
        return turning and comparing and not self._jobs.overdue()

    def tick(self) -> None:
        """Goes one round: reconciles when due, correlates what is new, advances what is due."""
        now = self._deps.clock.now()
        if now.boot >= self._next_reconcile:
            self._next_reconcile = now.boot + self._deps.config.reconcile_seconds
            self._jobs.submit("reconcile", self._reconcile, limit=STUCK_AFTER)
            for target in self._deps.config.targets:
                self._jobs.submit(f"observe {target.server}", partial(self._reconciler.observe, target))
        self._correlate()
        incidents = self._deps.journal.open_incidents()
        self._deps.own.jobs_overdue.set(len(self._jobs.overdue()))
        self._report.publish()
        for incident in incidents:
            self._advance_when_due(incident, now.boot)
            if incident.state is IncidentState.VERIFYING and self._jobs.busy(f"incident {incident.id}"):
                self._advance.overdue(incident)
        self._forget_closed({incident.id for incident in incidents})

    def _reconcile(self) -> None:
        self._reconciler.alerts()
        self._reconciled = self._deps.clock.now().boot

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            begun = time.monotonic()
            try:
                self.tick()
            except HealerError as error:
                log.error("worker: %s; trying again in %.0f s", error, TICK)
            except Exception:  # the boundary: without this thread nothing is ever healed again; `alive` tells of it
                log.exception("worker: a defect of the healer; trying again in %.0f s", TICK)
            else:
                now = self._deps.clock.now()
                self._ticked = now.boot
                self._deps.own.last_tick.set(now.wall)
            took = time.monotonic() - begun
            self._wake.wait(TICK)
            self._stop.wait(took)  # in a storm each webhook wakes it: half of the time is theirs

    def _correlate(self) -> None:
        """Lets new alerts open an incident or join one; an echo of one just healed waits in the journal."""
        journal, now = self._deps.journal, self._deps.clock.now()
        unassigned = journal.unassigned()
        if not unassigned:
            return
        incidents = journal.open_incidents()
        waiting = choose_admitted(unassigned, incidents, self._deps.listed)
        closed = {server: journal.last_closed(server) for server in {alert.server for alert in waiting}}
        ended = {server: last for server, last in closed.items() if last is not None}
        for group in correlate(waiting, incidents, ended, now, self._deps.config.limits.reopen_after):
            if group.move is Move.NEW:
                journal.open_incident(group.server, group.alerts, now, group.words)
            elif group.move is Move.ATTACH and group.incident is not None:
                journal.attach(group.incident, group.alerts)

    def _advance_when_due(self, incident: Incident, now: float) -> None:
        rest = VERIFY_EVERY if incident.state is IncidentState.VERIFYING else CONSIDER_EVERY
        state, at = self._stepped.get(incident.id, (None, 0.0))
        if state is incident.state and now < at + rest:  # what moved on is looked at again at once
            return

        def step() -> None:
            try:
                current = self._deps.journal.open_incident_now(incident.id)
                if current is not None:  # the list this came from may be older than the last step
                    self._advance.step(current)
            finally:  # also after an error: what fails is tried again in its turn, not at once
                self._stepped[incident.id] = (incident.state, self._deps.clock.now().boot)

        self._jobs.submit(f"incident {incident.id}", step)

    def _forget_closed(self, open_ids: set[int]) -> None:
        for incident_id in set(self._stepped) - open_ids:
            del self._stepped[incident_id]
            self._advance.forget(incident_id)


def _pool(deps: Deps) -> DaemonPool:
    """The pool with two threads for each listed server, whose look and incident may both wait, and one to reconcile."""
    threads = min(MOST_THREADS, max(THREADS, 2 * len(deps.config.targets) + 1))
    return DaemonPool(threads, "incident", patience=LIMIT, spare=SPARE)
