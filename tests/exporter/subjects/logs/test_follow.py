"""What the lines of real logs mean, and what must not be taken for a fault."""

from __future__ import annotations

import random
import time

import pytest

from tests.exporter.subjects.logs.recorded import (
    PATTERNS,
    REPORTS,
    follow,
    lines,
    meant,
    one_by_one,
    serious,
    states,
)
from vllm_exporter.subjects.logs.follow import OTHER, Follower, LineFinding
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.lines import LogLine
from vllm_exporter.subjects.logs.tracebacks import exception_type, frame_name

START = (
    *("args_parsed", "config_resolved", "engine_spawned", "executor_spawn", "dist_init", "ranks_assigned"),
    *("model_init", "weights_loading", "weights_loaded", "kv_sized", "engine_ready", "frontend_init", "listening"),
)
STATS = (
    b"(APIServer pid=8482) INFO 11-21 14:55:%02d [loggers.py:335] Engine 000: Avg prompt throughput: %d.2 tokens/s, "
    b"Avg generation throughput: 21.8 tokens/s, Running: %d reqs, Waiting: 0 reqs, CPU KV cache usage: 0.%d%%"
)


def names(findings: list[LineFinding]) -> list[str]:
    return [finding.name for finding in findings]


def test_a_healthy_run_shows_its_steps_and_nothing_else() -> None:
    found = meant("healthy")
    assert states(found) == [*START, "stopping", "aborting"]
    assert serious(found) == []


@pytest.mark.parametrize("log", ["healthy", "worker_killed", "json", "paused_slept_drained"])
def test_lines_that_come_alone_mean_the_same(log: str) -> None:
    assert one_by_one(log) == meant(log)


def test_a_json_log_means_the_same() -> None:
    found = meant("json")
    assert states(found) == [*START, "stopping", "aborting"]
    assert serious(found) == []


def test_a_run_with_pause_sleep_and_drain_shows_each() -> None:
    found = meant("paused_slept_drained")
    assert states(found)[len(START) :] == [
        *("paused", "idle"),
        *("paused", "sleeping", "waking", "idle"),
        *("paused", "sleeping", "paused", "sleeping", "waking", "idle"),
        *("stopping", "draining"),
    ]
    assert serious(found) == [("kv.noconnector", "warning")]


def test_a_killed_worker_is_the_cause_and_what_follows_is_its_echo() -> None:
    found = meant("worker_killed")
    assert serious(found) == [("worker.died", "critical"), ("engine.fatal", "critical")]
    echo = [finding.name for finding in found if finding.wrapper]
    assert echo == ["executor.dump", "executor.dump", "executor.dump", "engine.output_handler", "engine.dead_client"]


def test_a_killed_engine_leaves_one_line_that_is_no_echo() -> None:
    assert serious(meant("engine_killed")) == [("engine.exit_unexpected", "critical")]


def test_a_stopped_worker_is_a_stall_and_then_a_timeout() -> None:
    assert serious(meant("worker_stopped")) == [
        ("hang.shm_stall", "error"),
        ("engine.fatal", "critical"),
        ("executor.rpc_timeout", "critical"),
    ]


def test_a_traceback_counts_once_with_its_type_and_its_last_frame() -> None:
    (finding,) = (one for one in meant("worker_stopped") if one.name == "executor.rpc_timeout")
    assert (finding.exception, finding.frame) == ("TimeoutError", "multiproc_executor.py:get_response")
    assert finding.line.process == b"EngineCore"


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("port_taken", [("port.inuse", "error")]),
        ("max_model_len", [("config.len", "critical")]),
        ("model_missing", [("load.hf_missing", "error")]),
        (
            "weights_cut",
            [
                ("worker.start_failed", "critical"),
                ("load.safetensors", "error"),
                ("engine.start_failed", "critical"),
            ],
        ),
        ("lora_missing", [("worker.exception", "error"), ("lora.not_found", "warning"), ("lora.not_found", "warning")]),
        ("stopped_under_load", []),
    ],
)
def test_names_the_cause_of_a_failure(log: str, cause: list[tuple[str, str]]) -> None:
    assert serious(meant(log)) == cause


def test_a_symptom_after_a_stop_that_was_asked_for_is_part_of_the_stop() -> None:
    trigger = b"(APIServer pid=1) INFO 11-21 14:58:14 [launcher.py:254] [shutdown] API server: shutdown triggered"
    symptom = b"(APIServer pid=1) ERROR 11-21 14:58:15 [async_llm.py:906] AsyncLLM output_handler failed."
    found = follow(trigger, symptom)
    assert [(one.name, one.severity, one.state) for one in found[1:]] == [("planned.shutdown", "info", "")]


