"""Throttle: has an overloaded server refuse what is beyond it, by the lever of the part inside vLLM."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from vllm_healer.errors import PermanentError
from vllm_healer.handle import Handle
from vllm_healer.model import Diagnosis, Facts, Incident, Look, Outcome, Plan, Result, Verb
from vllm_healer.progress import fresh
from vllm_healer.proof import Evidence, Proof, answers
from vllm_healer.remediation import Remediation

PATH = "/vllm-monitor/throttle"
HOLD = 600.0  # seconds after which the part inside vLLM ends it by itself, whatever becomes of the healer
SPARE = 0.25  # of what runs, more is let in: a short queue keeps the engine's batches full
LESS = 0.8  # of what is let in; with fewer requests there the limit refuses nobody, so it is not needed
RUNNING, WAITING = 0, 1  # in Look.work


class Throttle(Remediation):
    """Lets in as many requests at once as the server works on, and a quarter more. None that is there is cut off."""

    causes = frozenset({"overload"})
    verbs = frozenset({Verb.HTTP})
    reversible = True
    optional = True
    cooldown = 60.0
    proven_within = HOLD

    def possible(self, facts: Facts) -> bool:
        """True where the lever can be asked, and it is known how many requests run."""
        return facts.target is not None and bool(facts.target.monitor_token_file) and running(facts) is not None

    def reason(self, diagnosis: Diagnosis, facts: Facts) -> str:
        return f"throttle it to {limit(facts)} requests at once: {diagnosis.evidence}"

    def plan(self, incident: Incident, diagnosis: Diagnosis, facts: Facts) -> Plan:
        return replace(super().plan(incident, diagnosis, facts), amount=limit(facts))

    def carry_out(self, handle: Handle) -> Result:
        """Leaves a throttle that somebody else has set alone; its own is set anew, with its whole time."""
        mine, now = own(handle), read_order(handle)
        others = [one for one in now.limits if one != mine]
        if any(one.get("port", mine["port"]) == mine["port"] for one in others):
            words = f"somebody throttles {handle.server} already; that is left alone"
            return Result(Outcome.ALREADY, words, handle.incarnation)
        seconds = min(HOLD, now.seconds) if others else HOLD  # nobody else's limit is prolonged
        handle.http("PUT", PATH, {"seconds": seconds, "status": now.status, "limits": [*others, mine]})
        words = f"{handle.server} lets in {handle.amount} requests at once, and refuses more, for {seconds:.0f} s"
        return Result(Outcome.DONE, words, handle.incarnation)

    def prove(self, plan: Plan, evidence: Evidence) -> Proof:
        """Proves that it has fewer requests than are let in, so that nobody is refused now, and that it answers."""
        there = requests_of(evidence.look)
        if there is None:
            return Proof(missing="it does not say how many requests it has")
        if there >= LESS * plan.amount:
            return Proof(missing=f"it has {there:.0f} requests, of {plan.amount} that are let in: the load is as high")
        proof = answers(evidence)
        return replace(proof, seen=f"it has {there:.0f} requests, fewer than are let in; {proof.seen}")

    def take_back(self, handle: Handle) -> str:
        """Takes its own limit away, and nobody else's."""
        mine, now = own(handle), read_order(handle)
        if mine not in now.limits:
            return ""
        others = [one for one in now.limits if one != mine]
        if others:
            handle.http("PUT", PATH, {"seconds": now.seconds, "status": now.status, "limits": others})
        else:
            handle.http("DELETE", PATH)
        return "the throttle was taken off"


@dataclass(frozen=True)
class Shedding:
    """The order that holds now: limits of whoever gave them, for all servers that share the lever's directory."""

    limits: tuple[dict[str, object], ...]
    seconds: float  # until it ends by itself
    status: int  # with which it refuses


def limit(facts: Facts) -> int:
    """The number of requests at once that are let in; 1 at least."""
    now = running(facts) or 0.0
    return max(1, math.ceil(now * (1 + SPARE)))


def running(facts: Facts) -> float | None:
    """The number of requests that run now: by our own look, else by a fresh sample."""
    look = facts.look
    if look is not None and look.work is not None and look.work[RUNNING] >= 0:
        return look.work[RUNNING]
    return fresh(facts.signals.running, facts.max_signal_age) if facts.signals is not None else None


def requests_of(look: Look) -> float | None:
    """The number of requests that run or wait, by a look; None when it does not show both."""
    if look.work is None or len(look.work) <= WAITING or min(look.work[RUNNING], look.work[WAITING]) < 0:
        return None
    return look.work[RUNNING] + look.work[WAITING]


def own(handle: Handle) -> dict[str, object]:
    """The limit that this action sets. It names the port, for several servers may share one directory."""
    parts = urlsplit(handle.target.url)
    return {"concurrency": handle.amount, "port": parts.port or (443 if parts.scheme == "https" else 80)}


def read_order(handle: Handle) -> Shedding:
    """Asks the lever. Raises PermanentError when something else answers, or what asking raises."""
    text = handle.http("GET", PATH)
    try:
        order = json.loads(text)
        seconds, status = float(order["seconds"]), int(order["status"])
        return Shedding(tuple(map(dict, order["limits"])) if seconds > 0 else (), seconds, status)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise PermanentError(f"{handle.server} answers {PATH} with something else than a throttle") from None
