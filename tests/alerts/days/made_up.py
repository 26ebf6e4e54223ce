"""A made-up day, or a part of one, from its seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from tests.alerts.days.course import FLEET, Line, Moment, Server, course
from tests.alerts.days.hosts import of_host, of_parts, seen_by_exporter
from tests.alerts.days.servers import of_exporter, of_healer, of_vllm

Courses = Mapping[Server, Sequence[Moment]]


def courses(seed: str, first: int, scrapes: int) -> dict[Server, list[Moment]]:
    """What each server does in so many scrapes, the first of which is number `first` of its day."""
    return {
        server: list(course(random.Random(f"{seed} {server.name}"), number, first, scrapes))
        for number, server in enumerate(FLEET)
    }


def series(seed: str, first: int, fleet: Courses) -> Iterator[Line]:
    """All that the alerts read of it, in promtool's form."""
    scrapes = len(next(iter(fleet.values())))
    for host in dict.fromkeys(server.host for server in fleet):
        chance = random.Random(f"{seed} {host}")
        seen = seen_by_exporter(chance, scrapes)
        here = [(server, moments) for server, moments in fleet.items() if server.host == host]
        yield from of_host(chance, host, first, here, seen)
        for server, moments in here:
            yield from of_vllm(chance, server, moments)
            yield from of_exporter(chance, server, moments, seen)
            yield from of_healer(server, moments)
    yield from of_parts(random.Random(f"{seed} parts"), scrapes)
