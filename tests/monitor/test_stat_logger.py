"""The class that vLLM loads, against a vLLM that is one class: what it writes is what the exporter reads."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.monitor import eras
from tests.monitor.nonsense import VALUES, statistics
from tests.monitor.test_stats import counts
from tests.patience import wait_for
from vllm_exporter.subjects.inside.format import Directory, is_whole, parse_directory, parse_header, parse_values
from vllm_monitor import background, process

RANDOM_STEPS = 100_000
POOL = 2_000  # random objects, of which each step takes two: made anew each time they would take three times as long


class AggregateStatLoggerBase:
    """Stands for vLLM's class of the same name."""


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The module that the entry point names, in a process whose directory is `tmp_path`."""
    loggers = types.ModuleType("vllm.v1.metrics.loggers")
    loggers.AggregateStatLoggerBase = AggregateStatLoggerBase  # type: ignore[attr-defined]
    for name in ("vllm", "vllm.v1", "vllm.v1.metrics"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "vllm.v1.metrics.loggers", loggers)
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path))
    monkeypatch.setattr(process, "_this", None)
    monkeypatch.setattr(background, "INTERVAL", 0.01)
    monkeypatch.delitem(sys.modules, "vllm_monitor.stat_logger", raising=False)
    yield importlib.import_module("vllm_monitor.stat_logger")
    here = process._this
    if here is not None:
        here.background.stop()
    monkeypatch.delitem(sys.modules, "vllm_monitor.stat_logger", raising=False)


def read(folder: Path) -> dict[str, float]:
    """The first value of each series in the only snapshot file, once it is whole."""
    (file,) = folder.glob("*.snap")

    def whole() -> tuple[Directory, tuple[float, ...]] | None:
        data = file.read_bytes()
        header = parse_header(data)
        if not is_whole(data, header):
            return None
        text = data[header.directory_at : header.directory_at + header.directory_size]
        return parse_directory(text, header), parse_values(data, header)

    found = wait_for(whole)
    assert found is not None
    directory, values = found
    return {" ".join([one.name, *(value for _, value in one.labels)]): values[one.at] for one in directory.entries}


def record(logger: Any, times: int = 1) -> None:
    """As vLLM 0.32 calls it."""
    for _ in range(times):
        logger.record(eras.scheduler("0.32.0"), eras.iteration("0.32.0"), mm_cache_stats=None, engine_idx=1)


def test_what_vllm_records_reaches_the_exporters_reader(plugin: Any, tmp_path: Path) -> None:
    logger = plugin.StatLogger(vllm_config=None, engine_indexes=[0, 1])
    record(logger, 5)
    wait_for(lambda: read(tmp_path).get("vllm_engine_steps_total 1") == 5)
    found = read(tmp_path)
    assert found["vllm_tokens_generated_total"] == 15
    assert found["vllm_inside_steps_lost_total"] == 0
    assert found["vllm_inside_disabled"] == 0


def test_without_the_directory_it_does_nothing(plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MONITOR_DIR", str(tmp_path / "absent"))
    threads = threading.active_count()
    logger = plugin.StatLogger(vllm_config=None, engine_indexes=[0])
    record(logger)
    logger.log()
    assert process._this is None
    assert threading.active_count() == threads


def test_nothing_that_vllm_may_call_raises(plugin: Any) -> None:
    dice = random.Random(7)
    logger = plugin.StatLogger()
    for _ in range(1000):
        arguments = [dice.choice((None, 1, object(), eras.scheduler("0.8.5"))) for _ in range(dice.randrange(6))]
        logger.record(*arguments, **dice.choice(({}, {"engine_idx": None}, {"something": 1}, {"scheduler_stats": 3})))
    for method in ("log", "log_engine_initialized", "record_sleep_state", "record_admission_rejection"):
        getattr(logger, method)(1, 2, three=3)


def test_a_directory_that_cannot_be_written_stops_no_server(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(process, "Background", fail)
    record(plugin.StatLogger(vllm_config=None, engine_indexes=[0]))
    assert "the plug-in could not start; the server is not affected" in caplog.text


def test_a_thread_that_died_is_started_again_when_vllm_logs(plugin: Any, tmp_path: Path) -> None:
    logger = plugin.StatLogger(vllm_config=None, engine_indexes=[0])
    here = process._this
    assert here is not None
    here.background._ended.set()
    wait_for(lambda: not here.background._thread.is_alive())  # type: ignore[union-attr]
    record(logger, 2000)  # nobody takes them: the ring keeps what it can
    here.background._ended.clear()
    logger.log()
    wait_for(lambda: read(tmp_path).get("vllm_inside_steps_lost_total", 0) > 0)
    found = read(tmp_path)
    assert found["vllm_engine_steps_total 1"] + found["vllm_inside_steps_lost_total"] == 2000


def test_a_vllm_with_other_statistics_is_said_to_be_unknown_once(
    plugin: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = plugin.StatLogger(vllm_config=None, engine_indexes=[0])
    with caplog.at_level(logging.ERROR):
        for _ in range(300):
            logger.record(object(), object())
        wait_for(lambda: read(tmp_path).get("vllm_inside_disabled") == 1)
    assert caplog.text.count("have no attribute that is known") == 1


def test_in_an_event_loop_its_lag_is_measured(plugin: Any, tmp_path: Path) -> None:
    async def serve() -> None:
        plugin.StatLogger(vllm_config=None, engine_indexes=[0])
        while "vllm_event_loop_lag_seconds" not in read(tmp_path):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(serve(), 20))


def test_two_loggers_of_a_process_share_one_file(plugin: Any, tmp_path: Path) -> None:
    for _ in range(2):
        plugin.StatLogger(vllm_config=None, engine_indexes=[0])
    assert len(list(tmp_path.glob("*.snap"))) == 1


@pytest.mark.parametrize(
    "era", ["0.32.0", *(pytest.param(era, marks=pytest.mark.chaos) for era in ("0.8.5", "0.11.1", "0.20.0"))]
)
def test_nonsense_neither_raises_nor_fills_the_file_nor_ends_the_counting(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, era: str
) -> None:
    monkeypatch.setattr(background.Background, "start", lambda background: None)
    dice, logger = random.Random(era), plugin.StatLogger(vllm_config=None, engine_indexes=[0])
    here = process._this
    assert here is not None
    pool = [statistics(dice, era) for _ in range(POOL)]
    for number in range(RANDOM_STEPS):
        scheduler, iteration = dice.choice(pool)[0], dice.choice(pool)[1]
        engine = dice.choice((0, 1, dice.choice(VALUES)))
        logger.record(scheduler, iteration, mm_cache_stats=None, engine_idx=engine)
        if number % 1000 == 999:  # fewer than the ring keeps
            here.background.round()
    logger.record(eras.scheduler(era), eras.iteration(era), mm_cache_stats=None, engine_idx=0)
    before = counts(here.background.series)
    here.background.round()
    found = counts(here.background.series)
    assert found["vllm_tokens_generated_total"][0] == before["vllm_tokens_generated_total"][0] + 3
    steps = sum(value[0] for name, value in found.items() if name.startswith("vllm_engine_steps_total"))
    assert steps > RANDOM_STEPS / 5  # much of it was understood
    assert found["vllm_inside_steps_lost_total"][0] < RANDOM_STEPS / 10  # what could not be
    assert len(here.background.series.values) < 1000
    assert all(abs(value) < 1e300 for value in here.background.series.values)
