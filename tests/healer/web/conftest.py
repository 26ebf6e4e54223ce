"""The application with a journal that remembers what it was told, and a worker that counts how often it was woken."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.patience import PATIENCE
from vllm_healer.config import Config, Mode
from vllm_healer.errors import JournalError, NotWaiting
from vllm_healer.journal import Entry, Recorded
from vllm_healer.ledger import Approval, Consent
from vllm_healer.metrics import HealerMetrics
from vllm_healer.model import Alert, Incident, Instant
from vllm_healer.web import WebDeps, create_app

TOKEN = "correct-horse"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class FakeJournal:
    recorded: list[Alert] = field(default_factory=list)
    incidents: tuple[Incident, ...] = ()
    entries: tuple[Entry, ...] = ()
    approvals: tuple[Approval, ...] = ()
    answers: list[tuple[int, Consent, str]] = field(default_factory=list)
    maintained: list[tuple[str, float, str]] = field(default_factory=list)
    pause_words: str = ""
    resumed: str = ""
    trouble: str = ""  # raised by every method
    room: int = 10_000
    hold: threading.Event = field(default_factory=set_event)  # alerts are recorded once it is set
    held: int = 0

    def record_alerts(self, heard: Sequence[Alert], now: Instant) -> Recorded:
        self.check_writable()
        self.held += 1
        self.hold.wait(PATIENCE)
        taken = heard[: self.room]
        self.recorded += taken
        return Recorded(stored=len(taken), left_out=len(heard) - len(taken))

    def check_writable(self) -> None:
        if self.trouble:
            raise JournalError(self.trouble)

    def paused(self) -> str:
        self.check_writable()
        return self.pause_words

    def pause(self, words: str, now: Instant) -> None:
        self.check_writable()
        self.pause_words = words

    def resume(self, words: str, now: Instant) -> None:
        self.check_writable()
        self.pause_words, self.resumed = "", words

    def answer(self, request: int, given: Consent, words: str, now: Instant) -> None:
        self.check_writable()
        if request not in {one.id for one in self.approvals}:
            raise NotWaiting(f"there is no approval {request}")
        self.answers.append((request, given, words))

    def maintain(self, about: str, seconds: float, words: str, now: Instant) -> None:
        self.check_writable()
        self.maintained.append((about, seconds, words))

    def waiting_approvals(self, now: Instant) -> tuple[Approval, ...]:
        self.check_writable()
        return self.approvals

    def open_incidents(self) -> tuple[Incident, ...]:
        self.check_writable()
        return self.incidents

    def history(self, limit: int) -> tuple[Entry, ...]:
        self.check_writable()
        return self.entries[-limit:]


@dataclass
class FakeWorker:
    woken: int = 0
    living: bool = True

    def wake(self) -> None:
        self.woken += 1

    def alive(self) -> bool:
        return self.living


@dataclass
class StandingClock:
    time: Instant

    def now(self) -> Instant:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a request does not sleep")


@pytest.fixture
def fake_journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def metrics() -> HealerMetrics:
    return HealerMetrics()


@pytest.fixture
def deps(fake_journal: FakeJournal, worker: FakeWorker, metrics: HealerMetrics, cases: ModuleType) -> WebDeps:
    config = Config(mode=Mode.DRY_RUN, max_body_bytes=10_000)
    return WebDeps(config, fake_journal, worker, StandingClock(cases.NOW), metrics, lambda _: (TOKEN,))


@pytest.fixture
def app(deps: WebDeps) -> Flask:
    return create_app(deps)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def authorized() -> dict[str, str]:
    return AUTHORIZED
