"""The supervisord actuator against a real supervisord with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.healer.actuators.acting import handle, reap, restart
from vllm_healer.actuators import processes
from vllm_healer.actuators.processes import PROC
from vllm_healer.actuators.supervisor_rpc import Supervisor
from vllm_healer.actuators.supervisord import Supervisord, missing_file, missing_model
from vllm_healer.errors import Blind, PermanentError, TemporaryError
from vllm_healer.handle import Handle
from vllm_healer.model import NO_INCARNATION, Outcome, ProcessRef, RunState, Target
from vllm_healer.remediations import restart_engine
from vllm_healer.remediations.restart_engine import RestartEngine

pytestmark = pytest.mark.real


class Crash(Exception):
    """The healer dies here."""


def test_sees_the_tree_with_its_roles(fleet: Any, supervisord: Supervisord) -> None:
    program = fleet.programs["plain"]
    view = program.start(supervisord.observe)
    assert view.state is RunState.RUNNING
    assert [ref.role for ref in view.tree] == ["api_server", "engine_core", "worker"]
    assert view.incarnation.pid == program.processes()["api_server"].pid
    assert view.orphans == ()
    assert view.restarts_itself is None
    assert view.no_way_back == ""
    assert "RUNNING" in view.detail


def test_says_that_the_file_which_a_start_would_run_is_gone(tmp_path: Path) -> None:
    """Supervisor answers NO_FILE then, after the stop: an upgrade that removed it is not over."""
    gone, there = tmp_path / "gone", tmp_path / "vllm"
    there.touch()
    assert missing_file(str(there), os.getpid(), PROC) == ""
    assert missing_file(str(gone), os.getpid(), PROC) == (
        f"supervisord would run {gone}, which is not there; install it, or correct the program's command"
    )


def test_says_that_the_model_which_a_start_would_load_is_gone(tmp_path: Path) -> None:
    """A disk that was unmounted under a server that still runs, or hangs because of it."""
    there = tmp_path / "model"
    there.mkdir()
    assert missing_model(str(there), os.getpid(), PROC) == ""
    assert missing_model(str(tmp_path / "gone"), os.getpid(), PROC) == (
        f"its model {tmp_path}/gone is not there; bring it back, for a start would fail without it"
    )


def test_of_a_model_that_is_a_name_or_that_it_cannot_see_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "root").symlink_to(tmp_path)  # another root directory than ours
    assert missing_model("meta-llama/Llama-3.1-8B", os.getpid(), PROC) == ""
    assert missing_model("", os.getpid(), PROC) == ""
    assert missing_model("/gone", 7, tmp_path) == ""
    assert missing_model("/gone", 8, tmp_path) == ""
    file = tmp_path / "file"
    file.touch()
    assert missing_model(f"{file}/below", os.getpid(), PROC) == ""  # not a directory: nothing is concluded


def test_of_a_file_that_it_cannot_see_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "root").symlink_to(tmp_path)  # another root directory than ours
    assert missing_file("/gone", 7, tmp_path) == ""
    assert missing_file("/gone", 8, tmp_path) == ""
    assert missing_file("", os.getpid(), PROC) == ""


def test_restarts_once_and_leaves_nothing_of_the_old_tree(fleet: Any, supervisord: Supervisord) -> None:
    program = fleet.programs["restarted"]
    old = program.start(supervisord.observe)
    result, steps = restart(supervisord, program.target, old.incarnation.key)
    assert result.outcome is Outcome.DONE
    assert steps == ["stop", "start"]
    assert result.incarnation not in (old.incarnation.key, NO_INCARNATION.key)
    assert processes.still_alive(old.tree) == ()
    assert supervisord.observe(program.target).state is RunState.RUNNING


def test_a_changed_incarnation_is_recorded_and_not_restarted_again(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["changed"]
    old = program.start(supervisord.observe)
    restart(supervisord, program.target, old.incarnation.key)
    supervised.wait_for(lambda: program.starts() == 2, "the second start")
    result, steps = restart(supervisord, program.target, old.incarnation.key)
    assert result.outcome is Outcome.ALREADY
    assert steps == []
    assert result.incarnation == supervisord.observe(program.target).incarnation.key
    assert program.starts() == 2


def test_restarts_what_supervisord_restarts_itself_without_a_second_start(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["autorestarted"]
    old = program.start(supervisord.observe)
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    supervised.wait_for(lambda: program.starts() == 2, "the second start")
    assert result.outcome is Outcome.DONE
    assert processes.still_alive(old.tree) == ()


def test_names_the_api_server_below_a_wrapper_and_ends_both(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["wrapped"]
    old = program.start(supervisord.observe)
    assert [ref.role for ref in old.tree] == ["helper", "api_server", "engine_core", "worker"]
    assert old.incarnation.pid == program.processes()["api_server"].pid
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    assert result.outcome is Outcome.DONE
    assert processes.still_alive(old.tree) == ()
    supervised.wait_for(lambda: program.starts() == 2, "the second start")


def test_ends_processes_that_ignore_sigterm(
    fleet: Any, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart_engine, "GRACE", 0.2)  # seconds of real time that nobody needs to wait for
    program = fleet.programs["stubborn"]
    old = program.start(supervisord.observe)
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    assert result.outcome is Outcome.DONE
    assert processes.still_alive(old.tree) == ()


def test_ends_stopped_children(fleet: Any, supervisord: Supervisord) -> None:
    program = fleet.programs["frozen"]
    old = program.start(supervisord.observe)
    for role in ("engine_core", "worker"):
        os.kill(program.processes()[role].pid, signal.SIGSTOP)
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    assert result.outcome is Outcome.DONE
    assert processes.still_alive(old.tree) == ()


def test_ends_a_stopped_api_server_which_takes_no_notice_of_sigterm(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart_engine, "GRACE", 0.2)
    program = fleet.programs["stopped_whole"]
    old = program.start(supervisord.observe)
    os.kill(old.incarnation.pid, signal.SIGSTOP)
    result, steps = restart(supervisord, program.target, old.incarnation.key)
    assert (result.outcome, steps) == (Outcome.DONE, ["stop", "start"])
    assert processes.still_alive(old.tree) == ()
    supervised.wait_for(lambda: program.starts() == 2, "the second start")


def test_starts_what_exited_and_removes_what_it_left(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["exited"]
    old = program.start(supervisord.observe)
    os.kill(old.incarnation.pid, signal.SIGKILL)
    supervised.wait_for(lambda: supervisord.observe(program.target).state is RunState.EXITED, "the exit")
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    supervised.wait_for(lambda: program.starts() == 2, "the second start")
    assert result.outcome is Outcome.DONE
    assert processes.still_alive(old.tree) == ()


def test_leaves_it_to_supervisord_when_that_has_restarted_it(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["auto_exited"]
    old = program.start(supervisord.observe)
    os.kill(old.incarnation.pid, signal.SIGKILL)
    supervised.wait_for(lambda: program.starts() == 2, "supervisord's own start")
    result, steps = restart(supervisord, program.target, old.incarnation.key)
    assert (result.outcome, steps) == (Outcome.ALREADY, [])
    assert program.starts() == 2


CRASHES = {
    "when the step stop is journalled": ("step", "stop"),
    "when supervisord was told to stop it": (Supervisor, "stop"),
    "when its processes were killed": (Handle, "_kill"),
    "when the step start is journalled": ("step", "start"),
    "when supervisord was told to start it": (Supervisor, "start"),
}


@pytest.mark.parametrize("number", range(5), ids=list(CRASHES))
def test_a_crash_leads_to_exactly_one_new_start(
    number: int, fleet: Any, supervisord: Supervisord, supervised: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fleet.programs[f"crash_{number}"]
    old = program.start(supervisord.observe)
    where, name = list(CRASHES.values())[number]

    def step(taken: str) -> None:
        if (where, name) == ("step", taken):
            raise Crash

    with monkeypatch.context() as patch:
        if where != "step":
            patch.setattr(where, name, dies_after(getattr(where, name)))
        with pytest.raises(Crash):
            RestartEngine().carry_out(handle(supervisord, program.target, old.incarnation.key, step))
    result, _ = restart(supervisord, program.target, old.incarnation.key)
    supervised.wait_for(lambda: program.starts() >= 2, "the second start")
    assert program.starts() == 2
    assert result.outcome is (Outcome.ALREADY if (where, name) == (Supervisor, "start") else Outcome.DONE)
    assert processes.still_alive(old.tree) == ()
    assert supervisord.observe(program.target).state is RunState.RUNNING


def dies_after(function: Any) -> Any:
    def wrapper(*arguments: Any) -> None:
        function(*arguments)
        raise Crash

    return wrapper


def test_reaps_orphans_and_leaves_a_look_alike_alone(
    fleet: Any, supervisord: Supervisord, supervised: ModuleType
) -> None:
    program = fleet.programs["orphaned"]
    old = program.start(supervisord.observe)
    look_alike = subprocess.Popen(["VLLM::EngineCore", "600"], executable="/bin/sleep")
    try:
        os.kill(old.incarnation.pid, signal.SIGKILL)
        supervised.wait_for(lambda: len(supervisord.observe(program.target).orphans) == 2, "two orphans")
        orphans = supervisord.observe(program.target).orphans
        assert {ref.role for ref in orphans} == {"engine_core", "worker"}
        result, steps = reap(supervisord, program.target, NO_INCARNATION.key)
        assert result.outcome is Outcome.DONE
        assert steps == ["terminate"]
        assert processes.still_alive(orphans) == ()
        assert look_alike.poll() is None
        again, _ = reap(supervisord, program.target, NO_INCARNATION.key)
        assert again.outcome is Outcome.ALREADY
    finally:
        look_alike.kill()
        look_alike.wait()
    assert program.starts() == 1


def test_a_reused_pid_is_no_orphan_and_is_not_signalled(fleet: Any, supervisord: Supervisord) -> None:
    program = fleet.programs["reused"]
    stranger = subprocess.Popen(["VLLM::EngineCore", "600"], executable="/bin/sleep", start_new_session=True)
    try:
        process = processes.read_process(stranger.pid)
        assert process is not None
        earlier = ProcessRef(process.pid, process.start_ticks - 1, "engine_core", "VLLM::EngineCore")
        boot_id = processes.read_snapshot().boot_id
        program.remembered[f"{boot_id}/{stranger.pid}/1"] = (earlier,)
        assert supervisord.observe(program.target).orphans == ()
        assert processes.send(earlier, signal.SIGKILL) is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_speaks_http_with_a_password(fleet: Any, supervisord: Supervisord) -> None:
    program = fleet.programs["spoken_to"]
    view = supervisord.observe(over_http(fleet, program, "swordfish"))
    assert (view.state, view.incarnation) == (RunState.STOPPED, NO_INCARNATION)


def test_a_wrong_password_is_blindness_for_a_look_and_permanent_for_an_action(
    fleet: Any, supervisord: Supervisord
) -> None:
    target = over_http(fleet, fleet.programs["spoken_to"], "tunafish")
    with pytest.raises(Blind, match="401 Unauthorized; check username and password_file"):
        supervisord.observe(target)
    with pytest.raises(PermanentError):
        RestartEngine().carry_out(handle(supervisord, target, "none"))


def test_an_unknown_program_is_named_with_the_known_ones(fleet: Any, supervisord: Supervisord) -> None:
    target = with_options(fleet.programs["plain"].target, program="plane")
    with pytest.raises(PermanentError, match=r"has no program 'plane'; known: .*orphaned, plain, "):
        RestartEngine().carry_out(handle(supervisord, target, "none"))
    with pytest.raises(Blind, match="known:"):
        supervisord.observe(target)


def test_nobody_listening_is_blindness_for_a_look_and_temporary_for_an_action() -> None:
    actuator = Supervisord(lambda server: {}, timeout=0.5)
    for url in ("unix:///nowhere/s.sock", "http://127.0.0.1:9"):
        target = Target("gpu1:8000", "", "pool", "supervisord", {"url": url, "program": "vllm"})
        with pytest.raises(Blind, match="did not answer getProcessInfo"):
            actuator.observe(target)
        with pytest.raises(TemporaryError):
            RestartEngine().carry_out(handle(actuator, target, "none"))


def over_http(fleet: Any, program: Any, password: str) -> Target:
    file = fleet.folder / f"password-{password}"
    file.write_text(f"{password}\n")
    url = f"http://127.0.0.1:{fleet.port}/RPC2"
    return with_options(program.target, url=url, username="healer", password_file=str(file))


def with_options(target: Target, **options: str) -> Target:
    return Target(target.server, target.url, target.pool, target.actuator, {**target.options, **options})
