"""Splits a line of a log into its parts: process, level, time and text.

vLLM 0.32 prints `(EngineCore pid=9512) INFO 11-21 14:55:06 [core.py:133] …`, older releases the same without the first
part. Lines of other writers (uvicorn, NCCL, tracebacks on stderr) have none of it. A container engine may add text
around the line, or the whole may be JSON (`--logging-config.formatter json`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_exporter.facts.values import Role

LIMIT = 2048  # bytes of a line that are read: its meaning stands in front, text that users sent behind
MAX_NAME = 64  # characters of a process's name; vLLM's have 30 at most
LEVELS = frozenset((b"DEBUG", b"INFO", b"WARNING", b"ERROR", b"CRITICAL"))
QUIET = frozenset((b"DEBUG", b"INFO"))

_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,16}m")
_ROLES: tuple[tuple[str, Role], ...] = (  # vLLM's names of its processes begin so; before 0.11 a worker is VllmWorker
    ("APIServer", "api_server"),
    ("EngineCore", "engine_core"),
    ("Worker", "worker"),
    ("VllmWorker", "worker"),
    ("RayWorker", "worker"),
    ("DPCoordinator", "coordinator"),
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """`process` and `stamp` are b'' when the line does not say."""

    body: bytes
    process: bytes = b""  # 'Worker_TP0'
    pid: int | None = None
    level: bytes = b""
    stamp: bytes = b""  # '11-21 14:55:06', local time of the server

    @property
    def quiet(self) -> bool:
        return self.level in QUIET


def split_lines(raw: bytes) -> Iterator[LogLine]:
    """Yields the line without the text around it; several for JSON, in which a traceback is one line."""
    if raw[:2] == b'{"':
        yield from _json_lines(raw)
        return
    if raw[10:11] == b"T" and raw[4:5] == b"-":
        raw = _without_cri(raw)
    yield parse_line(raw[:LIMIT])


def parse_line(raw: bytes) -> LogLine:
    """Parses one line of text, without its line break."""
    raw = uncoloured(raw)
    process, pid = b"", None
    if raw[:1] == b"(":
        end = raw.find(b") ", 1, 120)
        name, found, number = raw[1:end].partition(b" pid=") if end > 0 else (b"", b"", b"")
        if found:
            process, raw = name.partition(b" ")[0], raw[end + 2 :]
            digits = number.partition(b",")[0]
            pid = int(digits) if digits.isdigit() and len(digits) < 10 else None
    level, _, rest = raw[:48].partition(b" ")
    if level not in LEVELS or rest[2:3] != b"-" or not rest[:2].isdigit():
        return LogLine(raw, process, pid)
    start = raw.find(b"] ", 0, 200)
    if start < 0:  # an empty line of a message, or a release before 0.6 without the bracket
        start = len(raw) if raw.rstrip().endswith(b"]") else len(level) + 14
    return LogLine(raw[start + 2 :], process, pid, level, rest[:14])


def uncoloured(text: bytes) -> bytes:
    """Removes the colours that vLLM and uvicorn print on a terminal."""
    return _COLOUR.sub(b"", text) if b"\x1b" in text else text


def parse_stamp(stamp: bytes, now: float) -> float | None:
    """Returns the Unix time of '11-21 14:55:06', which has no year, in the year before `now`; None: it is no time."""
    this_year = time.localtime(now).tm_year
    for year in (this_year, this_year - 1):
        try:
            at = time.mktime(time.strptime(f"{year}-{stamp.decode('ascii')}", "%Y-%m-%d %H:%M:%S"))
        except (ValueError, OverflowError):  # UnicodeDecodeError is a ValueError
            return None
        if at <= now + 86400:  # the server's time zone may be ahead of ours
            return at
    return None


def parse_process(name: bytes) -> tuple[Role | None, str]:
    """Returns role and rank of a process as logs name it: 'Worker_DP0_TP1', 'EngineCore', 'VllmWorker-0'."""
    text = name.decode("ascii", "replace")
    for start, role in _ROLES:
        if text.startswith(start):
            return role, text.partition("_")[2]
    return None, ""


def _without_cri(raw: bytes) -> bytes:
    """Returns the text of a line of a Kubernetes container log: `<time> stdout F text`."""
    head, found, _ = raw[:80].partition(b" F ")
    return raw[len(head) + 3 :] if found and head.endswith((b" stdout", b" stderr")) else raw


def _json_lines(raw: bytes) -> Iterator[LogLine]:
    """Parses vLLM's JSON log, and Docker's json-file; any other text with a brace in front is taken as it is."""
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):  # the latter: brackets in brackets in brackets, which anybody can send
        data = None
    if not isinstance(data, dict):
        yield LogLine(raw[:LIMIT])
        return
    if isinstance(data.get("log"), str):
        yield from split_lines(_bytes(data["log"].rstrip("\r\n")))
        return
    yield from _record_lines(data)


def _record_lines(data: dict[str, object]) -> Iterator[LogLine]:
    name, pid, level = (data.get(key) for key in ("vllm_process_name", "process", "levelname"))
    process = _bytes(name[:MAX_NAME]) if isinstance(name, str) else b""
    stamp = _bytes(str(data.get("asctime", ""))[5:19])  # '2026-11-21 15:08:50,689'
    for key in ("message", "exc_info"):
        text = data.get(key)
        for one in _bytes(text).split(b"\n") if isinstance(text, str) else ():
            yield LogLine(
                one[:LIMIT],
                process,
                pid if isinstance(pid, int) else None,
                _bytes(level) if isinstance(level, str) else b"",
                stamp,
            )


def _bytes(text: str) -> bytes:
    """Encodes text; JSON may hold halves of surrogate pairs, which UTF-8 does not have."""
    return text.encode("utf-8", "replace")
