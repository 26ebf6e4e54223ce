from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from vllm_exporter.app import enabled, load_collectors
from vllm_exporter.config.config import CollectorConfig, Config, ProbeConfig, TargetConfig, find_server, load
from vllm_exporter.errors import ConfigError
from vllm_exporter.run.collector import read_options

EXAMPLE = Path(__file__).parents[3] / "exporter" / "exporter.yml"
HOME = {"HOME": "/home/a"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exporter.yml"


def load_text(file: Path, text: str, env: dict[str, str] | None = None) -> Config:
    file.write_text(text)
    return load(file, env or HOME, {}, collectors=("probe", "system"), hostname="gpu1")


def test_without_a_file_the_defaults_hold() -> None:
    config = load(None, HOME, {}, hostname="gpu1")
    assert config == Config(state_dir="/home/a/.local/state/vllm-exporter")
    assert config.listen == "127.0.0.1:9855"


def test_reads_every_key(file: Path) -> None:
    text = """
listen: 0.0.0.0:1234
targets:
  - localhost:8000
  - {address: gpu2:8000, scheme: https, api_key_file: /k, ca_file: /c, canary: false, deep_probes: true,
    monitor_token_file: /t}
collectors: {probe: false}
state_dir: /var/lib/x
stale_after: 20
probe: {interval: 2, canary_timeout: 4.5}
"""
    assert load_text(file, text) == Config(
        listen="0.0.0.0:1234",
        targets=(
            TargetConfig("localhost:8000", "gpu1:8000"),
            TargetConfig("gpu2:8000", "gpu2:8000", "https", "/k", "/c", False, True, "/t"),
        ),
        collectors={"probe": CollectorConfig(enabled=False)},
        state_dir="/var/lib/x",
        stale_after=20.0,
        probe=ProbeConfig(interval=2.0, canary_timeout=4.5),
    )


def test_an_empty_file_changes_nothing(file: Path) -> None:
    assert load_text(file, "# nothing\n") == load(None, HOME, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen: 127.0.0.1:1\nlisen: x\n", "exporter.yml line 2: unknown key 'lisen' in the file; known: coll"),
        ("probe:\n  intervall: 1\n", "exporter.yml line 2: unknown key 'intervall' in probe; known: c"),
        ("targets:\n- address: a:1\n  server: b\n", "line 3: unknown key 'server' in a target; known: address, "),
        ("collectors:\n  sytem: true\n", "line 2: unknown key 'sytem' in collectors; known: probe, system"),
        ("targets:\n- a:1\n- gpu1\n", "exporter.yml line 3: target 'gpu1' has no port; write host:port"),
        ("targets:\n- scheme: http\n", "line 2: a target needs an address; add address: host:port"),
        ("targets:\n- address: a:1\n  scheme: ftp\n", "line 3: scheme must be http or https, not 'ftp'"),
        ("targets: a:1\n", "line 1: targets must be a list, not 'a:1'"),
        ("targets: ['localhost:1', '127.0.0.1:1']", "'localhost:1' and '127.0.0.1:1' are the same server 'gpu1:1'"),
        ("probe: {interval: -1}\n", "line 1: probe.interval must be a number above 0, not -1"),
        ("probe: {interval: true}\n", "probe.interval must be a number above 0, not True"),
        ("stale_after: .inf\n", "stale_after must be a number above 0, not inf"),
        ("collectors: {probe: {interval: 0.01}}\n", "collector probe.interval must be at least 0.1 seconds, not 0.01"),
        ("stale_after: 5s\n", "stale_after must be a number above 0, not '5s'"),
        ("collectors: {system: 1}\n", "collector system must be true or false, not 1"),
        ("collectors: [system]\n", "line 1: collectors must be keys with values, not a list"),
        ("state_dir: 7\n", "state_dir must be text; put it in quotes, not 7"),
        ("listen: '9855'\n", "line 1: listen address '9855' has no port"),
        ("listen: a:1\nprobe: {}\nlisten: b:1\n", "line 3: 'listen' is there twice, first on exporter.yml line 1"),
        ("- a\n", "line 1: the file must be keys with values, not a list"),
        ("probe: {interval: 1\nlisten: x\n", "exporter.yml line 2: is not YAML: "),
        ("state_dir: 2026-13-01\n", "exporter.yml line 1: '2026-13-01' cannot be read as YAML; put it in quotes"),
        ("stale_after: 0x_\n", "exporter.yml line 1: '0x_' cannot be read as YAML; put it in quotes"),
        ("state_dir: !!timestamp x\n", "exporter.yml line 1: 'x' cannot be read as YAML; put it in quotes"),
        ("probe: {}\nstate_dir: !!bool x\n", "exporter.yml line 2: 'x' cannot be read as YAML; put it in quotes"),
        ("stale_after: " + "9" * 400 + "\n", "line 1: stale_after must be a number above 0, not 999"),
        ("listen: 'a:" + "9" * 5000 + "'\n", "line 1: listen address"),
        ("listen: a\x01b\n", "exporter.yml: is not YAML: unacceptable character"),
        ("targets: &a [*a]\n", "exporter.yml: an alias (*name) stands inside what it stands for; write the value out"),
        ("? [a, b]\n: 5\n", "exporter.yml line 1: a key must be a word, not a list or keys with values"),
    ],
)
def test_a_bad_file_is_refused_with_line_key_and_fix(file: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_text(file, text)
    assert words in str(refused.value)


def test_the_line_is_said_once(file: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_text(file, "listen: 9855\n")
    assert str(refused.value) == "exporter.yml line 1: listen must be text; put it in quotes, not 9855"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yml: cannot be read: No such file or directory; check --config"):
        load(tmp_path / "none.yml", HOME, {})


def test_a_file_that_is_no_text_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(file, HOME, {})


def test_the_environment_overrides_the_file_and_flags_override_both(file: Path) -> None:
    file.write_text("listen: a:1\nstate_dir: /file\n")
    env = {"VLLM_EXPORTER_LISTEN": "b:1", "VLLM_EXPORTER_STATE_DIR": "/env"}
    assert load(file, env, {}).listen == "b:1"
    assert load(file, env, {}).state_dir == "/env"
    assert load(file, env, {"listen": "c:1"}).listen == "c:1"


def test_a_target_named_by_file_and_environment_keeps_the_files_options(file: Path) -> None:
    text = "targets: [{address: 'localhost:1', canary: false}, 'gone:1']"
    config = load_text(file, text, {"VLLM_TARGETS": "localhost:1 new:1"})
    assert config.targets == (TargetConfig("localhost:1", "gpu1:1", canary=False), TargetConfig("new:1", "new:1"))


def test_key_and_ca_of_the_environment_are_for_targets_without_their_own(file: Path) -> None:
    text = "targets: [{address: 'a:1', api_key_file: /own}, 'b:1']"
    config = load_text(file, text, {"VLLM_API_KEY_FILE": "/all", "VLLM_CA_FILE": "/ca"})
    assert [(one.api_key_file, one.ca_file) for one in config.targets] == [("/own", "/ca"), ("/all", "/ca")]


@pytest.mark.parametrize("name", ["localhost:1", "http://localhost:1", "127.0.0.1:1", "[::1]:1", "gpu1:1"])
def test_a_server_is_found_as_targets_have_it_and_as_labels_have_it(name: str) -> None:
    targets = (TargetConfig("127.0.0.1:1", "gpu1:1"), TargetConfig("gpu2:1", "gpu2:1"))
    assert find_server(name, targets, "x") == "gpu1:1"


@pytest.mark.parametrize("name", ["localhost:2", "gpu3:1", "gpu1", ""])
def test_a_server_that_is_no_target_is_refused_with_those_that_are(name: str) -> None:
    targets = (TargetConfig("127.0.0.1:1", "gpu1:1"), TargetConfig("gpu2:1", "gpu2:1"))
    with pytest.raises(ConfigError, match=f"^x: no target '{name}'; known: 127.0.0.1:1, gpu2:1; correct it, or add"):
        find_server(name, targets, "x")


def test_a_bad_item_of_vllm_targets_is_named() -> None:
    with pytest.raises(ConfigError, match="VLLM_TARGETS: target 'gpu1' has no port"):
        load(None, {"VLLM_TARGETS": "a:1 gpu1"}, {})


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    config = load_text(file, "targets: ['a:1']", {"VLLM_TARGETS": "", "VLLM_EXPORTER_LISTEN": ""})
    assert (config.targets[0].address, config.listen) == ("a:1", "127.0.0.1:9855")


@pytest.mark.parametrize(
    ("env", "directory"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/vllm-exporter"),
        ({"HOME": "/h"}, "/h/.local/state/vllm-exporter"),
        ({}, "/var/lib/vllm-exporter"),
    ],
)
def test_the_state_directory_has_a_default(env: dict[str, str], directory: str) -> None:
    assert load(None, env, {}).state_dir == directory


def test_the_example_holds_the_defaults_and_names_every_key() -> None:
    text = EXAMPLE.read_text()
    config = load(EXAMPLE, {}, {}, hostname="gpu1")
    assert (config.listen, config.stale_after, config.probe) == (Config().listen, Config().stale_after, ProbeConfig())
    names = {one.name for cls in (Config, TargetConfig, ProbeConfig) for one in fields(cls)} - {"server"}
    assert [name for name in sorted(names) if f"{name}:" not in text] == []


def test_the_example_holds_the_options_of_every_collector_that_has_some_with_their_defaults() -> None:
    config, classes = load(EXAMPLE, {}, {}, hostname="gpu1"), load_collectors()
    assert set(config.collectors) <= set(classes)
    for name, cls in classes.items():
        if options := {one.name for one in fields(cls.options)}:
            assert read_options(config, name, cls.options) == cls.options()
            assert set(config.collectors[name].options) == options


@pytest.mark.parametrize(
    "text",
    [
        "targets:\n- http://user:hunter2@gpu:8000\n",
        "targets:\n- address: user:hunter2@gpu:8000\n",
        "collectors: {events: {loki_url: 'http://user:hunter2@loki:3100'}}\n",
        "collectors: {events: {loki_url: 'ftp://user:hunter2@loki'}}\n",
        "collectors: {processes: {supervisord: 'http://user:hunter2@127.0.0.1:9001/RPC2'}}\n",
    ],
)
def test_a_password_in_an_address_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="holds a user or a password") as refused:
        enabled(load_collectors(), load(file, {}, {}))
    assert "hunter2" not in str(refused.value)


def test_a_password_in_the_environments_targets_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match="holds a user or a password") as refused:
        load(None, {"VLLM_TARGETS": "http://user:hunter2@gpu:8000"}, {})
    assert "hunter2" not in str(refused.value)


def test_further_names_of_this_host_are_a_list(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("hosts: [metrics.example.com]\n")
    assert load(file, {}, {}).hosts == ("metrics.example.com",)
