"""The journal, through a stand-in for journalctl that is a real program."""

from __future__ import annotations

import sys
import time

import pytest

from tests.exporter.fakes import FakeClock
from tests.patience import wait_for
from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.logs.journal import Follow, LogJournal, message_bytes, parse_entry, start_program
from vllm_exporter.subjects.logs.source import RawLine

ENTRY = b'{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795273092500000","MESSAGE":"INFO: ready"}'
SAYS = f"import sys, time\nprint({ENTRY.decode()!r}, flush=True)\n"
LASTS = SAYS + "time.sleep(30)\n"
ENDS = SAYS + "sys.exit('journal is corrupt')\n"


class Programs:
    """Starts a script in place of journalctl, and keeps what was asked for."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str]) -> Follow:
        self.commands.append(command)
        return start_program([sys.executable, "-c", self.script])


def read_until_lines(journal: LogJournal) -> tuple[RawLine, ...]:
    """The program needs a moment to print."""
    return wait_for(lambda: journal.read().lines)


def test_reads_what_the_program_prints_and_remembers_the_cursor() -> None:
    programs = Programs(LASTS)
    journal = LogJournal("vllm.service", {}, FakeClock(), programs)
    assert read_until_lines(journal) == (RawLine(b"INFO: ready", 1_795_273_092.5),)
    assert journal.position() == {"cursor": "s=1;i=2"}
    assert journal.read().lines == ()
    journal.close()
    assert "--unit=vllm.service" in programs.commands[0]
    assert "--lines=0" in programs.commands[0]


def test_goes_on_behind_the_cursor_and_reads_the_kernel_by_name() -> None:
    command = LogJournal("kernel", {"cursor": "s=1;i=2"}, FakeClock()).command()
    assert command[-3:] == ["--dmesg", "--after-cursor=s=1;i=2", "--lines=all"]


def test_says_why_the_program_ended_and_starts_it_again_later() -> None:
    programs, clock = Programs(ENDS), FakeClock()
    journal = LogJournal("vllm.service", {}, clock, programs)
    read_until_lines(journal)
    with pytest.raises(SourceError, match="journalctl ended: journal is corrupt"):
        read_until_lines(journal)
    with pytest.raises(SourceError, match="journal is corrupt"):
        journal.read()
    assert len(programs.commands) == 1
    clock.advance(1.0)
    journal.read()
    assert len(programs.commands) == 2
    assert "--after-cursor=s=1;i=2" in programs.commands[1]
    journal.close()


def test_says_when_there_is_no_journalctl() -> None:
    def start(command: list[str]) -> Follow:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(SourceError, match="journalctl: No such file or directory"):
        LogJournal("vllm.service", {}, FakeClock(), start).read()


def test_takes_a_message_that_is_no_text_as_bytes() -> None:
    assert message_bytes([255, 104, 105]) == b"\xffhi"
    assert message_bytes(None) == b""
    assert message_bytes([1, "x"]) == b""


@pytest.mark.parametrize("text", [b"", b"[]", b"-- No entries --", b"{"])
def test_ignores_what_is_no_entry(text: bytes) -> None:
    assert parse_entry(text) is None


def test_reads_more_without_a_wait_than_a_pipe_usually_holds() -> None:
    many = f"import sys, time\nprint(({ENTRY.decode()!r} + chr(10)) * 5000, end='', flush=True)\ntime.sleep(30)\n"
    journal = LogJournal("vllm.service", {}, FakeClock(), Programs(many))
    deadline, waits, lines = time.monotonic() + 20, 0, 0
    while lines < 5000 and time.monotonic() < deadline:
        batch = journal.read()
        lines += len(batch.lines)
        if batch.live:
            waits += bool(batch.lines)
            time.sleep(0.05)  # the program fills the pipe meanwhile
    journal.close()
    assert lines == 5000
    assert waits <= 3  # with a pipe of 64 KiB it would be six
