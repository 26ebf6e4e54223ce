"""A journal of an earlier release, which held whatever came, opens within bounds."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from types import ModuleType

from vllm_healer.journal import Admission, Journal
from vllm_healer.journal import schema as tables
from vllm_healer.ports import Clock

LISTED = "gpu1:8000"
ADMISSION = Admission(frozenset({LISTED}), frozenset({"VllmDown"}))
INSERT = (
    "INSERT INTO alerts (fingerprint, period, starts_at, firing, over, name, labels, annotations, deliveries, incident,"
    " received_wall, received_boot, received_boot_id) VALUES (?, ?, 't', 1, 0, 'Flood', ?, ?, 1, ?, 1.0, 1.0, 'b')"
)


Row = tuple[str, dict[str, str], str, int | None]


def fill(path: Path, rows: Iterable[Row]) -> None:
    """Rows as release 0.1.0 wrote them: fingerprint, labels, summary, incident; without the index of this one."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP INDEX IF EXISTS {tables.WAITING.name}")
        values = (
            (fingerprint, "p", json.dumps(labels), json.dumps({"summary": summary}), incident)
            for fingerprint, labels, summary, incident in rows
        )
        connection.executemany(INSERT, values)


def test_alerts_of_a_megabyte_are_cut_and_the_listed_one_is_still_there(
    path: Path, clock: Clock, cases: ModuleType
) -> None:
    journal = Journal.open(path, clock)
    incident = journal.open_incident("s" * 100_000, [], cases.NOW, "fires")
    journal.close()
    large = "x" * 1_000_000
    rows: list[Row] = [
        (f"f{number}", {"alertname": "Flood", "server": f"s{number}", "t": large}, large, None) for number in range(50)
    ]
    rows += [("listed", {"alertname": "Flood", "server": LISTED, "t": large}, large, None)]
    rows += [("member", {"alertname": "Flood", "server": "s", "t": large}, large, incident.id)]
    fill(path, rows)
    tracemalloc.start()
    journal = Journal.open(path, clock, admission=ADMISSION)
    waiting, (opened,) = journal.unassigned(), journal.open_incidents()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [alert.server for alert in waiting[-1:]] == [LISTED]
    assert len(waiting) == 51
    assert max(len(json.dumps(alert.labels)) for alert in (*waiting, *opened.alerts)) < 10_000
    assert len(opened.server) == 256
    assert peak < 40_000_000  # of 104 MB of text
    journal.close()


def test_of_a_hundred_thousand_strangers_the_newest_two_hundred_wait(path: Path, clock: Clock) -> None:
    Journal.open(path, clock).close()
    fill(
        path,
        (
            (f"f{number}", {"alertname": "Flood", "server": LISTED if number == 5 else f"s{number}:8000"}, "", None)
            for number in range(100_000)
        ),
    )
    journal = Journal.open(path, clock, admission=ADMISSION)
    servers = [alert.server for alert in journal.unassigned()]
    assert servers == [LISTED, *(f"s{number}:8000" for number in range(99_800, 100_000))]
    journal.close()


def test_alerts_that_name_no_server_wait_no_longer(path: Path, clock: Clock) -> None:
    Journal.open(path, clock).close()
    fill(path, [("f1", {"alertname": "Flood"}, "", None)])
    journal = Journal.open(path, clock, admission=ADMISSION)
    assert journal.unassigned() == ()
    journal.close()


def test_a_fingerprint_that_is_a_book_waits_no_longer(path: Path, clock: Clock) -> None:
    Journal.open(path, clock).close()
    fill(path, [("f" * 100_000, {"alertname": "Flood", "server": LISTED}, "", None)])
    journal = Journal.open(path, clock, admission=ADMISSION)
    assert journal.unassigned() == ()
    journal.close()


def test_what_is_in_order_stays_as_it_is(path: Path, clock: Clock, cases: ModuleType) -> None:
    journal = Journal.open(path, clock, admission=ADMISSION)
    labels = {"alertname": "Flood", "server": LISTED, "pod": "p" * 900}
    fill(path, [("f1", labels, "no answer", None)])
    journal.close()
    journal = Journal.open(path, clock, admission=ADMISSION)
    (waiting,) = journal.unassigned()
    assert (waiting.labels, waiting.annotations) == (labels, {"summary": "no answer"})
    journal.close()
