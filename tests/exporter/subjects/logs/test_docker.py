"""A container's log, against a small engine on a socket, and against a real one."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.patience import wait_for
from vllm_exporter.clock import SystemClock
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.subjects.logs.docker import LogDocker, parse_time, split_frames
from vllm_exporter.subjects.logs.source import MAX_LINE, MAX_READ, RawLine

FIRST, SECOND = b"2026-11-21T15:04:00.250000000Z", b"2026-11-21T15:04:01.000000000Z"


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


class Engine:
    """Answers as dockerd does: a description, and a log that stays open."""

    def __init__(self, path: Path, log: bytes, tty: bool = False, status: int = 200) -> None:
        self.path = str(path)
        self.asked: list[str] = []
        self.log, self.tty, self.status = log, tty, status
        self.open: list[socket.socket] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.path)
        self._socket.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.asked.append(connection.recv(65536).split(b" ")[1].decode())
            described = self.asked[-1].endswith("/json")
            body = b'{"Id":"c0ffee","Config":{"Tty":%s}}' % (b"true" if self.tty else b"false")
            if not described:
                self.open.append(connection)
            connection.sendall(b"HTTP/1.0 %d OK\r\n\r\n" % self.status + (body if described else self.log))
            if described:
                connection.close()

    def close(self) -> None:
        for connection in self.open:
            connection.close()
        self._socket.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    made: list[Engine] = []
    yield made
    for engine in made:
        engine.close()


def read(log: LogDocker, number: int) -> list[RawLine]:
    """So many lines: the engine answers from a thread of its own."""
    lines: list[RawLine] = []
    deadline = time.monotonic() + 5
    while len(lines) < number and time.monotonic() < deadline:
        lines += log.read().lines
    return lines


def test_reads_the_lines_of_both_streams_with_their_times(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, frame(FIRST + b" out\n") + frame(SECOND + b" err\n", 2)))
    log = LogDocker("vllm-1", {}, FakeClock(wall=1_700_000_000.0), str(place))
    assert read(log, 2) == [RawLine(b"out", 1_795_273_440.25), RawLine(b"err", 1_795_273_441.0)]
    assert log.position() == {"last": SECOND.decode()}
    assert engines[0].asked[0] == "/containers/vllm-1/json"
    assert engines[0].asked[1].endswith("follow=1&stdout=1&stderr=1&timestamps=1&since=1700000000.000000000")
    assert log.read().lines == ()


def test_reads_a_terminals_log_which_has_no_frames(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, FIRST + b" one\r\n", tty=True))
    assert read(LogDocker("vllm-1", {}, FakeClock(), str(place)), 1) == [RawLine(b"one", 1_795_273_440.25)]


def test_goes_on_behind_the_last_line_after_a_restart(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, frame(FIRST + b" known\n") + frame(SECOND + b" new\n")))
    log = LogDocker("vllm-1", {"last": FIRST.decode()}, FakeClock(), str(place))
    assert [line.text for line in read(log, 1)] == [b"new"]
    assert engines[0].asked[1].endswith("since=1795273440.250000000")


def test_reads_a_container_that_is_made_later_from_its_start(tmp_path: Path) -> None:
    clock, path = FakeClock(wall=1_700_000_000.0), tmp_path / "later.sock"
    log = LogDocker("vllm-1", {}, clock, str(path))
    with pytest.raises(SourceError):
        log.read()
    clock.advance(60.0)
    engine = Engine(path, b"")
    log.read()
    log.close()
    engine.close()
    assert engine.asked[1].endswith("since=1700000000.000000000")


def test_waits_before_it_asks_again_for_a_log_that_ended(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, frame(FIRST + b" last\n")))
    clock = FakeClock()
    log = LogDocker("vllm-1", {}, clock, str(place))
    read(log, 1)
    engines[0].open[0].close()
    log.read()
    with pytest.raises(NoData, match="the log of vllm-1 ended"):
        log.read()
    asked = len(engines[0].asked)
    clock.advance(5.0)
    log.read()
    assert len(engines[0].asked) > asked


def test_tells_a_missing_container_from_a_missing_engine(place: Path, engines: list[Engine]) -> None:
    with pytest.raises(SourceError, match="No such file"):
        LogDocker("vllm-1", {}, FakeClock(), str(place)).read()
    engines.append(Engine(place, b"", status=404))
    with pytest.raises(NoData, match="docker has no container 'vllm-1'"):
        LogDocker("vllm-1", {}, FakeClock(), str(place)).read()


def test_says_what_an_engine_answered_that_refuses(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, b"", status=403))
    with pytest.raises(SourceError, match="status 403 for 'vllm-1'"):
        LogDocker("vllm-1", {}, FakeClock(), str(place)).read()


def test_keeps_a_frame_that_is_not_whole_yet() -> None:
    whole = frame(b"abc") + frame(b"def", 2)
    assert split_frames(whole) == ([(1, b"abc"), (2, b"def")], b"")
    assert split_frames(whole[:-1]) == ([(1, b"abc")], whole[11:-1])


@pytest.mark.parametrize("data", [b"plain text", b"\x01\0\0\0\xff\xff\xff\xff"])
def test_refuses_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(SourceError, match="not in frames"):
        split_frames(data)


def test_a_time_that_is_none_is_0() -> None:
    assert parse_time(b"yesterday") == 0.0
    assert parse_time(b"") == 0.0


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], capture_output=True, text=True, timeout=50, check=True).stdout.strip()


def image() -> str:
    """Of the images that are here, one with a shell."""
    try:
        found = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    return next((name for name in found if name.startswith(("python:", "debian:", "busybox:", "alpine:"))), "")


def test_a_frame_longer_than_a_reading_arrives_in_the_end(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, frame(FIRST + b" " + b"x" * (3 * MAX_READ) + b"\n") + frame(SECOND + b" end\n")))
    lines = read(LogDocker("vllm-1", {}, FakeClock(), str(place)), 2)
    assert [len(line.text) for line in lines] == [MAX_LINE - len(FIRST) - 1, 3]


def test_what_an_engine_has_ready_is_more_than_one_reading(place: Path, engines: list[Engine]) -> None:
    engines.append(Engine(place, b"".join(frame(FIRST + b" x" * 100 + b"\n") for _ in range(300))))
    log = LogDocker("vllm-1", {}, FakeClock(), str(place))
    first = wait_for(lambda: batch if (batch := log.read()).lines else None)
    assert first is not None
    assert not first.live


@pytest.mark.real
def test_reads_the_log_of_a_real_container() -> None:
    here = image()
    if not here:
        pytest.skip("no Docker engine here, or no image with a shell")
    name = f"vllm-log-{time.time_ns()}"
    script = "sleep 2; echo out; echo err >&2; printf 'half'; sleep 1; echo ' and half'; sleep 30"
    docker("run", "-d", "--rm", "--name", name, here, "sh", "-c", script)
    log = LogDocker(name, {}, SystemClock())
    try:
        lines: list[RawLine] = []

        def three() -> bool:
            lines.extend(log.read().lines)
            return len(lines) >= 3

        wait_for(three, pause=0.1)
        assert sorted(line.text for line in lines) == [b"err", b"half and half", b"out"]
        assert all(abs((line.time or 0) - time.time()) < 30 for line in lines)
    finally:
        log.close()
        docker("rm", "-f", name)
