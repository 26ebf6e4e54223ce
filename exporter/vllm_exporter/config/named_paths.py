"""Lists the paths that the configuration names, and what should be there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vllm_exporter.config.config import Config

PathKind = Literal["file", "directory", "socket"]

# The meaning of a path where nothing is: a person has forgotten it; another program makes it when it starts; the
# exporter makes it itself, with the directories above.
Absent = Literal["forgotten", "comes_later", "made"]

WRITE_KEY = "write the key into it, or correct the path"
PUT_CERTIFICATE = "put the authority's certificate there, or correct the path"


@dataclass(frozen=True)
class NamedPath:
    """A path that the configuration names."""

    key: str  # where it is named: 'collectors.events.file'
    path: str  # a relative one begins at the working directory
    fix: str = ""  # what to do when nothing is there; not needed when the exporter makes it
    kind: PathKind = "file"
    absent: Absent = "forgotten"
    secret: bool = False  # no other user may read it


def config_paths(config: Config) -> Iterator[NamedPath]:
    """Yields the paths outside the collectors' sections."""
    for target in config.targets:
        where = f"targets: {target.address}"
        if target.api_key_file:
            yield NamedPath(f"{where}: api_key_file", target.api_key_file, WRITE_KEY, secret=True)
        if target.monitor_token_file:
            yield NamedPath(f"{where}: monitor_token_file", target.monitor_token_file, WRITE_KEY, secret=True)
        if target.ca_file:
            yield NamedPath(f"{where}: ca_file", target.ca_file, PUT_CERTIFICATE)
    if config.state_dir:
        yield NamedPath("state_dir", config.state_dir, kind="directory", absent="made")
