"""Reading a directory of snapshot files, friendly and hostile."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tests.exporter.fake_proc import FakeProc
from tests.exporter.fakes import FakeClock
from tests.exporter.subjects.inside.snapshot_writer import Line, SnapshotWriter
from tests.patience import wait_for
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.inside.directory import (
    DirectoryReading,
    SnapshotDirectory,
    check_folder,
    lives,
    read_identity,
)
from vllm_exporter.subjects.inside.format import ProcessIdentity

HERE = ProcessIdentity("b" * 32, 10, 1, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "snapshots"
    made.mkdir(mode=0o755)
    return made


def write(folder: Path, pid: int, *values: float) -> SnapshotWriter:
    writer = SnapshotWriter(folder, pid=pid, start=1)
    writer.lines([Line("counter", f"count_{at}") for at in range(len(values))])
    writer.write(values)
    return writer


def counts(reading: DirectoryReading) -> dict[int, tuple[float, ...]]:
    return {one.identity.pid: one.values for one in reading.snapshots}


def reasons(reading: DirectoryReading) -> dict[str, str]:
    return {name: problem.reason for name, problem in reading.problems.items()}


def test_reads_every_file_and_follows_its_changes(folder: Path, clock: FakeClock) -> None:
    one = write(folder, 1, 1, 2)
    write(folder, 2, 3)
    found = SnapshotDirectory(folder, clock)
    assert counts(found.read()) == {1: (1, 2), 2: (3,)}
    one.write([5, 6])
    assert counts(found.read()) == {1: (5, 6), 2: (3,)}
    one.lines([Line("counter", f"count_{at}") for at in range(40)])
    one.write(range(40))
    assert counts(found.read())[1] == tuple(range(40))


def test_a_new_file_is_seen_and_a_removed_one_forgotten(folder: Path, clock: FakeClock) -> None:
    first = write(folder, 1, 1)
    found = SnapshotDirectory(folder, clock)
    found.read()
    time.sleep(0.01)  # the time of a directory may be as coarse as 4 ms
    write(folder, 2, 2)
    first.path.unlink()
    assert counts(found.read()) == {2: (2,)}


def test_a_file_put_in_the_place_of_another_is_read_instead(folder: Path, clock: FakeClock) -> None:
    write(folder, 1, 1)
    found = SnapshotDirectory(folder, clock)
    found.read()
    write(folder, 1, 9)
    clock.advance(10)
    assert counts(found.read()) == {1: (9,)}


def test_the_others_are_read_when_one_makes_no_sense(folder: Path, clock: FakeClock) -> None:
    write(folder, 1, 1)
    (folder / "empty.snap").write_bytes(b"")
    (folder / "short.snap").write_bytes(write(folder, 2, 2).path.read_bytes()[:130])
    (folder / "other.snap").write_bytes(b"not a snapshot, but long enough to be taken for one" * 5)
    (folder / "new.snap").write_bytes(b"VLLMSNAP\x09\0\0\0" + bytes(200))
    (folder / "notes.txt").write_text("not ours")
    reading = SnapshotDirectory(folder, clock).read()
    assert counts(reading) == {1: (1,), 2: (2,)}
    assert reasons(reading) == {
        "empty.snap": "truncated",
        "short.snap": "truncated",
        "other.snap": "magic",
        "new.snap": "version",
    }


def test_a_writer_killed_half_way_leaves_a_torn_file(folder: Path, clock: FakeClock) -> None:
    write(folder, 1, 1).begin()
    assert reasons(SnapshotDirectory(folder, clock).read()) == {"1-1.snap": "torn"}


def test_a_file_cut_short_while_it_is_open_is_an_error_and_no_end(folder: Path, clock: FakeClock) -> None:
    writer = write(folder, 1, 1)
    found = SnapshotDirectory(folder, clock)
    found.read()
    os.truncate(writer.path, 64)
    assert reasons(found.read()) == {"1-1.snap": "truncated"}


def test_refuses_links_pipes_and_what_others_may_write(folder: Path, clock: FakeClock, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link.snap").symlink_to(write(outside, 1, 1).path)
    os.mkfifo(folder / "pipe.snap", 0o644)
    write(folder, 2, 2).path.chmod(0o666)
    reading = SnapshotDirectory(folder, clock).read()
    assert counts(reading) == {}
    assert reasons(reading) == {"link.snap": "unreadable", "pipe.snap": "untrusted", "2-1.snap": "untrusted"}
    assert "chmod" not in str(reading.problems["link.snap"])


def test_refuses_a_file_of_a_stranger(folder: Path, clock: FakeClock) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(write(folder, 1, 1).path, 12345, -1)
    reading = SnapshotDirectory(folder, clock).read()
    assert reasons(reading) == {"1-1.snap": "untrusted"}
    assert "belongs to user 12345" in str(reading.problems["1-1.snap"])


def test_trusts_the_owner_of_the_folder(folder: Path, clock: FakeClock) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(write(folder, 1, 1).path, 12345, -1)
    os.chown(folder, 12345, -1)
    assert counts(SnapshotDirectory(folder, clock).read()) == {1: (1,)}


def test_refuses_a_file_that_is_too_large(folder: Path, clock: FakeClock) -> None:
    SnapshotWriter(folder, pid=1, start=1, size=(1 << 20) + 1)
    assert reasons(SnapshotDirectory(folder, clock).read()) == {"1-1.snap": "size"}


def test_refuses_a_folder_into_which_others_may_write(folder: Path, clock: FakeClock) -> None:
    folder.chmod(0o777)
    with pytest.raises(SourceError, match="others may write into it; chmod 0755, or 1777"):
        SnapshotDirectory(folder, clock).read()
    folder.chmod(0o1777)
    assert check_folder(folder, folder.stat()) == {0, os.geteuid(), folder.stat().st_uid}


def test_a_folder_that_is_not_there_is_no_fault_but_a_link_is(clock: FakeClock, tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NoData, match="does not exist"):
        SnapshotDirectory(tmp_path / "none", clock).read()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SourceError, match="must be a directory"):
        SnapshotDirectory(tmp_path / "link", clock).read()


def test_says_so_when_there_are_too_many_files(folder: Path, clock: FakeClock) -> None:
    for at in range(257):
        (folder / f"{at}.snap").touch()
    snapshots = SnapshotDirectory(folder, clock)
    for _ in range(2):
        with pytest.raises(SourceError, match="257 files, at most 256"):
            snapshots.read()


def test_hundreds_of_files_of_a_stranger_cost_the_others_nothing(folder: Path, clock: FakeClock) -> None:
    """As nobody may leave in a directory of mode 1777 that several users share."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    folder.chmod(0o1777)
    write(folder, 1, 7)
    for at in range(300):
        path = folder / f"0{at:03d}.snap"
        path.touch()
        os.chown(path, 12345, -1)
    os.symlink("1-1.snap", folder / "00.snap")
    os.chown(folder / "00.snap", 12345, -1, follow_symlinks=False)
    reading = SnapshotDirectory(folder, clock).read()
    assert counts(reading) == {1: (7,)}
    assert len(reading.problems) == 17  # 16 by name
    assert str(reading.problems["…"]) == "285 more files of users who are not trusted"


