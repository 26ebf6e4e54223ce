"""Lines of many releases and accelerators: what each means alone, what none may mean, and whole starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporter.subjects.logs.recorded import follow, serious, states
from vllm_exporter.subjects.logs.classes import read_classes
from vllm_exporter.subjects.logs.table import kinds

FIXTURES = Path(__file__).parents[2] / "fixtures"


def rows(name: str) -> list[str]:
    text = (FIXTURES / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def start(release: str) -> list[bytes]:
    return (FIXTURES / "starts" / f"vllm-{release}.log").read_bytes().splitlines()


@pytest.mark.parametrize("row", rows("log_lines.txt"))
def test_a_line_of_any_release_means_the_same(row: str) -> None:
    expected, _, line = row.split(" | ", 2)
    (found,) = follow(line.encode())
    assert f"{found.name} {found.severity}" == expected


@pytest.mark.parametrize("row", rows("log_lines.txt"))
def test_a_line_in_the_midst_of_others_means_the_same(row: str) -> None:
    expected, _, line = row.split(" | ", 2)
    beside = [b"INFO 11-21 15:00:00 [x.py:1] nothing", b"WARNING 11-21 15:00:00 [x.py:1] nothing"] * 2
    found, *_ = follow(*beside, line.encode(), *beside)  # one may open a traceback
    assert f"{found.name} {found.severity}" == expected


@pytest.mark.parametrize("line", rows("harmless_lines.txt"))
def test_a_line_of_a_healthy_server_is_no_fault(line: str) -> None:
    assert serious(follow(line.encode())) == []


def test_the_lines_of_a_healthy_server_are_no_faults_together() -> None:
    assert serious(follow(*(line.encode() for line in rows("harmless_lines.txt")))) == []


def test_the_kernels_words_in_a_line_of_vllms_own_are_a_users() -> None:
    fell_off = "NVRM: Xid (PCI:0000:91:00): 79, GPU has fallen off the bus."
    own = f"ERROR 08-20 10:11:12 [serving_chat.py:143] Error in applying chat template from request: {fell_off}"
    assert follow(own.encode()) == []
    assert serious(follow(f"[1843.3] {fell_off}".encode())) == [("gpu.bus", "critical")]


LOADED = ("weights_loading", "weights_loaded")
STEPS = {
    "0.4.2": ("args_parsed", "engine_spawned", "executor_spawn", *LOADED, "kv_sized", "graph_capture", "listening"),
    "0.6.6": (
        *("args_parsed", "engine_spawned", "executor_spawn", "model_init", *LOADED, "kv_sized", "graph_capture"),
        *("engine_ready", "listening", "stopping"),
    ),
    "0.8.5": (
        *("args_parsed", "engine_spawned", "ranks_assigned", "model_init", *LOADED, "compiling", "profiling"),
        *("kv_sized", "graph_capture", "engine_ready", "listening"),
    ),
    "0.11.0": (
        *("args_parsed", "config_resolved", "engine_spawned", "ranks_assigned", "model_init", *LOADED, "compiling"),
        *("profiling", "kv_sized", "graph_capture", "engine_ready", "frontend_init", "listening", "stopping"),
    ),
}


@pytest.mark.parametrize("release", STEPS)
def test_a_healthy_start_of_each_release_shows_its_steps_and_no_fault(release: str) -> None:
    found = follow(*start(release))
    assert tuple(states(found)) == STEPS[release]
    assert serious(found) == []


@pytest.mark.parametrize(("release", "unasked"), [("0.6.6", "worker.terminated"), ("0.11.0", "worker.died")])
def test_workers_that_end_with_a_stop_that_was_asked_for_did_not_die(release: str, unasked: str) -> None:
    lines = start(release)
    without = [line for line in lines if b"Shutting down FastAPI HTTP server" not in line]
    assert unasked in {name for name, _ in serious(follow(*without))}
    assert "planned.shutdown" in {one.name for one in follow(*lines)}


def test_every_fault_says_what_to_do_in_a_sentence() -> None:
    faults = [kind for kind in kinds(read_classes(examples=True)).values() if kind.severity != "info"]
    assert [kind.name for kind in faults if not (kind.do[:1].isupper() and kind.do.endswith("."))] == []
