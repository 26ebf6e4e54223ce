"""What the terminal says, from made-up sights of a server."""

from __future__ import annotations

from deploy.demo.failures import find
from deploy.demo.scene import End, Scene
from deploy.demo.seen import Alert, JournalEntry, Seen
from deploy.demo.sentences import closing, opening, sentences, shorten
from deploy.demo.world import Server

SERVER = Server(2, 19802, "vm:19802")
HANG = Scene(find("hang"), SERVER, fault=1000.0, pid=70)

STALLED = {
    "vllm_server_ready": 1.0,
    "vllm_server_stalled": 1.0,
    "vllm_server_progress_age_seconds": 34.0,
    "vllm_server_stall_limit_seconds": 30.0,
    "vllm_canary_consecutive_failures": 3.0,
}
DIAGNOSIS = JournalEntry(7, 1042.0, 1, "diagnosis", "engine_stalled: no engine value changed for 39 s")
INTENT = JournalEntry(8, 1042.1, 1, "intent", "restart_engine of vm:19802 is intended: restart the engine: no engine …")


def words(seen: Seen, said: tuple[str, ...] = (), scene: Scene = HANG) -> list[str]:
    return [f"{one.after:.0f} {one.who}: {one.words}" for one in sentences(scene, seen, said)]


def test_the_fault_names_the_server_and_what_was_done_to_it() -> None:
    assert opening(HANG).words == (
        "hang on server 2 (127.0.0.1:19802): under load: the engine stops with requests running; "
        "gauges freeze, /health stays 200"
    )


def test_says_nothing_of_a_server_that_is_well() -> None:
    assert words(Seen(1005.0, {"vllm_server_ready": 1.0, "vllm_server_progress_age_seconds": 0.2}, "ok")) == []


def test_a_stall_is_told_in_the_order_in_which_it_happened() -> None:
    seen = Seen(1036.0, STALLED, "ok", (Alert("VllmEngineStalled", 1035.0),), (DIAGNOSIS, INTENT))
    before = Seen(1036.0, STALLED, "ok", seen.alerts)
    assert words(before) == [
        "35 alert: VllmEngineStalled fires",
        "36 exporter: /health still says ok, but test requests for one token stay unanswered",
        "36 exporter: work is there and nothing has moved for 34 s (limit 30 s): stalled",
    ]
    assert words(seen, said=("alert VllmEngineStalled",)) == [
        "42 diagnosis: engine_stalled: no engine value changed for 39 s",
        "42 intent: restart_engine: every guard allows it",
    ]


def test_what_was_said_is_not_said_again() -> None:
    seen = Seen(1036.0, {}, "refused", (Alert("VllmDown", 1035.0),))
    assert words(seen, said=("alert VllmDown", "exporter refused")) == []


def test_a_page_is_told_whenever_it_comes_and_the_end_says_that_nobody_was_woken_only_without_one() -> None:
    page = Alert("VllmDownUnhealed", 1100.0)
    seen = Seen(1110.0, {}, "ok", (page,), (INTENT,))
    assert "100 page: people hear of it: VllmDownUnhealed" in words(seen)
    assert closing(HANG, seen, End.HEALED).words.endswith("after the fault: restart_engine once")


def test_that_it_was_healed_is_said_once_by_the_end_alone() -> None:
    seen = Seen(1110.0, {}, "ok", (Alert("VllmHealed", 1100.0),), (INTENT,))
    assert not any("VllmHealed" in line for line in words(seen))


def test_an_alert_of_before_the_fault_is_no_part_of_the_story() -> None:
    assert words(Seen(1005.0, {}, "ok", (Alert("HighLatency", 900.0),))) == []


def test_sights_of_the_restart_itself_are_not_told_as_failures() -> None:
    assert words(Seen(1045.0, {}, "refused", entries=(INTENT,)), said=("entry 8",)) == []


def test_what_late_alerts_lead_to_is_no_part_of_the_story() -> None:
    verdict = JournalEntry(9, 1051.0, 1, "verdict", "recovered after 6 s")
    echo = JournalEntry(10, 1056.0, 2, "diagnosis", "none: it looks well")
    assert words(Seen(1057.0, entries=(INTENT, verdict, echo)), said=("entry 8",)) == [
        "51 verdict: recovered after 6 s"
    ]


def test_one_orphan_is_a_process_and_two_are_processes() -> None:
    assert words(Seen(1003.0, {"vllm_process_orphans": 1.0}, "ok")) == ["3 exporter: 1 process outlived its API server"]
    assert words(Seen(1003.0, {"vllm_process_orphans": 2.0}, "ok")) == [
        "3 exporter: 2 processes outlived their API server"
    ]


def test_a_refusal_is_told_with_its_reason() -> None:
    said = "would have done restart_engine of vm:19802, refused: intended_state, vm:19802 is stopped by a person"
    entry = JournalEntry(9, 1020.0, 1, "refusal", said)
    assert shorten(entry, "vm:19802") == (
        "would have done restart_engine, refused: intended_state, it is stopped by a person"
    )


def test_the_name_of_another_server_stays() -> None:
    entry = JournalEntry(9, 1020.0, 1, "note", "action 4 on vm:198021 is not verified yet")
    assert shorten(entry, "vm:19802") == "action 4 on vm:198021 is not verified yet"


def test_a_verdict_is_said_once() -> None:
    said = "restart_engine of vm:19802: recovered after 6 s, vm:19802 recovered after 6 s: a new process, /health is ok"
    assert shorten(JournalEntry(9, 1051.0, 1, "verdict", said), "vm:19802") == (
        "recovered after 6 s: a new process, /health is ok"
    )


def test_the_end_counts_from_the_fault_to_the_healers_verdict() -> None:
    healed = JournalEntry(12, 1051.2, 1, "verdict", "restart_engine of vm:19802: recovered after 6 s")
    said = closing(HANG, Seen(1054.0, entries=(INTENT, healed)), End.HEALED)
    assert (said.after, said.words) == (
        51.200000000000045,
        "server 2 (127.0.0.1:19802) works again 51 s after the fault: restart_engine once, and nobody was woken",
    )


def test_what_is_left_alone_is_left_with_a_reason() -> None:
    scene = Scene(find("stop"), SERVER, 1000.0)
    assert closing(scene, Seen(1020.0), End.LEFT).words == (
        "nothing was done, on purpose: what a person stopped, only a person starts"
    )