def test_a_real_stop_under_load_prints_the_symptoms_of_a_death() -> None:
    planned = [finding.excerpt for finding in meant("stopped_under_load") if finding.name == "planned.shutdown"]
    assert b"AsyncLLM output_handler failed." in planned


def test_a_symptom_without_a_cause_counts_itself() -> None:
    symptom = b"(APIServer pid=1) ERROR 11-21 14:58:15 [async_llm.py:906] AsyncLLM output_handler failed."
    assert serious(follow(symptom)) == [("engine.output_handler", "critical")]


def test_a_symptom_61_seconds_after_another_fault_counts_itself() -> None:
    incident = Incident()
    follow(b"EngineCore encountered a fatal error.", incident=incident, at=100.0)
    assert serious(follow(b"Executor failed.", incident=incident, at=160.0)) == []
    assert serious(follow(b"Executor failed.", incident=incident, at=161.0)) == [("executor.failed", "critical")]


def test_a_stall_line_while_the_server_starts_is_no_stall() -> None:
    stall = b"(EngineCore pid=1) INFO 11-21 15:05:56 [shm_broadcast.py:109] No available shared memory broadcast block "
    stall += b"found in 60 seconds. This typically happens when some processes are hanging"
    started = [b"INFO:     Application startup complete."]
    banner = [b"(APIServer pid=1) INFO 11-21 15:04:42 [api_utils.py:286] non-default args: {}"]
    assert serious(follow(*banner, stall)) == []
    assert serious(follow(*banner, *started, stall)) == [("hang.shm_stall", "error")]
    assert serious(follow(stall)) == [("hang.shm_stall", "error")]  # from the middle of a log: it may be serving


def test_the_warning_about_the_limit_of_files_is_not_the_limit_itself() -> None:
    (line,) = (line for line in lines("healthy") if b"Found ulimit" in line)
    assert names(follow(line)) == ["ulimit.low"]
    assert names(follow(b"OSError: [Errno 24] Too many open files")) == ["fd.limit"]


@pytest.mark.parametrize(
    "line",
    [
        b"(APIServer pid=1) INFO 11-21 14:58:12 [logger.py:65] Received request cmpl-1: prompt: 'CUDA error: an "
        b"illegal memory access was encountered', params: SamplingParams(n=1)",
        b"(APIServer pid=1) INFO 11-21 14:58:12 [async_llm.py:795] Request cmpl-1 failed (bad request): Grammar error: "
        b"EngineCore encountered a fatal error.",
        b"(APIServer pid=1) INFO 11-21 14:58:12 [async_llm.py:795]     EngineCore encountered a fatal error.",
        b'INFO:     127.0.0.1:37404 - "GET /EngineCore%20encountered%20a%20fatal%20error. HTTP/1.1" 404 Not Found',
        b'(APIServer pid=1) WARNING 11-21 14:58:12 [x.py:1] unknown field "Too many open files"',
        b"(APIServer pid=1) WARNING 11-21 14:58:12 [x.py:1] unknown field `Too many open files`",
    ],
)
def test_users_words_are_no_faults(line: bytes) -> None:
    assert follow(line) == []


def test_a_name_that_a_user_made_up_does_not_hide_the_class() -> None:
    line = b"vllm.exceptions.VLLMNotFoundError: The model `EngineCore encountered a fatal error.` does not exist."
    assert names(follow(line)) == ["req.model_missing"]


def test_source_in_a_traceback_is_no_message() -> None:
    found = follow(
        b"Traceback (most recent call last):",
        b'  File "/venv/vllm/v1/engine/core.py", line 1702, in process_input_queue_block',
        b"    raise RuntimeError('Executor failed.')",
        b"    Executor failed.",
        b'INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK',
        b"ValueError: something else",
    )
    assert [(one.name, one.exception, one.frame) for one in found] == [
        ("other.exception", "ValueError", "core.py:process_input_queue_block")
    ]


