"""Reading busy logs: all of what they say, in turn, and no longer than a run may take."""

from __future__ import annotations

from pathlib import Path

from tests.exporter.fakes import FakeClock
from vllm_exporter.errors import NoData
from vllm_exporter.subjects.logs.fair_share import FairShare
from vllm_exporter.subjects.logs.file import LogFile
from vllm_exporter.subjects.logs.follow import Follower
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.places import LogPlace
from vllm_exporter.subjects.logs.reader import LogReader
from vllm_exporter.subjects.logs.source import MAX_READ, Batch, LogSource, Position, RawLine

LINE = b"(APIServer pid=1) DEBUG 11-21 15:02:39 [x.py:1] a request of a hundred bytes and some more passed by, ok\n"


class Chunks:
    """A source with so many chunks left, each of which takes a tenth of a second."""

    def __init__(self, clock: FakeClock, left: int) -> None:
        self._clock = clock
        self.left = left

    def read(self) -> Batch:
        if self.left < 1:
            raise NoData("gone")
        self._clock.advance(0.1)
        self.left -= 1
        return Batch((RawLine(b"x"),), live=self.left == 0)

    def position(self) -> Position:
        return {}

    def close(self) -> None: ...


def place(name: str) -> LogPlace:
    return LogPlace("gpu1:8000", "file", name)


def make(clock: FakeClock, **sources: LogSource) -> FairShare:
    return FairShare(
        {place(name): LogReader(source, Follower((), Incident()), clock) for name, source in sources.items()}, clock
    )


def run(turns: FairShare) -> str:
    """Whose chunks were read, in this order."""
    order = []
    for where, reader in turns.take():
        reader.read()
        order.append(where.name)
    return " ".join(order)


def test_a_busy_log_is_read_until_nothing_is_left() -> None:
    clock = FakeClock()
    assert run(make(clock, a=Chunks(clock, 3))) == "a a a"


def test_logs_take_turns_and_one_that_is_read_up_waits_for_the_next_run() -> None:
    clock = FakeClock()
    assert run(make(clock, a=Chunks(clock, 3), b=Chunks(clock, 1), c=Chunks(clock, 2))) == "a b c a c a"


def test_a_run_ends_after_eight_tenths_of_a_second_and_the_next_goes_on() -> None:
    clock = FakeClock()
    turns = make(clock, a=Chunks(clock, 11))
    assert run(turns) == "a a a a a a a a"
    assert run(turns) == "a a a"


def test_a_log_that_had_no_turn_comes_first_in_the_next_run() -> None:
    clock = FakeClock()
    turns = make(clock, **{name: Chunks(clock, 1) for name in "abcdefghij"})
    assert run(turns) == "a b c d e f g h"
    assert run(turns).startswith("i j")


def test_a_log_that_cannot_be_read_has_one_turn_a_run() -> None:
    clock = FakeClock()
    turns = make(clock, a=Chunks(clock, 0), b=Chunks(clock, 2))
    assert run(turns) == "a b b"
    assert run(turns) == "a b"


def test_20_000_lines_a_second_are_read_to_the_last_each_second(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "vllm.log"
    path.write_bytes(b"")
    reader = LogReader(LogFile(path, {}), Follower((), Incident()), clock)
    turns = FairShare({place("a"): reader}, clock)
    run(turns)
    for _ in range(3):
        with path.open("ab") as file:
            file.write(LINE * 20_000)
        clock.advance(1.0)
        run(turns)
        assert reader.counts.unread == 0
    assert (reader.counts.lines, reader.counts.skipped) == (60_000, 0)


def test_a_chunk_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "vllm.log"
    path.write_bytes(b"")
    source = LogFile(path, {})
    source.read()
    path.write_bytes(LINE * 20_000)
    assert sum(len(line.text) + 1 for line in source.read().lines) <= MAX_READ
