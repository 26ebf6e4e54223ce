"""`story`: five failures in a row, and a table at the end."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.demo.failures import STOP, find
from deploy.demo.play import Result, play
from deploy.demo.terminal import Screen, table
from deploy.demo.world import World

# Three that are healed, each in another way, and two in which doing nothing is right.
STORY = (("hang", 1), ("exit0", 2), ("orphan", 3), ("saturate", 1), (STOP, 2))


def story(world: World) -> int:
    """Plays all scenes. Returns 0 when each ended as it should."""
    screen, results = Screen(), list[Result]()
    for number, (name, server) in enumerate(STORY, 1):
        failure = find(name)
        screen.plain(f"\n{number} of {len(STORY)}: {name}. {failure.what}")
        results.append(play(world, world.server(server), failure, screen))
    screen.plain("\n" + summary(results))
    return 0 if all(result.as_expected for result in results) else 1


def summary(results: Sequence[Result]) -> str:
    """Returns the table: one row for each scene, with seconds since its fault."""
    head = ("failure", "server", "first alert", "after", "the healer did", "end", "after")
    rows = [
        (
            result.scene.failure.name,
            str(result.scene.server.number),
            result.alert or "none",
            "" if result.alert_after is None else f"{result.alert_after:.0f} s",
            result.did,
            result.end.value if result.as_expected else f"{result.end.value} (!)",
            f"{result.ended_after:.0f} s",
        )
        for result in results
    ]
    return table(head, rows)
