"""Sees whether a server came back, after an action of ours or by its supervisor alone, and writes the verdict.

All detectors are asked meanwhile: what the server is waited for may be what keeps it from coming, such as an engine
that a failed start left behind.
"""

from __future__ import annotations

from dataclasses import replace

from vllm_healer.elapsed import elapsed
from vllm_healer.journal import Unfinished
from vllm_healer.model import (
    ENDED,
    NO_INCARNATION,
    Incident,
    IncidentState,
    Outcome,
    Permit,
    Plan,
    Result,
    RunState,
    SupervisorView,
    Target,
    Verdict,
    Verification,
)
from vllm_healer.pipeline.act import take_back
from vllm_healer.pipeline.decide import Decision, decide, waiting_plan
from vllm_healer.pipeline.gather import PATIENT_CANARY
from vllm_healer.pipeline.learn import learn
from vllm_healer.pipeline.verify import next_state, overdue, verify
from vllm_healer.proof import Evidence
from vllm_healer.registry import remediations
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.handles import make_handle
from vllm_healer.worker.recorder import Recorder, log

TAKE_BACK_DEADLINE = 10.0  # seconds; what is not taken back by then ends by itself
LOOP_STARTS = 3  # starts while it is waited for that make a crash loop; the exporter counts as many


class Follow:
    """Writes verdicts. The worker calls it every two seconds while an incident is being verified."""

    def __init__(self, deps: Deps, recorder: Recorder) -> None:
        self._deps = deps
        self._recorder = recorder

    def action(self, incident: Incident, permit: Permit, result: Result) -> None:
        """Verifies an action of ours. The pool stays locked until it has a verdict."""
        target = self._deps.target(incident.server)
        if target is None:
            words = f"{incident.server} is no longer listed in healer.yml: nobody looks after it"
            self._conclude(incident, permit, result, Verdict(Verification.FAILED, words))
            return
        decision = self._look(incident, target)
        age = elapsed(permit.at, self._deps.clock.now())
        verdict = self._judge(incident, permit.plan, target, decision, age)
        if verdict.verification is not Verification.NOT_YET:
            loop = self._loop(incident) if verdict.verification is Verification.FAILED else ""
            words = f"{verdict.words}; {loop}" if loop else verdict.words
            self._conclude(incident, permit, result, replace(verdict, words=words))
        elif self._wants_another(decision, permit):
            words = f"{incident.server} did not recover: {decision.diagnosis.evidence}"
            then = IncidentState.OPEN, f"{decision.diagnosis.cause} came up while it was waited for"
            self._conclude(incident, permit, result, Verdict(Verification.FAILED, words), then)
        elif is_reversible(permit.plan):  # the process is the same all the time, and may hang by now
            self._recorder.memory(incident).before = decision.facts.look

    def failed(self, incident: Incident, permit: Permit, result: Result) -> None:
        """Concludes an action that could not be done: there is nothing to wait for."""
        self._conclude(incident, permit, result, Verdict(Verification.FAILED, result.words))

    def drop(self, incident: Incident, permit: Permit, why: str) -> None:
        """Gives up an action that has not reached its server and should not any more. It frees the pool."""
        now, verdict = self._deps.clock.now(), Verdict(Verification.DROPPED, f"nothing was done: {why}")
        self._deps.journal.conclude(permit.action, verdict, elapsed(permit.at, now), now)
        self._recorder.state(incident, IncidentState.OPEN, f"action {permit.action} was given up, {verdict.words}")

    def start(self, incident: Incident) -> None:
        """Watches a start by the supervisor, without an action of ours, for as long as a start may take."""
        target = self._deps.target(incident.server)
        if target is None:
            self._watched(incident, IncidentState.OPEN, f"{incident.server} is no longer listed in healer.yml")
            return
        decision = self._look(incident, target)
        supervisor, age = decision.facts.supervisor, self._watching(incident)
        between = is_between_starts(supervisor)
        if supervisor is not None and supervisor.state in ENDED and not between:
            self._watched(incident, IncidentState.OPEN, "its supervisor no longer starts it; looking again")
            return
        plan = self._recorder.memory(incident).plan or waiting_plan(incident, target, self._deps.clock.now())
        verdict = self._judge(incident, plan, target, decision, age)
        if verdict.verification is Verification.RECOVERED:
            words = f"it works again and nothing else was needed: {verdict.words}"
            self._watched(incident, IncidentState.HEALED, words)
        elif decision.plan.destructive and not between:
            found = decision.diagnosis
            self._watched(incident, IncidentState.OPEN, f"waiting will not do, {found.cause}: {found.evidence}")
        elif verdict.verification is Verification.FAILED:
            self._watched(incident, *self._not_come(incident, verdict))

    def overdue(self, incident: Incident, unfinished: Unfinished | None) -> None:
        """Ends a verification by the clock alone, while a look at the server does not come back."""
        target, now = self._deps.target(incident.server), self._deps.clock.now()
        timeout = target.start_timeout if target is not None else 0.0
        if unfinished is None:
            plan = waiting_plan(incident, target, now) if target is not None else None
            verdict = overdue(plan, self._watching(incident), timeout) if plan is not None else None
            if verdict is not None and verdict.verification is Verification.FAILED:
                self._watched(incident, *self._not_come(incident, verdict))
        elif unfinished.result is not None:
            permit = unfinished.permit
            verdict = overdue(permit.plan, elapsed(permit.at, now), timeout)
            if verdict.verification is Verification.FAILED:
                self._conclude(incident, permit, unfinished.result, verdict, undo=False)  # what hangs is not asked

    def _look(self, incident: Incident, target: Target) -> Decision:
        """Looks as for a decision, keeps what was seen of the server's processes, and tells of a crash loop."""
        decision = decide(incident, self._deps, self._recorder.memory(incident).before, PATIENT_CANARY)
        seen = decision.facts.supervisor
        if seen is not None:
            self._remember(target, seen)
            self._count(incident, seen)
        return decision

    def _remember(self, target: Target, seen: SupervisorView) -> None:
        """Keeps the process tree: one that fails leaves its engine behind between two rounds of the reconciler."""
        if seen.incarnation.key != NO_INCARNATION.key:
            alive = frozenset(key for key, left in seen.survivors.items() if left)
            now = self._deps.clock.now()
            self._deps.journal.remember(target.server, seen.incarnation.key, False, seen.tree, now, alive)

    def _count(self, incident: Incident, seen: SupervisorView) -> None:
        starts = self._recorder.memory(incident).starts
        if seen.last_start and seen.last_start not in starts:
            starts[seen.last_start] = self._deps.clock.now()
            if len(starts) == LOOP_STARTS:
                words = f"{self._loop(incident)}; {seen.detail}: a person should look at its log"
                self._recorder.note(incident, "note", words)

    def _loop(self, incident: Incident) -> str:
        """Words for a crash loop, or ''."""
        starts = self._recorder.memory(incident).starts
        if len(starts) < LOOP_STARTS:
            return ""
        within = elapsed(next(iter(starts.values())), self._deps.clock.now())
        return f"crash loop: {incident.server} was started {len(starts)} times in {within:.0f} s and never answered"

    def _not_come(self, incident: Incident, verdict: Verdict) -> tuple[IncidentState, str]:
        """The state of an incident whose server was waited for in vain, and why in words."""
        loop = self._loop(incident)
        if loop:
            return IncidentState.FAILED, f"{loop}: a person is needed"
        return IncidentState.OPEN, verdict.words

    def _watching(self, incident: Incident) -> float:
        """The seconds since the watch began, by the healer's own clock: each new start would make the server young."""
        return elapsed(self._deps.journal.entered(incident.id), self._deps.clock.now())

    def _watched(self, incident: Incident, state: IncidentState, words: str) -> None:
        self._recorder.state(incident, state, words, expected=IncidentState.VERIFYING)

    def _judge(self, incident: Incident, plan: Plan, target: Target, decision: Decision, age: float) -> Verdict:
        facts = decision.facts
        if facts.look is None:
            return Verdict(Verification.NOT_YET, "it was not looked at")
        evidence = Evidence(self._recorder.memory(incident).before, facts.look, facts.supervisor)
        return verify(plan, evidence, age, target.start_timeout)

    def _wants_another(self, decision: Decision, permit: Permit) -> bool:
        """True if something else than this action is called for, and every guard would let it be done."""
        plan = decision.plan
        if not plan.destructive or plan.remediation == permit.plan.remediation:
            return False
        return decision.against(self._deps.journal.ledger(plan).without(permit.action)) is None

    def _conclude(
        self,
        incident: Incident,
        permit: Permit,
        result: Result,
        verdict: Verdict,
        then: tuple[IncidentState, str] | None = None,
        undo: bool = True,
    ) -> None:
        deps = self._deps
        taken_back = self._take_back(permit, result) if undo else ""
        if taken_back:
            verdict = replace(verdict, words=f"{verdict.words}; {taken_back}")
        now = deps.clock.now()
        seconds = elapsed(permit.at, now)
        lesson = learn(permit.plan, verdict, seconds, result.outcome)
        if not deps.journal.conclude(permit.action, verdict, seconds, now):
            return  # its time was over while this look was under way
        deps.own.verification_seconds.observe(seconds)
        if lesson is not None:
            log.info("lesson remediation=%s recovered=%s seconds=%.1f", lesson.remediation, lesson.recovered, seconds)
        self._recorder.state(incident, *(then or next_state(permit.plan, verdict)))

    def _take_back(self, permit: Permit, result: Result) -> str:
        """Undoes what the action did, where that can be undone. What failed may have reached the server, too."""
        target = self._deps.target(permit.plan.server)
        if target is None or result.outcome is Outcome.ALREADY:
            return ""
        return take_back(permit.plan, make_handle(self._deps, target, permit, TAKE_BACK_DEADLINE))


def is_reversible(plan: Plan) -> bool:
    """True for an action that is held for a while and taken back."""
    known = remediations().get(plan.remediation)
    return known is not None and known.reversible


def is_between_starts(supervisor: SupervisorView | None) -> bool:
    """True if it ended a moment ago and its supervisor has not said whether it starts it again, as it may at once."""
    return supervisor is not None and supervisor.state is RunState.EXITED and supervisor.restarts_itself is None
