"""The table of classes: every line of it, against the examples in it."""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path

import pytest

from vllm_exporter.subjects.logs.classes import read_classes
from vllm_exporter.subjects.logs.follow import Follower
from vllm_exporter.subjects.logs.incident import Incident
from vllm_exporter.subjects.logs.table import Pattern, kinds, parse_table

ALL = read_classes(examples=True)
TABLE = tuple(pattern for pattern in ALL if pattern.example)  # lines of the kernel have several words, and one example
KERNEL = [
    line
    for line in (Path(__file__).parents[2] / "fixtures" / "kernel_lines.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
HOME = Path(os.environ.get("REAL_VLLM_HOME", Path.home() / ".cache/real-vllm"))
SITE = next(HOME.glob("venv-0.32.0/lib/python3*/site-packages"), HOME)
STATES = """
    args_parsed config_resolved engine_spawned executor_spawn dist_init ranks_assigned model_init weights_download
    weights_loading weights_loaded compiling profiling kv_sized graph_capture engine_ready frontend_init listening
    idle paused sleeping waking ft_recovery draining aborting engine_dead stopping
"""
CLASSES = """
    engine.fatal engine.dead_client engine.exit_unexpected engine.output_handler engine.req_failed_dead
    engine.start_failed engine.init_failed engine.ready_timeout engine.frontend_failed engine.no_frontend
    worker.died worker.start_failed worker.exception executor.failed executor.rpc_timeout executor.dump
    hang.shm_stall worker.sigkill proc.orphan_worker shutdown.trigger shutdown.drain shutdown.abort shutdown.reject
    oom.startup_free oom.no_kv oom.kv_lt_maxlen oom.autofit oom.sampler_warmup shm.too_small config.len config.heads
    config.tp_gt_gpu config.device config.bf16 config.arch config.dp_mismatch load.weights_missing port.used_by
    port.shift ulimit.low req.chat_template req.template_warmup req.model_missing req.too_long load.shed
    load.shed_tokens so.compile_failed so.regex_timeout so.fsm so.rejected so.nobackend lora.not_found lora.rank
    lora.disabled lora.slots kv.lease_expired kv.invalid_blocks kv.recovered kv.failed kv.noconnector dp.coord_start
    dp.coord_unexpected dp.probe_unhealthy ray.worker_died ray.ip ray.pg ray.pg_wait ft.paused sleep.already
    sleep.slept sleep.woke cache.reset_ok cache.reset_fail mm.cache_miss compile.graph_mem metrics.multiproc_dir
    drain.timeout pause.state ft.no_recovery ep.fault kv.mooncake_timeout kv.mooncake_ready req.template_timeout
    req.template_pool req.tool_regex spec.metrics stats.line shm.cgroup_low compile.failed probe.kill oom.cuda
    cuda.illegal cuda.assert cuda.launch cuda.ecc gpu.xid gpu.bus nccl.watchdog nccl.sys nccl.shm drv.802 drv.803
    drv.804 drv.nvml host.oom host.sigbus fd.limit port.inuse load.hf_auth load.hf_missing load.safetensors
    load.disk load.perm ray.actor http.invalid legacy.v0_dead legacy.v0_loop legacy.v0_iter legacy.v0_preempt
"""  # of the catalogue of failures; the table has more: the steps of a start


def named(pattern: Pattern) -> str:
    return f"{pattern.kind.name} {(*pattern.pieces, pattern.needle)[0].decode()[:30]}"


@pytest.mark.parametrize("pattern", TABLE, ids=named)
def test_an_example_is_of_the_class_that_it_stands_for_although_others_come_before(pattern: Pattern) -> None:
    body = re.sub(r"^\(\S+ pid=\d+\) [A-Z]+ \S+ \S+ \[\S+\] ", "", pattern.example).encode()
    assert next(other.kind.name for other in ALL if other.span(body)) == pattern.kind.name


@pytest.mark.parametrize("pattern", TABLE, ids=named)
def test_an_example_is_found_in_a_log(pattern: Pattern) -> None:
    found = Follower(ALL, Incident()).feed_all([pattern.example.encode()], 0.0)
    assert [finding.name for _, finding in found] == [pattern.kind.name]


@pytest.mark.parametrize("pattern", TABLE, ids=named)
def test_an_example_says_where_it_is_from_or_that_nobody_has_checked_it(pattern: Pattern) -> None:
    assert re.match(r"printed by |[\w.]+ \d[\w.]*, \S|bash |Ray |unchecked: \S", pattern.source), pattern.source


def test_has_every_class_of_the_catalogue() -> None:
    assert set(CLASSES.split()) <= kinds(TABLE).keys()
    assert len(CLASSES.split()) == 119


def test_proves_every_state_that_a_line_can_prove() -> None:
    assert {pattern.state for pattern in TABLE} - {""} == set(STATES.split())


def test_keeps_examples_out_of_memory_where_nobody_needs_them() -> None:
    assert {pattern.example for pattern in read_classes()} == {""}


def test_no_class_has_two_severities() -> None:
    assert len({(pattern.kind.name, pattern.kind.severity) for pattern in TABLE}) == len(kinds(TABLE))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.b terrible\n", "line 1: unknown severity 'terrible'; known: info, warning, error, critical"),
        ("a.b\n", "line 1: expected `class severity"),
        ("a.b info loud\n", "line 1: expected `class severity"),
        ("a.b info\n  regex x\n", "line 2: unknown key 'regex'"),
        ("a.b info\n  kernel panic\n", "line 2: no kind of lines of the kernel: 'panic'; known: xid, lost"),
        ("a.b info\n  pattern\n", "line 2: unknown key 'pattern', or nothing behind it"),
        ("a.b info\n  pattern too *\n", "a.b: a \\* at the end of 'too \\*'"),
    ],
)
def test_says_what_is_wrong_with_a_table(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_table(text)


def one(text: str) -> Pattern:
    return parse_table(f"a.b error\n  pattern {text}\n")[0]


def test_a_gap_spans_200_bytes_and_no_more() -> None:
    assert one("begin * end").span(b"begin " + b"x" * 200 + b" end") == (0, 210)
    assert one("begin * end").span(b"begin " + b"x" * 201 + b" end") is None


def test_the_parts_of_a_pattern_must_come_in_their_order() -> None:
    assert one("begin * end").span(b"end begin x") is None


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("13", "gpu.xid_error"),
        ("31", "gpu.xid_error"),
        ("43", "gpu.xid_warning"),
        ("45", "gpu.xid_warning"),
        ("63", "gpu.xid_warning"),
        ("79", "gpu.bus"),
        ("94", "gpu.xid_error"),
        ("999", "gpu.xid_error"),
        ("no code", "gpu.xid_error"),
        ("48", "gpu.xid"),
        ("74", "gpu.xid"),
        ("95", "gpu.xid"),
        ("119", "gpu.xid"),
    ],
)
def test_an_xid_is_as_bad_as_nvidia_says(code: str, name: str) -> None:
    line = f"NVRM: Xid (PCI:0000:01:00 GPU-I:05): {code}, pid=14292, name=python".encode()
    assert {pattern.kind.name for pattern in ALL if pattern.span(line)} == {name}


