"""The targets of healer.yml: the only servers that may ever be acted on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vllm_healer.config.checks import check_address, check_url, server_name
from vllm_healer.config.paths import readable_path, secret_path
from vllm_healer.config.yaml_lines import Value
from vllm_healer.errors import ConfigError
from vllm_healer.model import Target

# Each actuator's own settings. Here and not in the actuator, so that a misspelt one is named with its line.
OPTIONS: dict[str, tuple[str, ...]] = {
    "supervisord": ("url", "program", "username", "password_file"),
    "docker": ("socket", "container"),
    "dry_run": (),
}
NEEDED = {"supervisord": ("url", "program"), "docker": ("socket", "container"), "dry_run": ()}
EXAMPLES = {
    "url": "url: unix:///run/supervisor.sock",
    "program": "program: vllm",
    "socket": "socket: unix:///run/docker-proxy/docker.sock",
    "container": "container: vllm",
}
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")  # what Docker takes as a name


def read_targets(items: Iterable[Value], base: Path, hostname: str) -> tuple[Target, ...]:
    """All targets; relative paths start from the directory `base`. Two of one name are an error."""
    targets: list[Target] = []
    first: dict[str, str] = {}
    for item in items:
        given = item.section(Target.__dataclass_fields__, "a target")
        where = given["server"].where
        target = read_target(given, base, hostname)
        for identity in _identities(target):
            if identity in first:
                words = f"{identity} is listed twice, first in {first[identity]}; remove or correct one"
                raise ConfigError(f"{where}: {words}")
            first[identity] = where
        targets.append(target)
    return tuple(targets)


def read_target(given: dict[str, Value], base: Path, hostname: str) -> Target:
    """One target from its keys. `server` and `actuator` must be there; all else has a default."""
    server, url = given["server"], given["url"]
    address = server.scalar("server")
    if not address:
        raise ConfigError(f"{server.where}: this target has no server; add server: host:port, as in VLLM_TARGETS")
    check_address(address, f"{server.where}: server")
    actuator = _actuator(given["actuator"])
    return Target(
        server=server_name(address, hostname),
        url=check_url(url.scalar("url", f"http://{address}"), f"{url.where}: url"),
        pool=given["pool"].scalar("pool", "default"),
        actuator=actuator,
        options=_options(given["options"], actuator, base),
        api_key_file=secret_path(given["api_key_file"], "api_key_file", base),
        ca_file=readable_path(given["ca_file"], "ca_file", base),
        monitor_token_file=secret_path(given["monitor_token_file"], "monitor_token_file", base),
        start_timeout=given["start_timeout"].number("start_timeout", 1, Target.start_timeout),
    )


def _identities(target: Target) -> list[str]:
    """The things that no two targets may share: one would be judged by the other's answers, or restarted with it."""
    options = " ".join(f"{key} {value!r}" for key, value in sorted(target.options.items()))
    supervised = [f"{target.actuator} with {options}"] if options else []
    return [f"target {target.server!r}", f"url {target.url!r}", *supervised]


def _actuator(value: Value) -> str:
    name = value.scalar("actuator")
    if name not in OPTIONS:
        problem = f"unknown actuator {name!r}" if name else "this target has no actuator"
        raise ConfigError(f"{value.where}: {problem}; known: {', '.join(sorted(OPTIONS))}")
    return name


def _options(value: Value, actuator: str, base: Path) -> dict[str, str]:
    """The actuator's own settings that are given; a misspelt, missing or impossible one is named with its line."""
    given = value.mapping(OPTIONS[actuator], "options")
    values = {key: text for key, option in given.items() if (text := option.scalar(key))}
    for key in NEEDED[actuator]:
        if key not in values:
            words = f"actuator {actuator} needs options.{key}; for example {EXAMPLES[key]}"
            raise ConfigError(f"{value.where}: {words}")
    if actuator == "supervisord":
        _check_supervisord(value, given, values)
    if actuator == "docker":
        _check_docker(given, values)
    if "password_file" in values:
        values["password_file"] = secret_path(given["password_file"], "password_file", base)
    return values


def _check_docker(given: dict[str, Value], values: dict[str, str]) -> None:
    _check_socket(given["socket"], "socket", values["socket"])
    if not CONTAINER.fullmatch(values["container"]):
        words = f"{values['container']!r} is no name of a container; see `docker ps`"
        raise ConfigError(f"{given['container'].where}: {words}")


def _check_supervisord(options: Value, given: dict[str, Value], values: dict[str, str]) -> None:
    if ("username" in values) != ("password_file" in values):
        words = "username and password_file go together; add the other one or remove both"
        raise ConfigError(f"{options.where}: {words}")
    url, where = values["url"], given["url"].where
    if url.startswith("unix://"):
        _check_socket(given["url"], "url", url)
        return
    check_url(url, f"{where}: url")
    if url.startswith("https://"):
        raise ConfigError(f"{where}: url {url!r}: supervisord speaks no TLS; write http:// or unix:///path.sock")


def _check_socket(value: Value, key: str, url: str) -> None:
    if not url.startswith("unix:///"):
        example = EXAMPLES[key].partition(": ")[2]
        raise ConfigError(f"{value.where}: {key} {url!r} has no absolute path; write {example}")
