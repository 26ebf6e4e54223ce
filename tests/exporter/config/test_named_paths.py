"""What each part of exporter.yml names, from the file to the paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_exporter.app import load_collectors
from vllm_exporter.config.config import Config, TargetConfig, load
from vllm_exporter.config.named_paths import NamedPath, config_paths


def named(tmp_path: Path, collector: str, section: str) -> list[tuple[str, str, str, str]]:
    file = tmp_path / "exporter.yml"
    file.write_text(f"targets: [a:1]\ncollectors:\n  {collector}: {section}\n")
    paths = load_collectors()[collector].paths(load(file, {}, {}), collector)
    return [(one.key.removeprefix(f"collectors.{collector}."), one.path, one.kind, one.absent) for one in paths]


def test_targets_name_keys_and_certificates_and_the_exporter_makes_its_directory() -> None:
    targets = (
        TargetConfig("a:1", "a:1", api_key_file="/key", monitor_token_file="/token"),
        TargetConfig("b:1", "b:1", ca_file="/ca"),
    )
    assert [(one.key, one.path, one.absent) for one in config_paths(Config(targets=targets, state_dir="/state"))] == [
        ("targets: a:1: api_key_file", "/key", "forgotten"),
        ("targets: a:1: monitor_token_file", "/token", "forgotten"),
        ("targets: b:1: ca_file", "/ca", "forgotten"),
        ("state_dir", "/state", "made"),
    ]


def test_without_configuration_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_MONITOR_DIR", raising=False)
    named: list[NamedPath] = list(config_paths(Config()))
    for name, cls in load_collectors().items():
        named += cls.paths(Config(), name)
    assert named == []


def test_logs_name_files_and_for_containers_the_socket(tmp_path: Path) -> None:
    sources = "['a:1=/a.log', 'a:1=docker:x', '=journald:kernel']"
    assert named(tmp_path, "logs", f"{{sources: {sources}, docker_socket: /d.sock}}") == [
        ("sources", "/a.log", "file", "comes_later"),
        ("docker_socket", "/d.sock", "socket", "comes_later"),
    ]


def test_events_name_what_loki_needs_only_where_there_is_one(tmp_path: Path) -> None:
    files = "file: /e.jsonl, loki_token_file: /token, loki_ca_file: /ca"
    assert named(tmp_path, "events", f"{{{files}}}") == [("file", "/e.jsonl", "file", "made")]
    assert named(tmp_path, "events", f"{{loki_url: 'http://l:1', {files}}}")[1:] == [
        ("loki_token_file", "/token", "file", "forgotten"),
        ("loki_ca_file", "/ca", "file", "forgotten"),
    ]


def test_processes_name_sockets_but_no_addresses(tmp_path: Path) -> None:
    assert named(tmp_path, "processes", "{docker_socket: /d.sock, supervisord: 'http://127.0.0.1:9001'}") == [
        ("docker_socket", "/d.sock", "socket", "comes_later")
    ]
    assert named(tmp_path, "processes", "{supervisord: 'unix:///s.sock'}") == [
        ("supervisord", "/s.sock", "socket", "comes_later")
    ]


def test_inside_names_the_directory_of_the_file_else_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_MONITOR_DIR", "/of-environment")
    assert named(tmp_path, "inside", "{directory: /own}") == [("directory", "/own", "directory", "comes_later")]
    assert named(tmp_path, "inside", "{}") == [("directory", "/of-environment", "directory", "comes_later")]


def test_a_gpu_library_is_named_where_it_is_a_path(tmp_path: Path) -> None:
    assert named(tmp_path, "gpu", "{library: /usr/lib/libnvidia-ml.so.1}") == [
        ("library", "/usr/lib/libnvidia-ml.so.1", "file", "comes_later")
    ]
