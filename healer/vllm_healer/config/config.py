"""The healer's settings: healer.yml, then environment variables, then flags; read once and never changed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vllm_healer.config.checks import check_address, check_secret, check_url, server_name
from vllm_healer.config.http_configs import read_http_config
from vllm_healer.config.limits import Limits, read_limits
from vllm_healer.config.targets import read_targets
from vllm_healer.config.yaml_lines import Value, read_file
from vllm_healer.errors import ConfigError
from vllm_healer.model import Target
from vllm_healer.net.http_config import HttpConfig
from vllm_healer.registry import remediations
from vllm_healer.retention import Retention

ENVIRONMENT = "VLLM_HEALER_"  # before the names of SETTINGS in capitals


class Mode(StrEnum):
    """The switch between watching and acting. There is no third mode: an unknown one is an error, never a guess."""

    DRY_RUN = "dry_run"  # everything up to the action: the journal says what would have been done
    ACT = "act"


@dataclass(frozen=True)
class Config:
    """All settings. `load` makes it."""

    mode: Mode = Mode.DRY_RUN
    listen: str = "127.0.0.1:9856"
    token_file: str = ""  # the bearer token of Alertmanager's webhook; `serve` needs it
    operator_token_file: str = ""  # the token of pause and resume over HTTP, which reads too; '': token_file's is
    read_token_file: str = ""  # the token that only reads incidents and the page; '': none does
    journal: str = ""  # the SQLite file; `load` fills in $XDG_STATE_HOME/vllm-healer/journal.sqlite
    prometheus_url: str = "http://127.0.0.1:9090"
    prometheus_http_config: HttpConfig = field(default_factory=HttpConfig)  # how it lets the healer in
    alertmanager_url: str = "http://127.0.0.1:9093"
    alertmanager_http_config: HttpConfig = field(default_factory=HttpConfig)
    alertmanager_receiver: str = "healer"  # the receiver in Alertmanager's configuration that sends to this healer
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    remediations: Mapping[str, Mode] = field(default_factory=dict)  # those allowed; the others are only reported
    targets: tuple[Target, ...] = ()
    watched: tuple[str, ...] = ()  # servers that are watched; () is not known. Compared with targets, and nothing else
    reconcile_seconds: float = 15.0  # between two comparisons with Alertmanager and the supervisors
    fallback_webhook_file: str = ""  # holds the URL of a Slack-compatible webhook, for when alerts cannot travel
    max_body_bytes: int = 16 * 1024 * 1024  # of one webhook request: about 16,000 alerts

    def mode_of(self, remediation: str) -> Mode:
        """The mode that holds for a remediation: one of its own makes it no bolder than the healer is."""
        return self.mode if self.mode is Mode.DRY_RUN else self.remediations.get(remediation, self.mode)


TOKEN_FILES = ("token_file", "operator_token_file", "read_token_file")
SETTINGS = ("mode", "listen", *TOKEN_FILES, "journal", "prometheus_url", "alertmanager_url")  # also set by variables
NO_FILE = Value(None, "the defaults")


def load(
    path: Path | None, env: Mapping[str, str], overrides: Mapping[str, str], hostname: str | None = None
) -> Config:
    """The configuration as it takes effect; without a file, the defaults: dry run, no targets.

    `overrides` are flags by the name of the key they replace. Relative paths in the file start from its directory.
    Raises ConfigError with file, line, key and fix.
    """
    file = (read_file(path) if path else NO_FILE).section(Config.__dataclass_fields__, "the file")
    base = path.parent if path else Path()
    hostname = hostname or socket.gethostname()
    given = {key: _setting(key, file[key], base, env, overrides) for key in SETTINGS}
    given["fallback_webhook_file"] = _setting("fallback_webhook_file", file["fallback_webhook_file"], base, {}, {})
    return Config(
        mode=_mode(*given["mode"]),
        listen=check_address(*given["listen"]),
        token_file=check_secret(*given["token_file"]),
        operator_token_file=check_secret(*given["operator_token_file"]),
        read_token_file=check_secret(*given["read_token_file"]),
        journal=given["journal"][0] or str(_state_directory(env) / "journal.sqlite"),
        prometheus_url=check_url(*given["prometheus_url"]),
        prometheus_http_config=read_http_config(file["prometheus_http_config"], "prometheus_http_config", base),
        alertmanager_url=check_url(*given["alertmanager_url"]),
        alertmanager_http_config=read_http_config(file["alertmanager_http_config"], "alertmanager_http_config", base),
        alertmanager_receiver=file["alertmanager_receiver"].scalar(
            "alertmanager_receiver", Config.alertmanager_receiver
        ),
        retention=_retention(file["retention"].section(Retention.__dataclass_fields__, "retention")),
        limits=read_limits(file["limits"].section(Limits.__dataclass_fields__, "limits")),
        remediations=_remediations(file["remediations"]),
        targets=read_targets(file["targets"].items("targets"), base, hostname),
        watched=_watched(file["watched"], hostname),
        reconcile_seconds=file["reconcile_seconds"].number("reconcile_seconds", 1, Config.reconcile_seconds),
        fallback_webhook_file=check_secret(*given["fallback_webhook_file"]),
        max_body_bytes=int(file["max_body_bytes"].number("max_body_bytes", 1024, Config.max_body_bytes)),
    )


def _setting(
    key: str, value: Value, base: Path, env: Mapping[str, str], overrides: Mapping[str, str]
) -> tuple[str, str]:
    """The (value, place) of a setting: flag, else environment, else file, else default. Empty counts as not set."""
    variable = ENVIRONMENT + key.upper()
    if overrides.get(key):
        return overrides[key], f"--{key.replace('_', '-')}"
    if env.get(variable):
        return env[variable], variable
    text = value.scalar(key, str(getattr(Config, key)))
    is_path = key.endswith("_file") or key == "journal"
    return (str(base / text) if text and is_path else text), f"{value.where}: {key}"


def _mode(text: str, where: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise ConfigError(f"{where}: unknown mode {text!r}; known: {', '.join(sorted(Mode))}") from None


def _watched(value: Value, hostname: str) -> tuple[str, ...]:
    """The servers by name, without those that are there twice."""
    addresses = (check_address(item.scalar("a server"), f"{item.where}: watched") for item in value.items("watched"))
    return tuple(dict.fromkeys(server_name(address, hostname) for address in addresses))


def _remediations(value: Value) -> dict[str, Mode]:
    """The allowed remediations with the mode of each, `act` unless the item says more: `- restart_engine: dry_run`."""
    allowed: dict[str, Mode] = {}
    for item in value.items("remediations"):
        name, mode = _remediation(item)
        if name not in remediations():
            raise ConfigError(f"{item.where}: unknown remediation {name!r}; known: {', '.join(remediations())}")
        allowed[name] = mode
    return allowed


def _remediation(item: Value) -> tuple[str, Mode]:
    if not isinstance(item.data, dict):
        return item.scalar("a remediation's name"), Mode.ACT
    if len(item.data) != 1:
        raise item.wrong("a remediation", "one name", "begin each with '- '")
    ((name, mode),) = item.data.items()
    return name, _mode(mode.scalar(name), f"{mode.where}: {name}")


def _retention(given: Mapping[str, Value]) -> Retention:
    """A day at least: the webhooks and comparisons of an incident that was just closed still find it."""
    return Retention(
        incidents_days=given["incidents_days"].number("incidents_days", 1, Retention.incidents_days),
        alerts_days=given["alerts_days"].number("alerts_days", 1, Retention.alerts_days),
    )


def _state_directory(env: Mapping[str, str]) -> Path:
    if env.get("XDG_STATE_HOME"):
        return Path(env["XDG_STATE_HOME"]) / "vllm-healer"
    return Path(env["HOME"]) / ".local/state/vllm-healer" if env.get("HOME") else Path("/var/lib/vllm-healer")
