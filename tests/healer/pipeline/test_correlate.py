"""Alerts become incidents: one a server."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from vllm_healer.model import Incident, IncidentState, Instant
from vllm_healer.pipeline.correlate import STRANGERS, Correlation, Move, choose_admitted, correlate

REOPEN = 120.0


def test_two_alerts_of_one_cause_become_one_incident(cases: ModuleType) -> None:
    stalled, failing = cases.alert("VllmEngineStalled"), cases.alert("VllmCanaryFailing")
    assert correlate([stalled, failing], [], {}, cases.NOW, REOPEN) == (
        Correlation(
            Move.NEW, "gpu1:8000", (stalled, failing), "VllmCanaryFailing, VllmEngineStalled fires for gpu1:8000"
        ),
    )


def test_two_servers_become_two_incidents_in_the_order_of_their_names(cases: ModuleType) -> None:
    alerts = [cases.alert(server="gpu2:8000"), cases.alert(server="gpu1:8000")]
    found = correlate(alerts, [], {}, cases.NOW, REOPEN)
    assert [(one.move, one.server) for one in found] == [(Move.NEW, "gpu1:8000"), (Move.NEW, "gpu2:8000")]


def test_an_alert_joins_the_open_incident_of_its_server(cases: ModuleType) -> None:
    late = cases.alert("VllmProcessOrphaned")
    known = replace(cases.incident("VllmDown"), state=IncidentState.VERIFYING)
    assert correlate([late], [known], {}, cases.NOW, REOPEN) == (
        Correlation(Move.ATTACH, "gpu1:8000", (late,), "VllmProcessOrphaned joined incident 7 of gpu1:8000", 7),
    )


def test_an_incident_of_another_server_takes_nothing(cases: ModuleType) -> None:
    other = replace(cases.incident(), server="gpu2:8000")
    assert correlate([cases.alert()], [other], {}, cases.NOW, REOPEN)[0].move is Move.NEW


def closed(cases: ModuleType, state: IncidentState, ago: float) -> dict[str, tuple[Incident, Instant]]:
    return {cases.SERVER: (replace(cases.incident(), state=state), cases.at(-ago))}


def test_an_echo_of_what_was_just_healed_opens_nothing(cases: ModuleType) -> None:
    echo = cases.alert()
    found = correlate([echo], [], closed(cases, IncidentState.HEALED, 40.0), cases.NOW, REOPEN)
    words = "VllmEngineStalled for gpu1:8000, healed 40 s ago: looked at again in 80 s if it still fires"
    assert found == (Correlation(Move.IGNORE, "gpu1:8000", (echo,), words),)


def test_what_still_fires_after_that_time_is_a_new_incident(cases: ModuleType) -> None:
    found = correlate([cases.alert()], [], closed(cases, IncidentState.HEALED, 120.0), cases.NOW, REOPEN)
    assert found[0].move is Move.NEW


def test_a_wall_clock_that_steps_back_does_not_prolong_the_wait(cases: ModuleType) -> None:
    stepped = Instant(cases.NOW.wall - 600.0, cases.NOW.boot, cases.NOW.boot_id)
    found = correlate([cases.alert()], [], closed(cases, IncidentState.HEALED, 130.0), stepped, REOPEN)
    assert found[0].move is Move.NEW


def test_what_failed_or_resolved_by_itself_may_open_again_at_once(cases: ModuleType) -> None:
    for state in (IncidentState.FAILED, IncidentState.RESOLVED):
        found = correlate([cases.alert()], [], closed(cases, state, 1.0), cases.NOW, REOPEN)
        assert found[0].move is Move.NEW


def test_an_alert_without_a_server_is_ignored_and_said_so(cases: ModuleType) -> None:
    nameless = cases.alert("HighErrorRate", server="")
    assert correlate([nameless], [], {}, cases.NOW, REOPEN) == (
        Correlation(Move.IGNORE, "", (nameless,), "HighErrorRate: no server label, so it names nothing to act on"),
    )


def test_an_alert_for_people_alone_opens_nothing_and_joins_what_is_open(cases: ModuleType) -> None:
    died, down = cases.alert("VllmProcessDied", healable="false"), cases.alert("VllmDown", healable="true")
    words = "VllmProcessDied for gpu1:8000 is for people alone"
    assert correlate([died], [], {}, cases.NOW, REOPEN) == (Correlation(Move.IGNORE, "gpu1:8000", (died,), words),)
    assert correlate([died, down], [], {}, cases.NOW, REOPEN)[0].alerts == (died, down)
    assert correlate([died], [cases.incident("VllmDown")], {}, cases.NOW, REOPEN)[0].move is Move.ATTACH


def test_an_alert_for_people_that_is_a_reason_to_look_opens_an_incident(cases: ModuleType) -> None:
    failing = cases.alert("VllmCanaryFailing", healable="false")
    assert correlate([failing], [], {}, cases.NOW, REOPEN)[0].move is Move.NEW


def test_strangers_with_alerts_for_people_alone_take_no_others_place(cases: ModuleType) -> None:
    storm = [cases.alert("VllmProcessDied", f"stranger{number}:8000", healable="false") for number in range(STRANGERS)]
    another = cases.alert(server="another:8000")
    assert choose_admitted([*storm, another], [], frozenset()) == (another,)


def test_a_resolved_alert_opens_nothing(cases: ModuleType) -> None:
    assert correlate([cases.alert(firing=False)], [], {}, cases.NOW, REOPEN) == ()


def test_no_alerts_no_decisions(cases: ModuleType) -> None:
    assert correlate([], [cases.incident()], {}, cases.NOW, REOPEN) == ()


def test_every_listed_server_is_admitted_and_a_storm_of_others_is_not(cases: ModuleType) -> None:
    storm = [cases.alert(server=f"stranger{number}:8000") for number in range(STRANGERS + 10)]
    mine = cases.alert(server=cases.SERVER)
    admitted = choose_admitted([*storm, mine], [], frozenset({cases.SERVER}))
    assert admitted == (*storm[:STRANGERS], mine)


def test_a_stranger_with_an_open_incident_is_admitted_however_many_there_are(cases: ModuleType) -> None:
    known = [replace(cases.incident(), id=number, server=f"stranger{number}:8000") for number in range(STRANGERS)]
    again, new = cases.alert(server="stranger7:8000"), cases.alert(server="another:8000")
    assert choose_admitted([new, again], known, frozenset({cases.SERVER})) == (again,)
    assert choose_admitted([new, again], known[1:], frozenset({cases.SERVER})) == (new, again)


def test_an_alert_without_a_server_is_not_admitted(cases: ModuleType) -> None:
    assert choose_admitted([cases.alert(server="")], [], frozenset()) == ()
