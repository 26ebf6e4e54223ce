"""supervisord's word and /proc put together: whose pids they are, and what lives of earlier trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from vllm_healer.actuators.processes import TICKS, Process, Snapshot
from vllm_healer.actuators.supervisor_rpc import (
    Info,
    parse_autorestart,
    parse_config,
    parse_info,
    parse_names,
    parse_program_file,
)
from vllm_healer.actuators.supervisor_view import Place, choose_restarts_itself, make_view, unseen
from vllm_healer.errors import Blind
from vllm_healer.model import ProcessRef, RunState, SupervisorView

# A server that started 100 s ago, as supervisord and as /proc tell it.
RUNNING = Info(RunState.RUNNING, "RUNNING", pid=10, start=1900.0, stop=0.0, now=2000.0, trouble="")
SUPERVISORD = Process(5, 1, 50, "S", "supervisord", ("/usr/bin/python3", "/usr/bin/supervisord"))
SERVER = Process(10, 5, 4900 * TICKS, "S", "vllm", ("vllm", "serve"))
ENGINE = Process(11, 10, 4901 * TICKS, "S", "VLLM::EngineCor", ("VLLM::EngineCore",))
HERE = Snapshot("boot-a", 5000.0, {5: SUPERVISORD, 10: SERVER, 11: ENGINE})
KEY = f"boot-a/10/{4900 * TICKS}"
NOW = 1_700_000_000.0


def view_of(
    info: Info,
    supervisor: int,
    snapshot: Snapshot,
    remembered: Mapping[str, tuple[ProcessRef, ...]],
    local_socket: bool,
) -> SupervisorView:
    place = Place.SOCKET if local_socket else Place.PORT
    return make_view(info, supervisor, snapshot, remembered, place, autorestart=None, now=NOW)


def test_names_the_incarnation_by_boot_pid_and_start() -> None:
    view = view_of(RUNNING, 5, HERE, {}, local_socket=False)
    assert view.incarnation.key == KEY
    assert [process.pid for process in view.tree] == [10, 11]


@pytest.mark.parametrize(
    ("info", "supervisor", "snapshot"),
    [
        (RUNNING, 6, HERE),
        (RUNNING, 10, HERE),
        (RUNNING, 5, replace(HERE, processes={5: SUPERVISORD, 10: replace(SERVER, parent=1)})),
        (replace(RUNNING, start=1000.0), 5, HERE),
    ],
    ids=["no such supervisord here", "that pid is another program", "not its child", "of another age"],
)
def test_pids_of_another_host_are_never_taken_for_ours(info: Info, supervisor: int, snapshot: Snapshot) -> None:
    view = view_of(info, supervisor, snapshot, {KEY: (ENGINE.ref,)}, local_socket=False)
    assert view.tree == ()
    assert view.incarnation.key == f"elsewhere/10/{info.start:.0f}"
    assert (view.orphans, view.survivors) == ((), {})
    assert "its processes cannot be seen" in view.detail
    assert "another host" not in view.detail


def test_over_a_shared_socket_the_age_need_not_match_after_a_clock_step() -> None:
    assert view_of(replace(RUNNING, start=1000.0), 5, HERE, {}, local_socket=True).incarnation.key == KEY


def test_tells_what_lives_of_each_remembered_tree_of_this_boot() -> None:
    left = Process(20, 1, 200, "S", "VLLM::EngineCor", ("VLLM::EngineCore",))
    gone = ProcessRef(99, 990, "worker", "VLLM::Worker")
    snapshot = replace(HERE, processes={**HERE.processes, 20: left})
    trees = {"boot-a/9/90": (left.ref, gone), "boot-b/9/90": (left.ref,), "elsewhere/9/90": (left.ref,)}
    assert view_of(RUNNING, 5, snapshot, trees, local_socket=True).survivors == {"boot-a/9/90": (left.ref,)}


@pytest.mark.parametrize(
    ("state", "stopped_for", "configured", "expected"),
    [
        (RunState.RUNNING, 0.0, None, None),
        (RunState.EXITED, 1.0, None, None),
        (RunState.EXITED, 10.0, None, False),
        (RunState.FATAL, 0.0, None, False),
        (RunState.EXITED, 10.0, True, True),
    ],
)
def test_says_whether_supervisord_restarts_it_only_when_that_is_known(
    state: RunState, stopped_for: float, configured: bool | None, expected: bool | None
) -> None:
    info = replace(RUNNING, state=state, stop=RUNNING.now - stopped_for)
    assert choose_restarts_itself(info, configured) is expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, None),
        ({"autorestart": True}, True),
        ({"autorestart": "false"}, False),
        ({"autorestart": "unexpected", "exitcodes": [0]}, False),
        ({"autorestart": "unexpected", "exitcodes": [2]}, True),
        ({"autorestart": "auto"}, None),
    ],
)
def test_reads_autorestart_where_a_release_tells_it(entry: dict[str, object], expected: bool | None) -> None:
    answer = [{"group": "other", "name": "other", "autorestart": True}, {"group": "vllm", "name": "a", **entry}]
    assert parse_autorestart(parse_config(answer, "vllm:a")) is expected
    assert parse_autorestart(parse_config(answer, "missing")) is None


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("/opt/venv/bin/vllm serve model", "/opt/venv/bin/vllm"),
        ("'/opt/my venv/bin/vllm' serve", "/opt/my venv/bin/vllm"),
        ("vllm serve model", ""),
        ("'/opt/venv", ""),
        ("", ""),
        (3, ""),
    ],
)
def test_reads_which_file_a_start_would_run(command: object, path: str) -> None:
    assert parse_program_file({"command": command}) == path
    assert parse_program_file({}) == ""


def test_backoff_is_starting_and_unknown_states_stay_unknown() -> None:
    assert parse_info({"state": 30, "statename": "BACKOFF", "pid": 0}, "url").state is RunState.STARTING
    assert parse_info({"state": 77}, "url").state is RunState.UNKNOWN


def test_an_answer_that_is_no_process_is_blindness() -> None:
    with pytest.raises(Blind, match="instead of a process's state"):
        parse_info("hello", "unix:///s.sock")


def test_names_are_written_as_in_the_configuration() -> None:
    assert parse_names([{"group": "vllm", "name": "vllm"}, {"group": "g", "name": "a"}]) == ("g:a", "vllm")


def test_the_age_of_a_server_elsewhere_is_told_by_its_own_clock() -> None:
    """That host's clock is years behind ours; the server is 100 s old all the same."""
    started = view_of(RUNNING, 6, HERE, {}, local_socket=False).incarnation.started
    assert started == NOW - 100.0


