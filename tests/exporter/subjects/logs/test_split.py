"""Where vLLM's own line begins, whatever others wrote around it."""

from __future__ import annotations

import time

import pytest

from tests.exporter.subjects.logs.recorded import follow, lines
from tests.exporter.subjects.logs.wrapped import WRAPS, nano
from vllm_exporter.subjects.logs.lines import LIMIT, LogLine, uncoloured
from vllm_exporter.subjects.logs.split import LineSplitter

TRACEBACK = (
    b"Traceback (most recent call last):",
    b'  File "/opt/vllm/tokenizers/mistral.py", line 210, in from_pretrained',
    b"    raise OSError(",
    b"OSError: No tokenizer file found in directory: /data/models/m",
)
BY_RAY = ("Ray", "Ray in colours")  # name the process of a line that does not name one itself


def split(*raws: bytes) -> list[LogLine]:
    splitter = LineSplitter()
    return [line for raw in raws for line in splitter.split(uncoloured(raw))]


def bodies(*raws: bytes) -> list[bytes]:
    return [line.body for line in split(*raws)]


def wrap(name: str, given: list[bytes] | tuple[bytes, ...]) -> list[bytes]:
    return [WRAPS[name](at, line) for at, line in enumerate(given)]


@pytest.mark.parametrize("log", ["healthy", "weights_cut", "worker_killed", "max_model_len", "lora_missing"])
@pytest.mark.parametrize("name", [name for name in WRAPS if name not in BY_RAY])
def test_a_log_means_the_same_whatever_stands_around_its_lines(name: str, log: str) -> None:
    def meaning(given: list[bytes]) -> list[object]:
        return [(*one.line[1:6], one.name, one.severity, one.state, one.exception, one.frame) for one in follow(*given)]

    assert meaning(wrap(name, lines(log))) == meaning(lines(log))


@pytest.mark.parametrize("name", WRAPS)
def test_a_traceback_is_read_though_no_line_before_it_showed_what_is_written_around(name: str) -> None:
    (found,) = follow(*wrap(name, TRACEBACK))
    assert (found.name, found.exception, found.frame) == ("load.tokenizer", "OSError", "mistral.py:from_pretrained")


@pytest.mark.parametrize("name", WRAPS)
def test_a_traceback_of_a_named_process_is_read_behind_anything(name: str) -> None:
    (found,) = follow(*wrap(name, [b"(APIServer pid=36) " + line for line in TRACEBACK]))
    assert (found.line.process, found.line.pid, found.exception) == (b"APIServer", 36, "OSError")


@pytest.mark.parametrize(
    "marks", [(b"vllm-1  | ", b"vllm-2  | "), (b"[rank0]: ", b"[rank1]: "), (b"[1,0]<stderr>:", b"[1,1]<stderr>:")]
)
def test_tracebacks_behind_different_marks_are_kept_apart(marks: tuple[bytes, bytes]) -> None:
    mixed = [mark + line for line in TRACEBACK for mark in marks]
    assert [(one.exception, one.frame) for one in follow(*mixed)] == [("OSError", "mistral.py:from_pretrained")] * 2


@pytest.mark.parametrize(
    ("raw", "process", "pid", "rank"),
    [
        (b"(EngineCore_0 pid=1) (VllmWorker TP1 pid=2) INFO 09-10 23:09:11 [a.py:1] x", b"VllmWorker", 2, "TP1"),
        (
            b"(EngineCore_DP1 pid=1) (VllmWorker TP1 PP0 pid=2) INFO 09-10 23:09:11 [a.py:1] x",
            b"VllmWorker",
            2,
            "TP1_PP0",
        ),
        (
            b"(Actor pid=1, ip=10.0.0.1) (EngineCore_DP1 pid=3) INFO 09-10 23:09:11 [a.py:1] x",
            b"EngineCore_DP1",
            3,
            "DP1",
        ),
        (b"(VllmWorker rank=7 pid=1030) INFO 09-10 23:09:11 [a.py:1] x", b"VllmWorker", 1030, "7"),
        (b"(RayWorkerWrapper pid=11305, ip=10.0.0.1) INFO 09-10 23:09:11 [a.py:1] x", b"RayWorkerWrapper", 11305, ""),
        (b"(ApiServer_3 pid=9) INFO 09-10 23:09:11 [a.py:1] x", b"ApiServer_3", 9, "3"),
        (b"(pid=77) INFO 09-10 23:09:11 [a.py:1] x", b"", 77, ""),
        (b"(Worker_TP3) INFO 09-10 23:09:11 [a.py:1] x", b"Worker_TP3", None, "TP3"),  # a wrapper took the pid off
        (b"[rank5]: INFO 09-10 23:09:11 [a.py:1] x", b"", None, "5"),
        (b"[1,6]<stdout>:INFO 09-10 23:09:11 [a.py:1] x", b"", None, "6"),
        (b"(EngineCore pid=4) [myhost] INFO 09-10 23:09:11 [a.py:1] x", b"EngineCore", 4, ""),  # VLLM_LOGGING_PREFIX
    ],
)
def test_of_several_processes_the_innermost_wrote_the_line(raw: bytes, process: bytes, pid: int, rank: str) -> None:
    (line,) = split(raw)
    assert (line.process, line.pid, line.rank, line.level, line.body) == (process, pid, rank, b"INFO", b"x")


