from __future__ import annotations

from types import ModuleType

from vllm_healer.journal import Journal
from vllm_healer.model import ProcessRef, TargetMemory

API = ProcessRef(100, 5000, "api_server", "vllm serve")
ENGINE = ProcessRef(101, 5100, "engine_core", "VLLM::EngineCore")
HELPER = ProcessRef(102, 5200, "helper", "ninja")


def test_a_server_never_seen_has_an_empty_memory(journal: Journal) -> None:
    assert journal.memory("gpu1:8000") == TargetMemory()


def test_ready_once_is_remembered_for_ever(journal: Journal, cases: ModuleType) -> None:
    for seconds, ready in ((0, False), (15, True), (30, False)):
        journal.remember("gpu1:8000", "a", ready, (), cases.at(seconds))
    assert journal.memory("gpu1:8000").seen_ready
    assert not journal.memory("gpu2:8000").seen_ready


def test_an_incarnation_is_as_old_as_its_first_sight(journal: Journal, cases: ModuleType) -> None:
    for seconds, key in ((0, "a"), (15, "a"), (30, "b"), (45, "b")):
        journal.remember("gpu1:8000", key, True, (), cases.at(seconds))
    memory = journal.memory("gpu1:8000")
    assert (memory.incarnation, memory.incarnation_first_seen) == ("b", cases.at(30))


def test_a_look_that_missed_the_process_does_not_make_it_young(journal: Journal, cases: ModuleType) -> None:
    for seconds, key in ((0, "a"), (15, "none"), (30, "a")):
        journal.remember("gpu1:8000", key, True, (), cases.at(seconds))
    assert journal.memory("gpu1:8000").incarnation_first_seen == cases.NOW


def test_no_process_counts_from_the_last_time_it_went_away(journal: Journal, cases: ModuleType) -> None:
    for seconds, key in ((0, "none"), (15, "a"), (30, "none")):
        journal.remember("gpu1:8000", key, True, (), cases.at(seconds))
    memory = journal.memory("gpu1:8000")
    assert (memory.incarnation, memory.incarnation_first_seen) == ("none", cases.at(30))
    assert list(memory.trees) == ["a"]


def test_a_tree_grows_and_forgets_no_process_that_lost_its_parent(journal: Journal, cases: ModuleType) -> None:
    journal.remember("gpu1:8000", "a", True, (API, ENGINE), cases.NOW)
    journal.remember("gpu1:8000", "a", True, (API, HELPER), cases.at(15))
    assert journal.memory("gpu1:8000").trees == {"a": (API, ENGINE, HELPER)}


def test_a_build_with_many_helpers_never_pushes_out_the_engine(journal: Journal, cases: ModuleType) -> None:
    helpers = tuple(ProcessRef(1000 + number, 6000, "helper", "ptxas") for number in range(250))
    journal.remember("gpu1:8000", "a", True, (API, ENGINE), cases.NOW)
    journal.remember("gpu1:8000", "a", True, helpers, cases.at(15))
    assert journal.memory("gpu1:8000").trees["a"] == (API, ENGINE, *helpers[50:])


def test_keeps_the_last_five_trees(journal: Journal, cases: ModuleType) -> None:
    for number in range(7):
        journal.remember("gpu1:8000", f"life {number}", True, (API,), cases.at(number))
    journal.remember("gpu2:8000", "other", True, (API,), cases.at(9))
    assert list(journal.memory("gpu1:8000").trees) == [f"life {number}" for number in (2, 3, 4, 5, 6)]


def test_a_tree_of_which_something_lives_outlasts_any_number_of_failed_starts(
    journal: Journal, cases: ModuleType
) -> None:
    """S01: what the first failed start left behind must still be known after the eleventh."""
    journal.remember("gpu1:8000", "left its engine", False, (API, ENGINE), cases.NOW)
    for number in range(60):
        alive = frozenset({"left its engine", f"life {number}"})
        journal.remember("gpu1:8000", f"life {number}", False, (API,), cases.at(number), alive)
    known = list(journal.memory("gpu1:8000").trees)
    assert known == ["left its engine", *(f"life {number}" for number in (55, 56, 57, 58, 59))]


def test_no_process_is_never_the_one_that_was_ready(journal: Journal, cases: ModuleType) -> None:
    """S02: an old server answers while the supervised one does not run."""
    journal.remember("gpu1:8000", "none", True, (), cases.NOW)
    journal.remember("gpu1:8000", "a", True, (API,), cases.at(15))
    journal.remember("gpu1:8000", "none", True, (), cases.at(30))
    assert journal.memory("gpu1:8000").ready_incarnation == "a"


def test_the_user_of_a_process_is_remembered_and_makes_it_no_other(journal: Journal, cases: ModuleType) -> None:
    journal.remember("gpu1:8000", "a", True, (ProcessRef(100, 5000, "api_server", "vllm serve", 998),), cases.NOW)
    (known,) = journal.memory("gpu1:8000").trees["a"]
    assert (known, known.uid) == (API, 998)


def test_an_unchanged_look_writes_nothing(journal: Journal, cases: ModuleType) -> None:
    journal.remember("gpu1:8000", "a", True, (API,), cases.NOW)
    log = journal.path.with_name("journal.sqlite-wal")
    before = log.stat().st_size
    journal.remember("gpu1:8000", "a", True, (API,), cases.at(15))
    assert log.stat().st_size == before


def test_remembers_which_process_was_ready(journal: Journal, cases: ModuleType) -> None:
    now = cases.NOW
    journal.remember("gpu1:8000", "boot/1/1", True, (), now)
    journal.remember("gpu1:8000", "boot/2/2", False, (), now)
    assert journal.memory("gpu1:8000").ready_incarnation == "boot/1/1"
    journal.remember("gpu1:8000", "boot/2/2", True, (), now)
    assert journal.memory("gpu1:8000").ready_incarnation == "boot/2/2"
