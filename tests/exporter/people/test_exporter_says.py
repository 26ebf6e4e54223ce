"""What an exporter says of a server, as evidence."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from tests.exporter.answering import Answering, ok
from vllm_exporter.config.config import Config
from vllm_exporter.people.exporter_says import ask_about, choose_state, number


@pytest.mark.parametrize(
    ("name", "kind"),
    [("weights_loading", "starting"), ("serving", "running"), ("listening", "running"), ("draining", "ending"),
     ("crash_loop", "down")],
)  # fmt: skip
def test_each_state_is_of_a_kind(name: str, kind: str) -> None:
    state = choose_state({"state": name, "state_seconds": 3})
    assert state is not None
    assert (state.name, state.seconds, state.kind) == (name, 3.0, kind)


def test_a_state_has_its_meaning_and_what_to_do_but_not_to_wait() -> None:
    loops = choose_state({"state": "crash_loop", "state_seconds": 1.0})
    waits = choose_state({"state": "idle", "state_seconds": 1.0})
    assert loops is not None
    assert loops.meaning == "It failed again and again."
    assert loops.action == "Stop restarting it; the cause does not go away by itself."
    assert waits is not None
    assert waits.action == ""


@pytest.mark.parametrize(
    "told", [{}, {"state": "down"}, {"state": "paused", "state_seconds": None}, {"state": 3, "state_seconds": 1.0}]
)
def test_what_is_no_state_of_the_lifecycle_is_none(told: dict[str, object]) -> None:
    """Without the collector of the lifecycle the summary has words of its own, and no seconds."""
    assert choose_state(told) is None


def test_only_numbers_are_numbers() -> None:
    told = {"a": 3, "b": True, "c": "3", "d": None}
    assert [number(told, key) for key in "abcde"] == [3.0, None, None, None, None]


def say(body: bytes) -> Answering:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(ok(body))

    return Answering(answer)


def test_an_exporter_is_asked_for_one_server() -> None:
    servers = [{"server": "a:1", "orphans": 1}, {"server": "b:1", "orphans": 2}]
    with closing(say(json.dumps({"stats": {"servers": servers}}).encode())) as exporter:
        assert ask_about(Config(listen=exporter.address), "b:1") == servers[1]
        assert ask_about(Config(listen=exporter.address), "c:1") == {}


def test_without_an_exporter_or_with_something_else_in_its_place_nothing_is_told() -> None:
    assert ask_about(Config(listen="127.0.0.1:1"), "a:1") == {}
    with closing(say(b"hello")) as other:
        assert ask_about(Config(listen=other.address), "a:1") == {}
