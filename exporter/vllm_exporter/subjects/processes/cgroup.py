"""Reads the control group of a process: its container, its systemd unit, and OOM kills."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vllm_exporter.linux.files import read_file

# Engines name a group by the container's id of 64 digits: docker-<id>.scope, docker/<id>, cri-containerd-<id>.scope,
# kubepods…/pod<uid>/<id>, kubepods…:cri-containerd:<id>, crio-<id>.scope, libpod-<id>.scope/container
_CONTAINER = re.compile(r"[/:-]([0-9a-f]{64})(?=\.scope|/|$)")
SHORT = 12  # digits of an id that are shown to people
CREDIT = 60.0  # seconds from an OOM kill to the end of the process: freeing 100 GB of pinned memory takes long


@dataclass(frozen=True)
class CgroupPlace:
    """The container or unit in which a process runs."""

    container: str = ""  # id of the innermost, 64 digits; '' outside containers
    unit: str = ""  # the system service of systemd; '' in a container, and for none
    oom: str = ""  # file below /sys/fs/cgroup that counts OOM kills; '' in the root group


def parse_cgroup(text: bytes) -> CgroupPlace:
    """Parses /proc/<pid>/cgroup (cgroups(7)); any other text gives an empty place."""
    paths: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    containers = [found for path in paths.values() for found in _CONTAINER.findall(path)[-1:]]
    container = containers[0] if containers else ""
    unit = "" if container else next(filter(None, map(_unit, paths.values())), "")
    return CgroupPlace(container, unit, _oom_file(paths))


def read_place(proc: Path, pid: int) -> CgroupPlace:
    return parse_cgroup(read_file(proc / str(pid) / "cgroup", 65536) or b"")


def parse_oom_kills(text: bytes) -> int | None:
    """Parses memory.events (version 2), memory.oom_control (version 1) or /proc/vmstat: all have `oom_kill N`."""
    for line in text.splitlines():
        key, _, number = line.partition(b" ")
        if key == b"oom_kill" and number.isdigit():
            return int(number)
    return None


class OomKills:
    """Counts OOM kills in the groups of vLLM's processes. A kill explains one SIGKILL, once.

    For a process in the root group, or whose group cannot be seen from here, the count of the whole host is used.
    """

    def __init__(self, proc: Path, sys: Path) -> None:
        self._vmstat = proc / "vmstat"
        self._root = sys / "fs/cgroup"
        self._counts: dict[Path, int] = {}
        self._credits: dict[Path, list[float]] = {}  # times of kills that have not explained an end yet

    def follow(self, places: set[CgroupPlace], now: float) -> None:
        """Sets the groups to watch from now on; others are forgotten."""
        files = {self._file(place) for place in places}
        for file in self._counts.keys() - files:
            del self._counts[file]
            self._credits.pop(file, None)
        for file in files:
            self._look(file, now)

    def claim(self, place: CgroupPlace, now: float) -> bool:
        """True if a kill explains the SIGKILL of a process that was in this place. Uses the kill up."""
        file = self._file(place)
        self._look(file, now)
        credits = self._credits.get(file)
        if not credits:
            return False
        credits.pop(0)
        return True

    def _look(self, file: Path, now: float) -> None:
        count = parse_oom_kills(read_file(file, 1 << 16) or b"")
        if count is None:
            return
        new = max(0, count - self._counts.get(file, count))
        self._counts[file] = count
        kept = [at for at in self._credits.get(file, []) if now - at < CREDIT]
        self._credits[file] = kept + [now] * min(new, 1000)

    def _file(self, place: CgroupPlace) -> Path:
        file = self._root / place.oom
        return file if place.oom and (file in self._counts or file.exists()) else self._vmstat


def _unit(path: str) -> str:
    """Returns the service of a path; '' for those of a user's own systemd, which we may not ask."""
    if "/user.slice/" in path or path.startswith("/user.slice"):
        return ""
    return next((part for part in reversed(path.split("/")) if part.endswith(".service")), "")


def _oom_file(paths: dict[str, str]) -> str:
    if "memory" in paths:
        path = paths["memory"].strip("/")
        return f"memory/{path}/memory.oom_control" if path else ""
    path = paths.get("", "").strip("/")
    return f"{path}/memory.events" if path else ""
