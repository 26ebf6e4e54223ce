"""Parallel ranks: how many there are of each kind, and which of them holds the others up."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData
from vllm_exporter.facts.events import RankFellBehind
from vllm_exporter.facts.facts import Gpus, RankSteps, Sights, Steps, Trees, VllmProcess
from vllm_exporter.facts.ranks import count_ranks
from vllm_exporter.metrics.family import Sample
from vllm_exporter.run.collector import Collector, Context, check_option, read_options
from vllm_exporter.subjects.parallel import families as names
from vllm_exporter.subjects.parallel.parallel_ranks import (
    Rank,
    choose_ranks,
    count_servers,
    own_seconds,
    parse_role,
    parse_roles,
    peer_groups,
)
from vllm_exporter.subjects.parallel.rank_looks import read_look
from vllm_exporter.subjects.parallel.stragglers import WINDOW, RankHistory, RankVerdict, StepRate, judge, skew

JUDGE_SECONDS = 4.0  # between two verdicts; looks are more frequent
QUIET = 60.0  # seconds that a rank must keep up before falling behind is an event again


@dataclass(frozen=True)
class DistributedOptions:
    roles: tuple[str, ...] = ()  # 'gpu1:8000=prefill'; vLLM does not show the role outside


@dataclass
class WatchedRank:
    """A rank's process while it lives."""

    process: VllmProcess
    history: RankHistory
    run_delay: float | None = None


