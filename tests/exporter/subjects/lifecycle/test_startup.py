"""How far a start has come, by the slowest of its engines."""

from __future__ import annotations

from vllm_exporter.facts.values import Ref
from vllm_exporter.subjects.lifecycle.evidence import Mark, Processes
from vllm_exporter.subjects.lifecycle.startup import Startup


def reached(*marks: Mark) -> str:
    startup = Startup()
    for mark in marks:
        startup.note(mark)
    return startup.reached


def test_nothing_said_is_spawned() -> None:
    assert reached() == "spawned"


def test_is_as_far_as_the_slower_of_two_engines() -> None:
    first, second = Mark(0, "engine_ready", "engine_core", "DP0"), Mark(0, "engine_spawned", "engine_core", "DP1")
    assert reached(first, second) == "engine_spawned"
    assert reached(first, second, Mark(0, "model_init", "worker", "DP1")) == "model_init"


def test_is_as_far_as_the_slower_of_two_workers() -> None:
    core = Mark(0, "executor_spawn", "engine_core")
    first, second = Mark(0, "weights_loaded", "worker", "TP0"), Mark(0, "model_init", "worker", "TP1")
    assert reached(core, first, second) == "model_init"


def test_of_an_engine_what_its_core_says_counts_when_it_is_more() -> None:
    worker, core = Mark(0, "weights_loaded", "worker", "TP0"), Mark(0, "kv_sized", "engine_core")
    assert reached(worker, core) == "kv_sized"


def test_a_late_line_takes_nothing_back() -> None:
    graphs, memory = Mark(0, "graph_capture", "worker"), Mark(1, "kv_sized", "worker")
    assert reached(graphs, memory) == "graph_capture"


def test_is_as_far_as_the_slower_of_two_api_servers() -> None:
    ready = Mark(0, "engine_ready", "engine_core")
    assert reached(ready, Mark(0, "frontend_init", "api_server", "0"), Mark(0, "frontend_init", "api_server", "1")) == (
        "frontend_init"
    )


def test_processes_alone_tell_the_coarse_steps() -> None:
    startup = Startup()
    startup.saw_processes(Processes(api=(Ref(1, 1),)))
    assert startup.reached == "spawned"
    startup.saw_processes(Processes(api=(Ref(1, 1),), engines=frozenset({""})))
    assert startup.reached == "engine_spawned"
    startup.saw_processes(Processes(api=(Ref(1, 1),), engines=frozenset({""}), workers=frozenset({"TP0"})))
    assert startup.reached == "executor_spawn"


def test_the_configuration_is_resolved_a_moment_after_the_arguments() -> None:
    startup = Startup()
    startup.note(Mark(10.0, "args_parsed", "api_server"))
    startup.saw_time(10.5)
    assert startup.reached == "args_parsed"
    startup.saw_time(11.0)
    assert startup.reached == "config_resolving"


def test_a_bound_port_comes_between_arguments_and_configuration() -> None:
    startup = Startup()
    startup.saw_bound(10.0)
    assert startup.reached == "port_bound"
    startup.saw_time(10.9)
    assert startup.reached == "port_bound"
    startup.saw_time(11.1)
    assert startup.reached == "config_resolving"
    startup.saw_bound(12.0)
    assert startup.reached == "config_resolving"


def test_workers_that_name_no_engine_are_of_the_only_one_there_is() -> None:  # vLLM 0.11 to 0.14
    core = Mark(0, "executor_spawn", "engine_core", "DP0")
    first, second = Mark(0, "weights_loaded", "worker", "TP0"), Mark(0, "model_init", "worker", "TP1")
    assert reached(core, first, second) == "model_init"
    assert reached(core, first, second, Mark(0, "weights_loaded", "worker", "TP1")) == "weights_loaded"
    other = Mark(0, "engine_spawned", "engine_core", "DP1")
    assert reached(core, other, first) == "engine_spawned"
