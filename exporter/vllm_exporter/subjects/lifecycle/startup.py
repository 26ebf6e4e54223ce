"""Works out how far a start is, from the log lines of several processes: as far as its slowest engine. Pure."""

from __future__ import annotations

from vllm_exporter.subjects.lifecycle.evidence import Mark, Processes
from vllm_exporter.subjects.lifecycle.states import NAMES, ORDER

FIRST_OF_ENGINE = ORDER["engine_spawned"]
LAST_OF_ENGINE = ORDER["engine_ready"]
CONFIG_RESOLVING = ORDER["config_resolving"]
SETTLE = 1.0  # seconds after the arguments, or the port, until the configuration is being read


class Startup:
    """One start. Marks may come late and twice: a state that was reached stays reached."""

    def __init__(self) -> None:
        self.api = 0  # the highest order an API server proved
        self._fronts: dict[str, int] = {}  # rank to order, of API servers past the engine's start
        self._cores: dict[str, int] = {}  # engine to order, of engine cores
        self._workers: dict[str, dict[str, int]] = {}  # engine to rank to order
        self._processes: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()  # those seen last
        self._settled_at = 0.0  # when arguments or port were first seen

    def note(self, mark: Mark) -> None:
        order = ORDER[mark.state]
        if FIRST_OF_ENGINE <= order <= LAST_OF_ENGINE:
            self._note_engine(mark, order)
        elif order > LAST_OF_ENGINE:
            self._fronts[mark.rank] = max(order, self._fronts.get(mark.rank, 0))
        else:
            self._raise_api(order, mark.at)

    def saw_bound(self, now: float) -> None:
        """Notes that the port is taken. The next step follows a moment later by itself: no line or file shows it."""
        if self.api < ORDER["port_bound"]:
            self._raise_api(ORDER["port_bound"], now)

    def saw_time(self, now: float) -> None:
        if ORDER["args_parsed"] <= self.api < CONFIG_RESOLVING and now - self._settled_at >= SETTLE:
            self.api = CONFIG_RESOLVING

    def saw_processes(self, processes: Processes) -> None:
        """Notes the processes: coarse evidence, but all there is without a log."""
        if self._processes == (processes.engines, processes.workers):
            return
        self._processes = processes.engines, processes.workers
        for rank in processes.engines:
            self._cores.setdefault(_engine(rank), FIRST_OF_ENGINE)
        for rank in processes.workers:
            engine = _engine(rank)
            order = max(ORDER["executor_spawn"], self._cores.get(engine, 0))
            self._cores[engine] = order
            self._workers.setdefault(engine, {}).setdefault(rank, ORDER["executor_spawn"])

    @property
    def reached(self) -> str:
        return NAMES[max(self.api, self._engines(), min(self._fronts.values(), default=0), ORDER["spawned"])]

    def _engines(self) -> int:
        """Returns the minimum over the known engines; an engine is as far as its core, or as all its workers.

        The only engine of vLLM 0.11 to 0.14 is called DP0, and its workers TP0, TP1 without it.
        """
        known = self._cores.keys() | self._workers.keys()
        named = known - {""}
        one = named.pop() if len(known) == 2 and len(named) == 1 else ""
        reached: dict[str, int] = {}
        for engine in known:
            workers = min(self._workers.get(engine, {}).values(), default=0)
            home = engine or one
            reached[home] = max(self._cores.get(engine, 0), workers, reached.get(home, 0))
        return min(reached.values(), default=0)

    def _note_engine(self, mark: Mark, order: int) -> None:
        if mark.role == "worker":
            ranks = self._workers.setdefault(mark.engine, {})
            ranks[mark.rank] = max(order, ranks.get(mark.rank, 0))
        else:
            self._cores[mark.engine] = max(order, self._cores.get(mark.engine, 0))

    def _raise_api(self, order: int, at: float) -> None:
        if order <= self.api:
            return
        if self.api < ORDER["args_parsed"] or order == ORDER["port_bound"]:
            self._settled_at = at
        self.api = order


def _engine(rank: str) -> str:
    return next((part for part in rank.split("_") if part.startswith("DP")), "")