def test_another_host_is_named_only_where_the_connection_proves_it() -> None:
    view = make_view(RUNNING, 5, HERE, {}, Place.ELSEWHERE, autorestart=None, now=NOW)
    assert "it runs on another host or in another network" in view.detail
    assert (view.tree, view.incarnation.key) == ((), "elsewhere/10/1900")
    assert "another host" not in unseen(5, Place.SOCKET)
    assert "PID namespace, or /proc hides it" in unseen(5, Place.SOCKET)


def test_a_port_of_another_user_than_the_supervisord_that_it_names_shows_no_process() -> None:
    assert make_view(RUNNING, 5, HERE, {}, Place.UNPROVEN, autorestart=None, now=NOW).tree == ()


OLD = Process(20, 1, 200, "S", "vllm", ("vllm", "serve"))
OLD_ENGINE = Process(21, 20, 210, "S", "VLLM::EngineCor", ("VLLM::EngineCore",))
INIT = Process(1, 0, 1, "S", "systemd", ("/sbin/init",))


def test_a_server_that_outlived_its_killed_supervisord_is_named_with_all_its_processes() -> None:
    """S02: its supervisord was killed and started again; the new one has given up, since the port is taken."""
    gone = replace(RUNNING, state=RunState.FATAL, word="FATAL", pid=0, trouble="Exited too quickly")
    snapshot = replace(HERE, processes={1: INIT, 5: SUPERVISORD, 20: OLD, 21: OLD_ENGINE})
    view = view_of(gone, 5, snapshot, {"boot-a/20/200": (OLD.ref,)}, local_socket=True)
    assert view.unsupervised == (OLD.ref, OLD_ENGINE.ref)
    assert view.incarnation.key == "none"
    assert view.detail == (
        "supervisord says FATAL, Exited too quickly; pid 20 of an earlier start lives on, unknown to its supervisor"
    )


@pytest.mark.parametrize(
    ("old", "more", "trees"),
    [
        (OLD, {}, {}),
        (OLD, {}, {"boot-b/20/200": ()}),
        (OLD, {}, {"boot-a/20/201": ()}),
        (replace(OLD, parent=5), {}, {"boot-a/20/200": ()}),
        (
            replace(OLD, parent=30),
            {30: Process(30, 1, 300, "S", "supervisord", ("supervisord",))},
            {"boot-a/20/200": ()},
        ),
        (replace(OLD, argv=("sshd",)), {}, {"boot-a/20/200": ()}),
        (replace(OLD, state="Z"), {}, {"boot-a/20/200": ()}),
    ],
    ids=[
        "not on record",
        "of another boot",
        "a later process of its pid",
        "a child of this supervisord",
        "a child of another supervisord",
        "no vLLM by its command line",
        "a zombie",
    ],
)
def test_no_other_process_is_taken_for_an_unsupervised_server(
    old: Process, more: dict[int, Process], trees: dict[str, tuple[ProcessRef, ...]]
) -> None:
    snapshot = replace(HERE, processes={1: INIT, **HERE.processes, 20: old, **more})
    assert view_of(RUNNING, 5, snapshot, trees, local_socket=True).unsupervised == ()


def test_what_a_forged_record_calls_ours_is_left_alone() -> None:
    """The title that a process has now speaks against the role on record."""
    sleep = Process(20, 1, 200, "S", "sleep", ("sleep", "1000"))
    snapshot = replace(HERE, processes={1: INIT, **HERE.processes, 20: sleep})
    forged = ProcessRef(20, 200, "engine_core", "VLLM::EngineCore")
    trees = {"boot-a/3999999/1": (forged,), KEY: (replace(forged, role="helper"), forged)}
    view = view_of(RUNNING, 5, snapshot, trees, local_socket=True)
    assert view.orphans == ()
    assert [left for refs in view.survivors.values() for left in refs] == []


def test_a_helper_below_an_engine_survives_with_it() -> None:
    engine = Process(20, 1, 200, "S", "VLLM::EngineCor", ("VLLM::EngineCore",))
    ninja = Process(22, 20, 220, "S", "ninja", ("ninja",))
    snapshot = replace(HERE, processes={1: INIT, **HERE.processes, 20: engine, 22: ninja})
    view = view_of(RUNNING, 5, snapshot, {"boot-a/9/90": (engine.ref, ninja.ref)}, local_socket=True)
    assert view.survivors == {"boot-a/9/90": (engine.ref, ninja.ref)}
