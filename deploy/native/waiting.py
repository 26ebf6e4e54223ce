"""Waits until each part answers, and shows the log of the one that does not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from deploy.errors import NativeError
from deploy.native.http import get
from deploy.native.layout import Layout
from deploy.native.programs import Program
from deploy.native.supervisor import Supervisor

START_SECONDS = 60.0  # Prometheus replays its write-ahead log first; a month of a small fleet takes about ten
_POLL_SECONDS = 0.1
_LOG_LINES = 15
_LOG_BYTES = 64 * 1024
_WHAT_NEXT = "What started keeps running. Mend it and `make up` again, or `make down`."


def wait_until_healthy(layout: Layout, supervisor: Supervisor, programs: Iterable[Program]) -> None:
    """Raises NativeError with the last log lines of the first part that failed or took too long."""
    deadline = time.monotonic() + START_SECONDS
    for program in filter(lambda one: one.health, programs):
        while not is_healthy(program):
            state = next((one for one in supervisor.processes() if one.name == program.name), None)
            if state is None or state.state == "FATAL" or time.monotonic() > deadline:
                raise NativeError(_failure(layout, program, state.state if state else "gone"))
            time.sleep(_POLL_SECONDS)
    while time.monotonic() < deadline and any(one.state == "STARTING" for one in supervisor.processes()):
        time.sleep(_POLL_SECONDS)  # all answer; supervisord says RUNNING after its startsecs, and so will `status`


def is_healthy(program: Program) -> bool:
    answer = get(program.port, program.health)
    return answer is not None and answer[0] == 200


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def _failure(layout: Layout, program: Program, state: str) -> str:
    log = layout.log(program.name)
    answer = get(program.port, program.health)
    said = f"answers {answer[0]}: {answer[1].strip()[:200]}" if answer else "does not answer"
    lines = "\n".join(f"  | {line}" for line in last_lines(log, _LOG_LINES))
    what = f"{program.name} ({state}) {said} at {program.address}{program.health}"
    return f"{what}. The end of {log}:\n{lines}\n{_WHAT_NEXT}"