def test_tracebacks_of_two_processes_may_be_interleaved() -> None:
    head, tail = b"(%s pid=1) ERROR 11-21 15:00:00 [core.py:1] ", b"Traceback (most recent call last):"
    found = follow(
        head % b"Worker_TP0" + tail,
        head % b"Worker_TP1" + tail,
        head % b"Worker_TP0" + b'  File "/a.py", line 1, in first',
        head % b"Worker_TP1" + b'  File "/b.py", line 1, in second',
        head % b"Worker_TP0" + b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        head % b"Worker_TP1" + b"RuntimeError: CUDA error: device-side assert triggered",
    )
    assert [(one.name, one.frame, one.line.process) for one in found] == [
        ("oom.cuda", "a.py:first", b"Worker_TP0"),
        ("cuda.assert", "b.py:second", b"Worker_TP1"),
    ]


def test_a_chain_of_tracebacks_is_followed_to_its_last_exception() -> None:
    trace = b"Traceback (most recent call last):"
    found = follow(
        trace,
        b'  File "/a.py", line 1, in f',
        b"KeyError: 1",
        b"",
        b"During handling of the above exception, another exception occurred:",
        b"",
        trace,
        b'  File "/b.py", line 1, in g',
        b"TimeoutError: RPC call to execute_model timed out.",
    )
    assert names(found) == ["other.exception", "executor.rpc_timeout"]


def test_a_traceback_without_an_end_does_not_swallow_the_log() -> None:
    endless = [b"Traceback (most recent call last):", *[b"    x"] * 2001]
    assert names(follow(*endless, b"EngineCore encountered a fatal error.")) == ["engine.fatal"]


def test_survives_what_is_no_text() -> None:
    assert follow(b"\xff\xfe\x00" * 100, b"", b"(", b'{"', b"( pid=x) ", b"INFO", b"\x1b[") == []


def test_100_000_lines_of_a_healthy_run_hold_nothing_above_info() -> None:
    chance = random.Random(7)
    shapes = [line for line in lines("healthy") if line.startswith((b"INFO:     127", b"(APIServer pid=8482) INFO"))]
    served = [STATS % (at % 60, at % 50, at % 8, at % 10) for at in range(100)]
    requests = [
        line for line in lines("paused_slept_drained") if b"Received request" in line or b"Added request" in line
    ]
    many = lines("healthy") + chance.choices(shapes + served + requests, k=100_000 - len(lines("healthy")))
    assert len(many) == 100_000
    assert len(requests) >= 6
    assert serious(follow(*many)) == []


@pytest.mark.parametrize("body", [b"a" * 65536, b"Request " * 8192, b"'" * 65536, b"(" * 65536, b"Worker proc " * 5000])
def test_a_line_made_to_be_slow_takes_less_than_20_ms(body: bytes) -> None:
    started = time.process_time()
    follow(b"(APIServer pid=1) ERROR 11-21 15:00:00 [x.py:1] " + body)
    assert time.process_time() - started < 0.02


def test_takes_type_and_frame_out_of_lines() -> None:
    assert exception_type(b"torch.OutOfMemoryError: CUDA out of memory") == "torch.OutOfMemoryError"
    assert exception_type(b"KeyboardInterrupt") == "KeyboardInterrupt"
    assert exception_type(b"what a user says: no") == ""
    assert frame_name(b'  File "/venv/vllm/v1/engine/core.py", line 1512, in run_busy_loop') == "core.py:run_busy_loop"
    assert frame_name(b"") == ""


def report(name: str) -> list[LineFinding]:
    return follow(*(REPORTS / name).read_bytes().rstrip(b"\n").split(b"\n"))


def test_a_traceback_of_the_api_server_that_ends_its_start_is_an_error() -> None:  # L40, vllm-project/vllm#31444
    (one,) = report("L40-api-server-dies-at-start.log")
    assert (one.name, one.severity, one.exception, one.frame) == (
        *("load.tokenizer", "error", "OSError", "mistral.py:from_pretrained"),
    )
    assert one.excerpt == b"No tokenizer file found in directory"


