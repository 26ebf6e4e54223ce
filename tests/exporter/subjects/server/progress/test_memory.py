"""A new start of the exporter beside a server that goes on, or that was started again meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.exporter.subjects.server.progress.watched import IDLE, STEPS, Server, busy, hung
from vllm_exporter.config.config import ProbeConfig
from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.server.incarnation import Identity, Memory
from vllm_exporter.subjects.server.progress import Progress

FIRST = Identity(started=1_700_000_000.25)
SECOND = Identity(started=1_700_000_600.25)


def test_a_server_that_is_up_for_long_is_not_new_to_a_new_exporter() -> None:
    server = busy(600, Server(identity=FIRST))
    server.restart_exporter()
    sight = server.sight
    assert (sight.stall_limit, sight.ready_age) == (30, 1005)  # 400 s to warm up, 600 s of load, 5 s away


def test_a_hang_is_known_30_seconds_after_the_new_start() -> None:
    server = hung(600, Server(identity=FIRST))
    server.run(67)
    server.restart_exporter(away=20)
    assert (server.sight.progress_age, server.sight.stalled) == (0, False)  # who did not look knows nothing
    assert server.seconds_until_stalled(400) == 30


def test_a_hang_of_a_server_that_became_ready_within_ten_minutes_moves_or_waits_for_300_seconds() -> None:
    """Whether it began in the warm-up, as a compilation does, was not seen. One movement settles it."""
    server = hung(60, Server(identity=FIRST))
    server.restart_exporter()
    assert server.sight.stall_limit == 300
    assert server.run(1, STEPS).stall_limit == 30


def test_an_idle_server_that_is_up_for_long_has_its_usual_limit_at_once() -> None:
    server = Server(identity=FIRST)
    server.run(600)
    server.restart_exporter()
    assert server.sight.stall_limit == 30


def test_the_longest_gap_is_kept() -> None:
    server = hung(1, Server(identity=FIRST))
    server.run(19)
    server.run(200, STEPS)
    server.restart_exporter()
    assert server.sight.stall_limit == 100  # 5 * 20 s


def test_the_longest_gap_is_forgotten_over_restarts_of_the_exporter_too() -> None:
    server = hung(1, Server(identity=FIRST))
    server.run(19)
    server.run(200, STEPS)
    server.answers = "ok"
    server.restart_exporter(away=2 * 3600)
    server.run(1, STEPS)
    assert server.sight.stall_limit == pytest.approx(48, abs=1)  # 5 * 20 s, and an hour and some minutes too old
    server.restart_exporter(away=3600)
    assert server.run(1, STEPS).stall_limit == 30


def test_a_gap_of_a_file_without_its_time_counts_from_the_start_of_the_exporter() -> None:
    """As the first release wrote it: it may have been learned from a hang."""
    memory = Memory(FIRST, 100.0, 60.0)
    progress = Progress(ProbeConfig(), True, memory)
    for now, limit in ((10_000.0, 300), (10_000.0 + 4 * 3600, 37.5), (10_000.0 + 5 * 3600, 30)):
        progress.saw_health(now, "ok")
        progress.saw_values(now, IDLE, identity=FIRST)
        assert progress.sight(now).stall_limit == limit


def test_a_server_that_was_started_again_meanwhile_is_new() -> None:
    server = busy(60, Server(identity=FIRST))
    server.identity = SECOND
    server.restart_exporter()
    assert (server.sight.stall_limit, server.sight.ready_age) == (300, 0)
    server.identity = FIRST  # as behind a balancer: what was dropped does not come back
    server.run(1)
    assert server.sight.ready_age == 0


def test_a_server_that_was_down_at_the_new_start_is_new() -> None:
    server = busy(60, Server(identity=FIRST))
    server.health = "refused"
    server.restart_exporter()
    server.health = "ok"
    assert server.run(1).stall_limit == 300


def test_without_an_identity_nothing_is_taken_up() -> None:
    server = busy(60)
    assert server.restart_exporter() is None
    assert server.sight.stall_limit == 300


def test_a_compilation_that_goes_on_over_the_new_start_keeps_its_time() -> None:
    """Ready for 290 s, silent since: it began in the warm-up, and the new exporter cannot know that it did not."""
    server = Server(warm=False, identity=FIRST)
    server.look()
    busy(290, server)
    server.hang()
    server.run(20)
    server.restart_exporter()
    assert server.sight.stall_limit == 300
    assert server.seconds_until_stalled(200) is None
    assert server.run(1, STEPS).stall_limit == 30  # it was one, and is no measure of what comes after it


def test_work_that_appears_after_the_new_start_is_no_part_of_the_warm_up() -> None:
    server = Server(identity=FIRST)
    server.restart_exporter()
    server.load()
    server.hang()
    assert server.run(1).stall_limit == 30


def test_a_server_that_is_not_readable_yet_is_not_forgotten_by_the_next_start() -> None:
    server = busy(60, Server(identity=FIRST))
    kept = server.progress.memory
    server.values = None
    server.restart_exporter()
    assert server.restart_exporter() == kept


def test_another_start_time_is_a_restart_that_nobody_saw() -> None:
    """Between two looks, and of an idle server: no counter went backwards."""
    server = Server(identity=FIRST)
    server.identity = SECOND
    sight = server.run(1)
    assert (sight.ready_age, sight.stall_limit) == (0, 300)


def test_a_start_time_that_is_told_a_little_differently_is_the_same() -> None:
    server = Server(identity=FIRST)
    server.identity = Identity(started=1_700_000_001.25)
    assert server.run(1).ready_age == 401


def test_one_reading_without_a_start_time_is_no_restart() -> None:
    server = Server(identity=FIRST)
    server.identity = Identity()
    assert server.run(1).ready_age == 401
    assert server.progress.memory is not None


def test_the_process_will_do_where_metrics_do_not_say_when_it_began() -> None:
    memory = Memory(Identity(ref=Ref(100, 5000)), 100.0, 12.0)
    progress = Progress(ProbeConfig(), True, memory)
    progress.saw_process(2000.0, Identity(ref=Ref(100, 5000)))
    assert progress.sight(2000.0).ready_age is None  # nothing was read of it yet
    progress.saw_health(2001.0, "ok")
    progress.saw_values(2001.0, IDLE)
    assert progress.sight(2001.0).ready_age == 1901
    assert progress.sight(2001.0).stall_limit == 60
    other = Progress(ProbeConfig(), True, memory)
    other.saw_health(2001.0, "ok")
    other.saw_values(2001.0, replace(IDLE, running=1))
    other.saw_process(2002.0, Identity(ref=Ref(100, 7000)))
    assert other.sight(2002.0).stall_limit == 300
