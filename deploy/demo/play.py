"""`break`: one failure, followed until it is healed, or until it is clear that nothing must be done."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from deploy.demo.breaking import inflict, mend
from deploy.demo.calm import check_running, wait_calm
from deploy.demo.failures import DemoFailure
from deploy.demo.reading import Reader
from deploy.demo.scene import End, Scene, ending, expected
from deploy.demo.seen import Alert, Seen
from deploy.demo.sentences import Sentence, closing, did, ended_after, opening, sentences
from deploy.demo.terminal import Screen
from deploy.demo.world import Server, World

_POLL_SECONDS = 1.0  # Prometheus learns something new every 5 s


@dataclass(frozen=True)
class Result:
    """One scene, for the table."""

    scene: Scene
    end: End
    alert: str  # the first alert, or ''
    alert_after: float | None  # seconds since the fault
    ended_after: float
    did: str

    @property
    def as_expected(self) -> bool:
        return expected(self.scene, self.end)


def play(world: World, server: Server, failure: DemoFailure, screen: Screen) -> Result:
    """Breaks the server, follows what happens, and mends what the healer rightly leaves. Raises DemoError."""
    check_running(world)
    screen.plain("watch      " + "   ".join(world.links[name] for name in ("alerts", "alertmanager", "healer")), "dim")
    calm = wait_calm(world, server)
    scene = Scene(failure, server, time.time(), calm.pid)
    inflict(world, server, failure)
    screen.say(opening(scene))
    try:
        seen, end = _follow(world, scene, screen)
    except KeyboardInterrupt:  # the next scene needs a server that is well
        screen.plain(f"mending {server.words}", "dim")
        mend(world, server)
        raise
    screen.say(closing(scene, seen, end))
    if seen.incident is not None:
        program = world.layout.program("vllm-healer")
        screen.plain(f"           {program} explain {seen.incident} --journal {world.journal}", "dim")
    _mend(world, scene, end, screen)
    return make_result(scene, seen, end)


def make_result(scene: Scene, seen: Seen, end: End) -> Result:
    """Makes the row of the table from the last look."""
    first = next(iter(scene.alerts(seen)), None)
    alert_after = scene.after(first.since) if first else None
    after = ended_after(scene, seen, end)
    return Result(scene, end, first.name if first else "", alert_after, after, did(seen.entries))


def _follow(world: World, scene: Scene, screen: Screen) -> tuple[Seen, End]:
    """Returns the last look, with every alert that was active at any time, and how the scene ended."""
    reader, said, alerts = Reader(world, scene.server, since=scene.fault), {"fault"}, dict[str, Alert]()
    while True:
        seen = reader.look()
        for sentence in sentences(scene, seen, said):
            said.add(sentence.key)
            screen.say(sentence)
        alerts = {alert.name: alert for alert in seen.alerts} | alerts  # the first time that each fired
        if end := ending(scene, seen):
            return replace(seen, alerts=tuple(sorted(alerts.values(), key=lambda alert: alert.since))), end
        time.sleep(_POLL_SECONDS)


def _mend(world: World, scene: Scene, end: End, screen: Screen) -> None:
    """Ends the failure even when all looks well, since some, such as poison, outlive a restart."""
    mend(world, scene.server)
    if end not in (End.HEALED, End.ITSELF):
        words = f"the demo mended {scene.server.words}, as a person would"
        screen.say(Sentence("mend", scene.after(time.time()), "mend", words, "dim"))
