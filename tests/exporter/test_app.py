from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.exporter.fakes import SUBJECT, FakeClock, LogLines, collector, raises, yields
from vllm_exporter.app import App, enabled, load_collectors
from vllm_exporter.clock import SystemClock
from vllm_exporter.config.config import CollectorConfig, Config, TargetConfig
from vllm_exporter.errors import ConfigError, NoData, PluginError, SourceError
from vllm_exporter.metrics.family import Row
from vllm_exporter.metrics.gzip import join
from vllm_exporter.run.collector import Collector, Context
from vllm_exporter.web.server import ClientLimits, Server

WAIT = 45.0  # seconds a test waits for what must happen; see tests/patience.py


def values(page: bytes, but: str = "no line") -> set[str]:
    """The lines with values, 1.0 as 1, without those that have `but` in them."""
    lines = page.decode().splitlines()
    return {line.removesuffix(".0") for line in lines if not line.startswith("#") and but not in line}


def app(clock: FakeClock, log: LogLines, **classes: type[Collector]) -> App:
    return App(Context(Config(), clock), classes, log)


def test_says_of_each_collector_whether_it_works(clock: FakeClock, log_lines: LogLines) -> None:
    made = app(
        clock,
        log_lines,
        bad=collector(raises(SourceError("broken"))),
        empty=collector(raises(NoData("no GPU"))),
        good=collector(yields(7)),
    )
    made.run_once(WAIT)
    assert values(join(made.metrics()), but="cpu_seconds") == {
        'vllm_exporter_collector_duration_seconds{collector="bad"} 0',
        'vllm_exporter_collector_duration_seconds{collector="empty"} 0',
        'vllm_exporter_collector_duration_seconds{collector="good"} 0',
        'vllm_exporter_collector_errors_total{collector="bad"} 1',
        'vllm_exporter_collector_errors_total{collector="empty"} 0',
        'vllm_exporter_collector_errors_total{collector="good"} 0',
        'vllm_exporter_collector_last_success_timestamp_seconds{collector="empty"} 1700000000',
        'vllm_exporter_collector_last_success_timestamp_seconds{collector="good"} 1700000000',
        'vllm_exporter_collector_no_data{collector="bad"} 0',
        'vllm_exporter_collector_no_data{collector="empty"} 1',
        'vllm_exporter_collector_no_data{collector="good"} 0',
        'vllm_exporter_collector_success{collector="bad"} 0',
        'vllm_exporter_collector_success{collector="empty"} 1',
        'vllm_exporter_collector_success{collector="good"} 1',
        'vllm_exporter_interval_seconds{collector="bad"} 1',
        'vllm_exporter_interval_seconds{collector="empty"} 1',
        'vllm_exporter_interval_seconds{collector="good"} 1',
        "vllm_test_subject 7",
    }


def test_a_single_run_begins_with_those_whose_facts_others_read(clock: FakeClock, log_lines: LogLines) -> None:
    ran: list[str] = []

    def note(name: str) -> Iterator[Row]:
        ran.append(name)
        return iter(())

    classes = {
        name: collector(partial(note, name), metrics=(), turn=turn) for name, turn in (("c", 2), ("a", 0), ("b", 1))
    }
    app(clock, log_lines, **classes).run_once(WAIT)
    assert ran == ["a", "b", "c"]


def test_a_single_run_goes_on_when_one_of_the_first_hangs(log_lines: LogLines) -> None:
    never = threading.Event()

    def hang() -> Iterator[Row]:
        never.wait()
        return iter(())

    classes = {"first": collector(hang, metrics=()), "second": collector(yields(7), turn=1)}
    made = App(Context(Config(), SystemClock()), classes, log_lines)
    made.run_once(0.2)
    assert [view.result for view in made.views()] == ["not_run", "ok"]
    never.set()


def test_who_reads_what_others_post_has_a_later_turn() -> None:
    turns = {name: cls.turn for name, cls in load_collectors().items()}
    assert turns["processes"] == 0 < turns["gpu"] == turns["inside"] < turns["probe"] < turns["lifecycle"]
    assert turns["inside"] < turns["topology"] < turns["distributed"] == turns["lifecycle"]


def test_says_what_it_costs_itself(clock: FakeClock, log_lines: LogLines) -> None:
    made = app(clock, log_lines, good=collector(yields(7)))
    made.run_once(WAIT)
    names = {line.split()[0] for line in values(join(made.metrics())) if "cpu_seconds" in line}
    assert names == {
        "vllm_exporter_cpu_seconds_total",
        'vllm_exporter_collector_cpu_seconds_total{collector="good"}',
    }


