"""What survives a restart of the exporter, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.exporter.subjects.lifecycle.telling import AFTER, GONE, REFUSED, Server, sight, tree, values
from vllm_exporter.state import Content
from vllm_exporter.subjects.lifecycle.evidence import Exit
from vllm_exporter.subjects.lifecycle.machine import Machine
from vllm_exporter.subjects.lifecycle.state_json import from_plain, to_plain

WALL = 1_700_000_000.0  # Unix time at which the old exporter's monotonic clock was at 0
DAMAGE = (ValueError, LookupError, TypeError, AttributeError)  # what StateFile.load expects
AFTER_BOOT = WALL + 5000.0  # the same of the new one's: the host was booted in between


def plain(server: Server) -> dict[str, Any]:
    """Through JSON, as the file has it."""
    kept: dict[str, Any] = json.loads(json.dumps(to_plain(server.machine, WALL)))
    return kept


def again(kept: Content, now: float, offset: float = WALL) -> Server:
    machine = Machine()
    from_plain(machine, kept, now, offset)
    return Server(machine, now)


def test_a_running_server_keeps_its_state_and_its_counts() -> None:
    old = Server().started()
    new = again(plain(old), old.now + 60)
    assert new.look(processes=tree(), sight=sight(values=values())) == "idle"
    assert new.path() == []
    assert new.machine.history.transitions == old.machine.history.transitions
    assert new.machine.history.since == old.machine.history.since
    assert new.machine.history.phases.seconds == old.machine.history.phases.seconds


def test_a_server_that_was_restarted_meanwhile_has_ended_and_started() -> None:
    old = Server().started()
    new = again(plain(old), old.now + 60)
    new.look(processes=tree(AFTER), sight=sight())
    assert new.path() == ["exited", "spawned", "listening", "ready_verified"]


def test_failures_and_the_last_exit_are_kept() -> None:
    old = Server()
    old.look(processes=GONE, sight=REFUSED)
    old.look(processes=tree(), sight=REFUSED)
    old.look(processes=GONE, sight=REFUSED, exits=(Exit(old.now, "api_server", 100, "error", "1"),))
    new = again(plain(old), old.now + 60)
    assert new.machine.failures.starts == 1
    assert new.machine.last_exit == Exit(old.now - 1, "api_server", 100, "error", "1")
    assert new.look(processes=GONE, sight=REFUSED) == "start_failed"


def test_times_survive_a_boot() -> None:
    old = Server().started()
    new = again(plain(old), 10.0, AFTER_BOOT)
    assert new.machine.history.since == old.machine.history.since - 5000.0


def test_a_clock_that_was_set_back_gives_no_time_in_the_future() -> None:
    old = Server().started()
    assert again(plain(old), 10.0, WALL).machine.history.since == 10.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "flying"),
        ("state", 3),
        ("since", "yesterday"),
        ("since", float("nan")),
        ("transitions", {"idle flying": 1}),
        ("transitions", {"idle serving": -1}),
        ("transitions", ["idle serving"]),
        ("failures", None),
        ("phases", {"total": "long"}),
        ("life", {"ref": [1]}),
        ("exit", {"at": 0}),
    ],
)
def test_refuses(key: str, value: object) -> None:
    kept = {**plain(Server().started()), key: value}
    with pytest.raises(DAMAGE):
        from_plain(Machine(), kept, 10.0, WALL)


def test_refuses_what_lacks_a_part() -> None:
    kept = plain(Server().started())
    del kept["life"]
    with pytest.raises(KeyError, match="life"):
        from_plain(Machine(), kept, 10.0, WALL)
