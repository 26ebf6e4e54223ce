"""The report of the service `config` of docker-compose.yml to `make up`, which has no package but Python's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Filled:
    """The present content of the volumes, without the secrets."""

    digests: Mapping[str, str]  # part -> digest of the files that it reads only at its start
    profiles: Sequence[str]  # of docker-compose.yml, that healer.yml asks for
    targets: Mapping[str, str]  # server -> address
    chosen: bool  # the user named the targets
    people: str
    gateway: str  # where a server on this host must answer, to be seen from a container
    warnings: Sequence[str] = ()

    def line(self) -> str:
        return json.dumps(vars(self), sort_keys=True)


def parse_filled(out: str) -> Filled:
    """Reads the last line of the service's output; the builder may have said something before."""
    return Filled(**json.loads(out.strip().splitlines()[-1]))