def test_a_crowded_directory_is_listed_every_ten_seconds_however_often_it_changes(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for at in range(257):
        (folder / f"{at}.snap").touch()
        os.chown(folder / f"{at}.snap", 12345, -1)
    listings: list[int] = []
    listdir = os.listdir

    def list_and_count(place: int) -> list[str]:
        listings.append(1)
        return listdir(place)

    monkeypatch.setattr(os, "listdir", list_and_count)
    found = SnapshotDirectory(folder, clock)
    for at in range(5):
        os.utime(folder, (at, at))
        found.read()
    assert len(listings) == 1
    clock.advance(10)
    found.read()
    assert len(listings) == 2


def test_a_process_lives_while_its_id_and_start_time_are_in_proc(tmp_path: Path) -> None:
    proc = FakeProc(tmp_path / "proc")
    proc.process(100, 1, "VLLM::EngineCore", start=77)
    proc.process(101, 1, "VLLM::EngineCore", start=78, state="Z")
    now = 5.0
    assert lives(ProcessIdentity(HERE.boot, HERE.namespace, 100, 77), now, now, proc.root, HERE)
    assert not lives(ProcessIdentity(HERE.boot, HERE.namespace, 100, 76), now, now, proc.root, HERE)
    assert not lives(ProcessIdentity(HERE.boot, HERE.namespace, 101, 78), now, now, proc.root, HERE)
    assert not lives(ProcessIdentity(HERE.boot, HERE.namespace, 102, 77), now, now, proc.root, HERE)
    assert not lives(ProcessIdentity("c" * 32, HERE.namespace, 100, 77), now, now, proc.root, HERE)


def test_a_process_of_another_container_lives_while_it_writes(tmp_path: Path) -> None:
    other = ProcessIdentity(HERE.boot, 11, 100, 77)
    assert lives(other, 1000.0, 1059.0, tmp_path, HERE)
    assert not lives(other, 1000.0, 1061.0, tmp_path, HERE)


def test_the_writer_of_the_tests_is_this_process(folder: Path, clock: FakeClock) -> None:
    SnapshotWriter(folder)
    [one] = SnapshotDirectory(folder, clock).read().snapshots
    proc = Path("/proc")
    assert lives(one.identity, one.written, one.written, proc, read_identity(proc))


def keep_writing(folder: str) -> None:
    writer = SnapshotWriter(Path(folder), pid=1, start=1)
    writer.lines([Line("counter", f"count_{at}") for at in range(300)])
    for count in itertools.count():
        writer.write([float(count)] * 300)


def test_never_sees_half_a_write_of_a_process_that_writes_all_the_time(folder: Path, clock: FakeClock) -> None:
    process = multiprocessing.get_context("fork").Process(target=keep_writing, args=(str(folder),), daemon=True)
    process.start()
    found = SnapshotDirectory(folder, clock)
    seen: set[float] = set()

    def look() -> bool:
        clock.advance(10)
        reading = found.read()
        assert all(len(set(one.values)) <= 1 for one in reading.snapshots)
        assert set(reasons(reading).values()) <= {"torn"}
        seen.update(value for one in reading.snapshots for value in one.values[:1])
        return len(seen) > 100

    try:
        wait_for(look, "a hundred different readings", lambda: f"of {len(seen)}", pause=0)
    finally:
        process.kill()
        process.join()
