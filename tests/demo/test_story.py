"""The table at the end."""

from __future__ import annotations

from deploy.demo.failures import find
from deploy.demo.play import make_result
from deploy.demo.scene import End, Scene
from deploy.demo.seen import Alert, JournalEntry, Seen
from deploy.demo.story import STORY, summary
from deploy.demo.world import Server

HEALED = Seen(
    1055.0,
    alerts=(Alert("VllmEngineStalled", 1036.0),),
    entries=(
        JournalEntry(1, 1045.0, 1, "intent", "restart_engine of vm:19801 is intended: …"),
        JournalEntry(2, 1051.0, 1, "verdict", "restart_engine of vm:19801: recovered after 6 s"),
    ),
)


def test_one_row_for_each_scene() -> None:
    hang = Scene(find("hang"), Server(1, 19801, "vm:19801"), 1000.0)
    stop = Scene(find("stop"), Server(2, 19802, "vm:19802"), 2000.0)
    results = [make_result(hang, HEALED, End.HEALED), make_result(stop, Seen(2012.0), End.LEFT)]
    assert summary(results).splitlines() == [
        "failure  server  first alert        after  the healer did       end         after",
        "hang     1       VllmEngineStalled  36 s   restart_engine once  healed      51 s",
        "stop     2       none                      nothing              left alone  12 s",
    ]


def test_what_did_not_end_as_it_should_is_marked() -> None:
    saturate = Scene(find("saturate"), Server(1, 19801, "vm:19801"), 1000.0)
    assert summary([make_result(saturate, HEALED, End.HEALED)]).splitlines()[1].endswith("healed (!)  51 s")


def test_the_story_has_two_failures_in_which_nothing_is_done() -> None:
    assert [find(name).ends for name, _ in STORY] == ["healed", "healed", "healed", "left", "left"]
