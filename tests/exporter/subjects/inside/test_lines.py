"""Lines that processes write: each is read once, over restarts of reader and writer, from files that may be trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from vllm_exporter.errors import SourceError
from vllm_exporter.subjects.inside.directory import RESCAN
from vllm_exporter.subjects.inside.lines import MAX_LINES, LineFiles

FIRST, SECOND = "100-1000-5-1.lines", "100-1000-5-2.lines"


class World:
    """A directory of lines, and readers with a state directory."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "inside"
        self.folder.mkdir(mode=0o755)
        self.state = root / "state"
        self.clock = FakeClock()

    def reader(self, looked: bool = True) -> LineFiles:
        """`looked`: an exporter was here before."""
        made = LineFiles(self.folder, self.clock, str(self.state))
        if looked:
            made.read()
        return made

    def add(self, name: str, *lines: str, end: str = "\n") -> None:
        with open(self.folder / name, "a") as file:
            file.write("\n".join(lines) + end)
        os.utime(self.folder, ns=(0, (self.folder.stat().st_mtime_ns + 1)))  # as time goes on

    def read(self, reader: LineFiles) -> list[str]:
        return [line.data.decode() for line in reader.read()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_each_line_is_read_once(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a", "b")
    assert world.read(reader) == ["a", "b"]
    assert world.read(reader) == []
    world.add(FIRST, "c")
    assert world.read(reader) == ["c"]


def test_a_line_names_the_process_that_wrote_it(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a")
    (line,) = reader.read()
    assert (line.pid, line.start, line.namespace) == (100, 1000, 5)


def test_half_a_line_waits_for_its_end(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a", "b", end="")
    assert world.read(reader) == ["a"]
    world.add(FIRST, "c")
    assert world.read(reader) == ["bc"]


def test_a_restart_of_the_exporter_reads_nothing_twice_and_misses_nothing(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a")
    assert world.read(reader) == ["a"]
    world.add(FIRST, "b")
    world.add("200-2000-5-1.lines", "of another process")
    again = world.reader(looked=False)
    assert world.read(again) == ["b", "of another process"]
    assert world.read(world.reader(looked=False)) == []


def test_an_exporter_that_never_looked_leaves_what_is_old(world: World) -> None:
    world.add(FIRST, "old")
    reader = world.reader()
    world.add(FIRST, "new")
    assert world.read(reader) == ["new"]


def test_the_next_file_of_a_process_is_read_after_the_one_before(world: World) -> None:
    reader = world.reader()
    world.add("100-1000-5-10.lines", "c")
    world.add(SECOND, "b")
    world.add(FIRST, "a")
    assert world.read(reader) == ["a", "b", "c"]


def test_a_file_that_was_removed_is_forgotten_and_a_new_one_of_its_name_read(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a long line")
    world.read(reader)
    (world.folder / FIRST).unlink()
    world.add(FIRST, "b")
    assert world.read(reader) == ["b"]


def test_a_flood_comes_in_parts(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, *map(str, range(MAX_LINES + 5)))
    world.add(SECOND, "later")
    assert world.read(reader) == [str(number) for number in range(MAX_LINES)]
    assert world.read(reader) == [*map(str, range(MAX_LINES, MAX_LINES + 5)), "later"]


def test_other_files_are_not_looked_at(world: World) -> None:
    reader = world.reader()
    for name in ("100-1000-5.snap", "notes.lines", "100-1000-5-1.lines.new"):
        world.add(name, "a")
    assert world.read(reader) == []
    assert reader.problems == {}


def test_a_link_is_not_followed(world: World, tmp_path: Path) -> None:
    reader = world.reader()
    (tmp_path / "secret").write_text("secret\n")
    (world.folder / FIRST).symlink_to(tmp_path / "secret")
    world.clock.advance(RESCAN)
    assert world.read(reader) == []
    assert reader.problems[FIRST].reason == "unreadable"


def test_a_file_that_others_may_write_is_not_believed(world: World) -> None:
    reader = world.reader()
    world.add(FIRST, "a")
    (world.folder / FIRST).chmod(0o666)
    assert world.read(reader) == []
    assert reader.problems[FIRST].reason == "untrusted"
    (world.folder / FIRST).chmod(0o644)
    assert world.read(reader) == ["a"]


def test_a_pipe_does_not_hold_the_exporter(world: World) -> None:
    reader = world.reader()
    os.mkfifo(world.folder / FIRST, 0o644)
    world.clock.advance(RESCAN)
    assert world.read(reader) == []
    assert reader.problems[FIRST].reason == "untrusted"


def test_a_directory_into_which_all_may_write_is_refused(world: World) -> None:
    reader = world.reader()
    world.folder.chmod(0o777)
    world.clock.advance(RESCAN)
    with pytest.raises(SourceError, match="others may write into it"):
        reader.read()


def test_a_state_that_is_damaged_begins_at_the_end(world: World) -> None:
    world.reader()
    world.add(FIRST, "a")
    (world.state / "inside_lines.json").write_text('{"version":1,"files":[["x",-1,2]]}')
    assert world.read(world.reader(looked=False)) == []
