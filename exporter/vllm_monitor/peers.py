"""The processes that keep to a throttle together: the API servers of one server, by their snapshot files."""

from __future__ import annotations

import os
from pathlib import Path

from vllm_monitor import place
from vllm_monitor.reading import parse
from vllm_monitor.regular_file import read_regular
from vllm_monitor.snapshot import SIZE, ProcessIdentity

SERIES = "vllm_throttle_generation"  # that of a process with a middleware


class Peers:
    """Sees the processes of one PID namespace and one port: servers of other containers are other servers."""

    def __init__(self, folder: Path, own: ProcessIdentity, port: int) -> None:
        self._folder = folder
        self._own = own
        self._port = port
        self._known: set[str] = set()  # names of files of peers

    def place(self) -> tuple[int, int]:
        """Returns this process's place among those that live, and their number. Raises OSError."""
        own = (self._own.pid, self._own.start)
        found = {own, *(identity for name in os.listdir(self._folder) if (identity := self._peer(name)))}
        return sorted(found).index(own), len(found)

    def _peer(self, name: str) -> tuple[int, int] | None:
        match = place.OWN_FILE.fullmatch(name)
        if match is None or match[4] != "snap" or int(match[3]) != self._own.namespace:
            return None
        if place.start_of(match[1]) != match[2] or not (name in self._known or self._throttles(name)):
            return None
        self._known.add(name)
        return int(match[1]), int(match[2])

    def _throttles(self, name: str) -> bool:
        """False as well for a file that is just being written."""
        try:
            about, data = read_regular(self._folder / name, SIZE)
        except OSError:
            return False
        found = parse(data) if about.st_uid in (0, os.geteuid()) else None
        return found is not None and found.port == self._port and any(one.name == SERIES for one in found.entries)