TRACE = (b"Traceback (most recent call last):", b'  File "/a.py", line 1, in f', b"FooError: no class knows it")
STARTS = b"(APIServer pid=1) INFO 11-21 15:04:42 [api_utils.py:286] non-default args: {}"
IS_READY = b"(APIServer pid=1) INFO:     Application startup complete."
ERROR = b"(EngineCore pid=2) ERROR 11-21 15:05:00 [core.py:1] "


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        (TRACE, "error"),  # nothing shows that it serves
        ((STARTS, *TRACE), "error"),
        ((STARTS, b"Process EngineCore:", *TRACE), "error"),
        ((STARTS, *[ERROR + line for line in TRACE]), "error"),
        ([ERROR + line for line in TRACE], "info"),  # it may be about a request of a serving server
        ((STARTS, IS_READY, *TRACE), "info"),
        ((b'INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', *TRACE), "info"),  # it serves
        ((b'vllm-1  | INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', *TRACE), "info"),
        ((STARTS, b"Exception in thread Thread-3:", *TRACE), "info"),
        ((STARTS, b"ERROR:    Exception in ASGI application", *TRACE), "info"),
        ((STARTS, b"Exception ignored in: <function f at 0x7f>", *TRACE), "info"),
        ((STARTS, *TRACE[:2], b"KeyboardInterrupt: "), "info"),
        ((STARTS, *[ERROR.replace(b"ERROR", b"WARNING") + line for line in TRACE]), "info"),
        ((STARTS, b"[shutdown] API server: shutdown triggered", *TRACE), "info"),
        ((STARTS, ERROR + b"EngineCore failed to start.", *TRACE), "info"),  # its echo
    ],
)
def test_an_unknown_exception_is_an_error_only_where_it_ends_a_start(given: list[bytes], severity: str) -> None:
    assert [one.severity for one in follow(*given) if one.exception] == [severity]


def test_of_a_chain_that_ends_a_start_only_the_last_exception_is_an_error() -> None:
    found = follow(STARTS, *TRACE[:2], b"KeyError: 1", b"", b"During handling of the above exception, x", b"", *TRACE)
    assert [(one.exception, one.severity) for one in found if one.exception] == [
        ("KeyError", "info"),
        ("FooError", "error"),
    ]


def test_an_unknown_exception_does_not_make_a_symptom_its_echo() -> None:
    found = follow(STARTS, *TRACE, b"RuntimeError: Engine core initialization failed. See root cause above. Failed: {}")
    assert serious(found) == [("other.exception", "error"), ("engine.init_failed", "critical")]


def test_the_message_of_an_exception_may_name_its_class_in_a_later_line() -> None:
    found = [one for one in meant("max_model_len") if one.exception]
    assert [(one.name, one.exception) for one in found] == [
        ("config.len", "pydantic_core._pydantic_core.ValidationError"),
    ]


def test_a_fault_that_a_start_survived_is_not_the_cause_of_what_comes_after() -> None:
    incident = Incident()
    follow(STARTS, b"CUDA error: device-side assert triggered", IS_READY, incident=incident, at=100.0)
    assert serious(follow(b"Executor failed.", incident=incident, at=110.0)) == [("executor.failed", "critical")]


def test_a_start_after_a_death_is_a_start_though_it_does_not_print_its_arguments() -> None:
    incident = Incident()
    spawned = b"INFO 11-21 15:04:42 [core.py:58] Initializing a V1 LLM engine (v0.8.3) with config: x"
    follow(IS_READY, b"EngineCore encountered a fatal error.", spawned, incident=incident)
    assert incident.ready is False
    follow(IS_READY, spawned, incident=incident)  # one more engine of a server that serves
    assert incident.ready is True


def test_tracebacks_of_processes_with_one_name_are_kept_apart_by_pid_and_rank() -> None:  # L49, vllm-project/vllm#14452
    assert [
        (one.line.pid, one.line.rank, one.exception, one.frame)
        for one in report("L49-tracebacks-interleaved-same-name.log")
    ] == [
        (1030, "7", "RuntimeError", "process.py:_bootstrap"),
        (948, "5", "RuntimeError", "multiproc_executor.py:worker_main"),
    ]


def test_workers_of_ray_on_two_hosts_may_have_one_pid() -> None:
    marks = (b"(RayWorkerWrapper pid=9, ip=10.0.0.1) ", b"(RayWorkerWrapper pid=9, ip=10.0.0.2) ")
    assert len([one for one in follow(*[mark + line for line in TRACE for mark in marks]) if one.frame]) == 2


def test_a_frame_has_no_count_of_ray() -> None:  # L24, vllm-project/vllm#7896
    (one,) = [one for one in report("L24-ray-repeated-across-cluster.log") if one.name == "oom.cuda"]
    assert (one.exception, one.frame) == ("torch.cuda.OutOfMemoryError", "worker_base.py:execute_method")


def test_the_inner_of_two_processes_wrote_the_line() -> None:  # L28, NovaSky-AI/SkyRL#284
    one = report("L28-two-process-prefixes.log")[0]
    assert (one.line.process, one.line.pid, one.line.level, one.line.stamp) == (
        b"EngineCore_0",
        892764,
        b"INFO",
        b"09-10 23:09:11",
    )


