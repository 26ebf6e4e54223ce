"""Converts what is kept of a server over a restart of the exporter to plain values for a JSON file, and back. Pure.

Times are kept as Unix time: the monotonic clock begins anew with each boot.
"""

from __future__ import annotations

from collections.abc import Mapping

from vllm_exporter.facts.values import Ref
from vllm_exporter.state import Content, count, seconds
from vllm_exporter.subjects.lifecycle.evidence import Exit
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.lifecycle.phases import PHASES
from vllm_exporter.subjects.lifecycle.server_life import Life
from vllm_exporter.subjects.lifecycle.states import ORDER


def to_plain(machine: Machine, offset: float) -> Content:
    """Returns the values to save; `offset` is Unix time minus monotonic time, now."""
    life = machine.life
    return {
        "state": machine.state,
        "since": machine.history.since + offset,
        "outcome": machine.outcome,
        "joined": machine.joined,
        "transitions": _pairs_to_plain(machine.history.transitions),
        "illegal": _pairs_to_plain(machine.history.illegal),
        "phases": dict(machine.history.phases.seconds),
        "failures": {
            "starts": machine.failures.starts,
            "same": machine.failures.same,
            "error": machine.failures.error,
            "at": machine.failures.at + offset,
        },
        "exit": None if machine.last_exit is None else _exit_to_plain(machine.last_exit, offset),
        "life": None if life is None else _life_to_plain(life, offset),
    }


def from_plain(machine: Machine, plain: Content, now: float, offset: float) -> None:
    """Fills a new machine. Raises ValueError, LookupError or TypeError when the values make no sense."""
    state, outcome = _state(plain["state"]), _state(plain["outcome"])
    life = None if plain["life"] is None else _life_from_plain(plain["life"], now, offset)
    machine.restore(state, _past(plain["since"], now, offset), life, outcome)
    machine.joined = bool(plain["joined"])
    machine.history.transitions.update(_pairs_from_plain(plain["transitions"]))
    machine.history.illegal.update(_pairs_from_plain(plain["illegal"]))
    machine.history.phases.seconds = {name: seconds(value) for name, value in plain["phases"].items() if name in PHASES}
    failures = plain["failures"]
    machine.failures.starts, machine.failures.same = count(failures["starts"]), count(failures["same"])
    machine.failures.error, machine.failures.at = str(failures["error"]), _past(failures["at"], now, offset)
    machine.last_exit = None if plain["exit"] is None else _exit_from_plain(plain["exit"], now, offset)


def _life_to_plain(life: Life, offset: float) -> Content:
    return {
        "ref": None if life.ref is None else life.ref.to_plain(),
        "began": life.began + offset,
        "reached": life.startup.reached,
        "ready": life.ready,
        "verified": life.verified,
        "held": life.held,
        "ending": life.ending,
        "dead": life.dead_at is not None,
        "had_engine": life.had_engine,
        "error": life.error,
    }


def _life_from_plain(plain: Content, now: float, offset: float) -> Life:
    ref = None if plain["ref"] is None else Ref.from_plain(plain["ref"])
    life = Life(_past(plain["began"], now, offset), ref, marked=now)
    life.startup.api = ORDER[_state(plain["reached"])]
    life.answered = bool(plain["ready"])
    life.ready, life.verified = bool(plain["ready"]), bool(plain["verified"])
    life.held, life.held_at = _state(plain["held"]), now
    life.ending, life.ending_at = _state(plain["ending"]), now
    life.dead_at = now if plain["dead"] else None
    life.had_engine, life.error = bool(plain["had_engine"]), str(plain["error"])
    return life


def _exit_to_plain(ended: Exit, offset: float) -> Content:
    return {
        "at": ended.at + offset,
        "role": ended.role,
        "pid": ended.pid,
        "cause": ended.cause,
        "code": ended.code,
    }


def _exit_from_plain(plain: Content, now: float, offset: float) -> Exit:
    pid = None if plain["pid"] is None else count(plain["pid"])
    return Exit(_past(plain["at"], now, offset), str(plain["role"]), pid, str(plain["cause"]), str(plain["code"]))


def _pairs_to_plain(pairs: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {f"{old} {new}": count for (old, new), count in pairs.items()}


def _pairs_from_plain(plain: Mapping[str, object]) -> dict[tuple[str, str], int]:
    pairs = {}
    for key, number in plain.items():
        old, _, new = key.partition(" ")
        pairs[_state(old), _state(new)] = count(number)
    return pairs


def _state(value: object) -> str:
    if value == "" or (isinstance(value, str) and value in ORDER):
        return str(value)
    raise ValueError(f"unknown state {value!r}")


def _past(value: object, now: float, offset: float) -> float:
    """Returns monotonic time, at most `now`: the clock may have been set back since."""
    return min(seconds(value) - offset, now)
