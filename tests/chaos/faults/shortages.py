"""A real vLLM that runs short of something, or cannot be seen."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.clients import HEADERS, slow_clients
from tests.e2e.harness.proofs import Subject, in_shell

BATCH = ("--max-num-seqs", "8")
V1 = Path("/sys/fs/cgroup/memory")  # cgroup v1; of v2 the root
LIMIT, USED, CACHE = (
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
    if V1.is_dir()
    else ("memory.max", "memory.current", "inactive_file ")
)


def cache_too_small_for_its_load(one: Subject) -> None:
    """9 blocks of KV cache: a request needs up to 5, and those that run preempt each other."""
    one.serves("--num-gpu-blocks-override", "10", "--max-num-seqs", "16")
    one.breaks()
    one.loaded(8, prompt_tokens=40, max_tokens=600)
    one.shows("F07", "VllmThrashing", 240)


def connections_held(one: Subject) -> None:
    """By clients whose headers never end, until nine of ten file descriptors are in use."""
    one.serves(*BATCH, before=in_shell('ulimit -n 400 && exec "$@"'))
    free = 360 - len(os.listdir(f"/proc/{one.pid}/fd"))
    one.breaks()
    one.ends.enter_context(slow_clients(one.port, free, HEADERS))
    one.shows("F38", "VllmFileDescriptorsShort", 240)


def statistics_off(one: Subject) -> None:
    one.comes_up("--disable-log-stats", *BATCH)
    one.breaks()
    one.shows("F42", "VllmMetricsUnreadable", 200)


def memory_of_its_container_short(one: Subject) -> None:
    with memory_group(one) as group:
        serves_with_little_room(one, group)
        one.shows("F19", "VllmContainerMemoryShort", 240)


def memory_of_its_container_gone(one: Subject) -> None:
    """Somebody beside it asks for more than is left, and the kernel kills the largest process."""
    with memory_group(one) as group:
        serves_with_little_room(one, group)
        more = in_shell(f"echo $$ > {group}/cgroup.procs && head -c 512M /dev/zero | tail -c 512M")  # tail keeps it all
        subprocess.run(more, check=False, stdout=subprocess.DEVNULL, timeout=60)
        one.shows("F20", "OomKilled", 60, of_host=True)  # the server ends before its own count is read


def serves_with_little_room(one: Subject, group: Path) -> None:
    one.serves(*BATCH, before=in_shell(f'echo $$ > {group}/cgroup.procs && exec "$@"'))
    one.breaks()
    (group / LIMIT).write_text(str(int(working_set(group) / 0.97)))


@contextmanager
def memory_group(one: Subject) -> Iterator[Path]:
    """A control group of its own for memory."""
    group = (V1 if V1.is_dir() else V1.parent) / f"vllm-monitor-{one.port}"
    group.mkdir()
    try:
        yield group
    finally:
        one.ends.close()  # a group with a process in it cannot be removed
        for _ in range(50):
            if not (group / "cgroup.procs").read_text():
                break
            time.sleep(0.2)
        group.rmdir()


def working_set(group: Path) -> int:
    """Bytes in use without the cache of files that is given back first."""
    lines = (group / "memory.stat").read_text().splitlines()
    return int((group / USED).read_text()) - int(next(line for line in lines if line.startswith(CACHE)).split()[1])
