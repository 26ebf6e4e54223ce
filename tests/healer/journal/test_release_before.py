"""A journal that release 0.1.0 wrote and left in the middle of a restart: it opens, and the restart is carried on with.

release_0_1_0.sql is that file, written out by `sqlite3 .dump`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from vllm_healer.journal import Journal
from vllm_healer.model import IncidentState, Outcome, Verification
from vllm_healer.pipeline.verify import verify
from vllm_healer.ports import Clock
from vllm_healer.proof import Evidence

RECORDED = Path(__file__).with_name("release_0_1_0.sql")


@pytest.fixture
def old(path: Path, clock: Clock) -> Iterator[Journal]:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(RECORDED.read_text())
    journal = Journal.open(path, clock)
    yield journal
    journal.close()


def test_what_it_knew_is_known(old: Journal, cases: ModuleType) -> None:
    (incident,) = old.open_incidents()
    assert (incident.server, incident.state) == (cases.SERVER, IncidentState.VERIFYING)
    assert [alert.name for alert in incident.alerts] == ["VllmEngineStalled"]
    assert old.paused() == "anna: upgrading the driver"
    memory = old.memory(cases.SERVER)
    assert memory.seen_ready
    assert [process.role for process in memory.trees[cases.KEY]] == ["api_server", "engine_core"]


def test_its_unfinished_action_is_proven_as_its_remediation_says(old: Journal, cases: ModuleType) -> None:
    """The plan names a proof of its own, which nobody reads any more."""
    assert '"proof":"new_incarnation"' in RECORDED.read_text()
    (unfinished,) = old.unfinished()
    plan = unfinished.permit.plan
    assert (plan.remediation, plan.incarnation, plan.allowed) == ("restart_engine", cases.KEY, True)
    assert unfinished.steps == ("stop", "start")
    assert unfinished.result is not None
    assert unfinished.result.outcome is Outcome.DONE
    same = verify(plan, Evidence(None, cases.WELL, cases.supervisor()), 42.0, 600.0)
    assert same.verification is Verification.NOT_YET
    new = cases.supervisor(incarnation=cases.process(30.0, cases.NEW_KEY))
    assert verify(plan, Evidence(None, cases.WELL, new), 42.0, 600.0).verification is Verification.RECOVERED


def test_what_it_lacks_is_added_and_it_could_be_opened_by_the_old_release_again(old: Journal, path: Path) -> None:
    old.close()
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")]
        (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    assert "alerts_waiting" in names
    assert version == "1"


def test_its_actions_count_for_the_guards(old: Journal, cases: ModuleType) -> None:
    (entry,) = old.ledger(cases.plan()).entries
    assert (entry.remediation, entry.finished, entry.stopped) == ("restart_engine", False, False)


def test_an_incident_that_it_left_needs_a_person_when_it_fails(old: Journal, cases: ModuleType) -> None:
    """Nothing is known of its cause: that release did not write it down."""
    (incident,) = old.open_incidents()
    [before] = old.summaries()
    assert (before.server, before.cause, before.remediation, before.needs_person) == (cases.SERVER, "", "", False)
    old.set_state(incident.id, IncidentState.FAILED, "it did not come back", cases.NOW)
    [after] = old.summaries()
    assert after.needs_person
    assert old.unsettled(cases.SERVER)
    old.settle(cases.SERVER, "it answers", cases.NOW)
    assert [one.needs_person for one in old.summaries()] == [False]
