"""The exporter's settings: exporter.yml, then environment variables, then flags; read once."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from vllm_exporter.config.addresses import parse_listen, parse_target, parse_targets, server_name
from vllm_exporter.config.options import read_texts
from vllm_exporter.config.yaml_lines import Value, read_file
from vllm_exporter.errors import ConfigError

SHORTEST = 0.1  # seconds between two runs of a collector


@dataclass(frozen=True)
class TargetConfig:
    """One vLLM server to watch."""

    address: str  # host:port, as the user wrote it
    server: str  # its identity in labels: the address, a loopback host replaced by this host's name
    scheme: str = "http"
    api_key_file: str = ""  # read at each use, so that a rotated key needs no restart
    ca_file: str = ""
    canary: bool = True  # off for pooling, prefill-only and scale-to-zero servers
    deep_probes: bool = False  # asks engine and workers through /is_paused, /is_sleeping and /collective_rpc (dev mode)
    monitor_token_file: str = ""  # the server's VLLM_MONITOR_TOKEN_FILE; read at each use, and sent to /collective_rpc


@dataclass(frozen=True)
class ProbeConfig:
    """The settings of the probes; times are in seconds."""

    interval: float = 1.0  # /health and /metrics of a server
    health_timeout: float = 5.0
    canary_interval: float = 10.0  # when idle; a hang is then known within 60 s, action included. Repeated on failure
    canary_timeout: float = 8.0
    stall_seconds: float = 30.0  # no progress for at least this long
    stall_gap_factor: float = 5.0  # and for this many times the longest gap seen on the server
    warmup_seconds: float = 300.0  # after ready: first-time compilation makes long gaps
    warmup_stall_seconds: float = 300.0  # the limit during warmup_seconds


@dataclass(frozen=True)
class CollectorConfig:
    """A collector's section of exporter.yml; `name: false` is short for `name: {enabled: false}`."""

    enabled: bool | None = None  # None: the collector's own default
    interval: float | None = None  # seconds between two runs; None: the collector's own
    options: Mapping[str, Value] = field(default_factory=dict)  # its own keys; Collector.check checks them


@dataclass(frozen=True)
class Config:
    """All settings. `load` makes them, and they never change afterwards."""

    listen: str = "127.0.0.1:9855"  # host:port; several separated by commas
    targets: tuple[TargetConfig, ...] = ()
    collectors: Mapping[str, CollectorConfig] = field(default_factory=dict)  # by name; absent: its own defaults
    state_dir: str = ""  # the only directory it writes to; '' means $XDG_STATE_HOME/vllm-exporter
    stale_after: float = 15.0  # a collector's last samples are served this long past its next run, then dropped
    cpu_budget: float = 0.005  # of a core; above it, collectors that only scrapes wait for run less often
    hosts: tuple[str, ...] = ()  # more names of this host in the Host header of requests over loopback, as of a proxy
    probe: ProbeConfig = ProbeConfig()


def load(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, str],
    *,
    collectors: Collection[str] | None = None,
    hostname: str | None = None,
) -> Config:
    """Returns the settings of the file at `path` (None: no file), overridden by `env`, then by `overrides` (flags).

    `collectors` are the known names (None: not checked); `hostname` replaces this host's own. Raises ConfigError.
    """
    host = hostname or socket.gethostname()
    config = _from_file(read_file(path), collectors, host) if path else Config()
    config = _with_environment(config, env, host)
    listen = overrides.get("listen") or config.listen
    parse_listen(listen)
    state_dir = overrides.get("state_dir") or config.state_dir or default_state_dir(env)
    return replace(config, listen=listen, state_dir=state_dir, targets=_distinct(config.targets))


def find_server(name: str, targets: Collection[TargetConfig], what: str) -> str:
    """Returns the label `server` of a target. `name` is as in `targets`, as in labels, or has any loopback host.

    Raises ConfigError for an unknown name; its message begins with `what`.
    """
    known = {alias: one.server for one in targets for alias in (server_name(one.address, "localhost"), one.server)}
    found = known.get(server_name(name.rpartition("://")[2], "localhost"))
    if found is None:
        written = ", ".join(one.address for one in targets) or "none"
        raise ConfigError(f"{what}: no target {name!r}; known: {written}; correct it, or add it to targets")
    return found


def default_state_dir(env: Mapping[str, str]) -> str:
    """Returns the place for state by the XDG base directory specification; /var/lib for an account without a home."""
    if env.get("XDG_STATE_HOME"):
        return f"{env['XDG_STATE_HOME']}/vllm-exporter"
    return f"{env['HOME']}/.local/state/vllm-exporter" if env.get("HOME") else "/var/lib/vllm-exporter"


def plain(config: Config) -> dict[str, object]:
    """Returns the settings as text, numbers, lists and dicts, in the form of exporter.yml."""
    merged = asdict(replace(config, collectors={}))
    collectors = {name: _plain_collector(one) for name, one in config.collectors.items()}
    lists = {"targets": list(merged["targets"]), "hosts": list(merged["hosts"])}
    return {**merged, **lists, "collectors": collectors}


def _plain_collector(one: CollectorConfig) -> dict[str, object]:
    own = {"enabled": one.enabled, "interval": one.interval}
    given = {name: value for name, value in own.items() if value is not None}
    return {**given, **{name: value.plain() for name, value in one.options.items()}}


