"""Many webhooks at once share a transaction; one that fails does not take the others along."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Connection, Engine, event, text

from tests.patience import PATIENCE, wait_for
from vllm_healer.errors import JournalError
from vllm_healer.journal import Admission, Journal, alerts
from vllm_healer.journal.store import writer_engine
from vllm_healer.journal.writer import Writer
from vllm_healer.model import Alert
from vllm_healer.ports import Clock

STARTS = "2026-03-01T12:00:05Z"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = writer_engine(path)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER NOT NULL)"))
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: Engine, path: Path) -> Iterator[Writer]:
    writer = Writer(engine, path)
    yield writer
    writer.close()


def put(connection: Connection, number: int | None) -> None:
    connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def numbers(engine: Engine) -> list[int]:
    with engine.begin() as connection:
        return sorted(connection.scalars(text("SELECT number FROM numbers")))


class Blocker:
    """A job that holds the writer until `go` is set."""

    def __init__(self, writer: Writer) -> None:
        self.go = threading.Event()
        self._running = threading.Event()
        self._thread = threading.Thread(target=writer.submit, args=(self._run,))
        self._thread.start()
        assert self._running.wait(PATIENCE)

    def end(self) -> None:
        self.go.set()
        self._thread.join()

    def _run(self, connection: Connection) -> None:
        self._running.set()
        self.go.wait(PATIENCE)


class Together:
    """Submits values in threads of their own, all while the writer is busy."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.errors: dict[int | None, Exception] = {}

    def run(self, values: list[int | None]) -> None:
        blocker = Blocker(self.writer)
        threads = [threading.Thread(target=self._put, args=(value,)) for value in values]
        for thread in threads:
            thread.start()
        wait_for(lambda: self.writer._jobs.qsize() == len(values))
        blocker.end()
        for thread in threads:
            thread.join()

    def _put(self, value: int | None) -> None:
        try:
            self.writer.submit(lambda connection: put(connection, value))
        except JournalError as error:
            self.errors[value] = error


def test_twenty_that_wait_together_are_one_transaction(writer: Writer, engine: Engine) -> None:
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    Together(writer).run(list(range(20)))
    assert len(commits) == 2  # the one that held the writer, and the twenty
    assert numbers(engine) == list(range(20))


def test_one_that_fails_does_not_take_the_others_along(writer: Writer, engine: Engine) -> None:
    together = Together(writer)
    together.run([1, 2, None, 3])
    assert list(together.errors) == [None]
    assert numbers(engine) == [1, 2, 3]


def test_gives_back_what_the_job_gives(writer: Writer) -> None:
    assert writer.submit(lambda connection: connection.scalar(text("SELECT 6 * 7"))) == 42


def test_a_hanging_disk_is_told_in_time_and_the_job_is_dropped(writer: Writer, engine: Engine) -> None:
    told: list[str] = []
    writer.on_error = lambda: told.append("once")
    blocker = Blocker(writer)
    with pytest.raises(JournalError, match=r"not written within 0\.05 s; its disk is too slow or hangs"):
        writer.submit(lambda connection: put(connection, 1), timeout=0.05)
    blocker.end()
    assert numbers(engine) == []
    assert told == ["once"]


def test_what_waits_is_written_before_the_end_and_nothing_after(writer: Writer, engine: Engine) -> None:
    writer.submit(lambda connection: put(connection, 1))
    writer.close()
    with pytest.raises(JournalError, match="is closed"):
        writer.submit(lambda connection: put(connection, 2))
    assert numbers(engine) == [1]


@pytest.mark.parametrize("fires", [True, False])
def test_twenty_alerts_take_no_more_statements_than_two(
    path: Path, clock: Clock, cases: ModuleType, fires: bool
) -> None:
    servers = [f"gpu{number}:8000" for number in range(20)]
    journal = Journal.open(path, clock, admission=Admission(frozenset(servers)))
    heard = [Alert(f"f{server}", "A", fires, STARTS, {"alertname": "A", "server": server}, {}) for server in servers]
    counts = [count_statements(journal, heard[:2]), count_statements(journal, heard[2:])]
    journal.close()
    assert counts[1] == counts[0]


def count_statements(journal: Journal, heard: list[Alert]) -> int:
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(journal._engine, "before_cursor_execute", note)
    journal.record_alerts(heard, journal._clock.now())
    event.remove(journal._engine, "before_cursor_execute", note)
    return len(statements)


def test_what_is_given_to_the_same_work_is_done_at_once_and_each_has_its_own_result(writer: Writer) -> None:
    given: list[list[int]] = []
    results: dict[int, int] = {}

    def double(connection: Connection, numbers: Sequence[int]) -> list[int]:
        given.append(list(numbers))
        return [2 * number for number in numbers]

    def submit(number: int) -> None:
        results[number] = writer.submit_together(double, number)

    blocker = Blocker(writer)
    threads = [threading.Thread(target=submit, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    wait_for(lambda: writer._jobs.qsize() == 5)
    blocker.end()
    for thread in threads:
        thread.join()
    assert [sorted(one) for one in given] == [[0, 1, 2, 3, 4]]
    assert results == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}


def test_notifications_that_wait_together_are_told_and_answered_each_for_itself(
    journal: Journal, cases: ModuleType
) -> None:
    """A storm of one does not swallow the sentence of another, and what is in both is stored once."""
    storm = [Alert(f"f{number}", "Storm", True, STARTS, {"alertname": "Storm"}, {}) for number in range(30)]
    one, ended = cases.alert(), cases.alert(firing=False)
    answers = journal._writer.submit(
        lambda connection: alerts.record(connection, [storm, [one, storm[0]], [ended]], cases.NOW, Admission())
    )
    assert [answer.stored for answer in answers] == [30, 2, 1]
    assert sorted(entry.words for entry in journal.history(9)) == [
        "30 alerts came at once: Storm x30",
        "VllmEngineStalled on gpu1:8000 fires",
        "VllmEngineStalled on gpu1:8000 is resolved",
    ]
    assert len(journal.unassigned()) == 30


def test_of_notifications_that_wait_together_each_hears_what_was_left_out_of_it(
    journal: Journal, cases: ModuleType
) -> None:
    admission = Admission(frozenset({"gpu1:8000"}))
    strangers = [Alert(f"s{number}", "A", True, STARTS, {"alertname": "A", "server": "x:1"}, {}) for number in range(7)]
    answers = journal._writer.submit(
        lambda connection: alerts.record(connection, [strangers[:4], [cases.alert()], strangers], cases.NOW, admission)
    )
    assert [(answer.stored, answer.left_out) for answer in answers] == [(4, 0), (1, 0), (5, 2)]
