"""Pause and resume by the socket beside the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE
from vllm_healer import unix_socket
from vllm_healer.config import Config
from vllm_healer.ledger import Approval, Consent
from vllm_healer.model import Instant
from vllm_healer.web import Control, WebDeps


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    """Longer than the address of a socket may be."""
    folder = tmp_path / ("long" * 25) / "state"
    folder.mkdir(parents=True)
    return folder / "journal.sqlite"


@pytest.fixture
def control(deps: WebDeps, journal_path: Path) -> Iterator[Control]:
    control = Control(replace(deps, config=Config(journal=str(journal_path))))
    yield control
    control.close()


def say(journal_path: Path, line: bytes) -> dict[str, Any]:
    with unix_socket.connect(unix_socket.beside(str(journal_path)), PATIENCE) as connection:
        connection.sendall(line + b"\n")
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
    return answer


def test_pauses_and_resumes(control: Control, journal_path: Path, fake_journal: Any, worker: Any) -> None:
    control.start()
    assert say(journal_path, b'{"verb": "pause", "words": "anna: upgrading"}') == {"paused": "anna: upgrading"}
    assert fake_journal.pause_words == "anna: upgrading"
    assert say(journal_path, b'{"verb": "resume", "words": "anna: upgraded"}') == {"paused": ""}
    assert (fake_journal.resumed, worker.woken) == ("anna: upgraded", 2)


def test_approves_and_refuses_by_number(control: Control, journal_path: Path, fake_journal: Any, worker: Any) -> None:
    fake_journal.approvals = (Approval(3, 7, "gpu1:8000", "restart_engine", Instant(0.0, 0.0, "boot")),)
    control.start()
    assert "paused" in say(journal_path, b'{"verb": "approve", "words": "anna: go on", "approval": 3}')
    assert "paused" in say(journal_path, b'{"verb": "refuse", "words": "anna: wait", "approval": 3}')
    assert fake_journal.answers == [(3, Consent.APPROVED, "anna: go on"), (3, Consent.REFUSED, "anna: wait")]
    assert worker.woken == 2
    assert say(journal_path, b'{"verb": "approve", "words": "x", "approval": 4}') == {"error": "there is no approval 4"}
    assert "expected one line" in say(journal_path, b'{"verb": "approve", "words": "x", "approval": []}')["error"]
    assert say(journal_path, b'{"verb": "approve", "words": "no number"}') == {"error": "there is no approval 0"}


def test_begins_and_ends_maintenance(control: Control, journal_path: Path, fake_journal: Any) -> None:
    control.start()
    order = b'{"verb": "maintenance", "words": "anna: new driver", "about": "pool chat", "seconds": %d}'
    assert "paused" in say(journal_path, order % 7200)
    assert "paused" in say(journal_path, order % 0)
    assert fake_journal.maintained == [("pool chat", 7200, "anna: new driver"), ("pool chat", 0, "anna: new driver")]
    wrong = say(journal_path, b'{"verb": "maintenance", "words": "x", "about": "chat", "seconds": 60}')
    assert wrong == {"error": "about must be all, server NAME or pool NAME"}


def test_nobody_but_the_owner_may_connect(control: Control, journal_path: Path) -> None:
    control.start()
    assert unix_socket.beside(str(journal_path)).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "expected one line of JSON"),
        (b"pause", "expected one line of JSON"),
        (b"[]", "expected one line of JSON"),
        (b'{"verb": "pause"}', "expected one line of JSON"),
        (b"[" * 4000, "expected one line of JSON"),
        (b'{"verb": ["pause"], "words": ""}', "unknown verb; known: pause, resume, approve, refuse, maintenance"),
        (b'{"verb": "restart", "words": ""}', "unknown verb; known: pause, resume, approve, refuse, maintenance"),
    ],
)
def test_says_what_it_expects(control: Control, journal_path: Path, fake_journal: Any, line: bytes, words: str) -> None:
    control.start()
    assert words in say(journal_path, line)["error"]
    assert fake_journal.pause_words == ""
    assert "paused" in say(journal_path, b'{"verb": "pause", "words": "still there"}')


def test_says_when_the_journal_did_not_take_it(control: Control, journal_path: Path, fake_journal: Any) -> None:
    fake_journal.trouble = "journal /j: its disk is full"
    control.start()
    assert say(journal_path, b'{"verb": "pause", "words": "x"}') == {"error": "journal /j: its disk is full"}


def test_replaces_the_socket_of_a_healer_that_was_killed(control: Control, journal_path: Path) -> None:
    unix_socket.listen(unix_socket.beside(str(journal_path))).close()
    control.start()
    assert say(journal_path, b'{"verb": "pause", "words": "x"}') == {"paused": "x"}


def test_leaves_another_file_alone_and_goes_on_without_a_socket(
    control: Control, journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unix_socket.beside(str(journal_path)).write_text("mine")
    control.start()
    assert unix_socket.beside(str(journal_path)).read_text() == "mine"
    assert "Address already in use; they come over HTTP" in caplog.text
    control.close()
    assert unix_socket.beside(str(journal_path)).exists()


def test_takes_its_socket_away_at_the_end(control: Control, journal_path: Path) -> None:
    control.start()
    control.close()
    assert not unix_socket.beside(str(journal_path)).exists()
    control.close()


def test_a_client_that_says_nothing_is_not_waited_for_long(
    control: Control, journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vllm_healer.web.control.SECONDS", 0.1)
    control.start()
    with unix_socket.connect(unix_socket.beside(str(journal_path)), PATIENCE):
        assert say(journal_path, b'{"verb": "pause", "words": "x"}') == {"paused": "x"}
