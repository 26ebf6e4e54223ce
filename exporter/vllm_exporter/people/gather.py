"""Watches a server for some seconds and gathers everything that may show why it does not move."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vllm_exporter.app import App, enabled, load_collectors
from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.errors import ConfigError, SourceError
from vllm_exporter.facts.facts import Gpus, Trees, VllmProcess
from vllm_exporter.linux.py_spy import dump_stacks, find_py_spy
from vllm_exporter.linux.wait import ProcessWait, read_wait
from vllm_exporter.people.exporter_health import quiet
from vllm_exporter.people.exporter_says import choose_state, number
from vllm_exporter.people.hang.evidence import Gpu, HangEvidence, ProcessSight
from vllm_exporter.people.hang.standstill import NCCL_SIGNS, NO_MEMORY
from vllm_exporter.people.scratch_state import own_config
from vllm_exporter.people.watch_server import ENOUGH, look
from vllm_exporter.run.collector import Context, read_options
from vllm_exporter.subjects.logs.collector import LogOptions, parse_places
from vllm_exporter.subjects.logs.redact import redact
from vllm_exporter.subjects.logs.tail import read_tail
from vllm_exporter.subjects.server.api import HttpVllmApi
from vllm_exporter.subjects.server.probe_collector import origin

ONCE_SECONDS = 10.0  # for the collectors that know processes and GPUs
HEALTH_TIMEOUT = 10.0  # seconds; a saturated server was seen to take 7
LOCAL = ("processes", "gpu")
STOPPED = ("T", "t")
Ask = Callable[[], Mapping[str, Any]]  # returns what a running exporter reports of the server; empty without one
STARTED = b"Application startup complete"


@dataclass(frozen=True)
class Host:
    """The processes and GPUs of this host."""

    trees: Trees | None
    gpus: Gpus | None


def observe(config: Config, target: TargetConfig, host: Host, ask: Ask, seconds: float) -> HangEvidence:
    """Watches one server. `ask` is called before, for how long nothing has moved, and after; the latter counts."""
    api = HttpVllmApi(origin(target), HEALTH_TIMEOUT, config.probe.canary_timeout)
    started = time.monotonic()
    health = api.health()
    seen = HangEvidence(target.server, health, health_seconds=time.monotonic() - started)
    mine = [one for one in (host.trees.processes if host.trees else {}).values() if one.server == target.server]
    before = {one.ref.pid: read_wait(Path("/proc"), one.ref.pid) for one in mine}
    if health != "refused":
        longest = max(seconds, config.probe.stall_seconds - (number(ask(), "progress_age_seconds") or 0.0))
        if _stopped(before[one.ref.pid] for one in mine if not one.orphan):
            seconds = longest = min(seconds, ENOUGH)
        seen = look(api, seen, target.canary and health == "ok", seconds, longest)
    api.close()
    after = {pid: read_wait(Path("/proc"), pid) for pid in before}
    seen = replace(seen, processes=tuple(_processes(mine, before, after)), gpus=_gpus(host, mine))
    seen = _with_told(replace(seen, log=read_signs(config, target.server)), ask())
    return _with_stacks(seen) if not seen.moved and seen.health != "refused" else seen


def _with_told(seen: HangEvidence, told: Mapping[str, Any]) -> HangEvidence:
    """Adds what the running exporter reports, which watches the server all the time."""
    here = sum(one.orphan for one in seen.processes)
    return replace(
        seen,
        state=choose_state(told),
        progress_age=number(told, "progress_age_seconds"),
        stall_limit=number(told, "stall_limit_seconds"),
        orphans=max(here, int(number(told, "orphans") or 0)),
    )


def _stopped(processes: Iterable[ProcessWait | None]) -> bool:
    return any(one is not None and one.state in STOPPED for one in processes)


def look_at_host(config: Config) -> Host:
    """Runs the collectors of processes and GPUs once."""
    sections = {name: section for name, section in config.collectors.items() if name in LOCAL}
    with own_config(replace(config, collectors=sections)) as own:
        context = Context(own)
        classes = enabled(load_collectors(), own)
        app = App(context, {name: cls for name, cls in classes.items() if name in LOCAL}, quiet)
        app.run_once(ONCE_SECONDS)
    return Host(context.board.latest(Trees), context.board.latest(Gpus))


def _processes(
    mine: Iterable[VllmProcess], before: Mapping[int, ProcessWait | None], after: Mapping[int, ProcessWait | None]
) -> Iterable[ProcessSight]:
    for one in sorted(mine, key=lambda process: process.ref.pid):
        first, last = before.get(one.ref.pid), after.get(one.ref.pid)
        if last is not None:
            sight = ProcessSight(one.ref.pid, one.role, one.rank, last.state, _cores(first, last), last.wchan)
            yield replace(sight, kernel=last.kernel, orphan=one.orphan)


def _cores(first: ProcessWait | None, last: ProcessWait) -> float | None:
    if first is None or last.at <= first.at:
        return None
    return (last.cpu_ticks - first.cpu_ticks) / os.sysconf("SC_CLK_TCK") / (last.at - first.at)


def _gpus(host: Host, mine: Iterable[VllmProcess]) -> tuple[Gpu, ...]:
    """Returns the GPUs that the server's processes use, where the driver says so; else all."""
    if host.gpus is None:
        return ()
    pids = {one.ref.pid for one in mine}
    used = [gpu for gpu in host.gpus.gpus if gpu.pids and pids & set(gpu.pids)]
    return tuple(
        Gpu(
            gpu.gpu_id,
            gpu.utilization,
            gpu.memory_used / gpu.memory_total if gpu.memory_used is not None and gpu.memory_total else None,
            gpu.lost,
        )
        for gpu in used or host.gpus.gpus
    )


def read_signs(config: Config, server: str) -> tuple[str, ...]:
    """Returns redacted lines since the last start that hint at a cause, from the log files that exporter.yml names."""
    found: list[str] = []
    for path in log_files(config, server):
        try:
            lines = read_tail(path)
        except SourceError:
            continue
        started = max((at for at, line in enumerate(lines) if STARTED in line), default=0)
        found += [redact(line) for line in lines[started:] if any(sign in line.lower() for sign in _SIGNS)]
    return tuple(found[-20:])


def log_files(config: Config, server: str) -> list[Path]:
    try:
        places = parse_places(read_options(config, "logs", LogOptions).sources, config)
    except ConfigError:
        return []
    return [Path(place.name) for place in places if place.kind == "file" and place.server == server]


_SIGNS = tuple(sign.encode() for sign in (*NO_MEMORY, *NCCL_SIGNS))


def _with_stacks(seen: HangEvidence) -> HangEvidence:
    """Adds the Python stacks of engine and workers only: they are few."""
    program = find_py_spy()
    if program is None:
        return seen
    mine = [one for one in seen.processes if one.role in ("engine_core", "worker") and not one.orphan]
    pids = [one.pid for one in mine if one.state not in STOPPED]
    stacks = dump_stacks(program, pids)
    return replace(seen, processes=tuple(replace(one, python=stacks.get(one.pid, ())) for one in seen.processes))