class DistributedCollector(Collector):
    """Looks at the processes of servers with several ranks only."""

    metrics = (
        names.RANK_STRAGGLER,
        names.RANK_STRAGGLER_INFO,
        names.RANK_STOPPED_RATIO,
        names.RANK_RUN_DELAY_SECONDS_TOTAL,
        names.RANK_STEPS_TOTAL,
        names.RANK_STEP_SECONDS_TOTAL,
        names.RANK_COMPUTE_SECONDS_TOTAL,
        names.RANK_SYNC_SECONDS_TOTAL,
        names.STEP_SKEW_RATIO,
        names.PARALLEL_EFFICIENCY_RATIO,
        names.PARALLEL_SIZE,
        names.PARALLEL_RANKS,
        names.PARALLEL_GPU_MODELS,
        names.SERVER_ROLE_INFO,
    )
    interval = 1.1  # no divisor of a second: else a process that is stopped once a second might never be seen so
    turn = 3  # processes, GPUs, steps and probes come first
    options = DistributedOptions

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._roles = parse_roles(context.options("distributed", DistributedOptions).roles, context.config.targets)
        self._watched: dict[Rank, WatchedRank] = {}
        self._trees: Trees | None = None
        self._names: dict[tuple[str, int], str] = {}  # server and process id to rank
        self._sizes: tuple[Sample, ...] = ()
        self._verdicts: tuple[Sample, ...] = ()
        self._judged = float("-inf")
        self._behind: dict[Rank, float] = {}  # when a rank was last seen behind
        self._spent: dict[str, deque[tuple[float, float, float]]] = {}  # time, seconds of computing, seconds of steps

    @classmethod
    def check(cls, config: Config, name: str) -> None:
        read_options(config, name, DistributedOptions)
        check_option(config, name, "roles", lambda text: parse_role(text, config.targets))

    def collect(self) -> Iterator[Sample]:
        now = self.context.clock.monotonic()
        trees = self.context.board.latest(Trees)
        if trees is not self._trees:
            self._trees = trees
            self._follow(choose_ranks(trees.processes.values() if trees is not None else ()))
        steps = self._steps()
        if not (self._sizes or steps or self._roles):
            raise NoData("no rank of a vLLM server on this host, and no role configured")
        self._look(now, steps)
        if now >= self._judged + JUDGE_SECONDS:
            self._verdicts, self._judged = tuple(self._verdict_samples(now)), now
        yield from (*self._sizes, *self._verdicts, *step_samples(steps))
        for (server, name), one in self._watched.items():
            if one.run_delay is not None:
                yield names.RANK_RUN_DELAY_SECONDS_TOTAL.sample(one.run_delay, server=server, rank=name)
        yield from self._efficiency_samples(now, steps)
        for server, role in self._roles.items():
            yield names.SERVER_ROLE_INFO.sample(1, server=server, pd_role=role)

    def _steps(self) -> dict[Rank, RankSteps]:
        """Returns the steps by the rank of the process, or by its own report if it is not among the ranks."""
        posted = self.context.board.latest(Steps)
        told = ((self._names.get((one.server, one.pid), one.rank), one) for one in (posted.ranks if posted else ()))
        return {(one.server, rank): one for rank, one in told}

    def _follow(self, ranks: Mapping[Rank, VllmProcess]) -> None:
        """Updates what depends on the processes only. Ranks with peers are watched, but not those of no known server,
        which may be of several. A new process in the place of another begins anew."""
        self._sizes = (*size_samples(ranks), *self._model_samples(ranks))
        self._names = {(server, one.ref.pid): rank for (server, rank), one in ranks.items()}
        many = {server for server, count in count_servers(ranks).items() if count > 1 and server}
        wanted = {rank: process for rank, process in ranks.items() if rank[0] in many}
        for rank, one in list(self._watched.items()):
            if rank not in wanted or wanted[rank].ref != one.process.ref:
                self._forget(rank)
        for rank, process in wanted.items():
            if rank not in self._watched:
                self._watched[rank] = WatchedRank(process, RankHistory())

    def _look(self, now: float, steps: Mapping[Rank, RankSteps]) -> None:
        for rank, one in list(self._watched.items()):
            look = read_look(self.context.proc, one.process.ref, now)
            if look is None:
                self._forget(rank)
                continue
            told = steps.get(rank)
            if told is not None:
                look = replace(look, steps=told.steps, step_seconds=own_seconds(told))
            one.history.add(look)
            one.run_delay = look.run_delay

    def _forget(self, rank: Rank) -> None:
        del self._watched[rank]
        self._judged = float("-inf")  # judges at once, so that it is not shown any more

    def _verdict_samples(self, now: float) -> Iterator[Sample]:
        paces = {rank: pace for rank, one in self._watched.items() if (pace := one.history.pace()) is not None}
        for rank, verdict in self._judge(paces).items():
            at = {"server": rank[0], "rank": rank[1]}
            yield names.RANK_STRAGGLER.sample(verdict.reason is not None, **at)
            yield names.RANK_STOPPED_RATIO.sample(verdict.pace.stopped, **at)
            if verdict.reason is not None:
                yield names.RANK_STRAGGLER_INFO.sample(1, **at, reason=verdict.reason)
                self._tell(now, rank, verdict)
        for server in sorted({server for server, _ in paces}):
            found = skew({rank: pace for (owner, rank), pace in paces.items() if owner == server})
            if found is not None:
                yield names.STEP_SKEW_RATIO.sample(found, server=server)

    def _judge(self, paces: Mapping[Rank, StepRate]) -> dict[Rank, RankVerdict]:
        sights = self.context.board.latest(Sights)
        found: dict[Rank, RankVerdict] = {}
        for server, ranks, lockstep in peer_groups(paces):
            sight = sights.servers.get(server) if sights is not None else None
            verdicts = judge({rank: paces[server, rank] for rank in ranks}, lockstep, sight is None or bool(sight.work))
            found.update({(server, rank): verdict for rank, verdict in verdicts.items()})
        return found

    def _tell(self, now: float, rank: Rank, verdict: RankVerdict) -> None:
        """Emits an event when a rank falls behind, and not again before it has kept up for a while."""
        before = self._behind.get(rank)
        self._behind[rank] = now
        if before is None or now - before > QUIET:
            server, name = rank
            summary = f"rank {name} of {server or 'an unknown server'} holds the others up: it {verdict.words}"
            reason = verdict.reason or ""
            self.context.bus.emit(
                RankFellBehind(severity="warning", summary=summary, server=server, rank=name, reason=reason)
            )

    def _model_samples(self, ranks: Mapping[Rank, VllmProcess]) -> Iterator[Sample]:
        gpus = self.context.board.latest(Gpus, 120.0)
        models: dict[str, set[str]] = defaultdict(set)
        servers = {process.ref.pid: server for (server, _), process in ranks.items()}
        for card in gpus.gpus if gpus is not None else ():
            for pid in card.pids or ():
                if pid in servers:
                    models[servers[pid]].add(card.name)
        for server, found in sorted(models.items()):
            yield names.PARALLEL_GPU_MODELS.sample(len(found), server=server)

    def _efficiency_samples(self, now: float, steps: Mapping[Rank, RankSteps]) -> Iterator[Sample]:
        """Yields the ratio of servers all of whose ranks report the seconds of computing and of steps."""
        for server in sorted({server for server, _ in steps}):
            mine = [one for one in steps.values() if one.server == server]
            computed = [one.compute for one in mine if one.compute is not None]
            if len(computed) != len(mine):
                continue
            spent = self._spent.setdefault(server, deque())
            spent.append((now, sum(computed), sum(one.seconds for one in mine)))
            while len(spent) > 2 and now - spent[1][0] >= WINDOW:
                spent.popleft()
            seconds = spent[-1][2] - spent[0][2]
            if seconds > 0:
                ratio = (spent[-1][1] - spent[0][1]) / seconds
                yield names.PARALLEL_EFFICIENCY_RATIO.sample(min(1.0, max(0.0, ratio)), server=server)


def size_samples(ranks: Iterable[Rank]) -> Iterator[Sample]:
    ranks = list(ranks)
    for server, count in sorted(count_servers(ranks).items()):
        yield names.PARALLEL_RANKS.sample(count, server=server)
        for kind, size in count_ranks(rank for owner, rank in ranks if owner == server).items():
            yield names.PARALLEL_SIZE.sample(size, server=server, kind=kind)


def step_samples(steps: Mapping[Rank, RankSteps]) -> Iterator[Sample]:
    """Yields the ranks' own counts."""
    for (server, rank), one in steps.items():
        values = (
            (names.RANK_STEPS_TOTAL, one.steps),
            (names.RANK_STEP_SECONDS_TOTAL, one.seconds),
            (names.RANK_COMPUTE_SECONDS_TOTAL, one.compute),
            (names.RANK_SYNC_SECONDS_TOTAL, one.sync),
        )
        for family, value in values:
            if value is not None:
                yield family.sample(value, server=server, rank=rank)
