"""The place of a server's log, as exporter.yml writes it: `gpu1:8000=/var/log/vllm/a.log`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SourceKind = Literal["file", "journald", "docker"]

EXAMPLE = "gpu1:8000=/var/log/vllm/a.log, gpu1:8000=journald:vllm.service or gpu1:8000=docker:vllm-1"
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")


@dataclass(frozen=True)
class LogPlace:
    """One log. `name` is a path, a unit of systemd ('kernel' for the kernel's log) or a container's name or id."""

    server: str  # as in exporter.yml; '' for a log of the host
    kind: SourceKind
    name: str

    @property
    def label(self) -> str:
        """Returns the name of the log in metrics."""
        return self.name if self.kind == "file" else f"{self.kind}:{self.name}"


def parse_place(text: str) -> LogPlace:
    """Parses one source. Raises ValueError saying what is wrong and what is right."""
    server, found, where = (part.strip() for part in text.partition("="))
    if not found or not where:
        raise ValueError(f"{text!r} is no source of a log; write SERVER=WHERE, such as {EXAMPLE}")
    if where.startswith("/"):
        return LogPlace(server, "file", where)
    kind, _, name = where.partition(":")
    if kind == "journald" and _UNIT.fullmatch(name):
        return LogPlace(server, "journald", name)
    if kind == "docker" and _CONTAINER.fullmatch(name):
        return LogPlace(server, "docker", name)
    raise ValueError(f"{text!r}: {where!r} is no absolute path, journald:UNIT or docker:CONTAINER; such as {EXAMPLE}")
