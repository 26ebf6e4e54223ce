"""What log-report says of a whole log."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.exporter.subjects.logs.recorded import LOGS, REPORTS
from tests.exporter.subjects.logs.wrapped import WRAPS
from vllm_exporter.cli import main
from vllm_exporter.people.log_report import as_facts, report
from vllm_exporter.people.log_report_words import as_lines

START = [
    *("args_parsed", "config_resolved", "engine_spawned", "executor_spawn", "dist_init", "ranks_assigned"),
    *("model_init", "weights_loading", "weights_loaded", "kv_sized", "engine_ready", "frontend_init", "listening"),
]
ARGS = "(APIServer pid=1) INFO 11-21 15:04:42 [api_utils.py:286] non-default args: {}"
READY = "(APIServer pid=1) INFO:     Application startup complete."
OOM = "(Worker_TP1 pid=3) ERROR 11-21 15:05:01 [gpu.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB."
TRACE = ("Traceback (most recent call last):", '  File "/a.py", line 1, in f', "FooError: no class knows it")


def facts(path: Path) -> dict[str, Any]:
    return json.loads(json.dumps(as_facts(report(str(path)))))  # type: ignore[no-any-return]


@pytest.fixture
def said(tmp_path: Path) -> Any:
    """The report on these lines."""

    def of(*lines: str) -> dict[str, Any]:
        path = tmp_path / "a.log"
        path.write_text("\n".join(lines) + "\n")
        return facts(path)

    return of


def events(found: dict[str, Any], *keys: str) -> list[tuple[Any, ...]]:
    """These keys of the events above info."""
    return [tuple(one[key] for key in keys) for one in found["events"] if one["severity"] != "info"]


def test_a_healthy_log_is_one_start_in_its_steps_and_no_fault() -> None:
    found = facts(LOGS / "healthy.log")
    assert found["starts"] == [{"steps": START, "ready": True}]
    assert events(found, "class") == []
    assert found["not_understood"] == 0


def test_json_has_what_the_page_says_and_nothing_else(said: Any) -> None:
    found = said(ARGS, OOM)
    assert set(found) == {"events", "starts", "not_understood"}
    assert found["events"][1] == {
        **{
            "class": "oom.cuda",
            "severity": "critical",
            "summary": "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB.",
        },
        **{"process": "Worker_TP1", "pid": 3, "rank": "TP1", "count": 1, "exception": "torch.OutOfMemoryError"},
        **{"first": found["events"][1]["last"], "last": found["events"][1]["last"], "frame": ""},
    }
    assert found["events"][1]["last"].endswith("-11-21T15:05:01")


def test_a_start_that_fails_names_its_cause_and_how_far_it_came() -> None:
    found = facts(LOGS / "weights_cut.log")
    assert found["starts"] == [{"steps": START[:8], "ready": False}]
    assert events(found, "class", "severity", "process", "pid", "exception", "frame") == [
        (
            *("worker.start_failed", "critical", "Worker", 14499),
            *("safetensors._safetensors_rust.SafetensorError", "weight_utils.py:safetensors_weights_iterator"),
        ),
        (
            *("load.safetensors", "error", "Worker", 14499),
            *("safetensors._safetensors_rust.SafetensorError", "weight_utils.py:safetensors_weights_iterator"),
        ),
        ("engine.start_failed", "critical", "EngineCore", 14466, "Exception", "multiproc_executor.py:wait_for_ready"),
    ]


def test_lines_of_one_class_and_process_are_one_event_with_the_first_and_last_time(said: Any) -> None:
    other = OOM.replace("TP1 pid=3", "TP2 pid=4")
    found = said(ARGS, OOM, OOM.replace("15:05:01", "15:06:00"), other)
    assert [(one[0][-8:], one[1][-8:], one[2:]) for one in events(found, "first", "last", "count", "rank")] == [
        ("15:05:01", "15:06:00", (2, "TP1")),
        ("15:05:01", "15:05:01", (1, "TP2")),
    ]


def test_a_start_that_succeeds_takes_back_what_was_said_to_be_critical() -> None:  # L35, vllm-project/vllm#31005
    found = facts(REPORTS / "L35-tp-exceeds-gpus-healthy-multinode.log")
    assert all(severity == "warning" for (severity,) in events(found, "severity"))
    assert found["starts"][0]["ready"] is True


def test_what_comes_after_the_start_and_in_another_one_is_not_taken_back(said: Any) -> None:
    assert events(said(ARGS, READY, OOM), "severity") == [("critical",)]
    assert events(said(ARGS, OOM, ARGS, READY), "severity") == [("critical",)]
    assert events(said(OOM, READY), "severity") == [("critical",)]  # no start was seen to which it would belong
    xid = "[124.5] NVRM: Xid (PCI:0000:91:00): 79, pid=1, GPU has fallen off the bus."
    assert events(said(ARGS, xid, READY), "class", "severity") == [("gpu.bus", "critical")]  # true of the host


def test_an_exception_that_ends_the_start_is_an_error_with_its_frame() -> None:  # L40, vllm-project/vllm#31444
    found = facts(REPORTS / "L40-api-server-dies-at-start.log")
    (event,) = events(found, "severity", "exception", "frame", "pid", "first")
    assert event[0] in ("error", "critical")
    assert event[1:] == ("OSError", "mistral.py:from_pretrained", 3604781, None)


def test_the_last_that_a_log_says_is_no_info_when_nothing_else_explains_its_end(said: Any) -> None:
    logged = ["ERROR 05-06 01:55:26 [core.py:383] " + line for line in TRACE]
    assert events(said(*logged), "class", "severity") == [("other.exception", "error")]
    stats = "INFO 05-06 01:55:27 [loggers.py:335] Engine 000: Avg prompt throughput: 5.2 tokens/s, Avg"
    assert events(said(*logged, stats), "class") == []  # it serves on


def test_an_exception_alone_that_a_log_ends_with_is_an_error(said: Any) -> None:
    (event,) = said("RuntimeError: new words")["events"]
    assert (event["class"], event["severity"], event["exception"]) == ("other.exception", "error", "RuntimeError")
    assert [one["severity"] for one in said("AttributeError: new words", ARGS, READY)["events"]][:1] == ["info"]


def test_each_start_of_a_crash_loop_is_one(said: Any) -> None:
    failed = [ARGS, "INFO 11-21 15:04:43 [model.py:733] Resolved architecture: LlamaForCausalLM", *TRACE]
    assert said(*failed, *failed, ARGS, READY)["starts"] == [
        {"steps": ["args_parsed", "config_resolved"], "ready": False},
        {"steps": ["args_parsed", "config_resolved"], "ready": False},
        {"steps": ["args_parsed", "listening"], "ready": True},
    ]


def test_arguments_in_several_lines_are_one_start(said: Any) -> None:
    version = "INFO 11-21 15:04:42 [api_server.py:1] vLLM server version 0.9, serving model m"
    assert len(said(version, ARGS.replace("(APIServer pid=1) ", ""))["starts"]) == 1


def test_a_start_without_arguments_after_a_death_is_a_start_of_its_own(said: Any) -> None:
    spawned = "INFO 05-06 01:54:10 [core.py:58] Initializing a V1 LLM engine (v0.8.3) with config: x"
    found = said(spawned, READY, "ERROR 05-06 01:55:26 [core.py:1] EngineCore encountered a fatal error.", spawned)
    assert [one["ready"] for one in found["starts"]] == [True, False]


@pytest.mark.parametrize(
    ("first", "second"),
    [("vllm-1  | ", "vllm-2  | "), ("Nov 21 15:04:42 host1 vllm-a[7]: ", "Nov 21 15:04:42 host1 vllm-b[8]: ")],
)
def test_starts_of_two_servers_in_one_log_are_kept_apart_by_what_stands_before(
    first: str, second: str, said: Any
) -> None:
    spawned = (
        "(EngineCore pid=2) INFO 11-21 15:04:45 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x"
    )
    lines = [mark + line for line in (ARGS, spawned, OOM) for mark in (first, second)]
    ready = first + READY.replace("(APIServer pid=1) ", "")
    found = said(*lines, ready)
    assert found["starts"] == [
        {"steps": ["args_parsed", "engine_spawned", "listening"], "ready": True},
        {"steps": ["args_parsed", "engine_spawned"], "ready": False},
    ]


def test_processes_of_one_server_may_have_marks_of_their_own(said: Any) -> None:
    spawned = "INFO 11-21 15:04:45 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x"
    lines = (ARGS, "[rank0]: " + spawned, "[rank1]: " + spawned, "Nov 21 15:04:42 host1 vllm[8]: " + spawned, READY)
    assert said(*lines)["starts"] == [{"steps": ["args_parsed", "engine_spawned", "listening"], "ready": True}]


def test_a_port_that_is_taken_after_the_application_started_means_not_ready(said: Any) -> None:
    taken = "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"
    assert said(ARGS, READY, taken)["starts"][0]["ready"] is False


def test_errors_that_no_class_knows_are_counted(said: Any) -> None:
    unknown = "ERROR 11-21 15:05:01 [x.py:1] Something new with token=abc happened"
    assert said(ARGS, unknown, unknown, READY)["not_understood"] == 2


def test_a_symptom_two_hours_after_another_fault_counts_itself(said: Any) -> None:
    symptom = "(APIServer pid=1) ERROR 11-21 17:05:01 [async_llm.py:906] AsyncLLM output_handler failed."
    assert events(said(ARGS, READY, OOM, symptom), "class") == [("oom.cuda",), ("engine.output_handler",)]
    assert events(said(ARGS, READY, OOM, symptom.replace("17:", "15:")), "class") == [("oom.cuda",)]


@pytest.mark.parametrize("name", [name for name in WRAPS if not name.startswith("Ray")])
def test_says_the_same_of_a_log_whatever_stands_around_its_lines(name: str, tmp_path: Path) -> None:
    plain = (LOGS / "weights_cut.log").read_bytes().splitlines()
    path = tmp_path / "a.log"
    path.write_bytes(b"\n".join(WRAPS[name](at, line) for at, line in enumerate(plain)))
    expected, found = facts(LOGS / "weights_cut.log"), facts(path)
    for one in (*expected["events"], *found["events"]):
        del one["first"], one["last"]  # the shipper's times may be exacter
    if "rank" in name or name.startswith(("mpirun", "torch")):
        for one in (*expected["events"], *found["events"]):
            del one["rank"]  # the launcher's, where the line has none
    assert found == expected


@pytest.mark.parametrize("path", sorted(REPORTS.glob("*.log")), ids=lambda path: path.stem[:3])
def test_no_public_report_is_passed_over(path: Path) -> None:
    found = facts(path)
    assert events(found, "class") or path.stem.startswith("L28")


def test_memory_is_bounded_by_classes_and_processes(said: Any) -> None:
    found = said(*[OOM.replace("pid=3", f"pid={number}") for number in range(3000)])
    assert len(found["events"]) == 2001
    assert sum(one["count"] for one in found["events"]) == 3000


def test_words_for_people_name_starts_faults_and_what_no_class_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("\n".join((ARGS, OOM, OOM, "ERROR 11-21 15:05:01 [x.py:1] Something new, token=abc")))
    text = "\n".join(as_lines(report(str(path))))
    assert "one start, which did not become ready" in text
    assert "critical: oom.cuda by Worker_TP1 (pid 3), 2 times at 20" in text
    assert "not ready, it came as far as args_parsed" in text
    assert "Errors that no class knows: 1 line, such as\n  Something new, token=…" in text
    assert max(map(len, text.splitlines())) <= 80


def test_words_for_people_have_the_message_of_an_exception_that_no_class_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    head = "(Worker_TP1 pid=3) ERROR 11-21 15:05:01 [multiproc_executor.py:1] "
    path.write_text("\n".join([ARGS, *[head + line for line in ("WorkerProc failed to start.", *TRACE)]]))
    shown = list(as_lines(report(str(path))))
    at = shown.index("    FooError: no class knows it")
    assert shown[at + 1] == "    raised in a.py:f"


def test_words_for_people_hold_no_orders_to_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    trace = [
        "Traceback (most recent call last):",
        '  File "/a\x9b2J.py", line 1, in f\x07',
        "ValueError: x\x1b]0;y\x07",
    ]
    path.write_text("\n".join([f"(Worker\x9b2J pid=3) {line}" for line in trace]))
    assert all(line.isprintable() for line in as_lines(report(str(path))))


def test_words_of_an_empty_log_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"")
    assert " ".join(as_lines(report(str(path)))) == f"{path}: there is no line in it."


def test_the_command_prints_json_of_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(OOM.encode()))))
    assert main(["log-report", "-", "--json"]) == 0
    assert [one["class"] for one in json.loads(capsys.readouterr().out)["events"]] == ["oom.cuda"]


def test_the_command_says_why_a_file_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log-report", str(tmp_path / "none.log")]) == 1
    assert f"{tmp_path}/none.log: No such file or directory" in capsys.readouterr().err
    assert main(["log-report", str(tmp_path)]) == 1
    assert "Is a directory; name a file, or - for standard input" in capsys.readouterr().err
