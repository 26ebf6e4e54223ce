"""The counts of vLLM's processes themselves: requests, latencies and tokens, from files of the in-process part."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from vllm_exporter.config.config import Config
from vllm_exporter.config.local_servers import local_servers
from vllm_exporter.config.named_paths import NamedPath
from vllm_exporter.facts.facts import EngineSteps, RankSteps, ServerSteps, Steps, Trees
from vllm_exporter.log import log
from vllm_exporter.metrics.family import Row, Sample
from vllm_exporter.run.collector import Collector, Context, read_options
from vllm_exporter.state import StateFile
from vllm_exporter.subjects.inside import families as names
from vllm_exporter.subjects.inside.base import KeptSums, format_base, parse_base
from vllm_exporter.subjects.inside.directory import SnapshotDirectory, lives, read_identity
from vllm_exporter.subjects.inside.format import BadSnapshot, DamageReason, ProcessIdentity, ProcessSnapshot
from vllm_exporter.subjects.inside.lines import Line, LineFiles
from vllm_exporter.subjects.inside.steps import NOT_RENDERED, join_steps, rank_places
from vllm_exporter.subjects.inside.sums import Sums
from vllm_exporter.subjects.inside.told import parse_line

RENDERED = (
    names.REQUESTS_TOTAL,
    names.REQUEST_ERRORS_TOTAL,
    names.REQUEST_LATENCY_SECONDS,
    names.TIME_TO_FIRST_TOKEN_SECONDS,
    names.TOKENS_GENERATED_TOTAL,
    names.THROUGHPUT_TOKENS_PER_SECOND,
    *names.ENGINE,
    names.EVENT_LOOP_LAG_SECONDS,
    names.REQUESTS_IN_FLIGHT,
    names.REQUEST_OLDEST_SECONDS,
    names.TENANT_REQUESTS_TOTAL,
    names.TENANT_LATENCY_SECONDS,
    names.TENANT_TOKENS_TOTAL,
    names.MODEL_REQUESTS_TOTAL,
    *names.MEMORY_LEVER,
    names.EXCEPTIONS_TOTAL,
    names.INSIDE_LINES_LOST_TOTAL,
    *names.DOOR,
    names.INSIDE_REQUESTS_LOST_TOTAL,
    names.INSIDE_STEPS_LOST_TOTAL,
    names.INSIDE_DISABLED,
)
DEFAULT = "/run/vllm-monitor"  # of the part inside vLLM, too
PATIENCE = 3  # readings in a row that find a file being written before the log says so


@dataclass(frozen=True)
class InsideOptions:
    directory: str = ""  # '' means the environment's VLLM_MONITOR_DIR, else DEFAULT


class InsideCollector(Collector):
    """Adds up the counts of a server's processes: 100 µs with one of 300 values, 40 µs for each further one."""

    metrics = (
        *RENDERED,
        names.INSIDE_PROCESSES,
        names.INSIDE_SNAPSHOT_AGE_SECONDS,
        names.INSIDE_SNAPSHOT_ERRORS_TOTAL,
        names.INSIDE_SERIES_IGNORED,
    )
    interval = 1.0  # as the probes: each second that a step is seen late, a stall is found late
    turn = 1  # the processes come first
    options = InsideOptions

    def __init__(self, context: Context, env: Mapping[str, str] = os.environ) -> None:
        super().__init__(context)
        folder = context.options("inside", InsideOptions).directory or env.get("VLLM_MONITOR_DIR") or DEFAULT
        self._dir = SnapshotDirectory(Path(folder), context.clock)
        self._lines = LineFiles(Path(folder), context.clock, context.config.state_dir)
        self._here = read_identity(context.proc)
        self._ports = local_servers(context.config.targets, socket.gethostname())
        self._file = StateFile(context.config.state_dir, "inside", "what ended processes had counted")
        base = self._file.load(parse_base) or KeptSums()
        self._sums = Sums({family.name: family for family in RENDERED}, dict(base.sums))
        self._folded = set(base.folded)
        self._silent: dict[
            ProcessIdentity, tuple[str, ProcessSnapshot]
        ] = {}  # folded by this exporter, their files still there
        self._live: dict[ProcessIdentity, ProcessSnapshot] = {}
        self._servers: dict[ProcessIdentity, str] = {}
        self._key: tuple[object, ...] | None = None  # identifies the processes that the plan was made for
        self._plan = self._sums.plan((), ())
        self._step_places: dict[ProcessIdentity, tuple[int | None, ...]] = {}
        self._ignored: list[str] = []
        self._errors: dict[DamageReason, int] = dict.fromkeys(get_args(DamageReason), 0)
        self._problems: dict[str, tuple[str, int]] = {}  # file name to message and readings in a row

    @classmethod
    def paths(cls, config: Config, name: str) -> Iterator[NamedPath]:
        folder = read_options(config, name, InsideOptions).directory or os.environ.get("VLLM_MONITOR_DIR", "")
        if folder:
            fix = "it is read once it is there; correct the path if vLLM's VLLM_MONITOR_DIR is another"
            yield NamedPath("collectors.inside.directory", folder, fix, "directory", "comes_later")

    def collect(self) -> Iterator[Row]:
        reading = self._dir.read()
        lines = self._lines.read()
        self._tell({**reading.problems, **self._lines.problems})
        # A file that is never read hides no process that was counted; strangers may leave some for ever.
        self._update(reading.snapshots, complete=all(one.reason == "untrusted" for one in reading.problems.values()))
        self._emit(lines)
        servers = [self._servers[identity] for identity in self._live]
        self._replan(servers)
        numbers = self._plan.add([one.values for one in self._live.values()], self.context.clock.monotonic())
        yield from zip(self._plan.series, numbers, strict=True)
        self.context.board.post(Steps(tuple(self._steps())))
        self.context.board.post(EngineSteps(self._engine_steps(servers)))
        yield from self._own(servers)

    def close(self) -> None:
        self._dir.close()

    def _update(self, snapshots: list[ProcessSnapshot], complete: bool) -> None:
        """Updates the living processes; one that has ended is folded into the base, once.

        A process of a paused container counts as ended and may come back: it is then taken out of the base. If an
        earlier exporter folded it, its share of the base is not known, and it stays ended.
        """
        seen = dict(self._live)
        for one in snapshots:
            old = seen.get(one.identity)
            if old is None or one.written >= old.written:
                seen[one.identity] = one
        now = self.context.clock.monotonic()
        ended = {key: one for key, one in seen.items() if not self._lives(one, now)}
        back = [key for key in self._silent if key in seen and key not in ended]
        for key in back:
            self._sums.unfold(*self._silent.pop(key))
            self._folded.discard(key)
        self._live = {key: one for key, one in seen.items() if key not in ended and key not in self._folded}
        self._servers = {key: self._server(one) for key, one in seen.items()}
        new = [key for key in ended if key not in self._folded]
        for key in new:
            self._sums.fold(self._servers[key], ended[key])
            self._silent[key] = self._servers[key], ended[key]
        present = {one.identity for one in snapshots}
        self._folded = {*new, *(key for key in self._folded if key in present or not complete)}
        self._silent = {key: one for key, one in self._silent.items() if key in self._folded}
        if new or back:
            self._key = None
            self._file.save(format_base(self._sums.base, self._folded))

    def _lives(self, one: ProcessSnapshot, now: float) -> bool:
        return lives(one.identity, one.written, now, self.context.proc, self._here)

    def _server(self, one: ProcessSnapshot) -> str:
        """Returns the server by the process tree, else as the process was configured, else by its port; else ''."""
        trees = self.context.board.latest(Trees)
        process = trees.processes.get(one.identity.pid) if trees is not None else None
        if process is not None and process.server and process.ref.start == one.identity.start:
            return process.server
        return self._servers.get(one.identity) or one.directory.server or self._ports.get(one.port, "")

    def _replan(self, servers: list[str]) -> None:
        key = (*servers, *(id(one.directory) for one in self._live.values()), *self._live)
        if key != self._key:
            self._key = key
            self._plan = self._sums.plan(servers, list(self._live.values()))
            self._step_places = {key: rank_places(one.directory) for key, one in self._live.items()}
            self._ignored = [name for name in self._sums.ignored(self._live.values()) if name not in NOT_RENDERED]

    def _steps(self) -> Iterator[RankSteps]:
        for identity, one in self._live.items():
            steps, seconds, *parts = self._step_places[identity]
            if steps is not None and seconds is not None:
                compute, sync = (None if at is None else one.values[at] for at in parts)
                server, values = self._servers[identity], one.values
                yield RankSteps(server, one.directory.rank, identity.pid, values[steps], values[seconds], compute, sync)

    def _engine_steps(self, servers: Sequence[str]) -> dict[str, ServerSteps]:
        """Returns the last steps by server, of those whose processes report any."""
        of_server: dict[str, list[ProcessSnapshot]] = {}
        for server, one in zip(servers, self._live.values(), strict=True):
            of_server.setdefault(server, []).append(one)
        found = {server: join_steps(snapshots) for server, snapshots in of_server.items() if server}
        return {server: steps for server, steps in found.items() if steps is not None}

    def _emit(self, lines: Iterable[Line]) -> None:
        """Makes events of what processes wrote, of those that ended too."""
        servers = {(one.pid, one.start, one.namespace): server for one, server in self._servers.items()}
        for line in lines:
            try:
                event, port = parse_line(line.data, line.pid)
            except ValueError:
                self._errors["line"] += 1
                continue
            if event is not None:
                server = servers.get((line.pid, line.start, line.namespace)) or self._ports.get(port, "")
                self.context.bus.emit(replace(event, server=server))

    def _own(self, servers: list[str]) -> Iterator[Sample]:
        now = self.context.clock.monotonic()
        ages: dict[tuple[str, str], list[float]] = {}
        for server, one in zip(servers, self._live.values(), strict=True):
            ages.setdefault((server, one.directory.role), []).append(now - one.written)
        for (server, role), found in sorted(ages.items()):
            yield names.INSIDE_PROCESSES.sample(len(found), server=server, role=role)
            yield names.INSIDE_SNAPSHOT_AGE_SECONDS.sample(max(found), server=server, role=role)
        for reason, count in self._errors.items():
            yield names.INSIDE_SNAPSHOT_ERRORS_TOTAL.sample(count, reason=reason)
        yield names.INSIDE_SERIES_IGNORED.sample(len(self._ignored))

    def _tell(self, problems: Mapping[str, BadSnapshot]) -> None:
        """Counts each problem, and logs a new one; a file that is being written is one only if that lasts."""
        before, self._problems = self._problems, {}
        for name, problem in problems.items():
            self._errors[problem.reason] += 1
            message, times = before.get(name, ("", 0))
            times = times + 1 if message == str(problem) else 1
            self._problems[name] = (str(problem), times)
            if times == (PATIENCE if problem.reason == "torn" else 1):
                log("error", "a snapshot file cannot be used; the others are", file=name, reason=problem)
