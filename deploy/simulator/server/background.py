"""The tasks of a server beside answering: its statistics line, its script, the failure it was started with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from deploy.simulator.errors import SimulatorError
from deploy.simulator.failures.script import MEND, Planned, parse_script
from deploy.simulator.failures.state import script_began
from deploy.simulator.loglines import Log, stats_line
from deploy.simulator.options import ServerOptions
from deploy.simulator.server.simserver import SimServer

PAST = 0.5  # seconds that a line may be late, for the first lines of a script
LOG_SECONDS = 10.0  # simulated, between two statistics lines: VLLM_LOG_STATS_INTERVAL


def start_background(options: ServerOptions, server: SimServer, log: Log, failure: str) -> list[asyncio.Task[None]]:
    """Tasks for the caller to cancel. `failure`: what the start was told to suffer; only poison goes on after it."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(log_statistics(options, server, log))]
    if options.script:
        plan = parse_script(options.script.read_text(encoding="utf-8"), options.seed)
        tasks.append(loop.create_task(play_script(plan, options, server, log)))
    if failure == "poison":
        tasks.append(loop.create_task(_break(server, Planned(0.0, failure), log, goes_on=True)))
    return tasks


async def play_script(plan: Sequence[Planned], options: ServerOptions, server: SimServer, log: Log) -> None:
    """Breaks and mends when it is time. A line that is not possible is skipped, and the log says so."""
    clock = options.clock
    began = script_began(options.state, clock.now())
    for planned in plan:
        if began + planned.at < clock.now() - PAST:
            continue  # the process before this one has done it
        await asyncio.sleep(max(0.0, clock.real(began + planned.at - clock.now())))
        await _break(server, planned, log)


async def log_statistics(options: ServerOptions, server: SimServer, log: Log) -> None:
    """Silent after two quiet intervals, hung or idle alike, as vLLM's."""
    clock, quiet = options.clock, 0
    prompt = generation = 0
    while True:
        await asyncio.sleep(clock.real(LOG_SECONDS))
        frontend = server.frontend
        done = (frontend.prompt_tokens - prompt, frontend.generation_tokens - generation)
        rates = (done[0] / LOG_SECONDS, done[1] / LOG_SECONDS)
        prompt, generation = frontend.prompt_tokens, frontend.generation_tokens
        quiet = 0 if any(rates) else quiet + 1
        if quiet < 2:
            gauges = frontend.gauges
            words = stats_line(rates, gauges.running, gauges.waiting, gauges.kv_usage, frontend.hit_rate)
            log.info("loggers.py:335", words)


async def _break(server: SimServer, planned: Planned, log: Log, goes_on: bool = False) -> None:
    log.plain(f"simulator: {planned.how} (script)")
    try:
        if planned.how == MEND:
            await server.mend()
        else:
            await server.break_(planned.how, planned.times, goes_on)
    except SimulatorError as error:
        log.plain(f"simulator: {planned.how} left out: {error}")
