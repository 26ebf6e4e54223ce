"""From evidence to a state: lives, ends, contradictions. The states themselves are in test_every_state.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exporter.subjects.lifecycle.telling import AFTER, BARE, GONE, REFUSED, SERVER, Server, sight, tree, values
from vllm_exporter.facts.facts import ServerSight
from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.lifecycle.evidence import Evidence, Exit, Mark, Processes


def test_the_first_look_is_no_transition() -> None:
    server = Server()
    assert server.look(processes=tree(), sight=sight(values=values())) == "ready_verified"
    assert server.path() == ["ready_verified"]
    assert [one.old for one in server.made] == ["listening"]


def test_nothing_known_is_no_state() -> None:
    assert Server().look() == ""


def test_a_start_without_a_log() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look(processes=BARE, sight=REFUSED)
    server.look(processes=BARE, sight=REFUSED, bound=True)
    server.look(processes=BARE, sight=REFUSED, bound=True)
    server.look(processes=replace(BARE, engines=frozenset({""})), sight=REFUSED)
    server.look(processes=tree(), sight=REFUSED)
    server.look(processes=tree(), sight=sight(canary_ok=None))
    server.look(processes=tree(), sight=sight())
    server.look(processes=tree(), sight=sight())
    assert server.path() == [
        "spawned", "args_parsed", "port_bound", "config_resolving", "engine_spawned", "executor_spawn", "listening",
        "ready_verified", "idle",
    ]  # fmt: skip
    assert not server.machine.history.illegal


def test_a_start_is_measured_from_the_process_to_the_first_answer() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)  # at 1001
    server.look(processes=replace(BARE, started=1001.5), sight=REFUSED)
    server.look("args_parsed", after=8, processes=BARE, sight=REFUSED)  # at 1010
    server.look("engine_spawned", after=10, processes=BARE, sight=REFUSED)
    server.look(after=20, processes=tree(), sight=sight(canary_ok=None))  # at 1040
    server.look(after=2, processes=tree(), sight=sight())
    phases = server.machine.history.phases.seconds
    assert phases["spawned"] == 8.5
    assert phases["args_parsed"] == 10
    assert phases["engine_spawned"] == 20
    assert phases["listening"] == 2
    assert phases["total"] == 38.5


def test_half_a_start_is_not_measured() -> None:
    server = Server()
    server.look("model_init", processes=tree(), sight=REFUSED)
    server.look(processes=tree(), sight=sight())
    assert server.machine.history.phases.seconds == {}


def test_a_restart_between_two_looks_is_an_end_and_a_start() -> None:
    server = Server().started()
    server.look(processes=tree(AFTER, engines=frozenset(), workers=frozenset()), sight=REFUSED)
    assert server.path() == ["exited", "spawned"]
    assert not server.machine.history.illegal


def test_lines_from_before_a_restart_belong_to_the_life_before() -> None:
    server = Server().started()
    old, new = Mark(server.now + 0.2, "stopping", "api_server", "", 100), server.now + 0.5
    evidence = Evidence(server.now + 1, marks=(old,), processes=replace(BARE, api=(AFTER,), started=new))
    assert [one.new for one in server.machine.fold(evidence)] == ["stopping", "exited", "spawned"]
    assert server.machine.failures.starts == 0


def test_a_log_that_says_ready_keeps_no_dead_process_alive() -> None:
    server = Server().started()
    server.look("idle", "serving", processes=GONE, sight=REFUSED)
    assert server.machine.state == "exited"


def test_a_process_that_is_not_seen_yet_is_believed_by_its_log_for_a_moment() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look("args_parsed", processes=GONE, sight=REFUSED)
    server.look("config_resolved", after=5, processes=GONE, sight=REFUSED)
    assert server.machine.state == "config_resolved"
    server.look(processes=BARE, sight=REFUSED)
    assert server.machine.state == "config_resolved"
    assert server.path() == ["spawned", "args_parsed", "config_resolved"]


def test_a_start_by_the_log_alone_that_no_process_follows_has_failed() -> None:
    server = Server().started()
    server.look(processes=GONE, sight=REFUSED)
    server.look("args_parsed", after=20, processes=GONE, sight=REFUSED)
    assert server.look(after=7, processes=GONE, sight=REFUSED) == "start_failed"


def test_a_start_whose_processes_cannot_be_seen_is_believed_for_long() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look("args_parsed", processes=GONE, sight=REFUSED)
    server.look("weights_loading", after=300, processes=GONE, sight=REFUSED)
    assert server.look(after=600, processes=GONE, sight=REFUSED) == "weights_loading"
    assert server.look(processes=GONE, sight=sight()) == "ready_verified"


def test_a_server_on_another_host_is_known_by_its_answers() -> None:
    server = Server()
    assert server.look(sight=REFUSED) == "absent"
    server.look(sight=sight())
    assert server.look(sight=sight()) == "idle"
    assert server.look(sight=REFUSED) == "exited"
    server.look(sight=sight())
    assert not server.machine.history.illegal


def test_a_server_that_is_found_silent_is_a_suspect_and_not_absent() -> None:
    """Its processes are hidden, as in a container, and the first look at its port takes 5 s to time out."""
    server = Server()
    assert server.look(processes=GONE) == "absent"
    assert server.look(processes=GONE, sight=ServerSight("timeout")) == "suspect"
    assert server.look(processes=GONE, sight=sight(values=values())) == "ready_verified"
    assert server.look(processes=GONE, sight=REFUSED) == "exited"


def test_a_silent_server_on_another_host_is_there_when_its_metrics_are() -> None:
    server = Server()
    assert server.look(sight=ServerSight("timeout", values=values(running=3))) == "suspect"


def test_silence_of_another_host_proves_nothing() -> None:
    """It may be switched off: its packets are lost too."""
    server = Server()
    assert server.look(sight=ServerSight("timeout")) == ""
    assert server.look(sight=REFUSED) == "absent"
    assert server.look(sight=ServerSight("timeout")) == "absent"


def test_a_start_that_does_not_answer_in_time_goes_on() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look("weights_loading", processes=BARE, sight=REFUSED)
    assert server.look(processes=BARE, sight=ServerSight("timeout")) == "weights_loading"


def test_missing_evidence_keeps_the_state() -> None:
    server = Server().started()
    assert server.look() == "idle"
    assert server.look(sight=ServerSight("timeout")) == "suspect"
    assert server.look(processes=tree()) == "idle"
    assert server.machine.known_at == server.now


def test_time_that_goes_backwards_makes_no_negative_durations() -> None:
    server = Server().started()
    server.look(Mark(0, "paused"), after=-500, processes=tree(), sight=sight())
    server.look(after=1, processes=tree(), sight=sight(paused=False))
    assert all(one.seconds >= 0 for one in server.made)
    assert all(seconds >= 0 for seconds in server.machine.history.phases.seconds.values())


def test_a_line_from_the_future_happened_now() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    made = server.machine.fold(Evidence(1010, marks=(Mark(99999, "args_parsed", pid=100),), processes=BARE))
    assert [one.at for one in made] == [1010, 1010]


def test_a_line_of_a_start_from_a_ready_server_is_counted_and_not_believed() -> None:
    server = Server().started()
    assert server.look("model_init", processes=tree(), sight=sight()) == "idle"
    assert server.machine.history.illegal == {("idle", "model_init"): 1}
    assert server.path() == []


def test_an_end_that_goes_on_computing_is_counted_and_not_believed_any_more() -> None:
    server = Server().started()
    assert server.look("stopping", processes=tree(), sight=sight()) == "stopping"
    assert server.look(after=29, processes=tree(), sight=sight()) == "stopping"
    assert server.look(after=2, processes=tree(), sight=sight(values=values())) == "idle"
    assert server.machine.history.illegal[("stopping", "serving")] == 1


def test_a_drain_that_answers_no_canary_is_believed_for_as_long_as_it_lasts() -> None:
    server = Server().started()
    server.look("draining", processes=tree(), sight=sight())
    assert server.look(after=500, processes=tree(), sight=sight(canary_ok=False)) == "draining"


def test_a_dead_engine_that_is_not_there_stays_dead_whatever_health_says() -> None:
    server = Server().started()
    server.look("engine_dead", processes=tree(), sight=sight())
    without = tree(engines=frozenset())
    assert server.look(after=100, processes=without, sight=sight()) == "engine_dead"


def test_the_end_after_a_dead_engine_is_not_planned() -> None:
    server = Server().started()
    server.look("engine_dead", "stopping", processes=tree(), sight=REFUSED)
    assert server.path() == ["engine_dead"]
    server.look(processes=GONE, sight=REFUSED, exits=(server.exit("clean"),), errors=("cuda.illegal",))
    assert server.machine.state == "exited"
    assert server.machine.failures.error == "cuda.illegal"


def test_a_stop_that_logs_a_dead_engine_is_a_stop() -> None:
    server = Server().started()
    server.look("stopping", "aborting", "engine_dead", processes=tree(), sight=REFUSED)
    assert server.machine.state == "aborting"
    server.look(processes=GONE, sight=REFUSED)
    assert server.path() == ["stopping", "aborting", "exited"]
    assert server.machine.last_exit == Exit(server.now, "api_server", 100, "stopped", "")


def test_three_failed_starts_are_a_loop_that_ends_with_a_good_one() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    for number in range(3):
        ref = Ref(100 + number, 5000 + number)
        server.look(processes=replace(BARE, api=(ref,)), sight=REFUSED)
        server.look("args_parsed", processes=replace(BARE, api=(ref,)), sight=REFUSED)
        server.look(processes=GONE, sight=REFUSED)
    assert server.machine.state == "crash_loop"
    assert server.path()[-4:] == ["start_failed", "spawned", "args_parsed", "crash_loop"]
    assert server.look(processes=tree(AFTER), sight=REFUSED) == "crash_loop"  # another try of the same
    server.look(processes=tree(AFTER), sight=sight())
    assert server.look(processes=tree(AFTER), sight=sight()) == "idle"
    assert server.machine.failures.starts == 0


def test_the_same_death_three_times_is_a_loop_though_it_served_in_between() -> None:
    server = Server().started()
    for number in range(3):
        ref = SERVER._replace(start=5000 + number)
        server.look(processes=tree(ref), sight=sight())
        server.look(
            "engine_dead", processes=tree(ref), sight=ServerSight("503"), errors=("cuda.illegal", "engine.fatal")
        )
        server.look(processes=GONE, sight=REFUSED)
    assert server.machine.state == "crash_loop"


@pytest.mark.parametrize("shown", ["by the log", "by /health"])
def test_what_a_start_survived_is_not_the_error_of_its_end(shown: str) -> None:
    server = Server().started()
    server.look(processes=GONE, sight=REFUSED)
    for number, error in enumerate(("cuda.illegal", "oom.cuda", "host.oom")):
        ref = SERVER._replace(start=5000 + number)
        server.look("args_parsed", processes=tree(ref), sight=REFUSED, errors=("other.exception",))
        if shown == "by the log":
            server.look("listening", processes=tree(ref), sight=REFUSED)
        server.look(processes=tree(ref), sight=sight())
        server.look("engine_dead", processes=tree(ref), sight=ServerSight("503"), errors=(error,))
        server.look(processes=GONE, sight=REFUSED)
    assert server.machine.state == "exited"


def test_different_deaths_and_distant_ones_are_no_loop() -> None:
    server = Server().started()
    for number, (error, gap) in enumerate([("cuda.illegal", 1), ("oom.cuda", 1), ("oom.cuda", 4000)]):
        ref = SERVER._replace(start=5000 + number)
        server.look(after=gap, processes=tree(ref), sight=sight())
        server.look("engine_dead", processes=tree(ref), sight=ServerSight("503"), errors=(error,))
        server.look(processes=GONE, sight=REFUSED)
    assert server.machine.state == "exited"


def test_a_server_that_is_killed_while_it_starts_has_failed_to_start() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look(processes=BARE, sight=REFUSED)
    server.look(processes=GONE, sight=REFUSED, exits=(server.exit("sigterm", "-15"),))
    assert server.machine.state == "start_failed"
    assert server.machine.failures.starts == 1


def test_the_exit_of_a_worker_explains_the_clean_exit_of_its_server() -> None:
    server = Server().started()
    killed = server.exit("oom_kill", "-9", "worker", 120)
    server.look("engine_dead", processes=tree(workers=frozenset()), sight=ServerSight("503"), exits=(killed,))
    server.look(processes=GONE, sight=REFUSED, exits=(server.exit("clean"),))
    assert server.machine.last_exit == killed


def test_a_cause_that_comes_late_replaces_the_unknown_one() -> None:
    server = Server().started()
    ended = server.exit("error", "1")
    server.look(processes=GONE, sight=REFUSED)
    assert server.machine.last_exit is not None
    assert server.machine.last_exit.cause == "unknown"
    server.look(after=8, processes=GONE, sight=REFUSED, exits=(ended,))
    assert server.machine.last_exit == ended


def test_late_lines_of_a_dead_server_start_none() -> None:
    server = Server()
    server.look(processes=GONE, sight=REFUSED)
    server.look(processes=BARE, sight=REFUSED)
    server.look(processes=GONE, sight=REFUSED)
    late = (Mark(0, "args_parsed", "api_server", "", 100), Mark(0, "model_init", "worker", "", 120))
    assert server.look(*late, processes=GONE, sight=REFUSED) == "start_failed"


def test_preflight_lasts_until_the_start() -> None:
    server = Server().started()
    server.look(processes=GONE, sight=REFUSED)
    assert server.look("preflight", processes=GONE, sight=REFUSED) == "preflight"
    assert server.look(processes=replace(BARE, api=(AFTER,)), sight=REFUSED) == "spawned"
    assert not server.machine.history.illegal


def test_left_over_processes_do_not_hide_a_new_server() -> None:
    server = Server().started()
    assert server.look(processes=Processes(orphans=2), sight=REFUSED) == "orphaned"
    assert server.look(processes=Processes(api=(AFTER,), orphans=2), sight=REFUSED) == "spawned"


@pytest.mark.parametrize(("paused", "sleeping", "state"), [(True, False, "paused"), (True, True, "sleeping")])
def test_a_server_that_is_held_is_no_suspect(paused: bool, sleeping: bool, state: str) -> None:
    server = Server().started()
    held = sight(canary_failures=3, progress_age=100.0, work=True, paused=paused, sleeping=sleeping)
    assert server.look(processes=tree(), sight=held) == state


def test_a_long_pause_by_the_log_ends_when_the_engine_moves_again() -> None:
    server = Server().started()
    server.look("paused", processes=tree(), sight=sight(values=values(iterations=10)))
    assert server.look(after=5, processes=tree(), sight=sight(values=values(iterations=20))) == "paused"
    assert server.look(after=300, processes=tree(), sight=sight(values=values(iterations=20))) == "paused"
    assert server.look(processes=tree(), sight=sight(values=values(iterations=30))) == "serving"


def test_a_server_that_computes_at_once_after_its_sleep_was_waking_in_between() -> None:
    server = Server().started()
    server.look(processes=tree(), sight=sight(sleeping=True, values=values(iterations=10)))
    server.look(processes=tree(), sight=sight(values=values(iterations=11)))
    server.look(processes=tree(), sight=sight(values=values(iterations=12)))
    assert server.path() == ["sleeping", "waking", "idle"]


def test_what_waited_in_a_pause_does_not_saturate_after_it() -> None:
    server = Server().started()
    queued = sight(paused=True, values=values(waiting=2))
    for _ in range(8):
        server.look(processes=tree(), sight=queued)
    assert server.look(processes=tree(), sight=sight(paused=False, values=values(running=2, waiting=1))) == "serving"


def test_a_probe_that_lags_behind_the_log_takes_nothing_back() -> None:
    server = Server().started()
    server.look("sleeping", processes=tree(), sight=sight(sleeping=False))
    server.look(after=8, processes=tree(), sight=sight(sleeping=True))
    server.look("waking", "idle", processes=tree(), sight=sight(sleeping=True, paused=True))
    server.look(processes=tree(), sight=sight(values=values(iterations=1)))
    server.look(processes=tree(), sight=sight(values=values(iterations=2)))
    assert server.path() == ["sleeping", "waking", "idle"]


def test_an_overloaded_server_that_misses_canaries_is_saturated_and_no_suspect() -> None:
    server = Server().started()
    for second in range(5):
        busy = sight(
            canary_ok=False,
            canary_failures=2,
            progress_age=0.5,
            work=True,
            values=values(running=8, waiting=9, iterations=100 + second),
        )
        server.look(processes=tree(), sight=busy)
    assert server.machine.state == "saturated"


def test_a_list_of_processes_that_lags_behind_an_exit_starts_nothing() -> None:
    server = Server().started()
    server.look(processes=tree(), sight=REFUSED, exits=(server.exit("error", "1"),))
    assert server.look(processes=tree(), sight=REFUSED) == "exited"
    assert server.path() == ["exited"]
