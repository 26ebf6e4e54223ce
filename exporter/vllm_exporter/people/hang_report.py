"""`vllm-exporter hang-report`: watches each server for some seconds and names the likely cause of a hang."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from vllm_exporter.config.config import Config, TargetConfig
from vllm_exporter.errors import ConfigError
from vllm_exporter.people.exporter_says import ask_about
from vllm_exporter.people.gather import look_at_host, observe
from vllm_exporter.people.hang.diagnose import Diagnosis, diagnose
from vllm_exporter.people.hang.evidence import HangEvidence
from vllm_exporter.people.hang.finding import LATE, describe_process, requests, state_words

WIDTH = 80
FRAMES = 6  # of a stack that are shown; --json has all


def report(config: Config, server: str, seconds: float) -> list[tuple[HangEvidence, Diagnosis]]:
    """Watches the servers one after the other. `server` '' means all. Raises ConfigError when it is not configured."""
    targets = choose(config, server)
    host = look_at_host(config)
    found = [observe(config, one, host, partial(ask_about, config, one.server), seconds) for one in targets]
    return [(seen, diagnose(seen)) for seen in found]


def choose(config: Config, server: str) -> tuple[TargetConfig, ...]:
    if not config.targets:
        raise ConfigError("no server is configured; set VLLM_TARGETS, such as localhost:8000")
    chosen = tuple(one for one in config.targets if not server or server in (one.server, one.address))
    if not chosen:
        known = ", ".join(one.server for one in config.targets)
        raise ConfigError(f"no server {server!r} is configured; known: {known}")
    return chosen


def as_facts(seen: HangEvidence, diagnosis: Diagnosis) -> dict[str, Any]:
    """Returns the report as plain data, for --json."""
    return {
        "server": seen.server,
        "cause": diagnosis.finding.cause,
        "title": diagnosis.cause.title,
        "hang": diagnosis.cause.hang,
        "certainty": diagnosis.finding.certainty,
        "evidence": list(diagnosis.finding.evidence),
        "also_possible": [asdict(one) for one in diagnosis.others],
        "try": list(diagnosis.advice),
        "seen": asdict(seen),
    }


def as_lines(seen: HangEvidence, diagnosis: Diagnosis) -> Iterator[str]:
    """Yields the report for people, at most 80 columns wide."""
    yield from wrap(f"{seen.server}: {diagnosis.cause.title}", "")
    yield from _list(f"Why ({diagnosis.finding.certainty})", diagnosis.finding.evidence)
    for other in diagnosis.others:
        yield from _list(f"Or: {other.cause.replace('_', ' ')} ({other.certainty})", other.evidence)
    yield from _list("Try", diagnosis.advice)
    yield from _list("Seen", tuple(_seen(seen)))
    for one in seen.processes:
        if one.python:
            yield from _list(f"Python stack of {one.name}, innermost first", one.python[:FRAMES])


def wrap(text: str, indent: str) -> list[str]:
    further = " " * len(indent)
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def _list(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if not lines:
        return
    yield ""
    yield f"  {title}"
    for line in lines:
        yield from wrap(line, "    - ")


def _seen(seen: HangEvidence) -> Iterator[str]:
    yield from filter(None, (state_words(seen),))
    took = f" after {seen.health_seconds:.1f} s" if seen.health_seconds >= LATE else ""
    yield f"/health: {seen.health}{took}"
    last = seen.last
    if last is not None:
        usage = "" if last.kv_usage is None else f", KV cache {last.kv_usage:.1%} full"
        yield f"{requests(seen)}{usage}; watched for {seen.seconds:.0f} s"
    if seen.progress_age is not None and seen.stall_limit is not None:
        limit = f"it counts as stalled after {seen.stall_limit:.0f} s"
        yield f"the exporter saw the engine move last {seen.progress_age:.0f} s ago; {limit}"
    if seen.canary is not None:
        yield f"test request: {seen.canary.replace('_', ' ')} after {seen.canary_seconds:.2f} s"
    if seen.engine_answers is not None:
        yield "the engine answers deep probes" if seen.engine_answers else "the engine does not answer deep probes"
    yield from map(describe_process, seen.processes)
    if seen.orphans and not any(one.orphan for one in seen.processes):
        yield f"the exporter sees {seen.orphans} processes that were left behind"
    for gpu in seen.gpus:
        used = "?" if gpu.utilization is None else f"{gpu.utilization:.0%}"
        memory = "?" if gpu.memory is None else f"{gpu.memory:.0%}"
        yield f"GPU {gpu.gpu_id}: {used} busy, {memory} of its memory used{', lost' if gpu.lost else ''}"
