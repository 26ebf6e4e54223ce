"""The configuration: what takes effect, and how a mistake is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vllm_healer.config import Config, Limits, Mode, load, server_name
from vllm_healer.errors import ConfigError
from vllm_healer.registry import remediations
from vllm_healer.retention import Retention

Write = Callable[[str], Path]

TARGET = """\
targets:
  - server: gpu1:8000
    actuator: supervisord
    options: {url: "unix:///run/s.sock", program: vllm}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        path = tmp_path / "healer.yml"
        path.write_text(text)
        return path

    return to_file


def read(path: Path) -> Config:
    return load(path, {}, {}, hostname="box")


def test_without_a_file_it_is_a_dry_run_without_targets() -> None:
    config = load(None, {"XDG_STATE_HOME": "/state"}, {})
    assert (config.mode, config.targets, config.remediations) == (Mode.DRY_RUN, (), {})
    assert (config.listen, config.journal) == ("127.0.0.1:9856", "/state/vllm-healer/journal.sqlite")


def test_an_empty_file_is_the_defaults(write: Write) -> None:
    assert read(write("# nothing\n")) == load(None, {}, {})


def test_reads_everything(write: Write, tmp_path: Path) -> None:
    for name in ("token", "operator", "reader"):
        (tmp_path / name).write_text("t")
        (tmp_path / name).chmod(0o600)
    config = read(
        write(
            "mode: act\nlisten: 0.0.0.0:1\ntoken_file: token\noperator_token_file: operator\nread_token_file: reader\n"
            "journal: j.sqlite\nprometheus_url: http://p:9090/\n"
            "alertmanager_url: https://a/am\nreconcile_seconds: 30\nmax_body_bytes: 4096\n"
            "remediations: [restart_engine]\n"
            "limits:\n  cooldown_seconds: {restart_engine: 600}\n  budget_per_hour: 2\n  minimum_healthy: 1\n"
            "  max_signal_age: 20\n  reopen_after: 60\n  give_up_after: 3\n"
            "  budget_per_hour_in_all: 9\n  breaker_after: 4\n  breaker_hours: 2\n"
            "  blast_radius_percent: 25\n  blast_radius_servers: 3\n"
            "retention: {incidents_days: 30, alerts_days: 1.5}\n" + TARGET
        )
    )
    assert config.mode is Mode.ACT
    assert (config.listen, config.prometheus_url, config.alertmanager_url) == (
        "0.0.0.0:1",
        "http://p:9090",
        "https://a/am",
    )
    assert (config.token_file, config.journal) == (str(tmp_path / "token"), str(tmp_path / "j.sqlite"))
    assert (config.reconcile_seconds, config.max_body_bytes, config.remediations) == (
        30.0,
        4096,
        {"restart_engine": Mode.ACT},
    )
    assert (config.operator_token_file, config.read_token_file) == (
        str(tmp_path / "operator"),
        str(tmp_path / "reader"),
    )
    assert (config.limits.cooldown("restart_engine"), config.limits.cooldown("reap_orphans")) == (600.0, 60.0)
    assert config.retention == Retention(30.0, 1.5)
    assert config.limits == Limits({"restart_engine": 600.0}, 2, 9, 4, 2.0, 25.0, 3, 1, 20.0, 60.0, 3)


def test_one_remediation_may_only_say_what_it_would_do(write: Write) -> None:
    config = read(write("mode: act\nremediations:\n  - reap_orphans\n  - restart_engine: dry_run\n"))
    assert tuple(config.remediations) == ("reap_orphans", "restart_engine")
    assert (config.mode_of("reap_orphans"), config.mode_of("restart_engine")) == (Mode.ACT, Mode.DRY_RUN)


def test_a_remediation_that_acts_does_not_outdo_the_mode(write: Write) -> None:
    config = read(write("mode: dry_run\nremediations:\n  - restart_engine: act\n"))
    assert config.mode_of("restart_engine") is Mode.DRY_RUN


def test_a_retention_of_less_than_a_day_is_refused(write: Write) -> None:
    """What was just closed is looked at again for minutes."""
    with pytest.raises(ConfigError, match=r"healer\.yml line 1: alerts_days must be a number of at least 1, not 0"):
        read(write("retention: {alerts_days: 0}\n"))


