"""The failures that the demo can show: the simulator's and what a person does, each with how it ends here. Data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deploy.demo.errors import NoSuchFailure
from deploy.simulator.failures.catalogue import FAILURES as SIMULATED

# healed: the healer acts, and it works again. itself: supervisord starts it again. person: it cannot be healed by a
# restart, and a person is told. left: nothing must be done.
Ends = Literal["healed", "itself", "person", "left"]

STOP = "stop"  # not the simulator's: a person stops the program in supervisord


@dataclass(frozen=True)
class DemoFailure:
    """One failure and what comes of it."""

    name: str
    words: str  # what is broken
    ends: Ends
    what: str  # what will happen, and where nothing happens, why
    hold: float = 0.0  # left: seconds to watch at least, for nothing to happen
    limit: float = 120.0  # seconds after which the demo stops to watch
    proof: str = "diagnosis"  # left: the kind of the healer's sentence that says why; '' when it hears of nothing


def find(name: str) -> DemoFailure:
    """Returns the failure of that name. Raises NoSuchFailure."""
    if name not in FAILURES:
        raise NoSuchFailure(f"unknown failure {name!r}; known: {', '.join(FAILURES)}")
    return FAILURES[name]


def listing() -> str:
    """Lists all failures with what will happen, sorted by how they end."""
    width = max(map(len, FAILURES))
    sections = []
    for ends, title in _TITLES.items():
        rows = [f"  {one.name:<{width}}  {one.words}\n  {'':<{width}}    -> {one.what}"
                for one in FAILURES.values() if one.ends == ends]  # fmt: skip
        sections.append("\n".join([title, *rows]))
    return "\n\n".join(sections)


_TITLES: dict[Ends, str] = {
    "healed": "Healed by the healer:",
    "itself": "Healed by supervisord alone:",
    "person": "Beyond a restart; a person is told:",
    "left": "Left alone on purpose:",
}


def _healed(name: str, what: str, limit: float = 120.0) -> DemoFailure:
    return DemoFailure(name, SIMULATED[name].words, "healed", what, limit=limit)


def _person(name: str, what: str) -> DemoFailure:
    return DemoFailure(name, SIMULATED[name].words, "person", what, limit=150.0)


def _left(name: str, what: str, hold: float = 0.0, limit: float = 120.0) -> DemoFailure:
    return DemoFailure(name, SIMULATED[name].words, "left", what, hold=hold, limit=limit)


def _unseen(name: str, what: str, seconds: float = 30.0) -> DemoFailure:
    """A failure of which the healer hears nothing; it is watched for so many seconds."""
    return DemoFailure(name, SIMULATED[name].words, "left", what, hold=seconds, limit=seconds, proof="")


_STALL_TOLD = 60.0  # seconds; a stall would have been told after 47


_ENDED = "supervisord does not restart it, since exit code 0 looks wanted; the healer starts it again"

_ALL = (
    _healed("hang", "after 30 s without progress it counts as stalled: forced restart of all its processes"),
    _healed("hang_idle", "found by the canary, which no engine answers: forced restart"),
    _healed("exit0", _ENDED),
    _healed("oom_log", _ENDED),
    _healed("orphan", "supervisord starts a new API server; the healer ends the orphans that hold its memory"),
    _healed("503", "it would answer 503 for ever: forced restart"),
    _healed("poison", f"{_ENDED}; the next pill kills it again, so that the demo then takes the pill away"),
    _healed("slow_start", f"{_ENDED} and waits for its 30 s"),
    _healed("port_conflict", "nobody can start it while another has its port; started again once that is free",
            limit=240.0),
    DemoFailure("crash", SIMULATED["crash"].words, "itself",
                "supervisord starts it again at once; the healer only watches"),
    _person("crash_loop", "one restart, which does not help; the healer stops there and says so"),
    _person("start_never_ends", "one restart, which never gets ready; the healer stops there and says so"),
    _person("gpu_lost", "one restart, which finds no GPU; the healer stops there and says so"),
    _left("saturate", "it works and has too much to do: a restart would lose the queue and the cache"),
    _left("silent_prefill", "it works: no token comes, but KV usage moves", hold=45.0),
    _unseen("paused", "somebody paused it, and only they know why", seconds=_STALL_TOLD),
    _unseen("asleep", "somebody put it to sleep, and only they know why", seconds=_STALL_TOLD),
    DemoFailure(STOP, "a person stops it in supervisord", "left", "what a person stopped, only a person starts",
                proof="refusal"),
    _unseen("worker_slow", "it works, slowly; HighLatency tells people after some minutes, and nothing is restarted"),
    _unseen("client_aborts", "clients that leave are no failure of the server"),
    _unseen("kv_leak", "it works; the KV usage on the board grows"),
    _unseen("memory_leak", "it works; the resident memory on the board grows"),
    _unseen("corrupt", "it answers in time; whether answers make sense is not looked at"),
)  # fmt: skip

FAILURES = {one.name: one for one in _ALL}
