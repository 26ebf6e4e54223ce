"""`python -m vllm_monitor free-memory`: asks each process of a server to free memory, and says what it freed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from vllm_monitor import place
from vllm_monitor.commands import Command, give
from vllm_monitor.memory_lever import FREED, LAST_PULL, NAME, PULLS, SECONDS
from vllm_monitor.reading import Snapshot, lives, read_all
from vllm_monitor.token_file import VARIABLE, read_token

WORDS = "free memory of a server's processes: Python's garbage, and what torch keeps for later"
POLL = 0.2  # seconds
EXPIRES = 20_000  # ms; a process that is stopped meanwhile does not free memory long after it was asked
LONGEST = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--port", type=int, default=0, help="only the server on this port; default: all of the directory"
    )
    parser.add_argument("--wait", type=seconds, default=10.0, help="seconds to wait for answers (default 10)")


def run(options: argparse.Namespace) -> int:
    """Returns 0 when each process has answered, 1 when one has not, 2 when nobody can be asked."""
    folder = place.directory()
    try:
        token = read_token()
        if folder is None or token is None:
            raise ValueError(_missing(folder))
        asked = [one for one in read_all(folder) if options.port in (0, one.port) and lives(one, time.monotonic())]
        if not asked:
            raise ValueError(f"no process of a server with the plug-in writes into {folder}")
        now = int(time.time() * 1000)
        give(folder, NAME, Command(now, now + EXPIRES, options.port), token)
        answers = wait(folder, asked, now / 1000, options.wait)
    except (OSError, ValueError) as error:
        print(f"free-memory: {error}", file=sys.stderr)
        return 2
    for one in asked:
        print(f"{one.role:<12} pid {one.pid:<8} {said(one, answers.get(one.pid))}")
    return int(len(answers) < len(asked))


def seconds(text: str) -> float:
    """Raises ValueError, of which argparse makes its message."""
    found = float(text)
    if not 0 < found <= LONGEST:  # not for NaN either
        raise ValueError
    return found


def wait(folder: Path, asked: Iterable[Snapshot], generation: float, longest: float) -> dict[int, Snapshot]:
    """Returns what each process that has obeyed says, by process id."""
    wanted = {(one.pid, one.start, one.namespace) for one in asked}
    until = time.monotonic() + longest
    while True:
        found = {
            one.pid: one
            for one in read_all(folder)
            if (one.pid, one.start, one.namespace) in wanted and generation in _values(one, LAST_PULL)
        }
        if len(found) >= len(wanted) or time.monotonic() >= until:
            return found
        time.sleep(POLL)


def said(before: Snapshot, after: Snapshot | None) -> str:
    """Returns the answer of a process in words."""
    if after is None:
        return f"no answer: it does not run, or {VARIABLE} names no file to it, or another token"
    host, device, took = (
        added(before, after, name, *label) for name, *label in ((FREED, "host"), (FREED, "device"), (SECONDS,))
    )
    when = "during a step" if added(before, after, PULLS, "busy") else "while no step ran"
    return f"freed {host:.0f} bytes of the host and {device:.0f} of devices in {took:.3f} s, {when}"


def added(before: Snapshot, after: Snapshot, name: str, label: str = "") -> float:
    """Returns what came to the counters of a name since; of those only that have the label value."""
    return sum(_values(after, name, label)) - sum(_values(before, name, label))


def _values(one: Snapshot, name: str, label: str = "") -> list[float]:
    found = (each for each in one.entries if each.name == name)
    return [each.values[0] for each in found if not label or label in dict(each.labels).values()]


def _missing(folder: Path | None) -> str:
    if folder is None:
        return f"this user cannot write into {place.chosen()}: run it as vLLM's user, with its {place.VARIABLE}"
    make = "openssl rand -hex 32 > FILE; chmod 600 FILE"
    return f"{VARIABLE} names no file: make one ({make}), and start vLLM with the variable, too"