def test_a_target_has_its_defaults(write: Write) -> None:
    (target,) = read(write(TARGET)).targets
    assert (target.server, target.url, target.pool) == ("gpu1:8000", "http://gpu1:8000", "default")
    assert target.start_timeout == 600.0
    assert target.options == {"url": "unix:///run/s.sock", "program": "vllm"}


def test_a_loopback_target_is_called_by_this_hosts_name(write: Write) -> None:
    (target,) = read(write(TARGET.replace("gpu1:8000", "localhost:8000"))).targets
    assert (target.server, target.url) == ("box:8000", "http://localhost:8000")


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("localhost:8000", "box:8000"),
        ("127.0.0.1:8000", "box:8000"),
        ("127.1.2.3:8000", "box:8000"),
        ("[::1]:8000", "box:8000"),
        ("LocalHost:8000", "box:8000"),
        ("10.0.0.5:8000", "10.0.0.5:8000"),
        ("gpu1:8000", "gpu1:8000"),
        ("[fd00::1]:8000", "[fd00::1]:8000"),
    ],
)
def test_server_names(address: str, server: str) -> None:
    assert server_name(address, "box") == server


def test_environment_overrides_the_file_and_flags_override_both(write: Write) -> None:
    path = write("mode: act\nlisten: 127.0.0.1:1\nprometheus_url: http://file:1\n")
    env = {"VLLM_HEALER_LISTEN": "127.0.0.1:2", "VLLM_HEALER_PROMETHEUS_URL": "http://env:2", "VLLM_HEALER_MODE": ""}
    config = load(path, env, {"listen": "127.0.0.1:3"})
    assert (config.listen, config.prometheus_url, config.mode) == ("127.0.0.1:3", "http://env:2", Mode.ACT)


