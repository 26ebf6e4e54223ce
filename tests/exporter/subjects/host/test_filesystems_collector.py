from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.exporter.fakes import FakeClock
from tests.exporter.samples import samples
from vllm_exporter.config.config import Config
from vllm_exporter.errors import NoData, SourceError
from vllm_exporter.facts.facts import Trees, VllmProcess
from vllm_exporter.facts.values import Ref
from vllm_exporter.run.collector import Context
from vllm_exporter.subjects.host.filesystems_collector import FilesystemsCollector
from vllm_exporter.subjects.host.mounts import Space

Ask = Callable[[str], Space | None]

MOUNTS = (
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "28 27 0:22 / /proc rw - proc proc rw\n"
    "30 25 0:27 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684084k\n"
    "31 27 8:2 / /models ro,relatime - xfs /dev/sdb rw\n"
    "32 27 0:60 / /home rw - nfs4 filer:/home rw\n"
)
SPACES = {
    "/": Space(1000, 400, 50, 20),
    "/dev/shm": Space(64, 63, 0, 0),
    "/models": Space(5000, 1, 70, 69),
}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(MOUNTS)
    return tmp_path


def collect(proc: Path, clock: FakeClock, space: Ask = SPACES.get, trees: Trees | None = None) -> dict[str, float]:
    context = Context(Config(), clock, proc)
    if trees:
        context.board.post(trees)
    found = samples(FilesystemsCollector(context, space).collect())
    return {f"{one.family.name.removeprefix('vllm_')}{{{','.join(one.values)}}}": one.value for one in found}


def test_reads_local_file_systems(proc: Path, clock: FakeClock) -> None:
    found = collect(proc, clock)
    assert found["host_filesystem_size_bytes{/,ext4}"] == 1000
    assert found["host_filesystem_free_bytes{/,ext4}"] == 400
    assert found["host_filesystem_files{/,ext4}"] == 50
    assert found["host_filesystem_files_free{/,ext4}"] == 20
    assert found["host_filesystem_read_only{/,ext4}"] == 0
    assert found["host_filesystem_read_only{/models,xfs}"] == 1


def test_reads_dev_shm(proc: Path, clock: FakeClock) -> None:
    found = collect(proc, clock)
    assert found["host_shm_size_bytes{}"] == 64
    assert found["host_shm_free_bytes{}"] == 63
    assert "host_filesystem_files{/dev/shm,tmpfs}" not in found


def test_never_asks_a_remote_file_system_and_says_so(proc: Path, clock: FakeClock) -> None:
    asked: list[str] = []

    def space(path: str) -> Space | None:
        asked.append(path)
        return SPACES[path]

    found = collect(proc, clock, space)
    assert "/home" not in asked
    assert found["host_filesystems_skipped{remote}"] == 1
    assert found["host_filesystems_skipped{limit}"] == 0


def test_one_that_cannot_be_asked_is_counted(proc: Path, clock: FakeClock) -> None:
    found = collect(proc, clock, {"/": SPACES["/"]}.get)
    assert found["host_filesystems_skipped{error}"] == 2
    assert "host_shm_size_bytes{}" not in found


def test_reads_the_dev_shm_of_each_server_that_it_may_look_into(proc: Path, clock: FakeClock) -> None:
    trees = Trees(
        {
            42: VllmProcess(Ref(42, 1), "api_server", "", "a:1", 1, "S", main=True),
            43: VllmProcess(Ref(43, 1), "api_server", "", "b:1", 1, "S", main=True),
        }
    )
    spaces = {f"{proc}/42/root/dev/shm": Space(64 << 20, 5, 0, 0)}
    found = collect(proc, clock, spaces.get, trees)
    assert {name: value for name, value in found.items() if name.startswith("server")} == {
        "server_shm_size_bytes{a:1}": 67108864,
        "server_shm_free_bytes{a:1}": 5,
    }


def test_has_no_data_without_mounts_and_dev_shm(tmp_path: Path, clock: FakeClock) -> None:
    spaces: dict[str, Space] = {}
    with pytest.raises(NoData, match="neither /dev/shm nor"):
        collect(tmp_path, clock, spaces.get)


def test_says_when_mountinfo_is_not_understood(proc: Path, clock: FakeClock) -> None:
    (proc / "self/mountinfo").write_text("surprise\n")
    with pytest.raises(SourceError, match="mountinfo: not what the kernel documents"):
        collect(proc, clock)
