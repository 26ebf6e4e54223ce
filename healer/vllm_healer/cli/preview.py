"""simulate: the same stages on a payload from a file, with the world read and nothing written."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from vllm_healer.app import make_sight
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config
from vllm_healer.errors import BadPayload
from vllm_healer.journal import Journal
from vllm_healer.model import Incident, IncidentState, Instant, Plan, Refusal
from vllm_healer.pipeline.choose import choose
from vllm_healer.pipeline.diagnose import diagnose
from vllm_healer.pipeline.guard import guard
from vllm_healer.webhook import parse
from vllm_healer.worker.deps import Sight
from vllm_healer.worker.facts import gather


def simulate(config: Config, arguments: argparse.Namespace) -> int:
    clock = SystemClock()
    with closing(Journal.read_only(Path(config.journal))) as journal:
        deps = make_sight(config, journal, clock)
        outcomes = [_judge(incident, deps) for incident in _incidents(arguments.payload, clock.now())]
    if arguments.json:
        print(json.dumps(outcomes, indent=2, default=str))
    else:
        print("\n".join(str(outcome["words"]) for outcome in outcomes) or "no alert fires in it: nothing to do")
    return 0


def _incidents(payload: Path, now: Instant) -> list[Incident]:
    """One incident a server, as the worker would open them."""
    try:
        body = payload.read_bytes()
    except OSError as error:
        raise BadPayload(f"{payload}: {error.strerror}") from error
    firing = [alert for alert in parse(body) if alert.firing]
    servers = dict.fromkeys(alert.server for alert in firing)
    return [
        Incident(0, server, IncidentState.OPEN, now, tuple(alert for alert in firing if alert.server == server))
        for server in servers
    ]


def _judge(incident: Incident, deps: Sight) -> dict[str, object]:
    facts = gather(incident, deps)
    diagnosis = diagnose(incident, facts)
    plan = choose(incident, diagnosis, facts, deps.config.remediations)
    refusal = None
    if plan.destructive:
        refusal = guard(plan, facts, deps.journal.ledger(plan), deps.config.limits, deps.config.mode)
    found = f"{incident.server or '(no server)'}: {diagnosis.cause}: {diagnosis.evidence}"
    return {
        "server": incident.server,
        "diagnosis": asdict(diagnosis),
        "plan": asdict(plan),
        "refusal": asdict(refusal) if refusal else None,
        "words": f"{found}\n  -> {_decision(plan, refusal)}",
    }


def _decision(plan: Plan, refusal: Refusal | None) -> str:
    if not plan.destructive:
        return f"{plan.remediation}: {plan.reason}"
    if refusal is None:
        return f"would run {plan.remediation} now: {plan.reason}"
    return f"would not run {plan.remediation}: {refusal.reason}: {refusal.words}"
