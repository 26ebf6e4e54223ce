"""Sees whether a server came back, after an action of ours or by its supervisor alone, and writes the verdict."""

from __future__ import annotations

from vllm_healer.elapsed import elapsed
from vllm_healer.model import (
    ENDED,
    Incident,
    IncidentState,
    Permit,
    Plan,
    Result,
    SupervisorView,
    Target,
    Verdict,
    Verification,
)
from vllm_healer.pipeline.decide import waiting_plan
from vllm_healer.pipeline.gather import observe, patient_look
from vllm_healer.pipeline.learn import learn
from vllm_healer.pipeline.verify import next_state, verify
from vllm_healer.proof import Evidence
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.recorder import Recorder, log


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
        age = elapsed(permit.at, self._deps.clock.now())
        verdict = self._judge(incident, permit.plan, target, observe(target, self._deps, []), age)
        if verdict.verification is not Verification.NOT_YET:
            self._conclude(incident, permit, result, verdict)

    def failed(self, incident: Incident, permit: Permit, result: Result) -> None:
        """Concludes an action that could not be done: there is nothing to wait for."""
        self._conclude(incident, permit, result, Verdict(Verification.FAILED, result.words))

    def drop(self, incident: Incident, permit: Permit, why: str) -> None:
        """Gives up an action that has not reached its server and should not any more. It frees the pool."""
        now, verdict = self._deps.clock.now(), Verdict(Verification.DROPPED, f"nothing was done: {why}")
        self._deps.journal.conclude(permit.action, verdict, elapsed(permit.at, now), now)
        self._recorder.state(incident, IncidentState.OPEN, f"action {permit.action} was given up, {verdict.words}")

    def start(self, incident: Incident) -> None:
        """Watches a start by the supervisor, without an action of ours."""
        target = self._deps.target(incident.server)
        supervisor = observe(target, self._deps, []) if target is not None else None
        if target is None or (supervisor is not None and supervisor.state in ENDED):
            self._recorder.state(incident, IncidentState.OPEN, "its supervisor no longer starts it; looking again")
            return
        plan = self._recorder.memory(incident).plan or waiting_plan(incident, target, self._deps.clock.now())
        verdict = self._judge(incident, plan, target, supervisor, self._age(supervisor))
        if verdict.verification is Verification.RECOVERED:
            words = f"it works again and nothing else was needed: {verdict.words}"
            self._recorder.state(incident, IncidentState.HEALED, words)
        elif verdict.verification is Verification.FAILED:
            self._recorder.state(incident, IncidentState.OPEN, verdict.words)

    def _judge(
        self, incident: Incident, plan: Plan, target: Target, supervisor: SupervisorView | None, age: float
    ) -> Verdict:
        seen = patient_look(target, self._deps)
        evidence = Evidence(self._recorder.memory(incident).before, seen, supervisor)
        return verify(plan, evidence, age, target.start_timeout)

    def _age(self, supervisor: SupervisorView | None) -> float:
        """The seconds since the start that is watched; 0 when they are not known, so that nothing is given up."""
        started = supervisor.incarnation.started if supervisor is not None else 0.0
        return max(0.0, self._deps.clock.now().wall - started) if started else 0.0

    def _conclude(self, incident: Incident, permit: Permit, result: Result, verdict: Verdict) -> None:
        deps, now = self._deps, self._deps.clock.now()
        seconds = elapsed(permit.at, now)
        lesson = learn(permit.plan, verdict, seconds, result.outcome)
        deps.journal.conclude(permit.action, verdict, seconds, now)
        deps.own.verification_seconds.observe(seconds)
        if lesson is not None:
            log.info("lesson remediation=%s recovered=%s seconds=%.1f", lesson.remediation, lesson.recovered, seconds)
        self._recorder.state(incident, *next_state(permit.plan, verdict))
