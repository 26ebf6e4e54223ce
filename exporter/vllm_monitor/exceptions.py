"""Counts exceptions that nobody caught, and those of request handlers, by class; groups their stacks by fingerprint.

Hooks of others stay: ours notes what happened and calls the one before it, with the same arguments. What is kept of a
stack are files, functions and line numbers: no message, no source and no local, any of which may hold a prompt.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing.util
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from traceback import walk_tb
from types import TracebackType
from typing import Any, Literal

from vllm_monitor.background import Background
from vllm_monitor.outcomes import Exchange, status_of
from vllm_monitor.series import printable

Origin = Literal["main", "thread", "asyncio", "handler"]

WAITING = 256  # exceptions that wait to be counted
CLASSES = 32  # classes of each origin that have a series of their own
STACKS = 64  # of which it is known when they were told
FRAMES = 16  # of a stack, the innermost
AGAIN = 60.0  # seconds after which a stack that was told is told again
NO_FAULTS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)  # somebody wanted them

_hooked = False
_current: Exceptions | None = None


@dataclass(frozen=True)
class Raised:
    """What is kept of an exception."""

    at: float  # Unix time
    origin: Origin
    name: str  # of its class
    cause: str  # class of the exception that it was raised from at last; '' without one
    frames: tuple[tuple[str, int, str], ...]  # file, line and function, the innermost last

    @property
    def fingerprint(self) -> str:
        """Returns the same word for the same stack, whatever lines were added above."""
        known = (self.origin, self.name, self.cause, *(f"{file} {function}" for file, _, function in self.frames))
        return hashlib.sha256("\n".join(known).encode("utf-8", "replace")).hexdigest()[:12]


@dataclass
class Told:
    """When a stack was told last, and how often it came since."""

    last: Raised
    at: float
    since: int = 0


class Exceptions:
    """The exceptions of this process. `note` may be called by any thread; the rest runs in the counting one."""

    def __init__(self, background: Background, wall: Callable[[], float] = time.time) -> None:
        self.pid = os.getpid()
        self.background = background
        self._wall = wall
        self._waiting: deque[Raised] = deque(maxlen=WAITING)
        self._stacks: dict[str, Told] = {}

    def note(self, error: BaseException | None, origin: Origin) -> None:
        """Takes an exception. Raises nothing: who is told of an exception must not make another one."""
        try:
            if error is not None and not isinstance(error, NO_FAULTS):
                self._waiting.append(describe(error, origin, self._wall()))
        except Exception:  # noqa: BLE001 - an exception's own class may do anything
            return

    def handled(self, error: BaseException, exchange: Exchange) -> None:
        """Takes an exception of a request's handler, if the server is to blame and not the request."""
        try:
            blamed = not exchange.left and (exchange.first or status_of(error) >= 500)
        except Exception:  # noqa: BLE001 - as above
            blamed = True
        if blamed:
            self.note(error, "handler")

    def __call__(self, now: float) -> Iterator[None]:
        """Counts what was noted, and tells of stacks that are new or came again."""
        series = self.background.series
        for _ in range(len(self._waiting)):
            raised = self._waiting.popleft()
            labels = {"origin": raised.origin, "exception": raised.name}
            series.count(series.place("counter", "vllm_exceptions_total", CLASSES, **labels))
            self._sort(raised, now)
            yield
        for told in self._stacks.values():
            if told.since and now - told.at >= AGAIN:
                self._tell(told, now)

    def _sort(self, raised: Raised, now: float) -> None:
        told = self._stacks.get(raised.fingerprint)
        if told is not None:
            told.last, told.since = raised, told.since + 1
            return
        if len(self._stacks) >= STACKS:
            del self._stacks[min(self._stacks, key=lambda one: self._stacks[one].at)]
        told = self._stacks[raised.fingerprint] = Told(raised, now, 1)
        self._tell(told, now)

    def _tell(self, told: Told, now: float) -> None:
        raised = told.last
        stack = " < ".join(f"{file}:{line} in {function}" for file, line, function in reversed(raised.frames))
        line = {
            "time": round(raised.at, 3),
            "kind": "exception",
            "exception": raised.name,
            "origin": raised.origin,
            "cause": raised.cause,
            "fingerprint": raised.fingerprint,
            "stack": stack,
            "count": told.since,
        }
        self.background.lines.write(line, now)
        told.at, told.since = now, 0


class LoopHandler:
    """Stands before an event loop's handler of exceptions."""

    def __init__(self, before: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], Any] | None) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        note(context.get("exception"), "asyncio")
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


def install(background: Background) -> Exceptions:
    """Counts the exceptions of this process from now on, and returns where. Once a process; later calls do nothing."""
    global _current
    if _current is None or _current.pid != os.getpid() or _current.background is not background:
        _current = Exceptions(background)
        background.add(_current)
        if multiprocessing.parent_process() is not None:  # prints what its main function raises without a hook
            multiprocessing.util.Finalize(None, _leave, exitpriority=100)
    _hook()
    return _current


def note(error: BaseException | None, origin: Origin) -> None:
    """Notes an exception of this process. Raises nothing."""
    if _current is not None:
        _current.note(error, origin)


def watch_loop() -> None:
    """Notes exceptions of the running loop's tasks and callbacks that nobody awaits. Without a loop it does nothing."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    before = loop.get_exception_handler()
    if not isinstance(before, LoopHandler):
        loop.set_exception_handler(LoopHandler(before))


def describe(error: BaseException, origin: Origin, at: float) -> Raised:
    """Returns what is kept of an exception."""
    frames: deque[tuple[str, int, str]] = deque(maxlen=FRAMES)
    for frame, line in walk_tb(error.__traceback__):
        frames.append((short_path(frame.f_code.co_filename), line, printable(frame.f_code.co_name)))
    return Raised(at, origin, class_name(error), cause_of(error), tuple(frames))


def class_name(error: BaseException) -> str:
    """Returns the name of its class, 'other' where that is no name."""
    name = type(error).__name__
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= 80 else "other"


def cause_of(error: BaseException) -> str:
    """Returns the class of the exception from which it was raised at last; '' without one."""
    seen, at = {id(error)}, error
    while (cause := at.__cause__) is not None and id(cause) not in seen:
        seen.add(id(cause))
        at = cause
    return class_name(at) if at is not error else ""


def short_path(path: str) -> str:
    """Returns the path from the package on: 'vllm/v1/engine/core.py'; of a file elsewhere its folder and name."""
    _, installed, rest = path.rpartition("/site-packages/")
    return printable(rest if installed else "/".join(path.split("/")[-2:]))


def _hook() -> None:
    """Puts the hooks before those that are there, once in a process and those that it forks."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    before, before_of_threads = sys.excepthook, threading.excepthook

    def main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        note(error, "main")
        before(kind, error, trace)

    def thread(arguments: threading.ExceptHookArgs) -> None:
        note(arguments.exc_value, "thread")
        before_of_threads(arguments)

    sys.excepthook, threading.excepthook = main, thread


def _leave() -> None:
    """Runs when a process of multiprocessing ends.

    It runs neither the hook nor, if it was forked, what is registered for the end. Until Python 3.12 its exception is
    still there then; from 3.13 on it is forgotten, and not counted.
    """
    if _current is not None and _current.pid == os.getpid():
        note(sys.exc_info()[1], "main")
        _current.background.last_round()