def _from_file(root: Value, known: Collection[str] | None, hostname: str) -> Config:
    given = root.mapping(_names(Config), "the file")
    config = Config()
    if "listen" in given:
        given["listen"].checked(parse_listen, "listen")
        config = replace(config, listen=given["listen"].text("listen"))
    if "hosts" in given:
        config = replace(config, hosts=read_texts(given["hosts"], "hosts"))
    if "targets" in given:
        targets = tuple(_target(item, hostname) for item in given["targets"].items("targets"))
        config = replace(config, targets=targets)
    if "collectors" in given:
        config = replace(config, collectors=_collectors(given["collectors"], known))
    if "state_dir" in given:
        config = replace(config, state_dir=given["state_dir"].text("state_dir"))
    if "stale_after" in given:
        config = replace(config, stale_after=given["stale_after"].positive("stale_after"))
    if "cpu_budget" in given:
        config = replace(config, cpu_budget=given["cpu_budget"].positive("cpu_budget"))
    if "probe" in given:
        config = replace(config, probe=_probe(given["probe"]))
    return config


def _target(item: Value, hostname: str) -> TargetConfig:
    """Reads a target, written as host:port or as keys with values."""
    if not isinstance(item.data, dict):
        return _make_target(item, hostname)
    given = item.mapping(_names(TargetConfig) - {"server"}, "a target")
    if "address" not in given:
        raise ConfigError(f"{item.where}: a target needs an address; add address: host:port")
    target = _make_target(given["address"], hostname)
    if "scheme" in given and given["scheme"].data not in ("http", "https"):
        raise given["scheme"].wrong("scheme", "http or https")
    return replace(
        target,
        scheme=given["scheme"].text("scheme") if "scheme" in given else target.scheme,
        api_key_file=given["api_key_file"].text("api_key_file") if "api_key_file" in given else "",
        ca_file=given["ca_file"].text("ca_file") if "ca_file" in given else "",
        monitor_token_file=given["monitor_token_file"].text("monitor_token_file")
        if "monitor_token_file" in given
        else "",
        canary=given["canary"].switch("canary") if "canary" in given else target.canary,
        deep_probes=given["deep_probes"].switch("deep_probes") if "deep_probes" in given else target.deep_probes,
    )


def _make_target(address: Value, hostname: str) -> TargetConfig:
    endpoint = address.checked(parse_target, "a target's address")
    return TargetConfig(endpoint.address, server_name(endpoint.address, hostname), endpoint.scheme)


def _collectors(value: Value, known: Collection[str] | None) -> dict[str, CollectorConfig]:
    names = known if known is not None else value.data if isinstance(value.data, dict) else ()
    given = value.mapping(names, "collectors")
    return {name: _collector(section, f"collector {name}") for name, section in given.items()}


def _collector(value: Value, what: str) -> CollectorConfig:
    if not isinstance(value.data, dict):
        return CollectorConfig(enabled=value.switch(what))
    options = dict(value.data)
    enabled, interval = options.pop("enabled", None), options.pop("interval", None)
    return CollectorConfig(
        enabled.switch(f"{what}.enabled") if enabled else None,
        _seconds(interval, f"{what}.interval") if interval else None,
        options,
    )


def _seconds(value: Value, what: str) -> float:
    """Raises ConfigError below SHORTEST: a collector that ran more often would keep the exporter busy."""
    seconds = value.positive(what)
    if seconds < SHORTEST:
        raise value.wrong(what, f"at least {SHORTEST:g} seconds")
    return seconds


def _probe(value: Value) -> ProbeConfig:
    given = value.mapping(_names(ProbeConfig), "probe")
    return replace(ProbeConfig(), **{name: number.positive(f"probe.{name}") for name, number in given.items()})


def _with_environment(config: Config, env: Mapping[str, str], hostname: str) -> Config:
    """Returns the settings overridden by environment variables; an empty variable counts as not set."""
    if env.get("VLLM_TARGETS"):
        config = replace(config, targets=_targets_of(env["VLLM_TARGETS"], config.targets, hostname))
    if env.get("VLLM_EXPORTER_LISTEN"):
        config = replace(config, listen=env["VLLM_EXPORTER_LISTEN"])
    if env.get("VLLM_EXPORTER_STATE_DIR"):
        config = replace(config, state_dir=env["VLLM_EXPORTER_STATE_DIR"])
    targets = tuple(_with_files(target, env) for target in config.targets)
    return replace(config, targets=targets)


def _targets_of(text: str, in_file: Iterable[TargetConfig], hostname: str) -> tuple[TargetConfig, ...]:
    """Returns the servers that VLLM_TARGETS names; one that the file names too keeps its options."""
    known = {target.server: target for target in in_file}
    try:
        endpoints = parse_targets(text)
    except ConfigError as error:
        raise ConfigError(f"VLLM_TARGETS: {error}") from None
    made = [TargetConfig(end.address, server_name(end.address, hostname), end.scheme) for end in endpoints]
    return tuple(known.get(target.server, target) for target in made)


def _with_files(target: TargetConfig, env: Mapping[str, str]) -> TargetConfig:
    """Applies VLLM_API_KEY_FILE and VLLM_CA_FILE to a target that has none of its own."""
    key = target.api_key_file or env.get("VLLM_API_KEY_FILE", "")
    return replace(target, api_key_file=key, ca_file=target.ca_file or env.get("VLLM_CA_FILE", ""))


def _distinct(targets: Iterable[TargetConfig]) -> tuple[TargetConfig, ...]:
    """Raises ConfigError for two targets with one identity: they would share one set of series."""
    seen: dict[str, TargetConfig] = {}
    for target in targets:
        first = seen.setdefault(target.server, target)
        if first is not target:
            both = f"targets {first.address!r} and {target.address!r}"
            raise ConfigError(f"{both} are the same server {target.server!r}; keep one")
    return tuple(seen.values())


def _names(cls: type[Config] | type[TargetConfig] | type[ProbeConfig]) -> set[str]:
    return {one.name for one in fields(cls)}