def test_tracebacks_behind_syslog_are_read() -> None:  # L30, community-scripts/ProxmoxVED#2047
    assert [(one.name, one.line.process, one.exception, one.frame) for one in report("L30-syslog-prefix.log")] == [
        ("engine.start_failed", b"EngineCore", "", ""),
        ("oom.no_kv", b"EngineCore", "ValueError", "core.py:run_engine_core"),
        ("engine.init_failed", b"APIServer", "RuntimeError", "async_llm.py:from_vllm_config"),
    ]


def test_tracebacks_behind_docker_compose_are_read() -> None:  # L32, vllm-project/vllm#16652
    (one,) = [one for one in report("L32-docker-compose-prefix.log") if one.exception]
    assert (one.exception, one.frame) == ("RuntimeError", "core.py:run_engine_core")


def test_json_with_other_keys_is_read() -> None:  # L48, jina-ai/serve#5201
    (one,) = report("L48-json-other-keys.log")
    assert (one.name, one.line.process, one.line.pid, one.line.level) == (
        "engine.fatal",
        b"EngineCore",
        16422,
        b"ERROR",
    )


def test_what_is_said_before_a_traceback_on_its_line_counts() -> None:
    found = follow(
        ERROR + b"EngineCore encountered a fatal error. Traceback (most recent call last):",
        *[ERROR + line for line in TRACE[1:]],
    )
    assert names(found) == ["engine.fatal", "other.exception"]


def test_a_traceback_whose_beginning_was_lost_is_read() -> None:
    (one,) = follow(*TRACE[1:])
    assert (one.exception, one.frame) == ("FooError", "a.py:f")


def test_lines_of_other_processes_do_not_end_a_traceback() -> None:
    found = follow(TRACE[0], ERROR + b"EngineCore failed to start.", TRACE[1], b"Killed", *TRACE)
    assert [(one.exception, one.frame) for one in found if one.exception] == [("FooError", "a.py:f")]


def test_lines_of_errors_that_no_class_knows_are_told() -> None:
    untold: list[LogLine] = []
    given = (
        ERROR + b"Something new.",
        ERROR + b"",
        ERROR + b"  its rest",
        b"ERROR:    of uvicorn",
        IS_READY,
        b"Something",
        *TRACE,
    )
    list(Follower(PATTERNS, Incident(), untold.append).feed_all(given, 0.0))
    assert [line.body for line in untold] == [b"Something new.", b"ERROR:    of uvicorn"]


def test_an_exception_that_ray_hands_on_is_the_workers() -> None:
    found = follow(
        TRACE[0],
        b'  File "/ray/worker.py", line 930, in get_objects',
        b"ray.exceptions.RayTaskError(OutOfMemoryError): ray::RayWorkerWrapper.execute_method() (pid=9, ip=10.0.0.1)",
        b'  File "/vllm/worker/worker_base.py", line 343, in execute_method',
        b"    raise e",
        b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    )
    assert [(one.name, one.exception, one.frame) for one in found if one.frame] == [
        ("oom.cuda", "torch.OutOfMemoryError", "worker_base.py:execute_method")
    ]


def test_a_traceback_that_ends_one_start_is_judged_before_the_next_one_begins() -> None:
    found = follow(STARTS, *TRACE, STARTS, IS_READY)
    assert [one.severity for one in found if one.exception] == ["error"]


GROUP = (
    b"  + Exception Group Traceback (most recent call last):",
    b'  |   File "/a.py", line 1, in run',
    b"  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)",
    b"  +-+---------------- 1 ----------------",
    b"    | Traceback (most recent call last):",
    b'    |   File "/b.py", line 1, in first',
    b"    | ValueError: one",
    b"    +---------------- 2 ----------------",
    b"    | Traceback (most recent call last):",
    b'    |   File "/c.py", line 1, in second',
    b"    | FooError: two",
    b"    +------------------------------------",
    b"",
)


def test_of_a_group_each_exception_counts_once_with_its_frame() -> None:
    expected = [
        *(("ExceptionGroup", "a.py:run"), ("ValueError", "b.py:first"), ("FooError", "c.py:second")),
    ]
    for given in (GROUP, [b"vllm-1  | " + line for line in GROUP], [ERROR + line for line in GROUP]):
        assert [(one.exception, one.frame) for one in follow(*given)] == expected


def test_a_group_in_the_asgi_application_ends_nothing() -> None:
    chain = (b"During handling of the above exception, another exception occurred:", b"", *TRACE)
    found = follow(b"ERROR:    Exception in ASGI application", *GROUP, *chain)
    assert [(one.name, one.severity) for one in found] == [
        ("http.exception", "warning"),
        *[("other.exception", "info")] * 4,
    ]


