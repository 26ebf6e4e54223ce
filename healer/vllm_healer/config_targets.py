"""The targets of healer.yml: the only servers that may ever be acted on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from vllm_healer.config_checks import check_address, check_secret, check_url, server_name
from vllm_healer.config_file import Section
from vllm_healer.errors import ConfigError
from vllm_healer.model import Target

KEYS = ("server", "url", "pool", "actuator", "options", "api_key_file", "ca_file", "start_timeout")

# Each actuator's own settings. Here and not in the actuator, so that a misspelt one is named with its line.
OPTIONS: dict[str, tuple[str, ...]] = {
    "supervisord": ("url", "program", "username", "password_file"),
    "docker": ("socket", "container"),
    "dry_run": (),
}
CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")  # what Docker takes as a name


def read_targets(sections: Iterable[Section], base: Path, hostname: str) -> tuple[Target, ...]:
    """All targets. `base` is the directory that relative paths start from. Two of one name are an error."""
    targets: list[Target] = []
    first: dict[str, str] = {}
    for section in sections:
        target = read_target(section, base, hostname)
        for identity in _identities(target):
            if identity in first:
                words = f"{identity} is listed twice, first in {first[identity]}; remove or correct one"
                raise section.error("server", words)
            first[identity] = section.where("server")
        targets.append(target)
    return tuple(targets)


def _identities(target: Target) -> list[str]:
    """What two targets must not share: one would be judged by the other's answers, or hit by the other's restart."""
    options = " ".join(f"{key} {value!r}" for key, value in sorted(target.options.items()))
    supervised = [f"{target.actuator} with {options}"] if options else []
    return [f"target {target.server!r}", f"url {target.url!r}", *supervised]


def read_target(section: Section, base: Path, hostname: str) -> Target:
    section.only(KEYS)
    address = section.text("server")
    if not address:
        raise section.error("server", "this target has no server; add server: host:port, as in VLLM_TARGETS")
    check_address(address, _at(section, "server"))
    return Target(
        server=server_name(address, hostname),
        url=check_url(section.text("url", f"http://{address}"), _at(section, "url")),
        pool=section.text("pool", "default"),
        actuator=_actuator(section),
        options=_options(section, base),
        api_key_file=check_secret(_path(section, "api_key_file", base), _at(section, "api_key_file")),
        ca_file=_readable(section, "ca_file", base),
        start_timeout=section.number("start_timeout", Target.start_timeout, minimum=1.0),
    )


def _actuator(section: Section) -> str:
    name = section.text("actuator")
    if name not in OPTIONS:
        known = ", ".join(sorted(OPTIONS))
        problem = f"unknown actuator {name!r}" if name else "this target has no actuator"
        raise section.error("actuator", f"{problem}; known: {known}")
    return name


def _options(section: Section, base: Path) -> dict[str, str]:
    options = section.section("options").only(OPTIONS[_actuator(section)])
    values = {key: options.text(key) for key in options.keys() if options.text(key)}  # noqa: SIM118 - Section is no dict
    if "password_file" in values:
        values["password_file"] = check_secret(_path(options, "password_file", base), _at(options, "password_file"))
    if _actuator(section) == "supervisord":
        _check_supervisord(section, options, values)
    if _actuator(section) == "docker":
        _check_docker(section, options, values)
    return values


def _check_docker(section: Section, options: Section, values: dict[str, str]) -> None:
    _check_needed(section, values, ("socket", "container"))
    _check_socket(options, "socket", values["socket"])
    if not CONTAINER.fullmatch(values["container"]):
        raise options.error("container", f"{values['container']!r} is no name of a container; see `docker ps`")


def _check_supervisord(section: Section, options: Section, values: dict[str, str]) -> None:
    _check_needed(section, values, ("url", "program"))
    if ("username" in values) != ("password_file" in values):
        raise section.error("options", "username and password_file go together; add the other one or remove both")
    url = values["url"]
    if url.startswith("unix://"):
        _check_socket(options, "url", url)
    else:
        check_url(url, _at(options, "url"))
        if url.startswith("https://"):
            raise options.error("url", f"url {url!r}: supervisord speaks no TLS; write http:// or unix:///path.sock")


def _check_needed(section: Section, values: dict[str, str], needed: Iterable[str]) -> None:
    for key in needed:
        if key not in values:
            words = f"actuator {_actuator(section)} needs options.{key}; for example {_EXAMPLES[key]}"
            raise section.error("options", words)


def _check_socket(options: Section, key: str, url: str) -> None:
    if not url.startswith("unix:///"):
        raise options.error(key, f"{key} {url!r} has no absolute path; write {_EXAMPLES[key].partition(': ')[2]}")


_EXAMPLES = {
    "url": "url: unix:///run/supervisor.sock",
    "program": "program: vllm",
    "socket": "socket: unix:///run/docker-proxy/docker.sock",
    "container": "container: vllm",
}


def _readable(section: Section, key: str, base: Path) -> str:
    path = _path(section, key, base)
    if path and not os.access(path, os.R_OK):
        raise ConfigError(f"{_at(section, key)} {path} is not there or cannot be read")
    return path


def _path(section: Section, key: str, base: Path) -> str:
    """Relative to the configuration's directory, so that it means the same wherever the healer is started."""
    text = section.text(key)
    return str(base / text) if text else ""


def _at(section: Section, key: str) -> str:
    return f"{section.where(key)}: {key}"
