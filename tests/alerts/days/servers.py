"""The series of a server that is well: vLLM's families that the rules read, and what the exporter says of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.alerts.days.course import PHASES, SCRAPE, START_TIMEOUT, Line, Moment, Server, line, shown, total

BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1, 1.5, 2, 2.5, 5, 10, 60, math.inf)
# Seconds of an average answer: usually, in a burst, and beside long prompts. Half of that to its double, evenly.
HISTOGRAMS = {
    "e2e_request_latency_seconds": (0.9, 1.2, 1.2),
    "time_to_first_token_seconds": (0.15, 0.8, 1.0),
    "inter_token_latency_seconds": (0.04, 0.06, 0.1),
    "request_queue_time_seconds": (0.01, 0.6, 0.01),
}
STATES = ("serving", "idle", "draining", "exited", "sleeping", "paused", *PHASES)


def of_vllm(chance: random.Random, server: Server, moments: Sequence[Moment]) -> Iterator[Line]:
    """What Prometheus scrapes from it. In a burst a scrape is lost now and then."""
    target = {"job": "vllm", "instance": server.name, "server": server.name}
    up = [one.answers and not (one.word == "burst" and chance.random() < 0.02) for one in moments]
    listed = [one.here for one in moments]
    yield line("up", target, shown(up, listed))
    yield line("scrape_duration_seconds", target, shown([chance.uniform(0.02, 2.0) for _ in moments], listed))
    yield line("scrape_samples_scraped", target, shown([700.0 * one for one in up], listed))
    began = [one.started for one in moments]
    for status, share in (("2xx", 1.0), ("4xx", 0.01), ("5xx", 0.001)):
        labels = target | {"handler": "/v1/completions", "method": "POST", "status": status}
        yield line("http_requests_total", labels, shown(total([share * one.rate for one in moments], began), up))
    yield line("process_open_fds", target, shown([200 + 20 * one.rate for one in moments], up))
    yield line("process_max_fds", target, shown([65536.0] * len(moments), up))
    for engine in range(server.engines):
        labels = target | {"model_name": "m", "engine": str(engine)}
        yield from _of_engine(chance, labels, moments, up, 1 / server.engines)


def _of_engine(
    chance: random.Random, labels: dict[str, str], moments: Sequence[Moment], up: Sequence[bool], share: float
) -> Iterator[Line]:
    rate = [share * one.rate for one in moments]
    began = [one.started for one in moments]
    most = {"burst": 90, "serving": 4, "long_prompts": 20, "paused": 30}
    queue = [
        chance.randint(0, round(share * most.get(one.word, 0))) * (one.rate > 0.3 or chance.random() < 0.05)
        for one in moments
    ]
    gauges = {
        "num_requests_running": [float(min(200, round(4 * one))) for one in rate],
        "num_requests_waiting": [float(one) for one in queue],
        "kv_cache_usage_perc": [min(0.99, 0.1 * one) for one in rate],
    }
    for name, values in gauges.items():
        yield line(f"vllm:{name}", labels, shown(values, up))
    for name, each in (("generation_tokens_total", 240.0), ("prompt_tokens_total", 800.0)):
        yield line(f"vllm:{name}", labels, shown(total([each * one for one in rate], began), up))
    yield line("vllm:request_success_total", labels | {"finished_reason": "stop"}, shown(total(rate, began), up))
    for name, (usual, burst, long) in HISTOGRAMS.items():
        means = [{"burst": burst, "long_prompts": long}.get(one.word, usual) for one in moments]
        for bound in BOUNDS:
            within = [
                one * min(1.0, max(0.0, (bound / mean - 0.5) / 1.1)) for one, mean in zip(rate, means, strict=True)
            ]
            le = "+Inf" if bound == math.inf else str(float(bound))
            yield line(f"vllm:{name}_bucket", labels | {"le": le}, shown(total(within, began), up))
        yield line(f"vllm:{name}_count", labels, shown(total(rate, began), up))


def of_exporter(
    chance: random.Random, server: Server, moments: Sequence[Moment], seen: Sequence[bool]
) -> Iterator[Line]:
    """What the exporter of its host says of it, while that is there (`seen`)."""
    labels = {"job": "exporter", "instance": f"{server.host}:9855", "server": server.name}
    here = [one.here and there for one, there in zip(moments, seen, strict=True)]
    late = [one.word == "burst" and chance.random() < 0.1 for one in moments]  # /health does not answer in time
    for result in ("ok", "refused", "timeout", "503", "other"):
        truth = [
            result == ("timeout" if slow else "ok" if one.answers else "refused")
            for one, slow in zip(moments, late, strict=True)
        ]
        yield line("vllm_probe_health", labels | {"result": result}, shown(truth, here))
    for state in STATES:
        yield line(
            "vllm_lifecycle_state", labels | {"state": state}, shown([one.state == state for one in moments], here)
        )
    for name, values in _gauges(chance, moments).items():
        yield line(name, labels, shown(values, here))
    ready = [one.answers and there for one, there in zip(moments, here, strict=True)]
    yield line("vllm_server_ready_age_seconds", labels, shown(_ready_ages(moments), ready))
    yield line(
        "vllm_canary_requests_total",
        labels | {"result": "ok"},
        shown(total([0.1 * one.answers for one in moments]), here),
    )
    yield line("vllm_log_readable", labels | {"source": "file"}, shown([1.0] * len(moments), here))
    yield from _logs(labels, moments, here)
    yield from _processes(labels, moments, here)
    if server.inside:
        yield from _inside(chance, labels, moments, here)


def _gauges(chance: random.Random, moments: Sequence[Moment]) -> dict[str, list[float]]:
    periods = [10.0 * one.alive for one in moments]
    return {
        "vllm_server_ready": [float(one.answers) for one in moments],
        "vllm_server_sleeping": [float(one.word == "asleep") for one in moments],
        "vllm_server_paused": [float(one.word == "paused") for one in moments],
        "vllm_server_stalled": [0.0 for _ in moments],
        "vllm_server_stall_limit_seconds": [30.0 for _ in moments],
        "vllm_server_progress_age_seconds": [
            chance.uniform(0, 25) if one.word == "long_prompts" else 0.0 for one in moments
        ],
        "vllm_server_metrics_readable": [float(one.answers) for one in moments],
        "vllm_server_load_requests": [0.0 if one.word == "asleep" else round(4 * one.rate) for one in moments],
        "vllm_canary_consecutive_failures": [float(one.word == "long_prompts") for one in moments],
        "vllm_canary_success": [float(one.word != "long_prompts") for one in moments],
        "vllm_cgroup_cpu_periods_total": total(periods),
        "vllm_cgroup_cpu_throttled_periods_total": total(
            [one * (0.6 if moment.phase == "compiling" else 0.1) for one, moment in zip(periods, moments, strict=True)]
        ),
        "vllm_cgroup_memory_limit_bytes": [256e9 for _ in moments],
        "vllm_cgroup_memory_working_set_bytes": [
            {"weights_loading": 235e9, "": 150e9 * one.alive + 5e9 * one.rate}.get(one.phase, 180e9) for one in moments
        ],
        "vllm_server_shm_free_bytes": [15e9 - 2e9 * one.alive - 1e9 * one.rate for one in moments],
        "vllm_server_shm_size_bytes": [16e9 for _ in moments],
    }


def _ready_ages(moments: Sequence[Moment]) -> list[float]:
    """It has been ready for a day when the story begins."""
    found, age = [], 86400.0
    for one in moments:
        age = age + SCRAPE if one.answers else 0.0
        found.append(age)
    return found


def _logs(labels: dict[str, str], moments: Sequence[Moment], here: Sequence[bool]) -> Iterator[Line]:
    """A worker waits while another compiles and says so each minute. A client sends a grammar that is none."""
    stalls, grammars, newest = [0.0], [0.0], [0.0]
    for now, one in enumerate(moments):
        said = one.phase == "compiling" and now % 4 == 0
        newest.append(float(now * SCRAPE) if said else newest[-1])
        stalls.append(stalls[-1] + said)
        grammars.append(grammars[-1] + (one.rate > 1 and now % 40 == 0))
    after = [there and newest[number + 1] > 0 for number, there in enumerate(here)]
    yield line("vllm_log_event_last_timestamp_seconds", labels | {"class": "hang.shm_stall"}, shown(newest[1:], after))
    for name, severity, counted in (
        ("hang.shm_stall", "info", stalls[1:]),
        ("hang.shm_stall", "error", [0.0] * len(moments)),
        ("so.grammar", "warning", grammars[1:]),
        ("engine.dead", "critical", [0.0] * len(moments)),
    ):
        yield line("vllm_log_events_total", labels | {"class": name, "severity": severity}, shown(counted, here))


def _processes(labels: dict[str, str], moments: Sequence[Moment], here: Sequence[bool]) -> Iterator[Line]:
    role = labels | {"role": "api_server"}
    alive = [one.alive and there for one, there in zip(moments, here, strict=True)]
    yield line("vllm_processes", role, shown([float(one.alive) for one in moments], here))
    yield line("vllm_process_start_time_seconds", role, shown([one.started * SCRAPE for one in moments], alive))
    yield line("vllm_process_states", role | {"state": "stopped"}, shown([0.0] * len(moments), alive))
    busy = [0.05 + 0.2 * one.rate for one in moments]
    yield line("vllm_process_cpu_seconds_total", role, shown(total(busy, [one.started for one in moments]), alive))
    yield line("vllm_process_orphans", labels, shown([float(one.word == "exited") for one in moments], here))
    restarts, ends = [0.0], [0.0]
    for now, (before, one) in enumerate(pairwise(moments), 1):
        restarts.append(restarts[-1] + (one.started != before.started))
        ends.append(float(now * SCRAPE) if one.word == "exited" != before.word else ends[-1])
    yield line("vllm_process_restarts_total", labels, shown(restarts, here))
    ended = [there and at > 0 for there, at in zip(here, ends, strict=True)]
    exits = role | {"cause": "sigterm", "code": "0"}
    yield line("vllm_lifecycle_last_exit_timestamp_seconds", exits, shown(ends, ended))


def _inside(
    chance: random.Random, labels: dict[str, str], moments: Sequence[Moment], here: Sequence[bool]
) -> Iterator[Line]:
    """The part inside vLLM: an engine core that reads a long prompt writes late, and answers may be long."""
    alive = [one.answers and there for one, there in zip(moments, here, strict=True)]
    ages = {
        "api_server": [chance.uniform(0, 1.2) for _ in moments],
        "engine_core": [chance.uniform(0, 15.0 if one.word == "long_prompts" else 0.5) for one in moments],
    }
    for role, values in ages.items():
        yield line("vllm_inside_snapshot_age_seconds", labels | {"role": role}, shown(values, alive))
        yield line("vllm_inside_processes", labels | {"role": role}, shown([1.0] * len(moments), alive))
    lost = total([0.01 * (one.word == "burst") for one in moments])
    for name, gauge in {
        "vllm_event_loop_lag_seconds": [chance.expovariate(20) for _ in moments],
        "vllm_inside_disabled": [0.0 for _ in moments],
        "vllm_inside_steps_lost_total": lost,
        "vllm_inside_requests_lost_total": [0.0 for _ in moments],
        "vllm_requests_in_flight": [float(round(4 * one.rate)) for one in moments],
        "vllm_request_oldest_seconds": [chance.uniform(0, 900) * (one.rate > 0.5) for one in moments],
    }.items():
        yield line(name, labels, shown(gauge, alive))


def of_healer(server: Server, moments: Sequence[Moment]) -> Iterator[Line]:
    """It sees each end, waits for what its supervisor has started, and says when that works."""
    labels = {"job": "healer", "instance": "alpha:9856", "server": server.name}
    until = [(one.started * SCRAPE + START_TIMEOUT if one.word == "loading" else 0.0) for one in moments]
    yield line("vllm_healer_working_until_timestamp_seconds", labels, until)
    yield line("vllm_healer_alerts_suppressed", labels, [0.0] * len(moments))
    over = [now for now, (before, one) in enumerate(pairwise(moments), 1) if before.word == "loading" != one.word]
    for number, end in enumerate(over):
        incident = {"incident": f"{number}", "cause": "starting", "remediation": "notify_only", "state": "healed"}
        later = [now >= end for now in range(len(moments))]
        for name, at in (("started", moments[end - 1].started - 1), ("ended", end)):
            values = shown([float(at * SCRAPE)] * len(moments), later)
            yield line(f"vllm_healer_incident_{name}_timestamp_seconds", labels | incident, values)
