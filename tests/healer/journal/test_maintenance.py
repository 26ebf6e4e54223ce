"""Maintenance by a command: kept over restarts, about what it names, ended by a person or by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import ModuleType

from vllm_healer.journal import Journal
from vllm_healer.ledger import Maintenance
from vllm_healer.model import Plan
from vllm_healer.ports import Clock


def known(journal: Journal, plan: Plan) -> tuple[Maintenance, ...]:
    return journal.ledger(plan).maintenance


def test_is_kept_over_a_restart_of_the_healer(path: Path, clock: Clock, cases: ModuleType) -> None:
    plan = cases.plan()
    with closing(Journal.open(path, clock)) as journal:
        journal.maintain("pool chat", 7200.0, "anna: new driver", cases.NOW)
    with closing(Journal.open(path, clock)) as journal:
        assert known(journal, plan) == (Maintenance("pool chat", cases.NOW, 7200.0, "anna: new driver"),)
        (entry,) = journal.history(1)
        assert entry.words == "maintenance of pool chat begins, for 120 minutes: anna: new driver"


def test_ends_what_it_names_and_nothing_else(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    for about in ("all", "pool chat", "server gpu1:8000"):
        journal.maintain(about, 60.0, "anna", cases.NOW)
    journal.maintain("pool chat", 0.0, "anna: done", cases.at(10))
    assert [one.about for one in known(journal, plan)] == ["all", "server gpu1:8000"]


def test_begun_again_it_takes_the_place_of_the_first(journal: Journal, plan: Plan, cases: ModuleType) -> None:
    journal.maintain("all", 60.0, "anna", cases.NOW)
    journal.maintain("all", 600.0, "ben", cases.at(30))
    assert known(journal, plan) == (Maintenance("all", cases.at(30), 600.0, "ben"),)


def test_one_that_cannot_be_read_lasts(journal: Journal, plan: Plan, path: Path, cases: ModuleType) -> None:
    journal.maintain("all", 60.0, "anna", cases.NOW)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '{' WHERE key = 'maintenance all'")
        connection.commit()
    (found,) = known(journal, plan)
    assert (found.seconds, found.covers("any", "any")) == (float("inf"), True)
