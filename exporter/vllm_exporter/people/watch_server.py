"""Watches one server over HTTP for some seconds: how its values move, and what it answers meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import pairwise

from vllm_exporter.errors import SourceError
from vllm_exporter.people.hang.evidence import EngineLook, HangEvidence
from vllm_exporter.subjects.server.api import NO_FAMILIES, VllmApi
from vllm_exporter.subjects.server.canaries import CanaryResult

INTERVAL = 0.5  # seconds between two readings of /metrics
ENOUGH = 4.0  # seconds after which a server that gives output, or has nothing to do, needs no longer look
READINGS = 6  # at least, for a server with work: when a batch ends, one of them may look like an empty server


class Canary:
    """Sends one request for one token, in a thread of its own."""

    def __init__(self, api: VllmApi) -> None:
        self.result: CanaryResult | None = None  # None: no answer yet
        self.seconds = 0.0
        self._api = api
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
        self._thread.start()

    @property
    def unanswered(self) -> bool:
        return self.result in (None, "timeout")

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        started = time.monotonic()
        result, _ = self._api.canary()
        self.seconds, self.result = time.monotonic() - started, result


def look(api: VllmApi, seen: HangEvidence, send_canary: bool, seconds: float, longest: float) -> HangEvidence:
    """Watches for `seconds`, or for `longest` a server with work that does not move: a healthy step may take that long.

    Pause and sleep are checked first: a canary to a paused server waits for ever, and proves nothing.
    """
    pause, sleep = api.deep("is_paused"), api.deep("is_sleeping")
    held = bool(pause.yes or sleep.yes)
    if held:
        seconds = longest = min(seconds, ENOUGH)
    canary = Canary(api) if send_canary and not held else None
    samples, problem = _watch(api, canary, seconds, longest)
    if canary is not None and not _moves(samples):
        canary.wait(longest)
    offered = [answer.answered for answer in (pause, sleep) if answer.supported]
    awake = samples[-1].values.awake if samples else None
    return replace(
        seen,
        samples=tuple(samples),
        problem=problem,
        paused=pause.yes,
        sleeping=sleep.yes if awake is None else not awake,  # a paused engine says of itself that it sleeps
        engine_answers=all(offered) if offered else None,
        canary=canary.result if canary else None,
        canary_seconds=canary.seconds if canary else 0.0,
    )


def _watch(api: VllmApi, canary: Canary | None, seconds: float, longest: float) -> tuple[list[EngineLook], str]:
    """Returns the readings, and why the last one failed ('' when it did not)."""
    samples: list[EngineLook] = []
    problem, started = "", time.monotonic()
    while True:
        now = time.monotonic() - started
        try:
            reading = api.engine()
            problem = "" if reading else NO_FAMILIES
            if reading:
                samples.append(EngineLook(now, reading.values))
        except SourceError as error:
            problem = str(error)
        if _enough(samples, canary, now, seconds, longest):
            return samples, problem
        time.sleep(INTERVAL)


def _enough(samples: list[EngineLook], canary: Canary | None, now: float, seconds: float, longest: float) -> bool:
    work = bool(samples) and (samples[-1].values.work or (canary is not None and canary.unanswered))
    if work and not _moves(samples):
        return now >= longest
    if now < ENOUGH or not samples:
        return now >= seconds
    return now >= seconds or not work or (len(samples) >= READINGS and _outputs(samples) >= 2)


def _moves(samples: list[EngineLook]) -> bool:
    return any(one.values != two.values for one, two in pairwise(samples))


def _outputs(samples: list[EngineLook]) -> int:
    tokens = [sample.values.generation_tokens or 0 for sample in samples]
    return sum(two > one for one, two in pairwise(tokens))