@pytest.mark.parametrize("row", KERNEL)
def test_a_line_of_the_kernel_has_one_class_that_is_as_bad_as_the_line(row: str) -> None:
    expected, _, line = row.partition(": ")
    classes = {(pattern.kind.name, pattern.kind.severity) for pattern in ALL if pattern.span(line.encode())}
    assert [severity for _, severity in classes] == [expected.split()[1]]


@pytest.mark.parametrize(
    ("line", "excerpt"),
    [
        (
            b"[5140.9] Out of memory: Killed process 12 (python) total-vm:11964kB, anon-rss:4288kB",
            b"Out of memory: Killed process 12 (python)",
        ),
        (
            b"[5140.9] Memory cgroup out of memory: Killed process 12 (VLLM::EngineCor) total-vm:11964kB",
            b"Memory cgroup out of memory: Killed process 12 (VLLM::EngineCor)",
        ),
    ],
)
def test_who_was_killed_for_memory_is_told_in_whole_words(line: bytes, excerpt: bytes) -> None:
    (found,) = [finding for _, finding in Follower(ALL, Incident()).feed_all([line], 0.0)]
    assert (found.name, found.excerpt) == ("host.oom", excerpt)


@pytest.mark.parametrize("pattern", TABLE, ids=named)
def test_no_excerpt_begins_or_ends_within_a_word(pattern: Pattern) -> None:
    text = re.sub(r"%[a-z]", "x ", pattern.example).encode()
    start, end = pattern.span(text) or (0, 0)
    before, after = text[start - 1 : start], text[end : end + 1]
    assert not (before.isalpha() and text[start : start + 1].isalpha())
    assert not (after.isalpha() and text[end - 1 : end].isalpha())


@cache
def texts(file: str) -> frozenset[str]:
    """Every text in a source file of vLLM, with `{…}` where a value goes."""
    tree = ast.parse((SITE / "vllm" / file).read_text(encoding="utf-8"))
    return frozenset(text for node in ast.walk(tree) if (text := written(node)) is not None)


def written(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part))
            for part in node.values
        )
    return None


QUOTED = [pattern for pattern in TABLE if pattern.source.startswith("vLLM 0.32.0, ")]


@pytest.mark.real
@pytest.mark.skipif(not (SITE / "vllm").is_dir(), reason=f"no vLLM 0.32.0 in {HOME}")
@pytest.mark.parametrize("pattern", QUOTED, ids=named)
def test_what_is_quoted_from_vllm_stands_in_its_source(pattern: Pattern) -> None:
    file = pattern.source.removeprefix("vLLM 0.32.0, ")
    assert any(pattern.example in text for text in texts(file)) or "KeyboardInterrupt" in pattern.example
