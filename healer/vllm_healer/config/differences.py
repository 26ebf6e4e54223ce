"""Compares the servers that are watched with the targets that may be acted on."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_healer.config.config import Config, Mode

UNLISTED, UNWATCHED = "unlisted", "unwatched"
_WORDS = {
    UNLISTED: "{} is watched and not in targets: failures there are only reported; list it to have it healed",
    UNWATCHED: "{} is in targets and not watched: no alert comes from there, so that nothing is ever healed; "
    "add it to VLLM_TARGETS, or correct its address",
}


@dataclass(frozen=True)
class Difference:
    """One server that is in one of the two lists only."""

    server: str
    kind: str  # UNLISTED or UNWATCHED

    def __str__(self) -> str:
        return _WORDS[self.kind].format(self.server)


def compare_watched(config: Config) -> tuple[Difference, ...]:
    """Returns each difference, in the order of the lists. None while it is not known what is watched.

    While the mode is not act and no target is listed, as shipped, nobody expects healing.
    """
    listed = [target.server for target in config.targets]
    if not config.watched or (not listed and config.mode is not Mode.ACT):
        return ()
    unlisted = [Difference(server, UNLISTED) for server in config.watched if server not in listed]
    unwatched = [Difference(server, UNWATCHED) for server in listed if server not in config.watched]
    return (*unlisted, *unwatched)
