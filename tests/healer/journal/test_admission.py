"""How much is held: of listed servers nearly all, of strangers a few, and what is told is acknowledged all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import event

from vllm_healer.journal import Admission, Journal, Recorded
from vllm_healer.model import Alert, IncidentState
from vllm_healer.ports import Clock

LISTED = "gpu1:8000"
START = "2023-11-14T22:13:20Z"


@pytest.fixture
def guarded(path: Path, clock: Clock) -> Iterator[Journal]:
    """A journal of a healer that may act on gpu1:8000, where VllmDown supports an action."""
    journal = Journal.open(path, clock, admission=Admission(frozenset({LISTED}), frozenset({"VllmDown"})))
    yield journal
    journal.close()


def alert(number: int, server: str, name: str = "Flood", firing: bool = True, starts_at: str = START) -> Alert:
    labels = {"alertname": name, "n": str(number)} | ({"server": server} if server else {})
    return Alert(f"{name}-{server}-{number}", name, firing, starts_at, labels, {})


def strangers(first: int, last: int) -> list[Alert]:
    return [alert(number, f"stranger{number}:8000") for number in range(first, last)]


def test_of_a_storm_of_strangers_two_hundred_wait_and_the_rest_is_left_out(guarded: Journal, cases: ModuleType) -> None:
    assert guarded.record_alerts(strangers(0, 1000), cases.NOW) == Recorded(stored=200, left_out=800)
    assert len(guarded.unassigned()) == 200


def test_a_listed_server_has_room_beside_any_number_of_strangers(guarded: Journal, cases: ModuleType) -> None:
    guarded.record_alerts(strangers(0, 1000), cases.NOW)
    assert guarded.record_alerts([alert(1, LISTED, "VllmDown")], cases.NOW) == Recorded(1, 0)
    assert guarded.unassigned()[-1].server == LISTED


def test_strangers_that_are_told_again_and_again_write_nothing(guarded: Journal, cases: ModuleType) -> None:
    guarded.record_alerts(strangers(0, 1000), cases.NOW)
    before, commits = guarded.history(1), guarded._writer.commits
    for _ in range(5):
        assert guarded.record_alerts(strangers(200, 1000), cases.at(300)) == Recorded(0, 800)
    assert (guarded.history(1), guarded._writer.commits) == (before, commits)


def test_a_stranger_that_resolved_makes_room_for_another(guarded: Journal, cases: ModuleType) -> None:
    guarded.record_alerts(strangers(0, 200), cases.NOW)
    guarded.record_alerts([alert(7, "stranger7:8000", firing=False)], cases.at(60))
    assert guarded.record_alerts(strangers(200, 202), cases.at(61)) == Recorded(stored=1, left_out=1)


def test_the_end_of_what_was_left_out_is_nothing_to_keep(guarded: Journal, cases: ModuleType) -> None:
    guarded.record_alerts(strangers(0, 201), cases.NOW)
    ended = alert(200, "stranger200:8000", firing=False)
    assert guarded.record_alerts([ended], cases.at(60)) == Recorded(0, 0)


@pytest.mark.parametrize("name", ["Flood", "VllmDown"])
def test_an_alert_without_a_server_waits_for_nothing(guarded: Journal, cases: ModuleType, name: str) -> None:
    assert guarded.record_alerts([alert(1, "", name)], cases.NOW) == Recorded(0, 1)
    assert guarded.unassigned() == ()


def test_of_one_stranger_five_alerts_are_enough(guarded: Journal, cases: ModuleType) -> None:
    many = [alert(number, "stranger:8000") for number in range(100)]
    assert guarded.record_alerts(many, cases.NOW) == Recorded(stored=5, left_out=95)
    guarded.open_incident("stranger:8000", guarded.unassigned(), cases.NOW, "fires")
    assert guarded.record_alerts(many[5:], cases.at(1)) == Recorded(0, 95)
    assert len(guarded.open_incidents()[0].alerts) == 5


def test_of_a_stranger_only_its_name_is_kept(guarded: Journal, cases: ModuleType) -> None:
    talkative = replace(alert(1, "stranger:8000"), labels={**alert(1, "stranger:8000").labels, "text": "x" * 1000})
    guarded.record_alerts([talkative], cases.NOW)
    assert guarded.unassigned()[0].labels == {"alertname": "Flood", "server": "stranger:8000"}


def test_a_flood_about_a_listed_server_leaves_room_for_what_supports_an_action(
    guarded: Journal, cases: ModuleType
) -> None:
    flood = [alert(number, LISTED, f"Forged{number}") for number in range(5000)]
    assert guarded.record_alerts(flood, cases.NOW) == Recorded(stored=50, left_out=4950)
    guarded.open_incident(LISTED, guarded.unassigned(), cases.NOW, "fires")
    assert guarded.record_alerts(flood, cases.at(1)) == Recorded(stored=50, left_out=4950)
    assert guarded.record_alerts([alert(1, LISTED, "VllmDown")], cases.at(2)) == Recorded(1, 0)
    guarded.attach(guarded.open_incidents()[0].id, guarded.unassigned())
    assert "VllmDown" in {member.name for member in guarded.open_incidents()[0].alerts}


def test_a_flood_that_opens_no_incident_waits_within_bounds_too(guarded: Journal, cases: ModuleType) -> None:
    """It comes a few at a time, and an incident never takes it up: what waits is read in each round."""
    for first in range(0, 1000, 20):
        guarded.record_alerts([alert(number, LISTED) for number in range(first, first + 20)], cases.NOW)
    assert len(guarded.unassigned()) == 250
    assert guarded.record_alerts([alert(1, LISTED, "VllmDown")], cases.NOW) == Recorded(1, 0)


def test_what_alertmanager_says_beyond_the_bound_joins_no_incident_and_is_not_told_each_time(
    guarded: Journal, cases: ModuleType
) -> None:
    incident = guarded.open_incident(LISTED, [], cases.NOW, "fires")
    flood = [alert(number, LISTED, f"Forged{number}") for number in range(60)]
    guarded.attach(incident.id, flood)
    sentences = len(guarded.explain(incident.id))
    guarded.attach(incident.id, flood[50:])
    assert len(guarded.open_incidents()[0].alerts) == 50
    assert len(guarded.explain(incident.id)) == sentences


def test_a_fingerprint_that_starts_anew_without_an_end_takes_room_each_time(
    guarded: Journal, cases: ModuleType
) -> None:
    periods = [alert(1, "stranger:8000", starts_at=f"2023-11-14T22:{minute:02}:00Z") for minute in range(60)]
    assert guarded.record_alerts(periods, cases.NOW) == Recorded(stored=5, left_out=55)


def test_a_server_that_is_listed_later_is_heard_at_the_next_repetition(
    guarded: Journal, path: Path, clock: Clock, cases: ModuleType
) -> None:
    guarded.record_alerts(strangers(0, 300), cases.NOW)
    guarded.close()
    listed = Admission(frozenset({"stranger250:8000"}))
    journal = Journal.open(path, clock, admission=listed)
    assert journal.record_alerts(strangers(250, 251), cases.at(300)) == Recorded(1, 0)
    journal.close()


def test_of_a_flapping_alert_the_newest_ends_are_read(
    guarded: Journal, cases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are 200 of them; 10 show the same."""
    monkeypatch.setattr("vllm_healer.journal.alerts.MEMBERS", 10)
    incident = guarded.open_incident(LISTED, [], cases.NOW, "fires")
    for minute in range(15):
        start = f"2023-11-14T10:{minute:02}:00Z"
        guarded.record_alerts([alert(1, LISTED, "VllmDown", starts_at=start)], cases.at(minute))
        guarded.attach(incident.id, guarded.unassigned())
        guarded.record_alerts([alert(1, LISTED, "VllmDown", firing=False, starts_at=start)], cases.at(minute))
    (found,) = guarded.open_incidents()
    assert [member.starts_at[14:16] for member in found.alerts] == [f"{minute:02}" for minute in range(5, 15)]


def test_resolved_alerts_are_not_looked_at_to_find_those_that_wait(guarded: Journal, cases: ModuleType) -> None:
    plans: list[str] = []

    @event.listens_for(guarded._reader, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if "FROM alerts" in statement:
            asked = connection.connection.cursor()
            asked.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in asked.fetchall())

    guarded.unassigned()
    assert plans == ["SEARCH alerts USING INDEX alerts_waiting (incident=? AND firing=? AND over=?)"]


def test_a_closed_incident_takes_no_room(guarded: Journal, cases: ModuleType) -> None:
    flood = [alert(number, LISTED, f"Forged{number}") for number in range(50)]
    guarded.record_alerts(flood, cases.NOW)
    incident = guarded.open_incident(LISTED, guarded.unassigned(), cases.NOW, "fires")
    guarded.set_state(incident.id, IncidentState.RESOLVED, "gone", cases.at(60))
    assert guarded.record_alerts([alert(99, LISTED, "Other")], cases.at(61)) == Recorded(1, 0)
