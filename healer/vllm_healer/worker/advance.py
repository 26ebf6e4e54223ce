"""Moves one incident one step further: consider it, act on it, or see whether it came back.

Each step ends in the journal before the next begins, so that a healer killed anywhere goes on where it was.
"""

from __future__ import annotations

from dataclasses import replace

from vllm_healer.elapsed import elapsed
from vllm_healer.journal import Unfinished
from vllm_healer.model import Incident, IncidentState, Outcome, Permit, Refusal, Result
from vllm_healer.pipeline.act import act, untouched
from vllm_healer.pipeline.decide import Decision, decide
from vllm_healer.worker.deps import Deps
from vllm_healer.worker.follow import Follow, is_reversible
from vllm_healer.worker.handles import make_handle
from vllm_healer.worker.recorder import Recorder, log

RETRY_FOR = 120.0  # seconds in which what could not be done now is tried again; after that a person is told
ACT_DEADLINE = 60.0  # seconds a remediation may take to stop and start; a model's own loading comes after it


class Advance:
    """Takes the steps of an incident. The caller sees to it that there is one call per incident at a time."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._recorder = Recorder(deps)
        self._follow = Follow(deps, self._recorder)

    def step(self, incident: Incident) -> None:
        """Takes one step. What the journal says is unfinished comes first: the healer may have died in between."""
        unfinished = self._unfinished(incident)
        if unfinished is None:
            self._without_action(incident)
        elif unfinished.result is None:
            self._resume(incident, unfinished)
        elif unfinished.result.outcome is Outcome.FAILED:
            self._follow.failed(incident, unfinished.permit, unfinished.result)
        else:
            self._follow.action(incident, unfinished.permit, unfinished.result)

    def overdue(self, incident: Incident) -> None:
        """Ends a verification whose time is over although its step has not come back. Called beside that step."""
        self._follow.overdue(incident, self._unfinished(incident))

    def forget(self, incident_id: int) -> None:
        self._recorder.forget(incident_id)

    def _unfinished(self, incident: Incident) -> Unfinished | None:
        return next((u for u in self._deps.journal.unfinished() if u.permit.plan.incident == incident.id), None)

    def _without_action(self, incident: Incident) -> None:
        if incident.state is IncidentState.VERIFYING:
            self._follow.start(incident)
        elif incident.state is IncidentState.ACTING:  # the healer died between the verdict and this
            self._recorder.state(incident, IncidentState.OPEN, "its action has ended; looking again")
        else:
            self._consider(incident)

    def _consider(self, incident: Incident) -> None:
        """Decides; then tells what was found, or reserves the action and takes it."""
        memory = self._recorder.memory(incident)
        decision = decide(incident, self._deps, earlier=memory.before)
        memory.plan, memory.before = decision.plan, decision.facts.look
        self._note_finding(incident, decision)
        if not decision.plan.destructive:
            self._tell(incident, decision)
            return
        found = decision.diagnosis
        self._recorder.finding(incident, found.cause, found.words())
        answer = self._deps.journal.reserve(decision.plan, self._deps.clock.now(), decision.against)
        if isinstance(answer, Refusal):
            self._deps.own.refusals.labels(reason=answer.reason, server=incident.server).inc()
            log.info("incident=%d refused reason=%s: %s", incident.id, answer.reason, answer.words)
            return
        self._recorder.state(incident, IncidentState.ACTING, f"{decision.plan.remediation} is under way")
        self._keep_evidence(incident, answer, decision)
        self._act(incident, answer)

    def _keep_evidence(self, incident: Incident, permit: Permit, decision: Decision) -> None:
        """Keeps what an action destroys, before it does. What is taken back destroys nothing."""
        if is_reversible(permit.plan):
            return
        kept = self._deps.keep(permit, decision.facts)
        if kept:
            self._recorder.note(incident, "note", f"what was seen before action {permit.action} is kept in {kept}")

    def _note_finding(self, incident: Incident, decision: Decision) -> None:
        """Remembers what is wrong. What asks for no action, such as that it looks well again, replaces nothing."""
        memory, found = self._recorder.memory(incident), (decision.diagnosis.cause, decision.plan.remediation)
        if found != memory.finding:
            memory.finding = found
            self._deps.journal.note_finding(incident.id, *found, replace=decision.plan.destructive)

    def _tell(self, incident: Incident, decision: Decision) -> None:
        found, plan = decision.diagnosis, decision.plan
        self._recorder.finding(incident, found.cause, f"{found.words()}; {plan.reason}")
        if plan.verify:
            words = f"nothing is done, it is watched: {plan.reason}"
            self._recorder.state(incident, IncidentState.VERIFYING, words, expected=IncidentState.OPEN)

    def _resume(self, incident: Incident, unfinished: Unfinished) -> None:
        """Goes on with an intent that has no result. Remediations converge, so what was done is not done twice.

        What has not reached the server yet is judged anew: since it was decided on, the server may have recovered, or
        a person may have paused the healer.
        """
        permit = unfinished.permit
        against = self._against(incident, unfinished)
        if not against:
            taken = ", ".join(unfinished.steps) or "none"
            words = f"going on with action {permit.action} (steps taken so far: {taken})"
            self._recorder.finding(incident, f"resume {permit.action} {taken}", words, kind="note")
            self._act(incident, permit)
        elif elapsed(permit.at, self._deps.clock.now()) < RETRY_FOR:
            words = f"action {permit.action} has not begun and waits: {against}"
            self._recorder.finding(incident, f"wait {permit.action}", words, kind="note")
        else:
            self._follow.drop(incident, permit, against)

    def _against(self, incident: Incident, unfinished: Unfinished) -> str:
        """Words for why an action should not reach its server any more; '' when it should, or has."""
        permit, memory = unfinished.permit, self._recorder.memory(incident)
        decision = decide(incident, self._deps, earlier=memory.before)
        if decision.facts.target is None or (unfinished.steps and not untouched(permit.plan, decision.facts)):
            return ""
        memory.before = decision.facts.look
        if decision.plan.remediation != permit.plan.remediation:
            return f"{decision.diagnosis.cause}: {decision.diagnosis.evidence}"
        others = self._deps.journal.ledger(decision.plan).without(permit.action)
        same = replace(decision, plan=replace(decision.plan, incarnation=permit.plan.incarnation))
        refusal = same.against(others)
        return f"{refusal.reason}, {refusal.words}" if refusal is not None else ""

    def _act(self, incident: Incident, permit: Permit) -> None:
        deps, plan = self._deps, permit.plan
        target = deps.target(plan.server)
        if target is None:  # taken off the list while the healer was down
            self._finish(incident, permit, Result(Outcome.FAILED, f"{plan.server} is no longer listed in healer.yml"))
            return
        result = act(plan, make_handle(deps, target, permit, ACT_DEADLINE))
        if result.retry_after and elapsed(permit.at, deps.clock.now()) < RETRY_FOR:
            words = f"{result.words}; tried again in {result.retry_after:.0f} s"
            self._recorder.finding(incident, f"retry {permit.action}", words, kind="note")
            return  # without a result it is taken up again at the next step
        if result.retry_after:
            words = f"{result.words}; it was tried for {elapsed(permit.at, deps.clock.now()):.0f} s: a person must look"
            result = replace(result, words=words)
        self._finish(incident, permit, result)

    def _finish(self, incident: Incident, permit: Permit, result: Result) -> None:
        deps, now = self._deps, self._deps.clock.now()
        deps.journal.finish(permit.action, result, now)
        labels = {"remediation": permit.plan.remediation, "outcome": result.outcome.value}
        deps.own.actions.labels(**labels, server=permit.plan.server).inc()
        deps.own.acted_at.labels(**labels).set(now.wall)
        if result.outcome is Outcome.FAILED:
            self._follow.failed(incident, permit, result)
            return
        self._recorder.state(incident, IncidentState.VERIFYING, "now looking whether it works")
