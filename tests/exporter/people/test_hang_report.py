"""What hang-report prints, and which servers it looks at."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.exporter.answering import Answering, ok
from vllm_exporter.cli import main
from vllm_exporter.config.config import CollectorConfig, Config, ProbeConfig, TargetConfig
from vllm_exporter.config.yaml_lines import Value
from vllm_exporter.errors import ConfigError
from vllm_exporter.facts.values import EngineValues
from vllm_exporter.people.gather import Host, log_files, observe, read_signs
from vllm_exporter.people.hang.diagnose import diagnose
from vllm_exporter.people.hang.evidence import EngineLook, Gpu, HangEvidence, LifeState, ProcessSight
from vllm_exporter.people.hang_report import as_facts, as_lines, choose, report

TWO = Config(targets=(TargetConfig("gpu1:8000", "gpu1:8000"), TargetConfig("localhost:8001", "here:8001")))
STILL = EngineValues(running=8, waiting=3, kv_usage=0.4, iterations=100)
SEEN = HangEvidence(
    "gpu1:8000",
    "ok",
    (EngineLook(0.0, STILL), EngineLook(30.0, STILL)),
    canary="timeout",
    canary_seconds=8.0,
    progress_age=70.0,
    stall_limit=30.0,
    processes=(ProcessSight(12, "worker", "TP0", "S", 0.0, "futex_wait", python=("wait (queue.py:1)",) * 9),),
    gpus=(Gpu("0", 1.0, 0.9),),
)


def test_says_the_cause_why_what_to_try_and_what_was_seen() -> None:
    text = "\n".join(as_lines(SEEN, diagnose(SEEN)))
    assert text.startswith("gpu1:8000: A step does not come back from the GPU or its driver\n\n  Why (likely)\n")
    assert "    - no value of the engine moved for 70 s\n" in text
    assert "    - Look for Xid messages: dmesg | grep -i xid;" in text
    assert "    - the exporter saw the engine move last 70 s ago; it counts as stalled after\n      30 s\n" in text
    assert "    - worker TP0 (pid 12): state S, 0.00 cores, in futex_wait\n" in text
    assert "    - GPU 0: 100% busy, 90% of its memory used" in text
    assert text.count("wait (queue.py:1)") == 6  # of nine frames; --json has all


def test_no_line_is_wider_than_80_columns() -> None:
    assert max(map(len, as_lines(SEEN, diagnose(SEEN)))) <= 80


def test_a_flag_is_never_broken_in_two() -> None:
    lines = list(as_lines(SEEN, diagnose(SEEN)))
    assert any("--distributed-executor-backend mp" in line for line in lines)


def test_json_has_all_of_it() -> None:
    facts = json.loads(json.dumps(as_facts(SEEN, diagnose(SEEN))))
    assert (facts["server"], facts["cause"], facts["hang"], facts["certainty"]) == (
        "gpu1:8000",
        "kernel_stall",
        True,
        "likely",
    )
    assert len(facts["seen"]["processes"][0]["python"]) == 9
    assert facts["seen"]["samples"][1] == {"at": 30.0, "values": {**facts["seen"]["samples"][0]["values"]}}


def test_a_server_is_chosen_by_its_name_or_its_address() -> None:
    assert [one.server for one in choose(TWO, "")] == ["gpu1:8000", "here:8001"]
    assert [one.server for one in choose(TWO, "localhost:8001")] == ["here:8001"]
    assert [one.server for one in choose(TWO, "here:8001")] == ["here:8001"]


def test_an_unknown_server_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no server 'gpu2:8000' is configured; known: gpu1:8000, here:8001"):
        choose(TWO, "gpu2:8000")
    with pytest.raises(ConfigError, match="set VLLM_TARGETS"):
        report(replace(TWO, targets=()), "", 1.0)


def test_the_command_exits_1_for_a_hang_and_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [(SEEN, diagnose(SEEN))]
    monkeypatch.setattr("vllm_exporter.people.hang_report.report", lambda config, server, seconds: found)
    assert main(["hang-report", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["cause"] == "kernel_stall"
    well = HangEvidence(
        "a:1", "ok", (EngineLook(0.0, EngineValues(0, 0)), EngineLook(4.0, EngineValues(0, 0))), canary="ok"
    )
    found[:] = [(well, diagnose(well))]
    assert main(["hang-report"]) == 0
    assert capsys.readouterr().out.startswith("a:1: No hang: the server works\n")


def test_a_server_that_is_down_is_not_watched() -> None:
    seen = observe(Config(), TargetConfig("127.0.0.1:1", "here:1"), Host(None, None), dict, seconds=10.0)
    assert (seen.health, seen.samples, diagnose(seen).finding.cause) == ("refused", (), "not_running")


def test_the_exporter_is_asked_again_after_the_watch_and_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm_exporter.people.watch_server.INTERVAL", 0.01)
    answers = iter([{"progress_age_seconds": 25.0}])
    told = {
        "state": "orphaned",
        "state_seconds": 8.0,
        "orphans": 2,
        "progress_age_seconds": 41,
        "stall_limit_seconds": 30,
    }
    with closing(Answering(lambda connection: connection.sendall(ok(b"")))) as server:
        config = Config(probe=ProbeConfig(canary_timeout=0.1))
        target = TargetConfig(server.address, "here:1", canary=False)
        seen = observe(config, target, Host(None, None), lambda: next(answers, told), seconds=0.1)
    assert (seen.health, seen.progress_age, seen.stall_limit, seen.orphans) == ("ok", 41.0, 30.0, 2)
    assert seen.state is not None
    assert (seen.state.name, seen.state.kind) == ("orphaned", "down")


def test_what_the_exporter_knows_is_among_what_was_seen() -> None:
    state = LifeState("draining", 5.0, "ending", "It takes no more.")
    text = "\n".join(as_lines(one := replace(SEEN, state=state, orphans=2, health_seconds=7.0), diagnose(one)))
    assert (
        "    - state seen by the exporter: draining for 5 s: It takes no more.\n    - /health: ok after 7.0 s\n" in text
    )
    assert "    - the exporter sees 2 processes that were left behind\n" in text
    orphan = replace(SEEN.processes[0], orphan=True)
    text = "\n".join(as_lines(one := replace(one, processes=(orphan,)), diagnose(one)))
    assert "(pid 12): state S, 0.00 cores, in futex_wait, left behind" in text
    assert "the exporter sees 2" not in text


def logs(*sources: str) -> Config:
    written = Value([Value(text, "exporter.yml line 2") for text in sources], "exporter.yml line 1")
    targets = (TargetConfig("localhost:8000", "gpu1:8000"), TargetConfig("localhost:8001", "gpu1:8001"))
    return Config(targets=targets, collectors={"logs": CollectorConfig(options={"sources": written})})


def test_signs_are_looked_for_since_the_last_start_in_the_files_of_that_server(tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(
        "ERROR torch.OutOfMemoryError: CUDA out of memory.\n"
        "INFO:     Application startup complete.\n"
        "INFO 11-21 15:00:00 [shm_broadcast.py:501] No available shared memory broadcast block found in 60 seconds.\n"
        "INFO 11-21 15:00:01 [loggers.py:1] Engine 000: Running: 3 reqs\n"
    )
    config = logs(f"localhost:8000={log}", "localhost:8000=journald:vllm.service", "gpu1:8001=/var/log/other.log")
    assert log_files(config, "gpu1:8000") == [log]
    (line,) = read_signs(config, "gpu1:8000")
    assert "No available shared memory broadcast block" in line


def test_without_a_log_there_are_no_signs(tmp_path: Path) -> None:
    assert read_signs(Config(), "gpu1:8000") == ()
    assert read_signs(logs(f"gpu1:8000={tmp_path}/not-there.log"), "gpu1:8000") == ()
    assert read_signs(logs("nonsense"), "gpu1:8000") == ()
