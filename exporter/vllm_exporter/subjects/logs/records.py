"""Parses a line that is a record: JSON of vLLM's own formatter or of any other one, Docker's json-file, or logfmt.

Names of keys differ; what they hold does not. Keys are compared by their last part in lower case, so that `log.level`,
`@timestamp` and `jsonPayload.message` are known too. Of a record without any known text all texts are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from vllm_exporter.subjects.logs.lines import QUIET

MAX_NAME = 64  # characters of a process's name; vLLM's have 30 at most
DEEP = 4  # records in records
DEEPEST = 10  # and lists of them, where no key is known
TEXTS = ("message", "msg", "log", "textpayload", "short_message", "event", "body", "text", "line", "content")
PRINTED = ("log", "textpayload", "line")  # is one; the record's level is the shipper's guess by stdout and stderr
ERRORS = ("exc_info", "exc_text", "exception", "traceback", "stack_trace", "stacktrace", "stack", "error")
LEVELS_OF = ("levelname", "level", "severity", "severitytext", "severity_text", "log_level", "loglevel", "lvl")
TIMES = ("asctime", "timestamp", "time", "ts", "datetime", "date", "created", "source_realtime_timestamp")
NAMES = ("vllm_process_name", "processname", "process_name")
PIDS = ("process", "pid", "process_id", "processid")
SOURCES = ("stream", "pod_name", "container_name", "container_id", "systemd_unit", "hostname")
KNOWN = (TEXTS, ERRORS, LEVELS_OF, TIMES, NAMES, PIDS, SOURCES)
OF_PROGRAMS = frozenset(("levelname", "logger", "name", "module", "lineno", "funcname", "filename", "caller"))
OF_USERS = ("agent", "request", "path", "url", "uri", "refer", "query", "prompt", "header", "cookie", "param")
WORDS = {
    **dict.fromkeys(("trace", "debug", "verbose"), b"DEBUG"),
    **dict.fromkeys(("info", "information", "notice", "informational"), b"INFO"),
    **dict.fromkeys(("warning", "warn"), b"WARNING"),
    **dict.fromkeys(("error", "err", "severe"), b"ERROR"),
    **dict.fromkeys(("critical", "crit", "fatal", "emerg", "emergency", "alert", "panic"), b"CRITICAL"),
}
_LOGFMT = re.compile(r'([\w.@-]+)=("(?:[^"\\]|\\.)*"|\S*)')
_LOCAL = re.compile(r"\d{4}-(\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)?$")  # without a zone


class RecordKeys(NamedTuple):
    """The keys of a record that hold something known, the best of each kind first."""

    texts: tuple[str, ...]
    errors: tuple[str, ...]
    levels: tuple[str, ...]
    times: tuple[str, ...]
    names: tuple[str, ...]
    pids: tuple[str, ...]
    sources: tuple[str, ...]


class LogRecord(NamedTuple):
    """The parts of a record. Texts are as it has them; b'' and '' when it does not say."""

    text: str
    error: str = ""
    level: bytes = b""
    process: bytes = b""
    pid: int | None = None
    stamp: bytes = b""  # '11-21 14:55:06', when the time has no zone
    written: bytes = b""
    source: bytes = b""  # the stream or container that it is from
    shipped: bool = False  # the text may be a whole line, with a process and a level of its own

    def lines(self) -> Iterator[bytes]:
        """Yields the lines of the text, then those of the traceback."""
        for text in (self.text, self.error):
            if text:
                for line in text.rstrip("\r\n").split("\n"):
                    yield line.encode("utf-8", "replace")  # JSON may hold halves of surrogate pairs


def parse_record(raw: bytes) -> LogRecord | None:
    """Parses JSON; None for any other text with a brace in front."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # the latter: brackets in brackets in brackets, which anybody can send
        return None
    return read_record(data) if isinstance(data, dict) else None


def parse_logfmt(raw: bytes) -> LogRecord | None:
    """Parses `time=… level=error msg="…"`; None for any other text."""
    pairs = _LOGFMT.findall(raw.decode("utf-8", "replace"))
    if len(pairs) < 2:
        return None
    return read_record({key: _unquoted(value) for key, value in pairs})


def read_record(data: Mapping[str, object]) -> LogRecord:
    """Finds what is known in a record, whatever its keys are called."""
    flat = dict(_flat(data))
    keys = choose_keys(tuple(flat))
    key = next((one for one in keys.texts if _text(flat[one])), "")
    text, error = _text(flat.get(key)), next((one for name in keys.errors if (one := _text(flat[name]))), "")
    at = next((_time(flat[one]) for one in keys.times if flat[one] not in (None, "")), "")
    local = _LOCAL.match(at)
    return LogRecord(
        text if text or error else "\n".join(_all_texts(data)),  # better too much than nothing
        error,
        _level(flat, keys.levels) if key not in PRINTED else b"",
        next((_name(flat[one]) for one in keys.names if flat[one] != "MainProcess"), b""),
        next((number for one in keys.pids if (number := _number(flat[one])) is not None), None),
        f"{local[1]} {local[2]}".encode() if local is not None else b"",
        at.encode("utf-8", "replace"),
        b" ".join([_name(flat[one]) for one in keys.sources]),
        bool(text) or not error,
    )


@lru_cache(maxsize=64)
def choose_keys(keys: tuple[str, ...]) -> RecordKeys:
    """Returns which of a record's keys hold what. All records of one writer have the same ones."""
    return RecordKeys(*(tuple(one for one in known if one in keys) for known in KNOWN))


def _flat(data: Mapping[str, object], depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yields the values by the last part of their key, outer ones last: they replace those further inside."""
    for value in data.values():
        if isinstance(value, dict) and depth < DEEP:
            yield from _flat(value, depth + 1)
    for key, value in data.items():
        if not isinstance(value, dict):
            yield key.rpartition(".")[2].lstrip("@_").lower(), value


def _text(value: object) -> str:
    """Returns a text; journald writes one that is not UTF-8 as a list of bytes."""
    if isinstance(value, list) and value and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value).decode("utf-8", "replace")
    return value if isinstance(value, str) else ""


def _all_texts(value: object, depth: int = 0) -> Iterator[str]:
    """Yields all texts, in lists too, except under keys that a proxy has for what users sent."""
    if text := _text(value):
        yield text
    elif depth < DEEPEST:
        for one in _inside(value):
            yield from _all_texts(one, depth + 1)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return [one for key, one in value.items() if not any(word in key.lower() for word in OF_USERS)]
    return value if isinstance(value, list) else ()


def _level(flat: Mapping[str, object], keys: tuple[str, ...]) -> bytes:
    """Returns vLLM's word for the level; b'' for a number: journald's and GELF's is the same for a whole stream.

    Shippers call all that was printed `info`. Only what a program says of its own record makes a line quiet.
    """
    words = (value.strip().lower() for key in keys if isinstance(value := flat[key], str))
    level = next((WORDS[word] for word in words if word in WORDS), b"")
    return level if level not in QUIET or not OF_PROGRAMS.isdisjoint(flat) else b""


def _name(value: object) -> bytes:
    return _text(value)[:MAX_NAME].encode("utf-8", "replace")


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _time(value: object) -> str:
    return str(value)[:40] if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _unquoted(value: str) -> str:
    if value[:1] != '"':
        return value
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), value[1:-1])
