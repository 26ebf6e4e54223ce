"""When a scene is over, and how it counts."""

from __future__ import annotations

import pytest

from deploy.demo.failures import FAILURES, find, listing
from deploy.demo.scene import End, Scene, ending, expected
from deploy.demo.seen import JournalEntry, Seen
from deploy.demo.world import Server
from deploy.errors import DeployError
from deploy.simulator.failures.catalogue import FAILURES as SIMULATED

SERVER = Server(2, 19802, "vm:19802")
WELL = {"vllm_server_ready": 1.0}
INTENT = JournalEntry(2, 1042.0, 1, "intent", "restart_engine of vm:19802 is intended: …")
DIAGNOSIS = JournalEntry(1, 1041.0, 1, "diagnosis", "overload: 136 requests wait")


def scene(how: str) -> Scene:
    return Scene(find(how), SERVER, fault=1000.0, pid=70)


def closed(state: str) -> JournalEntry:
    return JournalEntry(3, 1051.0, 1, "incident", "…", state)


def test_healed_is_a_new_process_that_is_ready_after_the_healers_verdict() -> None:
    entries = (DIAGNOSIS, INTENT, closed("healed"))
    assert ending(scene("hang"), Seen(1055.0, WELL, "ok", entries=entries, pid=80, answers=True)) is End.HEALED


@pytest.mark.parametrize(
    "seen",
    [
        Seen(1010.0, WELL, "ok", pid=70, answers=True),  # it hangs, and nobody has noticed
        Seen(1045.0, WELL, "ok", entries=(INTENT, closed("verifying")), pid=80, answers=True),
        Seen(1055.0, {"vllm_server_ready": 0.0}, "refused", entries=(INTENT, closed("healed")), pid=80),
    ],
)
def test_until_then_it_is_watched(seen: Seen) -> None:
    assert ending(scene("hang"), seen) is None


def test_it_is_not_watched_for_ever() -> None:
    assert ending(scene("hang"), Seen(1120.0, WELL, "ok", pid=70, answers=True)) is End.TIMEOUT


def test_supervisord_alone_is_enough_for_a_crash() -> None:
    assert ending(scene("crash"), Seen(1012.0, WELL, "ok", pid=80, answers=True)) is End.ITSELF


def test_ended_orphans_are_the_end_although_their_alert_is_not_over_yet() -> None:
    verdict = JournalEntry(3, 1020.0, 1, "verdict", "reap_orphans of vm:19802: recovered after 4 s, no orphan is left")
    looking = JournalEntry(4, 1020.1, 1, "incident", "looking whether anything else is wrong", "open")
    seen = Seen(1021.0, WELL, "ok", entries=(INTENT, verdict, looking), pid=80, answers=True)
    assert ending(scene("orphan"), seen) is End.HEALED


def test_a_failed_restart_ends_what_no_restart_can_heal() -> None:
    seen = Seen(1060.0, {}, "refused", entries=(INTENT, closed("failed")))
    assert ending(scene("crash_loop"), seen) is End.PERSON
    assert ending(scene("port_conflict"), seen) is None


def test_a_busy_server_is_left_alone_once_the_healer_has_said_why() -> None:
    assert ending(scene("saturate"), Seen(1035.0, WELL, "ok", pid=70, answers=True)) is None
    assert ending(scene("saturate"), Seen(1041.0, WELL, "ok", entries=(DIAGNOSIS,), pid=70)) is End.LEFT


def test_a_stopped_server_is_left_alone_only_after_the_refusal() -> None:
    refusal = JournalEntry(4, 1020.0, 1, "refusal", "refused: intended_state")
    assert ending(scene("stop"), Seen(1019.0, entries=(DIAGNOSIS,))) is None
    assert ending(scene("stop"), Seen(1021.0, entries=(DIAGNOSIS, refusal))) is End.LEFT


def test_a_restart_of_what_must_be_left_alone_is_not_as_expected() -> None:
    seen = Seen(1055.0, WELL, "ok", entries=(INTENT, closed("healed")), pid=80, answers=True)
    end = ending(scene("saturate"), seen)
    assert end is End.HEALED
    assert not expected(scene("saturate"), end)


def test_every_failure_of_the_simulator_can_be_tried() -> None:
    assert set(FAILURES) == {*SIMULATED, "stop"}


def test_the_list_says_of_each_what_will_happen() -> None:
    lines = listing().splitlines()
    assert "  saturate          more clients than the batch holds: the queue stays above 100" in lines
    assert (
        "                      -> it works and has too much to do: a restart would lose the queue and the cache"
        in lines
    )


def test_an_unknown_failure_names_the_known_ones() -> None:
    with pytest.raises(DeployError, match=r"unknown failure 'hnag'; known: hang, hang_idle, exit0"):
        find("hnag")