def test_before_the_first_run_there_are_only_the_interval_and_the_count_of_errors(
    clock: FakeClock, log_lines: LogLines
) -> None:
    made = app(clock, log_lines, good=collector(yields(7), interval=30.0))
    assert values(join(made.metrics()), but="cpu_seconds") == {
        'vllm_exporter_collector_errors_total{collector="good"} 0',
        'vllm_exporter_interval_seconds{collector="good"} 30',
    }


def test_an_interval_of_the_configuration_replaces_the_collectors_own(clock: FakeClock, log_lines: LogLines) -> None:
    config = Config(collectors={"good": CollectorConfig(interval=7.5)})
    made = App(Context(config, clock), {"good": collector(yields(7), interval=30.0)}, log_lines)
    assert made.views()[0].interval == 7.5


def test_a_family_of_two_collectors_is_refused() -> None:
    classes = {"first": collector(yields()), "second": collector(yields())}
    with pytest.raises(PluginError, match="vllm_test_subject is declared by first and by second; rename one"):
        enabled(classes, Config())


def test_an_unknown_collector_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown collector 'sytem'; known: system"):
        enabled({"system": collector(yields())}, Config(collectors={"sytem": CollectorConfig(enabled=True)}))


def test_a_collector_runs_by_its_own_default_unless_configured() -> None:
    classes = {
        name: collector(yields(), metrics=(), default_enabled=name != "off") for name in ("on", "off", "chosen_off")
    }
    assert list(enabled(classes, Config())) == ["on", "chosen_off"]
    chosen = {"off": CollectorConfig(enabled=True), "chosen_off": CollectorConfig(enabled=False)}
    assert list(enabled(classes, Config(collectors=chosen))) == ["on", "off"]


def test_what_all_collectors_say_passes_the_parser_and_promtool(log_lines: LogLines, tmp_path: Path) -> None:
    """On this host, without a vLLM server: nothing listens on port 9 (discard)."""
    config = Config(targets=(TargetConfig("127.0.0.1:9", "here:9"),), state_dir=str(tmp_path))
    made = App(Context(config, SystemClock()), load_collectors(), log_lines)
    made.run_once(20.0)
    text = join(made.metrics()).decode()
    assert {one.name for one in text_string_to_metric_families(text)} >= {"vllm_host_load", "vllm_exporter_targets"}
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; apt install prometheus brings it")
    result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_hung_collector_delays_neither_a_scrape_nor_the_others(log_lines: LogLines) -> None:
    never, ran_twice, runs = threading.Event(), threading.Event(), [0]

    def hang() -> Iterator[Row]:
        never.wait()
        yield SUBJECT.sample(1)

    def count() -> Iterator[Row]:
        runs[0] += 1
        if runs[0] == 2:
            ran_twice.set()
        yield SUBJECT.sample(runs[0])

    classes = {"hung": collector(hang), "good": collector(count, interval=0.05)}
    made = App(Context(Config(), SystemClock()), classes, log_lines)
    made.start()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server([listener], made.answer, SystemClock(), ClientLimits())
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    assert ran_twice.wait(WAIT)
    scrapes = [scrape(listener.getsockname()[1]) for _ in range(5)]
    assert min(seconds for seconds, _ in scrapes) < 0.05  # the quickest: other programs share this host
    assert all(b'vllm_exporter_collector_success{collector="good"} 1' in text for _, text in scrapes)
    server.stop()
    never.set()
    made.stop()
    thread.join(WAIT)
    assert not thread.is_alive()


def scrape(port: int) -> tuple[float, bytes]:
    """Seconds that a scrape takes, and its text."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    started = time.perf_counter()
    client.request("GET", "/metrics")
    text = client.getresponse().read()
    client.close()
    return time.perf_counter() - started, text


def test_stops_although_a_collector_hangs(log_lines: LogLines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.app.STOP_SECONDS", 0.1)
    never, begun = threading.Event(), threading.Event()

    def hang() -> Iterator[Row]:
        begun.set()
        never.wait()
        yield SUBJECT.sample(1)

    made = App(Context(Config(), SystemClock()), {"hung": collector(hang)}, log_lines)
    made.start()
    assert begun.wait(WAIT)
    started = time.monotonic()
    made.stop()
    assert time.monotonic() - started < WAIT
    never.set()
