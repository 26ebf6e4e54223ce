"""`vllm-exporter install-plugin`: checks each server's environment, installs the part into it, says what is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import vllm_exporter
from vllm_exporter.config.config import Config
from vllm_exporter.errors import ConfigError, NoData, SourceError
from vllm_exporter.linux.pythons import Account, PythonEnvironment, is_trusted, look_at, owner_of, pip_install
from vllm_exporter.people.plugin.check import DEFAULT, VARIABLE, PluginCheck, check_environment, check_server
from vllm_exporter.people.plugin.servers import RunningServer, choose_python, find_servers
from vllm_exporter.run.collector import read_options
from vllm_exporter.subjects.inside.collector import InsideOptions

INSTALL = "vllm-exporter install-plugin"


@dataclass(frozen=True)
class Place:
    """An environment, and the server that runs in it; one of both may not be known."""

    python: str | None
    server: RunningServer | None = None

    @property
    def title(self) -> str:
        if self.server is None:
            return str(self.python)
        port = f"port {self.server.port}, " if self.server.port else ""
        return f"vLLM server ({port}process {self.server.pid}, user {self.server.user})"


@dataclass(frozen=True)
class Report:
    """All checks of one place."""

    place: Place
    findings: tuple[PluginCheck, ...]

    @property
    def loads(self) -> bool:
        return not any(one.verdict in ("missing", "unknown") for one in self.findings)


def choose_places(python: str, port: int | None) -> list[Place]:
    """Returns the environment that is named, or those of the running servers. Raises NoData when there is none."""
    servers = [one for one in find_servers() if port in (None, one.port)]
    if python:
        path = shutil.which(python)
        if path is None:
            raise ConfigError(f"--python {python}: there is no such program; name vLLM's, such as /opt/vllm/bin/python")
        folder = os.path.dirname(path)  # python and python3.12 of one environment are the same
        running = [one for one in servers if os.path.dirname(choose_python(one) or "") == folder]
        return [Place(path, one) for one in running] or [Place(path)]
    if not servers:
        which = "" if port is None else f" on port {port}"
        raise NoData(f"no vLLM server{which} is running that this user can see; name its Python: --python PATH")
    return [Place(choose_python(one), one) for one in servers]


def report(config: Config, place: Place) -> Report:
    """Checks one place. It changes nothing."""
    folder = Path(read_options(config, "inside", InsideOptions).directory or os.environ.get(VARIABLE) or DEFAULT)
    findings = list(_environment(place))
    if place.server is not None:
        findings += check_server(place.server, folder)
    return Report(place, tuple(findings))


def install(place: Place, source: str) -> str:
    """Installs the part, if it is not there, and returns what was done. Raises ExporterError with what to do."""
    if place.python is None or (place.server is not None and place.server.contained):
        raise SourceError(f"{place.title}: {_unreachable(place)}")
    found = _look(place.python, place)
    if not found.pip:
        uv = f"uv pip install --python {place.python} --no-deps {source}"
        raise SourceError(f"{place.python} has no pip, as environments of uv have none: {uv}")
    pip_install(place.python, source, owner_of(place.python))
    return f"installed {source} into the environment of {place.python}; running servers load it when they start again"


def choose_source(given: str) -> str:
    """Returns what is to be installed: what is named, else this checkout. Raises ConfigError."""
    own = Path(vllm_exporter.__file__).resolve().parents[1]
    source = Path(given) if given else own
    if source.suffix == ".whl" and source.is_file():
        return str(source.resolve())
    if not (source / "pyproject.toml").is_file():
        raise ConfigError(f"{source} is neither a wheel nor the directory exporter/ of a checkout: name one by --from")
    return str(source.resolve())


def as_lines(found: Iterable[Report]) -> Iterator[str]:
    for one in found:
        yield one.place.title
        for each in one.findings:
            yield f"  {each.verdict:<8} {each.check:<12} {each.words}"


def as_facts(one: Report) -> dict[str, Any]:
    server = one.place.server
    return {
        "python": one.place.python,
        "pid": server.pid if server else None,
        "port": server.port if server else None,
        "loads": one.loads,
        "checks": [asdict(each) for each in one.findings],
    }


def _environment(place: Place) -> Iterator[PluginCheck]:
    if place.python is None or (place.server is not None and place.server.contained):
        yield PluginCheck("Python", "unknown", _unreachable(place))
        return
    try:
        found = _look(place.python, place)
    except SourceError as error:
        yield PluginCheck("Python", "unknown", str(error))
        return
    yield from check_environment(place.python, found, f"{INSTALL} --python {place.python}")


def _look(python: str, place: Place) -> PythonEnvironment:
    """Asks as the server's own user: root does not run what another user may have written."""
    server = place.server
    if server is None or server.environ is None:
        if server is not None and not is_trusted(python):
            raise SourceError(
                f"{python} is another user's: run this as root, or as vLLM's user, or name it by --python"
            )
        return look_at(python, os.environ, owner_of(python))
    own = os.geteuid() == server.user
    return look_at(python, server.environ, None if own else Account(server.user, server.group))


def _unreachable(place: Place) -> str:
    if place.python is None:
        return "its interpreter is not known: name it by --python PATH"
    return (
        "it runs in a container, into which this command does not look: put the part into its image, "
        "or `pip install --no-deps` it there (docs/inside-vllm.md)"
    )