@pytest.mark.parametrize("name", [name for name in WRAPS if name not in BY_RAY])
def test_a_json_log_means_the_same_whatever_stands_around_its_lines(name: str) -> None:
    def meaning(given: list[bytes]) -> list[object]:
        return [(*one.line[1:6], one.name, one.severity, one.state) for one in follow(*given)]

    assert meaning(wrap(name, lines("json"))) == meaning(lines("json"))


def test_a_bar_that_a_shipper_put_before_lines_is_no_part_of_them() -> None:  # vllm-project/vllm#6042
    given = (
        b"  | ERROR 07-01 13:54:43 multiproc_worker_utils.py:120] Worker Vllm pid 1159 died, exit code: -6",
        b"  | [rank0]:[E ProcessGroupNCCL.cpp:563] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(",
    )
    died, watchdog = follow(*given)
    assert (died.line.level, died.line.stamp) == (b"ERROR", b"07-01 13:54:43")
    assert (watchdog.name, watchdog.line.rank) == ("nccl.watchdog", "0")


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        (b"2026-11-21 14:55:06,123 ERROR vllm.v1.engine.core: it failed", b"ERROR"),
        (b"2026-11-21 14:55:06,123 - vllm.engine - CRITICAL - it failed", b"CRITICAL"),
        (b"[2026-11-21 14:55:06] [WARNING] it failed", b"WARNING"),
        (b"ERROR:vllm.engine:it failed", b"ERROR"),
        (b"2026-11-21 14:55:06,123 - INFO - RuntimeError: a wrapper calls all lines so", b""),
        (b"2026-11-21 14:55:06 the word ERROR in a sentence of many words is no level, is it an ERROR", b""),
        (b"an ERROR", b""),
    ],
)
def test_the_level_of_another_format_is_known_when_it_is_loud(raw: bytes, level: bytes) -> None:
    (line,) = split(raw)
    assert (line.level, line.body) == (level, raw)


def test_the_rank_in_front_of_a_message_of_torch_is_its_rank() -> None:
    (line,) = split(b"[rank0]:[E811 01:10:50.482336908 ProcessGroupNCCL.cpp:1515] [PG 3 Rank 0] Process group watchdog")
    assert line.rank == "0"
    (line,) = split(b"INFO 11-21 15:07:08 [parallel_state.py:1822] world_size=1 rank=0 local_rank=0 backend=gloo")
    assert line.rank == ""


@pytest.mark.parametrize(
    "suffix",
    [
        b" [repeated 6x across cluster]",
        b" [repeated 2x across cluster] (Ray deduplicates logs by default. Set RAY_DEDUP_LOGS=0 to disable log "
        b"deduplication, or see https://docs.ray.io/en/master/ray-observability/user-guides/configure-logging.html)",
    ],
)
def test_what_ray_says_behind_a_line_is_no_part_of_it(suffix: bytes) -> None:
    assert bodies(b"(W pid=1) ERROR 08-27 05:12:18 worker_base.py:382] Traceback" + suffix) == [b"Traceback"]
    assert bodies(b"(W pid=1) plain" + suffix) == [b"plain"]
    assert bodies(b"INFO 08-27 05:12:18 [a.py:1] the word [repeated often]") == [b"the word [repeated often]"]


def test_a_line_that_follows_a_progress_bar_without_a_break_is_a_line() -> None:
    bar = b"Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  5.42it/s]"
    first, second = split(bar + b"(Worker_TP0 pid=14499) ERROR 11-21 15:10:36 [a.py:953] WorkerProc failed to start.")
    assert first.body == bar
    assert (second.process, second.body) == (b"Worker_TP0", b"WorkerProc failed to start.")


