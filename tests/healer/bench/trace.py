"""Reads a system-call trace of a healer: was each webhook on the disk before its answer went out?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

LOG = "journal.sqlite-wal>"
ANSWER = re.compile(r'sendto\(\d+<(socket:[^>]*)>, "HTTP/1\.1 200')
SYNC = re.compile(r"(\d+) +f(?:data)?sync\(")
SYNCED = re.compile(r"(\d+) .*f(?:data)?sync(?:\(| resumed).*= 0")


def unsynced(trace: str, names: Sequence[str]) -> list[str]:
    """The names whose answer went out before a sync that began after they were written, or that have none of it.

    The requests, each with one name in it, were sent one after the other over one connection.
    """
    lines = trace.splitlines()
    answers = _answers(lines)
    return [name for name, answer in zip(names, answers, strict=False) if not _is_synced(lines, name, answer)] + list(
        names[len(answers) :]
    )


def _answers(lines: Sequence[str]) -> list[int]:
    """The lines of the answers on the connection that has most of them; others ask whether it is ready."""
    by_socket: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if found := ANSWER.search(line):
            by_socket.setdefault(found[1], []).append(number)
    return max(by_socket.values(), key=len, default=[])


def _is_synced(lines: Sequence[str], name: str, answer: int) -> bool:
    written = next((n for n, line in _of_log(lines, "pwrite64(") if name in line), answer)
    began = next((n for n, _ in _of_log(lines, "sync(") if n > written), answer)
    thread = SYNC.match(lines[began])
    ends = (n for n in range(began, len(lines)) if (end := SYNCED.match(lines[n])) and thread and end[1] == thread[1])
    return next(ends, answer) < answer


def _of_log(lines: Sequence[str], call: str) -> Iterator[tuple[int, str]]:
    """The calls on the journal's write-ahead log, by line."""
    return ((number, line) for number, line in enumerate(lines) if call in line and LOG in line)