def test_a_remediation_that_is_not_known_takes_the_longest_cooldown() -> None:
    assert Limits().cooldown("reap_orphans") == 60.0
    assert Limits().cooldown("a name that no remediation has") == 300.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mode: dry_run\ncooldwon: 3\n",
            r"healer\.yml line 2: unknown key 'cooldwon' in the file; known: alertmanager_http_config, ",
        ),
        (
            "limits:\n  budget: 3\n",
            r"line 2: unknown key 'budget' in limits; known: approval, blast_radius_percent, ",
        ),
        (
            "limits:\n  cooldown_seconds:\n    restart: 3\n",
            r"line 3: unknown key 'restart' in cooldown_seconds; known: .*restart_engine",
        ),
        ("mode: of\n", r"healer\.yml line 1: mode: unknown mode 'of'; known: act, dry_run"),
        ("mode: [act]\n", r"line 1: mode must be a single value, not a list"),
        ("mode: act\nmode: dry_run\n", r"line 2: 'mode' is there twice, first on healer\.yml line 1; remove one"),
        (
            "remediations:\n  - restart_engine: of\n",
            r"healer\.yml line 2: restart_engine: unknown mode 'of'; known: act, dry_run",
        ),
        ("remediations:\n  - restart: act\n", r"line 2: unknown remediation 'restart'; known: .*restart_engine"),
        (
            "remediations:\n  - {reap_orphans: act, restart_engine: act}\n",
            r"line 2: a remediation must be one name, not keys; begin each with '- '",
        ),
        ("limits: {breaker_after: 0}\n", r"breaker_after must be a number of at least 1, not 0"),
        ("remediations: [restart]\n", r"line 1: unknown remediation 'restart'; known: .*restart_engine"),
        (
            "remediations: restart_engine\n",
            r"line 1: remediations must be a list, not 'restart_engine'; begin each item with '- '",
        ),
        ("limits: {budget_per_hour: 1.5}\n", r"budget_per_hour must be a whole number, not 1\.5"),
        ("limits: {budget_per_hour: -1}\n", r"budget_per_hour must be a number of at least 0, not -1"),
        ("limits: {max_signal_age: .nan}\n", r"max_signal_age must be a number, not nan"),
        ("limits: {max_signal_age: nan}\n", r"max_signal_age must be a number of at least 1, not 'nan'"),
        ("limits: {max_signal_age: soon}\n", r"max_signal_age must be a number, not 'soon'"),
        ("limits: 3\n", r"line 1: limits must be keys with values, not 3; write key: value"),
        ("listen: 9856\n", r"line 1: listen '9856' is not host:port"),
        ("prometheus_url: localhost:9090\n", r"line 1: prometheus_url 'localhost:9090' is not a URL; write http://"),
        ("alertmanager_url: http://a:port\n", r"line 1: alertmanager_url 'http://a:port' is not a URL"),
        (
            "alertmanager_url: http://a:9093/#/alerts\n",
            r"line 1: alertmanager_url has something behind \? or #; write only",
        ),
        ("prometheus_url: http://a:9090?key=x\n", r"line 1: prometheus_url has something behind \? or #"),
        ("token_file: nowhere\n", r"line 1: token_file .*nowhere: No such file or directory; create it"),
        ("- a\n", r"healer\.yml line 1: the file must be keys with values, not a list; write key"),
        ("a: [\n", r"healer\.yml line 2: is not YAML"),
        ("targets: {server: a}\n", r"line 1: targets must be a list, not keys; begin each item with '- '"),
        ("targets:\n  - gpu1:8000\n", r"line 2: a target must be keys with values, not 'gpu1:8000'; write key: value"),
    ],
)
def test_a_mistake_is_named_with_its_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(write(text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("server: gpu1:8000", "pool: chat", r"line 2: this target has no server; add server: host:port"),
        ("gpu1:8000", "my gpu:8000", r"line 2: server 'my gpu:8000' is not host:port; .* gpu1:8000"),
        ("gpu1:8000", "http://gpu1:8000", r"line 2: server 'http://gpu1:8000' is not host:port"),
        ("gpu1:8000", "gpu1", r"line 2: server 'gpu1' is not host:port"),
        ("gpu1:8000", "gpu1:80000", r"line 2: server 'gpu1:80000' has the port '80000'; a port is a number"),
        (
            "actuator: supervisord",
            "actuator: systemd",
            r"line 3: unknown actuator 'systemd'; known: docker, dry_run, superv",
        ),
        ("    actuator: supervisord\n", "", r"line 2: this target has no actuator; known:"),
        (
            "program: vllm",
            "programme: vllm",
            r"line 4: unknown key 'programme' in options; known: password_file, program, ",
        ),
        (", program: vllm", "", r"line 4: actuator supervisord needs options\.program; for example program: vllm"),
        ("unix:///run", "unix://run", r"line 4: url 'unix://run/s\.sock' has no absolute path"),
        ("unix:///run/s.sock", "ftp://h", r"line 4: url 'ftp://h' is not a URL"),
        ("unix:///run/s.sock", "https://h:9001", r"line 4: url 'https://h:9001': supervisord speaks no TLS"),
        ("program: vllm", "program: vllm, username: u", r"line 4: username and password_file go together"),
        ("    actuator", "    url: gpu1:8000\n    actuator", r"line 3: url 'gpu1:8000' is not a URL"),
        (
            "    actuator",
            "    start_timeout: 0\n    actuator",
            r"line 3: start_timeout must be a number of at least 1, not 0",
        ),
        ("    actuator", "    ca_file: none.pem\n    actuator", r"line 3: ca_file .*none\.pem is not there"),
    ],
)
def test_a_mistake_in_a_target_is_named_with_its_line(write: Write, old: str, new: str, message: str) -> None:
    assert old in TARGET
    with pytest.raises(ConfigError, match=message):
        read(write(TARGET.replace(old, new)))


DOCKER = """\
targets:
  - server: gpu1:8000
    actuator: docker
    options: {socket: unix:///run/docker-proxy/docker.sock, container: vllm}
"""


def test_a_container_is_a_target(write: Write) -> None:
    [target] = read(write(DOCKER)).targets
    assert target.options == {"socket": "unix:///run/docker-proxy/docker.sock", "container": "vllm"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (", container: vllm", "", r"line 4: actuator docker needs options\.container; for example container: vllm"),
        ("unix:///run", "tcp://run", r"line 4: socket 'tcp://run/.*' has no absolute path; write unix:///run/docker-"),
        ("container: vllm", "container: ../x", r"line 4: '\.\./x' is no name of a container; see `docker ps`"),
    ],
)
def test_a_mistake_in_a_container_is_named_with_its_line(write: Write, old: str, new: str, message: str) -> None:
    assert old in DOCKER
    with pytest.raises(ConfigError, match=message):
        read(write(DOCKER.replace(old, new)))