@pytest.mark.parametrize(
    "line",
    [
        b'192.0.2.1 - - [21/Nov/2026:14:55:06 +0000] "GET / HTTP/1.1" 200 9 "-" "(EngineCore pid=1) ERROR 11-21 '
        b'14:55:06 [core.py:1] EngineCore encountered a fatal error."',
        b"nginx-1  | 192.0.2.1 said 'ERROR 11-21 14:55:06 [core.py:1] EngineCore encountered a fatal error.'",
        b"INFO 11-21 14:58:12 [logger.py:65] Received request x: prompt: 'ERROR 11-21 14:55:06 [core.py:1] EngineCore "
        b"encountered a fatal error.'",
        b"(APIServer pid=1) INFO 11-21 14:58:12 [async_llm.py:795] Request x failed (bad request): Grammar error: "
        b"(EngineCore pid=2) ERROR 11-21 14:55:06 [core.py:1] EngineCore encountered a fatal error.",
        b'{"request": "GET /", "http_user_agent": "EngineCore encountered a fatal error.", "status": 200}',
    ],
)
def test_a_line_of_vllm_in_users_words_is_none(line: bytes) -> None:
    assert follow(line) == []


@pytest.mark.parametrize(
    "line",
    [
        b"The process (Worker pid=12) died of a signal",
        b"2026-11-21 14:55:06 the actor was asked (Worker pid=12) to stop",
        b"Failed to import from vllm._C with ModuleNotFoundError",
        b"    | raise ValueError",
    ],
)
def test_a_sentence_that_names_a_process_stays_whole(line: bytes) -> None:
    assert bodies(line) == [line]


def test_the_rest_of_a_line_that_a_container_engine_cut_means_nothing() -> None:
    head = b"(APIServer pid=1) INFO 11-21 14:58:12 [logger.py:65] Received request x: prompt: 'aaa"
    rest = b"EngineCore encountered a fatal error.', params: None"
    cri = [nano(1) + b" stdout P " + head, nano(2) + b" stdout P " + rest, nano(3) + b" stdout F " + rest]
    assert follow(*cri) == []
    assert [one.name for one in follow(*cri, nano(4) + b" stdout F EngineCore failed to start.")] == [
        "engine.start_failed"
    ]
    assert follow(*cri[:1], nano(2) + b" stderr F EngineCore failed to start.") != []  # another stream
    docker = [
        b'{"log":"' + head + b"a" * 16384 + b'","stream":"stdout","time":"t"}',
        b'{"log":"' + rest + b'\\n","stream":"stdout","time":"t"}',
    ]
    assert follow(*docker) == []
    assert [one.name for one in follow(*docker, docker[1])] == ["engine.fatal"]


def test_an_empty_line_behind_a_mark_does_not_end_a_traceback() -> None:
    first = [b"Traceback (most recent call last):", b'  File "/a.py", line 1, in f', b"KeyError: 1", b""]
    chain = [b"During handling of the above exception, another exception occurred:", b"", *TRACEBACK]
    found = follow(*[(b"vllm-1  | " + line).rstrip() for line in [*first, *chain]])
    assert [one.exception for one in found] == ["KeyError", "OSError"]


def test_tracebacks_of_200_ranks_may_be_mixed() -> None:
    for mark in (b"[rank%d]: ", b"[1,%d]<stderr>:", b"2026-11-21T14:55:06Z [default%d]: "):
        mixed = [mark % rank + line for line in TRACEBACK for rank in range(200)]
        found = follow(*mixed)
        assert [one.frame for one in found] == ["mistral.py:from_pretrained"] * 200


def test_forgets_the_oldest_of_many_writers_and_goes_on() -> None:
    many = [b"[rank%d]: " % at + line for at in range(200) for line in TRACEBACK]
    assert len(follow(*many)) == 200


@pytest.mark.parametrize(
    "raw",
    [
        *(b"(" * 65536, b"(a pid=1) " * 6000, b"[" * 65536, b"2026-11-21T14:55:06Z " * 3000, b"12:00:00 " * 7000),
        *(b"\x1b]" * 30000, b"{" * 65536, b'{"a": ' * 9000, b'msg="' * 9000, b"Jan  1 " * 9000, b"\x1b[0m" * 16000),
        b"a" * 300 + b"(b pid=1" * 8000,
    ],
)
def test_a_line_made_to_be_slow_takes_less_than_20_ms(raw: bytes) -> None:
    splitter = LineSplitter()
    splitter.split(b"2026-11-21T14:55:06Z vllm | (a pid=1) INFO 11-21 14:55:06 [a.py:1] x")
    started = time.process_time()
    found = splitter.split(uncoloured(raw), raw)
    assert time.process_time() - started < 0.02
    assert all(len(line.body) <= LIMIT + 300 for line in found)
