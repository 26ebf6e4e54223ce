"""Parses a line that vLLM wrote into its parts: process, level, time, place in the source and text.

vLLM 0.32 prints `(EngineCore pid=9512) INFO 11-21 14:55:06 [core.py:133] …`, older releases the same without the first
part. Lines of other writers (uvicorn, NCCL, tracebacks on stderr) have none of it. What Ray, Docker or a log shipper
write before and around a line is taken off in split.py.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from vllm_exporter.facts.values import Role

LIMIT = 2048  # bytes of a line that are read: its meaning stands in front, text that users sent behind
QUIET = frozenset((b"DEBUG", b"INFO"))
LOUD = frozenset((b"ERROR", b"CRITICAL"))

_NAMED = rb"\(([^() ,=]{0,64}) ?([^()]{0,64}?)pid=(\d{1,9})[^()]{0,64}\)"
_HEAD = (
    rb"(DEBUG|INFO|WARNING|ERROR|CRITICAL) "
    rb"(?:(?:\d{4}-)?(\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d{1,9})?(?: |$)|(?=\[[\w./-]{1,150}\.py:\d))"
    rb"(?:\[?([^\]\s]{1,150}:\d{1,6})\[?\](?: |$))?"
)
# `(VllmWorker rank=7 pid=1030) `, `(RayWorkerWrapper pid=11305, ip=10.0.0.2) `; `(raylet) ` has
# no pid, nor has `(APIServer) ` where a wrapper took it off
_UNNUMBERED = rb"\((raylet|gcs_server|autoscaler|A[Pp][Ii]Server\w{0,8}|EngineCore\w{0,32}|(?:Vllm)?Worker\w{0,48})"
PROCESS = re.compile(rb"(?:" + _NAMED + rb"|" + _UNNUMBERED + rb"(?:[ ,][^()]{0,64})?\))(?: |$)")
# `INFO 11-21 14:55:06 [core.py:133] `; before 0.7 without the first bracket, in an empty line without the last blank
HEAD = re.compile(_HEAD)
_OWN = re.compile(rb"(?:" + _NAMED + rb" )?" + _HEAD)  # what nearly all lines begin with
_ESCAPE = re.compile(  # colours, and what else moves a terminal's cursor
    rb"\x1b(?:\[[0-?]{0,16}[ -/]{0,4}[@-~]|[\]_P^X][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)?|[@-Z\\-_])"
)
_BARE = re.compile(rb"\[\d{1,3}(?:;\d{1,3}){0,5}m")  # a browser's copy of a terminal has lost the first byte
_REPEATED = re.compile(
    rb" \[repeated \d{1,9}x across cluster\]"
)  # Ray counts equal lines of its workers; a hint follows
_RANK_WORD = re.compile(rb"\brank ?=? ?(\d{1,5})\b")
_RANK_BEFORE = re.compile(rb"\[rank(\d{1,5})\]|\[\d{1,5},(\d{1,5})\]<std")  # torch's, mpirun's
_ROLES: tuple[tuple[str, Role], ...] = (  # vLLM's names of its processes begin so; before 0.11 a worker is VllmWorker
    ("APIServer", "api_server"),
    ("ApiServer", "api_server"),
    ("EngineCore", "engine_core"),
    ("DPEngineCore", "engine_core"),
    ("DPMoEEngineCore", "engine_core"),
    ("StageEngineCore", "engine_core"),
    ("Worker", "worker"),
    ("VllmWorker", "worker"),
    ("RayWorker", "worker"),
    ("DPCoordinator", "coordinator"),
)


class LogLine(NamedTuple):
    """One line. A part is b'' when the line does not say."""

    body: bytes
    process: bytes = b""  # 'Worker_TP0'
    pid: int | None = None
    level: bytes = b""
    stamp: bytes = b""  # '11-21 14:55:06', local time of the server
    place: bytes = b""  # 'core.py:133'
    words: bytes = b""  # what stands beside the process's name: 'TP1 ', 'rank=7 '
    stream: bytes = b""  # who wrote it: all that stands before the level, without times
    written: bytes = b""  # the time that others wrote before or beside the line, as they did

    @property
    def quiet(self) -> bool:
        return self.level in QUIET

    @property
    def rank(self) -> str:
        """Returns 'DP0_TP1' of `(Worker_DP0_TP1 pid=…`, 'TP1' of `(VllmWorker TP1 pid=…`, '7' of `[rank7]:`; or ''."""
        rank = _rank_of_words(self.words) or parse_process(self.process)[1]
        if rank:
            return rank
        found = _RANK_BEFORE.search(self.stream) or _RANK_BEFORE.match(self.body)
        return (found[1] or found[2]).decode() if found is not None else ""


def parse_own(text: bytes) -> LogLine | None:
    """Parses a line that begins as vLLM's do, without colours and its line break; None for any other."""
    found = _OWN.match(text)
    if found is None:
        return None
    process, words, pid, level, stamp, place = found.groups(b"")
    body, start = unrepeated(text[found.end() :]), found.start(4)
    return LogLine(body[:LIMIT], process, int(pid) if pid else None, level, stamp, place, words, text[:start])


def process_of(found: re.Match[bytes]) -> tuple[bytes, bytes, int | None]:
    """Returns name, further words and process id of a match of PROCESS."""
    name, words, digits, of_ray = found.groups(b"")
    return name or of_ray, words, int(digits) if digits else None


def uncoloured(text: bytes) -> bytes:
    """Removes colours and movements of the cursor, which vLLM, Ray and uvicorn print on a terminal."""
    if b"#0" in text or b"^[[" in text:  # as rsyslog writes escapes and carriage returns, and as cat -v does
        text = text.replace(b"#015", b"").replace(b"#033[", b"\x1b[").replace(b"^[[", b"\x1b[")
    if b"\x1b" in text:
        text = _ESCAPE.sub(b"", text)
    return _BARE.sub(b"", text) if b"[0m" in text or b"[0;" in text else text


def unrepeated(body: bytes) -> bytes:
    """Removes Ray's count of equal lines: ` [repeated 6x across cluster]`, and the hint behind it."""
    if b"x across cluster]" not in body:
        return body
    found = _REPEATED.search(body)
    return body if found is None else body[: found.start()]


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


def _rank_of_words(words: bytes) -> str:
    """Returns '7' of 'rank=7 ', 'TP1_PP0' of 'TP1 PP0 '."""
    found = _RANK_WORD.search(words)
    if found is not None:
        return found[1].decode()
    return "_".join(word.decode() for word in words.split() if word[:2].isalpha() and word[2:].isdigit())