def test_two_targets_of_one_server_are_refused_whatever_it_is_written_like(write: Write) -> None:
    second = TARGET.removeprefix("targets:\n").replace("gpu1:8000", "localhost:8000")
    text = TARGET.replace("gpu1:8000", "127.0.0.1:8000") + second
    with pytest.raises(ConfigError, match=r"line 5: target 'box:8000' is listed twice, first in .*healer\.yml line 2"):
        read(write(text))


def test_two_servers_that_one_restart_would_hit_are_refused(write: Write) -> None:
    second = TARGET.removeprefix("targets:\n").replace("gpu1:8000", "gpu2:8000")
    message = r"line 5: supervisord with program 'vllm' url '.*' is listed twice, first in .* line 2"
    with pytest.raises(ConfigError, match=message):
        read(write(TARGET + second))


def test_two_servers_that_are_looked_at_in_one_place_are_refused(write: Write) -> None:
    second = TARGET.removeprefix("targets:\n").replace("vllm", "vllm2")
    second = second.replace("server: gpu1:8000", "server: gpu2:8000\n    url: http://gpu1:8000")
    with pytest.raises(ConfigError, match=r"line 5: url 'http://gpu1:8000' is listed twice, first in .* line 2"):
        read(write(TARGET + second))


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="VLLM_HEALER_PROMETHEUS_URL holds a user or a password") as refused:
        load(None, {"VLLM_HEALER_PROMETHEUS_URL": "http://anna:hunter2@prometheus:9090"}, {})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o602])
def test_a_password_open_to_everyone_is_refused(write: Write, tmp_path: Path, mode: int) -> None:
    (tmp_path / "password").write_text("p")
    (tmp_path / "password").chmod(mode)
    text = TARGET.replace("program: vllm", "program: vllm, username: u, password_file: password")
    message = rf"line 4: password_file .*password is open to every user \(mode {mode:04o}\); run: chmod 600 "
    with pytest.raises(ConfigError, match=message):
        read(write(text))


def test_a_password_closed_to_others_is_taken_relative_to_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p")
    (tmp_path / "password").chmod(0o640)
    text = TARGET.replace("program: vllm", "program: vllm, username: u, password_file: password")
    assert read(write(text)).targets[0].options["password_file"] == str(tmp_path / "password")


def test_a_wrong_variable_and_a_wrong_flag_are_named_as_such() -> None:
    with pytest.raises(ConfigError, match=r"^VLLM_HEALER_MODE: unknown mode 'on'; known: act, dry_run$"):
        load(None, {"VLLM_HEALER_MODE": "on"}, {})
    with pytest.raises(ConfigError, match=r"^--listen '9856' is not host:port"):
        load(None, {}, {"listen": "9856"})


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"healer\.yml: cannot be read: No such file"):
        read(tmp_path / "healer.yml")


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "healer.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read(tmp_path / "healer.yml")


SHIPPED = Path(__file__).parents[3] / "healer" / "healer.yml"


def test_the_shipped_policy_is_a_dry_run_that_says_the_defaults() -> None:
    shipped, defaults = load(SHIPPED, {}, {}), load(None, {}, {})
    assert shipped.mode is Mode.DRY_RUN
    assert shipped.limits == defaults.limits
    assert (shipped.retention, shipped.max_body_bytes) == (Retention(90, 7), 16 * 1024 * 1024)
    assert shipped.targets == ()
    assert set(shipped.remediations) == {name for name, one in remediations().items() if not one.optional}


def test_the_example_targets_of_the_shipped_policy_are_some(tmp_path: Path) -> None:
    lines = SHIPPED.read_text().splitlines()
    start = lines.index("#targets:")
    text = "\n".join(line.removeprefix("#") for line in lines[start:])
    (tmp_path / "healer.yml").write_text(text)
    targets = read(tmp_path / "healer.yml").targets
    assert [(target.server, target.actuator) for target in targets] == [
        ("box:8000", "supervisord"),
        ("box:8001", "docker"),
    ]


def test_every_key_is_in_the_shipped_policy() -> None:
    text = SHIPPED.read_text()
    for key in (*Config.__dataclass_fields__, *Limits.__dataclass_fields__):
        assert re.search(rf"(?m)^ *#? *{key}:", text), key
