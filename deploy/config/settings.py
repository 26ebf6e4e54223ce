"""The user's settings: .env, then the process environment over it; read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from deploy.config.dotenv import Entry, read_dotenv
from deploy.config.key import Key
from deploy.config.keys import GRAFANA_URL, KNOWN, check_entries, find_key, problem_with
from deploy.config.people import People, choose_people
from deploy.config.targets import Target, parse_targets
from deploy.errors import SettingsError, why


@dataclass(frozen=True)
class Ports:
    """The ports of the parts; the defaults are those written in prometheus/ and alertmanager/."""

    exporter: int = 9855
    healer: int = 9856
    prometheus: int = 9090
    alertmanager: int = 9093

    def by_part(self) -> dict[str, int]:
        return {
            "exporter": self.exporter,
            "healer": self.healer,
            "prometheus": self.prometheus,
            "alertmanager": self.alertmanager,
        }


@dataclass(frozen=True)
class Settings:
    """Everything that the user may choose; `load_settings` makes it."""

    targets: tuple[Target, ...] = ()  # of VLLM_TARGETS
    ports: Ports = Ports()
    people: People = field(default_factory=People)
    gateway: str = KNOWN["MONITOR_GATEWAY"].default  # this host's address in the containers' network
    grafana_url: str = ""  # as people reach it; '': the one of this checkout, if it runs one
    grafana_port: int = 3000
    grafana_token: Path | None = None  # with it, boards are uploaded to that Grafana
    monitor_dir: str = ""  # of vLLM's own counts; '': the default
    exporter_user: str = ""  # '': the one that `make up` makes
    passed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # part -> environment given as it is


def load_settings(env_file: Path, environ: Mapping[str, str], hostname: str) -> Settings:
    """Reads .env and the environment. Raises SettingsError that names the file, the line and the fix."""
    chosen = choose_entries(read_dotenv(env_file), environ)
    return parse_settings(with_files(chosen, env_file.resolve().parent), hostname)


def choose_entries(entries: tuple[Entry, ...], environ: Mapping[str, str]) -> dict[str, Entry]:
    """Returns known settings by name, the environment over the file; empty means not set.

    The environment may hold variables of vLLM itself (VLLM_LOGGING_LEVEL …): only known names are taken from it.
    What is the same in both counts as the file's: docker compose copies .env into the environment of its containers,
    and messages shall name the line.
    """
    for entry in entries:
        if problem := problem_with(entry.key):
            raise SettingsError(f"{entry.where}: {problem}")
    from_file = {entry.key: entry for entry in entries if find_key(entry.key)}
    from_environ = {
        name: Entry(name, environ[name], "the environment")
        for name in environ
        if find_key(name) and not (name in from_file and from_file[name].value == environ[name])
    }
    return {name: entry for name, entry in (from_file | from_environ).items() if entry.value}


def with_files(chosen: Mapping[str, Entry], base: Path) -> dict[str, Entry]:
    """Makes paths absolute, since each part would start a relative one elsewhere. Each file must be readable."""
    return {name: _with_file(entry, base) if _known(name).file else entry for name, entry in chosen.items()}


def parse_settings(chosen: Mapping[str, Entry], hostname: str) -> Settings:
    """Raises SettingsError that names where the setting stands."""
    check_entries(chosen)
    return Settings(
        targets=_parse_targets(chosen, hostname),
        ports=_parse_ports(chosen),
        people=choose_people(chosen),
        gateway=_parse_gateway(chosen),
        grafana_url=chosen[GRAFANA_URL].value.rstrip("/") if GRAFANA_URL in chosen else "",
        grafana_token=Path(chosen["GRAFANA_TOKEN_FILE"].value) if "GRAFANA_TOKEN_FILE" in chosen else None,
        grafana_port=_parse_port(chosen["GRAFANA_PORT"]) if "GRAFANA_PORT" in chosen else Settings.grafana_port,
        monitor_dir=chosen["VLLM_MONITOR_DIR"].value if "VLLM_MONITOR_DIR" in chosen else "",
        exporter_user=chosen["EXPORTER_USER"].value if "EXPORTER_USER" in chosen else "",
        passed=_parse_passed(chosen),
    )


def _known(name: str) -> Key:
    key = find_key(name)
    assert key is not None, name  # choose_entries lets no other through
    return key


def _with_file(entry: Entry, base: Path) -> Entry:
    path = base / Path(entry.value).expanduser()
    try:
        empty = not path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{entry.where}: {entry.key}: {path} cannot be read: {why(error)}; correct the path"
        ) from error
    if empty:
        raise SettingsError(f"{entry.where}: {entry.key}: {path} is empty; write the value into it")
    return Entry(entry.key, str(path), entry.where)


def _parse_targets(chosen: Mapping[str, Entry], hostname: str) -> tuple[Target, ...]:
    if "VLLM_TARGETS" not in chosen:
        return ()
    entry = chosen["VLLM_TARGETS"]
    targets = parse_targets(entry.value, hostname, f"{entry.where}: VLLM_TARGETS")
    if not targets:
        raise SettingsError(f"{entry.where}: VLLM_TARGETS names no server: write host:port, for example localhost:8000")
    return targets


def _parse_ports(chosen: Mapping[str, Entry]) -> Ports:
    ports: dict[str, int] = {}
    for part, default in Ports().by_part().items():
        name = f"{part.upper()}_PORT"
        port = _parse_port(chosen[name]) if name in chosen else default
        if other := next((taken for taken, number in ports.items() if number == port), None):
            raise SettingsError(f"{other.upper()}_PORT and {name} are both {port}: give each part a port of its own")
        ports[part] = port
    return Ports(**ports)


def _parse_port(entry: Entry) -> int:
    if not (entry.value.isascii() and entry.value.isdigit() and 1 <= int(entry.value) <= 65535):
        raise SettingsError(f"{entry.where}: {entry.key} is {entry.value!r}, not a port from 1 to 65535")
    return int(entry.value)


def _parse_gateway(chosen: Mapping[str, Entry]) -> str:
    """Checks the form alone; docker compose refuses one outside MONITOR_SUBNET."""
    if "MONITOR_GATEWAY" not in chosen:
        return Settings.gateway
    entry = chosen["MONITOR_GATEWAY"]
    try:
        return str(IPv4Address(entry.value))
    except ValueError:
        raise SettingsError(f"{entry.where}: {entry.key} is {entry.value!r}, not an IPv4 address") from None


def _parse_passed(chosen: Mapping[str, Entry]) -> dict[str, dict[str, str]]:
    passed: dict[str, dict[str, str]] = {}
    for name, entry in chosen.items():
        if part := _known(name).passed_to:
            passed.setdefault(part, {})[name] = entry.value
    return passed
