"""How far a start has come, from the log lines of several processes: as far as the slowest engine has. Pure."""

from __future__ import annotations

from vllm_exporter.subjects.lifecycle.evidence import Mark, Processes
from vllm_exporter.subjects.lifecycle.states import NAMES, ORDER

FIRST_OF_ENGINE = ORDER["engine_spawned"]
LAST_OF_ENGINE = ORDER["engine_ready"]
CONFIG_RESOLVING = ORDER["config_resolving"]
SETTLE = 1.0  # seconds after the arguments, or the port, in which the configuration's turn comes


class Startup:
    """One start. Marks may come late and twice: what was reached stays reached."""

    def __init__(self) -> None:
        self.api = 0  # the highest order an API server proved
        self._fronts: dict[str, int] = {}  # API servers by rank, of those past the engine's start
        self._cores: dict[str, int] = {}  # engine cores by engine
        self._workers: dict[str, dict[str, int]] = {}  # by engine and rank
        self._processes: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()  # that were seen last
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
        """The port is taken. What comes after follows by itself, a moment later: no line and no file shows it."""
        if self.api < ORDER["port_bound"]:
            self._raise_api(ORDER["port_bound"], now)

    def saw_time(self, now: float) -> None:
        if ORDER["args_parsed"] <= self.api < CONFIG_RESOLVING and now - self._settled_at >= SETTLE:
            self.api = CONFIG_RESOLVING

    def saw_processes(self, processes: Processes) -> None:
        """Coarse evidence, all there is without a log."""
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
        """The minimum over the engines that are known; of an engine, what its core or all its workers have done."""
        found = []
        for engine in self._cores.keys() | self._workers.keys():
            workers = min(self._workers.get(engine, {}).values(), default=0)
            found.append(max(self._cores.get(engine, 0), workers))
        return min(found, default=0)

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