FLAT = (  # as vllm-project/vllm#1380 was copied
    b"Traceback (most recent call last):",
    b'File "/x/vllm/engine/async_llm_engine.py", line 28, in _raise_exception_on_finish',
    b"task.result()",
    b'File "/x/vllm/engine/async_llm_engine.py", line 228, in _run_workers_async',
    b"assert output == other_output",
    b"AssertionError",
)


def test_a_traceback_that_lost_its_indentation_is_read() -> None:
    chain = (b"", b"The above exception was the direct cause of the following exception:", b"")
    last = b"vllm.engine.async_llm_engine.AsyncEngineDeadError: Task finished unexpectedly."
    first, second = follow(*FLAT, *chain, *FLAT[:-1], last)
    assert (first.exception, first.frame) == ("AssertionError", "async_llm_engine.py:_run_workers_async")
    assert (second.name, second.frame) == ("legacy.v0_loop", "async_llm_engine.py:_run_workers_async")


def test_a_traceback_without_indentation_and_end_does_not_swallow_the_log() -> None:
    assert [one.name for one in follow(*FLAT[:3], b"a", b"b", b"Fatal Python error: Segmentation fault")] == [
        "native.crash"
    ]


def test_a_frame_whose_line_a_terminal_broke_has_its_file() -> None:  # vllm-project/vllm#24430
    (found,) = follow(FLAT[0], b'  File "/x/executor_base.py", line 54, ', b"  in __init__", b"ValueError: x")
    assert found.frame == "executor_base.py"


def test_an_exception_may_have_a_small_first_letter() -> None:  # LMCache/LMCache#605
    (found,) = follow(
        FLAT[0], b'  File "/x/nixl/_api.py", line 247, in register_memory', b"nixl._bindings.nixlBackendError: X"
    )
    assert (found.name, found.exception, found.frame) == (
        "kv.failed", "nixl._bindings.nixlBackendError", "_api.py:register_memory"
    )  # fmt: skip


def test_the_field_between_an_exception_of_pydantic_and_its_message_belongs_to_it() -> None:
    given = (
        FLAT[0],
        b'  File "/x/vllm/config.py", line 300, in __init__',
        b"pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
        b"limit_mm_per_prompt",
        b"  Input should be a valid dictionary [type=dict_type, input_value=None, input_type=NoneType]",
    )
    (found,) = follow(*given)
    assert (found.name, found.exception, found.frame) == (
        "config.invalid", "pydantic_core._pydantic_core.ValidationError", "config.py:__init__"
    )  # fmt: skip


def test_a_word_alone_in_a_line_is_no_part_of_a_longer_one() -> None:
    assert [one.name for one in follow(b"Killed")] == ["native.killed"]
    assert follow(b"Killed by nobody") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"(EngineCore_DP0 pid=91) RuntimeError: new words", [(OTHER, "error")]),
        (b"(EngineCore_DP0 pid=91) ERROR 11-21 15:00:00 [core.py:842] RuntimeError: new words", [(OTHER, "info")]),
        (b"AttributeError: a library prints it, and goes on", [(OTHER, "info")]),
        (b"(EngineCore_DP0 pid=91) WARNING 11-21 15:00:00 [core.py:842] ImportError: new words", []),
        (b"(EngineCore_DP0 pid=91) INFO 11-21 15:00:00 [core.py:842] ValueError: new words", []),
        (b"words before RuntimeError: new words", []),
    ],
)
def test_an_exception_whose_traceback_was_lost_is_one(line: bytes, told: list[tuple[str, str]]) -> None:
    assert [(one.name, one.severity) for one in follow(line)] == told
    assert [one.exception for one in follow(line)] == [line.split(b"Error: ")[0].split()[-1].decode() + "Error"] * len(
        told
    )


def test_a_traceback_in_quoted_text_is_read() -> None:  # llm-d/llm-d#191
    quoted = (
        b" WorkerProc hit an exception.",
        b" Traceback (most recent call last):",
        b'   File "/x/nixl_connector.py", line 363, in _pop_done_transfers',
        b"     xfer_state = self.nixl_wrapper.check_xfer_state(handle)",
        b" RuntimeError: BAD_STATUS",
    )
    _, found = follow(*quoted)
    assert (found.exception, found.frame) == ("RuntimeError", "nixl_connector.py:_pop_done_transfers")
