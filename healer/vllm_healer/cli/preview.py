"""simulate: shows what the worker would decide about a payload from a file. The world is read, nothing is written."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from vllm_healer.app import make_sources
from vllm_healer.clock import SystemClock
from vllm_healer.config import Config
from vllm_healer.errors import BadPayload
from vllm_healer.journal import Journal
from vllm_healer.model import Incident, IncidentState, Instant, Plan, Refusal, Standing
from vllm_healer.names import plain_name
from vllm_healer.pipeline.decide import decide
from vllm_healer.pipeline.sources import Sources
from vllm_healer.webhook import parse


def simulate(config: Config, arguments: argparse.Namespace) -> int:
    clock = SystemClock()
    with closing(Journal.read_only(Path(config.journal))) as journal:
        sources = make_sources(config, journal, clock)
        outcomes = [_judge(incident, sources) for incident in _incidents(arguments.payload, clock.now())]
    if arguments.json:
        print(json.dumps(outcomes, indent=2, default=str))
    else:
        print("\n".join(str(outcome["words"]) for outcome in outcomes) or "no alert fires in it: nothing to do")
    return 0


def _incidents(payload: Path, now: Instant) -> list[Incident]:
    """The incidents that the worker would open: one a server."""
    try:
        body = payload.read_bytes()
    except OSError as error:
        raise BadPayload(f"{payload}: {error.strerror}") from error
    firing = [replace(alert, standing=Standing.SENT) for alert in parse(body).alerts if alert.firing]
    servers = dict.fromkeys(alert.server for alert in firing)
    return [
        Incident(0, server, IncidentState.OPEN, now, tuple(alert for alert in firing if alert.server == server))
        for server in servers
    ]


def _judge(incident: Incident, sources: Sources) -> dict[str, object]:
    decision = decide(incident, sources)
    diagnosis, plan = decision.diagnosis, decision.plan
    refusal = decision.against(sources.journal.ledger(plan))
    found = f"{plain_name(incident.server) if incident.server else '(no server)'}: {diagnosis.words()}"
    return {
        "server": incident.server,
        "diagnosis": asdict(diagnosis),
        "plan": asdict(plan),
        "refusal": asdict(refusal) if refusal else None,
        "words": f"{found}\n  -> {_words(plan, refusal)}",
    }


def _words(plan: Plan, refusal: Refusal | None) -> str:
    if not plan.destructive:
        return f"{plan.remediation}: {plan.reason}"
    if refusal is None:
        return f"would run {plan.remediation} now: {plan.reason}"
    return f"would not run {plan.remediation}: {refusal.reason}: {refusal.words}"
