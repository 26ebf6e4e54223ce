"""Reads Python's tracebacks: their frames, and the exception in their last line. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_exporter.facts.events import Severity
from vllm_exporter.subjects.logs.lines import LOUD, LogLine

TRACEBACK = b"Traceback (most recent call last):"
CHAINED = (b"During handling of the above", b"The above exception was")
CAUGHT = (  # what Python and uvicorn print before a traceback that does not end its process
    *(b"Exception in thread", b"Exception in callback", b"Exception ignored in", b"Exception in ASGI application"),
    *(b"exception was never retrieved", b"--- Logging error ---", b"Error in atexit"),
)
BY_REQUEST = frozenset(("KeyboardInterrupt", "SystemExit", "GeneratorExit", "asyncio.exceptions.CancelledError"))
BESIDE = (b"INFO:", b"WARNING:", b"DEBUG:")  # uvicorn's, which can come between the lines of a traceback on stderr
BY_RAY = b"ray.exceptions.RayTaskError("  # the traceback of the worker follows, and then its exception
FLAT = 2  # lines below a frame: its source, and the marks below that
EXCEPTIONS = (b"Error", b"Exception", b"Interrupt", b"Exit", b"Iteration")  # what names of exceptions end with


@dataclass(slots=True)
class OpenTrace:
    """A traceback that has not ended."""

    uncaught: bool  # Python printed it, and what is above does not say that the process goes on
    lines: int = 0
    indent: bytes = b""  # blanks before all of its lines, as in text that was quoted
    flat: int = 0  # lines of source that may still come, where copying took the indentation away
    frame: bytes = field(default=b"")


@dataclass(slots=True)
class EndedTrace:
    """A traceback that has ended. Lines may follow that belong to its message, or the next one of the chain."""

    line: LogLine
    exception: str
    frame: str
    uncaught: bool
    at: float
    untold: int | None = None  # the index of its last line, while no class is found for it
    severity: Severity = "info"  # of that line
    starting: bool = False  # the server was not ready yet

    def may_end_process(self) -> bool:
        return self.exception not in BY_REQUEST and (self.uncaught or self.line.level in LOUD)


def exception_type(line: bytes) -> str:
    """Returns 'ValueError' of 'ValueError: …', with its module; '' when the line is no end of a traceback."""
    name, colon, _ = line.partition(b":")
    name = name.strip()
    if name.endswith(b")"):  # ray.exceptions.RayTaskError(ValueError)
        name = name.partition(b"(")[0]
    last = name.rpartition(b".")[2]
    if not (name.replace(b".", b"").replace(b"_", b"").isalnum() and name.isascii() and len(name) <= 120):
        return ""
    named = last[:1].isupper() or last.strip(b"_").endswith((b"error", *EXCEPTIONS[:2]))  # as zlib.error
    whole = colon or last != name or last.endswith(EXCEPTIONS)  # not `Killed`, as a shell prints it
    return name.decode() if named and whole else ""


def lone_exception(line: bytes) -> str:
    """Returns 'ValueError' of a line 'ValueError: …' without a traceback above it; '' for any other line."""
    name = line[:120].partition(b": ")[0]
    return exception_type(line) if name.endswith((b"Error", b"Exception")) else ""


def frame_name(frame: bytes) -> str:
    """Returns 'core.py:run_busy_loop' of '  File "/…/core.py", line 1512, in run_busy_loop'."""
    path, _, rest = frame.strip().removeprefix(b'File "').partition(b'"')
    file = path.rpartition(b"/")[2]
    _, known, function = rest.rpartition(b" in ")  # a terminal may have broken the line before it
    name = file + b":" + function.strip() if file and known else file
    return name.decode("utf-8", "replace")[:120]


def ungrouped(body: bytes) -> bytes:
    """Returns a line of an exception group's traceback without the bars in front."""
    text = body.lstrip(b" ")
    return text[1:].removeprefix(b" ") if text[:1] == b"|" else body


def is_flat(trace: OpenTrace, body: bytes) -> bool:
    """True if the line is inside a traceback that lost its indentation, as copied text does."""
    if body.startswith(b'File "') and b'", line ' in body:
        trace.flat = FLAT
        return True
    if not trace.flat or exception_type(body) or body.startswith((*BESIDE, BY_RAY)):
        return False
    trace.flat -= 1
    return True


def is_field(body: bytes) -> bool:
    """True if the line may be the name of a field, as pydantic prints it between an exception and its message."""
    return body.strip().translate(None, b"._[]-`'").isalnum()
