"""Compares the servers that are watched with those of healer.yml. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.config.sources import Source
from deploy.config.targets import server_name

_NAMED = 5  # servers that a warning names; the others are counted


def compare_servers(watched: Sequence[str], healed: Sequence[str], acts: bool, watched_by: str) -> tuple[str, ...]:
    """Returns one warning for each kind of difference, with the servers that it concerns.

    `acts`: the healer's mode is act. While it is not and healer.yml lists nothing, as shipped, nobody expects healing.
    """
    if not healed and not acts:
        return ()
    unlisted = [server for server in watched if server not in healed]
    unwatched = [server for server in healed if server not in watched]
    return (*_unlisted(unlisted), *_unwatched(unwatched, watched_by))


def list_healed(healer: Source, hostname: str) -> tuple[str, ...]:
    """Returns the servers of healer.yml by name. Malformed targets are left out, since the healer refuses them."""
    targets = healer.values.get("targets")
    found = [one.get("server") for one in targets if isinstance(one, dict)] if isinstance(targets, list) else []
    return tuple(server_name(server, hostname) for server in found if isinstance(server, str))


def _unlisted(servers: Sequence[str]) -> list[str]:
    if not servers:
        return []
    return [
        f"watched, but not in healer.yml: {_names(servers)}. Failures there are only reported; to have {_it(servers)} "
        f"healed, list {_it(servers)} under `targets` in healer.yml"
    ]


def _unwatched(servers: Sequence[str], watched_by: str) -> list[str]:
    if not servers:
        return []
    return [
        f"in healer.yml, but not watched: {_names(servers)}. No alert comes from there, so that nothing is ever "
        f"healed; add {_it(servers)} to {watched_by}, or correct the address in healer.yml"
    ]


def _it(servers: Sequence[str]) -> str:
    return "it" if len(servers) == 1 else "them"


def _names(servers: Sequence[str]) -> str:
    more = len(servers) - _NAMED
    return ", ".join(servers[:_NAMED]) + (f" and {more} more" if more > 0 else "")
