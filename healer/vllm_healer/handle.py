"""A remediation's handle on the one server that it acts on: small verbs, made safe in one place.

A verb that changes something is journalled before it is taken, and the incarnation is read again in between, so that no
remediation can forget either. A healer that was killed carries a remediation out again from its beginning: each verb
therefore leaves alone what is done already.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from vllm_healer.errors import PermanentError, Superseded, TemporaryError
from vllm_healer.model import (
    ALIVE,
    ENDED,
    NO_INCARNATION,
    STOP_STEP,
    ProcessRef,
    RunState,
    SupervisorView,
    Target,
    Verb,
)
from vllm_healer.ports import Actuator, Clock

POLL = 0.2  # seconds between two looks at what is ending or starting
DRIVER_DELAY = 30.0  # seconds before another try at a process that SIGKILL did not end: it hangs in the kernel


class Handle:
    """One action's hold on one server. All verbs raise TemporaryError, PermanentError, or JournalError for a step."""

    def __init__(
        self,
        actuator: Actuator,
        target: Target,
        incarnation: str,
        step: Callable[[str], None],
        clock: Clock,
        until: float,
        processes: tuple[ProcessRef, ...] = (),
        amount: int = 0,
        verbs: frozenset[Verb] = frozenset(Verb),
    ) -> None:
        """`incarnation` is the key that the action was decided on, `processes` those that it named, `amount` its limit.
        `step` journals a step before it is taken. After `until`, in seconds of the boot clock, nothing is waited for.
        A verb that is not in `verbs` raises PermanentError and does nothing."""
        self.target = target
        self.incarnation = incarnation
        self.processes = processes
        self.amount = amount
        self._verbs = verbs
        self._actuator = actuator
        self._step = step
        self._clock = clock
        self._until = until

    @property
    def server(self) -> str:
        return self.target.server

    def observe(self) -> SupervisorView:
        """The supervisor's view of the server now."""
        return self._actuator.observe(self.target)

    def stop(self, grace: float) -> int:
        """Ends the server with all its processes, by SIGKILL after `grace` seconds; returns how many were signalled.

        The supervisor is told first, so that it does not start again what is ended here. Nothing is journalled or done
        when nothing lives. Raises Superseded when another incarnation does, PermanentError when no start could follow.
        """
        self._declared(Verb.STOP)
        seen = self._same_incarnation()
        if not _runs(seen) and not members(seen, self.incarnation):
            return 0
        if seen.no_way_back:
            raise PermanentError(f"{self.server} could not be started again: {seen.no_way_back}; nothing was done")
        self._step(STOP_STEP)
        seen = self._same_incarnation()  # writing the step took its time
        processes = members(seen, self.incarnation)
        if _runs(seen):
            self._actuator.stop(self.target, grace)
        self._kill(self._signal(processes, signal.SIGTERM, grace))
        self._wait_until_stopped()
        return len(processes)

    def start(self) -> SupervisorView:
        """Starts the server and waits for its new process, not for the model: verification does that."""
        self._declared(Verb.START)
        self._step("start")
        self._actuator.start(self.target)
        seen, old = self.observe(), (self.incarnation, NO_INCARNATION.key)
        while seen.incarnation.key in old and seen.state in ALIVE and self._left() > 0:
            self._clock.sleep(POLL)
            seen = self.observe()
        return seen

    def terminate(self, processes: tuple[ProcessRef, ...], grace: float) -> tuple[ProcessRef, ...]:
        """Sends SIGTERM to exactly these processes and what they started; returns those left after `grace` seconds."""
        self._declared(Verb.SIGNAL)
        self._step("terminate")
        return self._signal(processes, signal.SIGTERM, grace)

    def kill(self, processes: tuple[ProcessRef, ...]) -> None:
        """Sends SIGKILL to exactly these processes and waits for their end. Raises TemporaryError when one stays."""
        self._declared(Verb.SIGNAL)
        self._step("kill")
        self._kill(processes)

    def http(self, method: str, path: str, body: object = None) -> str:
        """Asks the server itself and returns the text of its answer. After a crash the same request is sent again.

        Raises Superseded when another incarnation lives by now.
        """
        self._declared(Verb.HTTP)
        self._same_incarnation()
        self._step(f"http {method} {path}")
        self._same_incarnation()
        return self._actuator.http(self.target, method, path, body, max(1.0, self._left()))

    def _declared(self, verb: Verb) -> None:
        """Raises PermanentError for what the remediation does not declare: no defect in one makes it reach further."""
        if verb not in self._verbs:
            declared = ", ".join(sorted(self._verbs)) or "none"
            raise PermanentError(f"the remediation does not declare the verb {verb} (it declares {declared})")

    def _same_incarnation(self) -> SupervisorView:
        """The supervisor's view of the incarnation that the action was decided on. Raises Superseded for another."""
        seen = self.observe()
        if seen.state is RunState.UNKNOWN:
            raise TemporaryError(f"nobody knows whether {self.server} runs ({seen.detail}); nothing was done")
        if is_superseded(seen, self.incarnation):
            words = f"{self.server} was already started again ({seen.detail}); nothing was done"
            raise Superseded(words, seen.incarnation.key)
        return seen

    def _signal(self, processes: tuple[ProcessRef, ...], number: int, wait: float) -> tuple[ProcessRef, ...]:
        """Signals, and returns those still there after `wait` seconds or at the end of the action's own time."""
        if not processes:
            return ()
        return self._actuator.signal(self.target, processes, number, min(wait, self._left()))

    def _kill(self, processes: tuple[ProcessRef, ...]) -> None:
        left = self._signal(processes, signal.SIGKILL, self._left())
        if left:
            named = ", ".join(f"{ref.title} (pid {ref.pid})" for ref in left)
            raise TemporaryError(f"still there after SIGKILL: {named}; they may hang in a driver call", DRIVER_DELAY)

    def _wait_until_stopped(self) -> None:
        while (seen := self.observe()).state not in ENDED | ALIVE:
            if self._left() <= 0:
                raise TemporaryError(f"{self.server} is still being stopped ({seen.detail}): its supervisor is patient")
            self._clock.sleep(POLL)

    def _left(self) -> float:
        """The seconds in which something may still be waited for."""
        return max(0.0, self._until - self._clock.now().boot)


def is_superseded(seen: SupervisorView, incarnation: str) -> bool:
    """True if another incarnation lives, or the supervisor is about to start one by itself."""
    present = seen.incarnation.key
    if present == NO_INCARNATION.key:
        return seen.state is RunState.STARTING and incarnation != present
    return present != incarnation


def members(seen: SupervisorView, incarnation: str) -> tuple[ProcessRef, ...]:
    """The processes that must be gone before the next start: the tree, this incarnation's rest, and leftovers."""
    every = (*seen.tree, *seen.survivors.get(incarnation, ()), *seen.orphans, *seen.unsupervised)
    return tuple({ref.pid: ref for ref in every}.values())


def _runs(seen: SupervisorView) -> bool:
    """True if there is something for the supervisor to stop; a paused container is one that runs."""
    return seen.state not in ENDED or seen.incarnation.key != NO_INCARNATION.key
