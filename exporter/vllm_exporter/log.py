"""One log line per event: `time=… level=… msg="…" key=value …` on stderr.

A few lines instead of the logging package, which would cost 1 MiB of memory.
"""

from __future__ import annotations

import re
import sys
import time
from typing import Literal, Protocol

LogLevel = Literal["info", "warning", "error"]

_UNPRINTABLE = re.compile(r"[^ -~]+")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@%+,\[\]-]+")


class Log(Protocol):
    def __call__(self, level: LogLevel, message: str, **facts: object) -> None: ...


def log(level: LogLevel, message: str, **facts: object) -> None:
    """Writes one line. A closed pipe does not stop the exporter."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        print(f"time={now} level={level} {logfmt({'msg': message, **facts})}", file=sys.stderr, flush=True)
    except OSError:
        return


def logfmt(facts: dict[str, object]) -> str:
    """Returns key=value pairs on one line; a value with other than plain characters is quoted."""
    return " ".join(f"{key}={_quote(str(value))}" for key, value in facts.items())


def _quote(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNPRINTABLE.sub(_escape, escaped)}"'


def _escape(found: re.Match[str]) -> str:
    """Returns '\\n' for a line break, '\\x1b' for ESC: a terminal takes no orders from a log."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in found[0])
