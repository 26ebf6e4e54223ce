"""Chooses the state of a ready server, from the probe and the last lines of the log. Pure."""

from __future__ import annotations

from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.subjects.lifecycle.evidence import Evidence, LifecycleLimits
from vllm_exporter.subjects.lifecycle.server_life import Life
from vllm_exporter.subjects.lifecycle.traffic import TrafficMeter

LAG = 6.0  # seconds that an answer may be old: /is_paused is requested every 5 s
HOLD = 10.0  # seconds after a log line about a pause or a recovery, in which running requests may still move
BELIEVE = 30.0  # seconds that a log line about an end outweighs answers: three canaries of an idle server
WAKE = 30.0  # seconds after a wake-up until a server without canaries counts as awake
SUSPICION = 60.0  # seconds after a stall line
MISSED = 5.0  # seconds without progress that make a missed canary suspicious; an overloaded server misses them too


class ReadyStates:
    """Chooses the states of one life."""

    def __init__(self, limits: LifecycleLimits, busy: bool = False) -> None:
        """`busy`: it had requests at the last look before the exporter was restarted."""
        self._limits = limits
        self._meter = TrafficMeter(limits, busy)
        self._ready_at: float | None = None

    def choose(self, life: Life, evidence: Evidence) -> str:
        now, sight = evidence.now, evidence.sight
        if self._ready_at is None:
            self._ready_at = now
        traffic = self._meter.look(now, sight.values if sight else None)
        if sight is None:
            return life.held or (traffic if life.verified else "listening")
        life.answered = life.answered or sight.health == "ok"
        if sight.health == "refused":
            return "stopping" if life.answered else "listening"  # nobody listens any more, or not yet
        held = self._held(life, now, sight)
        if held:
            self._meter.rest()
            return held
        if sight.stalled:
            return "stalled"
        if self._is_suspect(life, now, sight):
            return "suspect"
        return self._working(life, sight, traffic)

    def contradicts(self, life: Life, evidence: Evidence) -> str:
        """Returns the ending or death that a log line reported, if the server goes on computing; else ''."""
        sight, said_at = evidence.sight, life.ending_at if life.ending else life.dead_at
        if said_at is None or not (life.ending or life.dead_at is not None):
            return ""
        if sight is None or sight.health != "ok" or not sight.canary_ok or evidence.now - said_at < BELIEVE:
            return ""
        if evidence.processes is not None and evidence.processes.api and not evidence.processes.engines:
            return ""
        said = life.ending or "engine_dead"
        life.ending, life.dead_at = "", None
        return said

    def _working(self, life: Life, sight: ServerSight, traffic: str) -> str:
        if life.verified:
            return traffic
        if sight.canary_ok or self._meter.moved:
            life.verified = True
            return "ready_verified"
        return "listening"

    def _held(self, life: Life, now: float, sight: ServerSight) -> str:
        """Returns sleeping, else the state that a log line proved, else paused: a sleeping engine is paused too."""
        ahead = now - life.told_at < LAG  # the log is ahead of the probe
        if sight.sleeping and not ahead:
            life.held, life.held_at = "sleeping", now
        elif life.held == "sleeping" and not ahead and (sight.sleeping is False or self._meter.moved):
            life.held, life.held_at = "waking", now  # for one look at least, even if it has computed since
        elif self._is_over(life, now, sight):
            life.held = ""
        if life.held in ("sleeping", "waking", "ft_recovery"):
            return life.held
        return "paused" if life.held == "paused" or (sight.paused and not ahead) else ""

    def _is_over(self, life: Life, now: float, sight: ServerSight) -> bool:
        if life.held == "waking":
            return self._meter.moved or now - life.held_at >= WAKE
        if life.held in ("paused", "ft_recovery"):
            return self._meter.moved and now - life.held_at >= HOLD
        return False

    def _is_suspect(self, life: Life, now: float, sight: ServerSight) -> bool:
        if sight.health == "timeout":
            return True
        if now - life.told_at < LAG:
            return False  # a canary that was missed in a pause that has just ended proves nothing
        if life.suspect_at is not None and self._meter.moved:
            life.suspect_at = None
        if life.suspect_at is not None and now - life.suspect_at < SUSPICION:
            return True
        age = sight.progress_age or 0.0
        if sight.canary_failures and age >= MISSED:
            return True
        return bool(sight.work) and age >= self._limits.suspect
