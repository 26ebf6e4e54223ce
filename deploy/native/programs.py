"""The programs: what is run for each part, and the supervisord.conf that runs it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.access import WEB
from deploy.config.addresses import HOST
from deploy.config.render import Rendered
from deploy.config.settings import Settings
from deploy.errors import NativeError
from deploy.native.layout import Layout

RETENTION = "31d"  # a month can be compared with the one before

_LOG_BYTES, _LOG_BACKUPS = "10MB", 3  # each part keeps at most 4 x 10 MB of log
# Seconds: a part that lives this long has started; Prometheus fails on a bad configuration within one.
_START_SECONDS = 2
# A start that fails is tried again after 1, 2 and 3 s; after that supervisord gives up (FATAL), and says so.
_START_RETRIES = 3
_CUT = re.compile(r"\n|\s[;#]")  # supervisord ends a value at ' ;' or ' #'
_UNQUOTABLE = re.compile(r"[\"\n]|\s[;#]")  # and knows no escape for '"' in an environment
_LISTEN = re.compile(r"(?:--web\.listen-address=|--listen |cfg:server\.root_url=http://)(\S+)")

_BINARIES = {
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),  # the second is Debian's and Ubuntu's
    "promtool": ("promtool",),
    "amtool": ("amtool",),
}


@dataclass(frozen=True)
class Program:
    """One part as supervisord runs it."""

    name: str
    command: tuple[str, ...]
    port: int
    health: str  # path that answers 200 when the part works; '' for what does not listen
    environment: Mapping[str, str]
    reloads: Path | None = None  # directory whose change a SIGHUP applies; None: a change restarts it
    autorestart: str = "true"  # or unexpected, supervisord's default: not after exit code 0
    password_file: Path | None = None  # of user `access.USER`, where the port asks for one
    user: str = ""  # of the system; '' is the one that runs supervisord
    stop_seconds: int = 20  # from SIGTERM to SIGKILL: Prometheus writes its head to disk first

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def find_binary(name: str) -> str:
    """Returns the absolute path of a program of the system. Raises NativeError with the fix."""
    for known in _BINARIES[name]:
        if path := shutil.which(known):
            return path
    raise NativeError(f"{' or '.join(_BINARIES[name])} is not on PATH: run `make install`, or put it there yourself")


def choose_programs(layout: Layout, settings: Settings, rendered: Rendered) -> tuple[Program, ...]:
    """Returns the programs in start order: receivers before senders."""
    return (
        _alertmanager(layout, settings.ports.alertmanager, rendered),
        _healer(layout, settings, rendered),
        _own("exporter", layout, settings.ports.exporter, rendered, {}),
        _prometheus(layout, settings.ports.prometheus, rendered),
    )


def digest(*paths: Path) -> str:
    """Hashes files, and the Python files below directories."""
    found = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    content = hashlib.sha256()
    for file in found:
        content.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def render_conf(layout: Layout, programs: Iterable[Program]) -> str:
    """Returns the text of supervisord.conf. Raises NativeError for a value that supervisord cannot carry."""
    sections = _daemon(layout)
    sections |= {f"program:{one.name}": _program(layout, one, order) for order, one in enumerate(programs, start=1)}
    rendered = (_section(name, values) for name, values in sections.items())
    return "; Rendered by `make up`; changes are overwritten.\n" + "".join(rendered)


def parse_addresses(conf: str) -> dict[str, str]:
    """Returns part -> address of a supervisord.conf, from the listen flag of each program."""
    addresses: dict[str, str] = {}
    for section in conf.split("\n[program:")[1:]:
        name, _, body = section.partition("]")
        command = next(line.partition("=")[2] for line in body.splitlines() if line.startswith("command"))
        if match := _LISTEN.search(" ".join(shlex.split(command))):
            addresses[name] = f"http://{match[1]}"
    return addresses


def _alertmanager(layout: Layout, port: int, rendered: Rendered) -> Program:
    command = (
        find_binary("alertmanager"),
        f"--config.file={rendered.file('alertmanager')}",
        f"--storage.path={layout.data('alertmanager')}",
        f"--web.listen-address={HOST}:{port}",
        f"--web.external-url=http://{HOST}:{port}",  # in messages; the default names this host, not loopback
        "--cluster.listen-address=",  # one instance: no gossip port
    )
    return _guarded("alertmanager", command, port, rendered)


def _prometheus(layout: Layout, port: int, rendered: Rendered) -> Program:
    command = (
        find_binary("prometheus"),
        f"--config.file={rendered.file('prometheus')}",
        f"--storage.tsdb.path={layout.data('prometheus')}",
        # What fires before Prometheus has found Alertmanager is sent again after this; the healer waits for Watchdog
        "--rules.alert.resend-delay=15s",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.listen-address={HOST}:{port}",
        f"--web.external-url=http://{HOST}:{port}",  # in messages; the default names this host, not loopback
        # A regular expression, anchored by Prometheus; by default the pages of every origin may read all series
        f"--web.cors.origin=http://{HOST.replace('.', '[.]')}:{port}",
    )
    return _guarded("prometheus", command, port, rendered)


def _guarded(part: str, command: tuple[str, ...], port: int, rendered: Rendered) -> Program:
    """Prometheus or Alertmanager, which reload their configuration and ask for a password."""
    folder = rendered.file(part).parent
    command = (*command, f"--web.config.file={folder / WEB}")
    return Program(part, command, port, "/-/ready", {}, folder, password_file=rendered.password(part))


def _healer(layout: Layout, settings: Settings, rendered: Rendered) -> Program:
    """A proxy for the internet does not reach our loopback."""
    others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
    unproxied = ",".join(filter(None, (HOST, "localhost", others)))
    return _own("healer", layout, settings.ports.healer, rendered, {"NO_PROXY": unproxied, "no_proxy": unproxied})


def _own(part: str, layout: Layout, port: int, rendered: Rendered, environment: Mapping[str, str]) -> Program:
    """A part of this repository. A digest in its environment restarts it when its code or configuration changes."""
    file, name = rendered.file(part), f"vllm-{part}"
    command = (str(layout.program(name)), "serve", "--config", str(file), "--listen", f"{HOST}:{port}")
    changes = digest(file, layout.root / part / name.replace("-", "_"))
    return Program(part, command, port, "/-/ready", {**environment, "CONFIG_DIGEST": changes})


def _daemon(layout: Layout) -> dict[str, Mapping[str, str]]:
    """Returns section -> values of supervisord itself."""
    daemon = {
        "logfile": str(layout.log("supervisord")),
        "logfile_maxbytes": _LOG_BYTES,
        "logfile_backups": "1",
        "pidfile": str(layout.pidfile),
        "umask": "077",
    }
    if os.geteuid() == 0:
        daemon["user"] = "root"  # said on purpose, or supervisord warns that nobody said it
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    return {
        "unix_http_server": {"file": str(layout.socket), "chmod": "0700"},
        "supervisord": daemon,
        "rpcinterface:supervisor": {"supervisor.rpcinterface_factory": factory},
        "supervisorctl": {"serverurl": layout.server_url},
    }


def _program(layout: Layout, program: Program, order: int) -> Mapping[str, str]:
    values = {
        "command": shlex.join(program.command),
        "environment": _environment(program.environment),
        "user": program.user,
        "priority": str(order),
        "autorestart": program.autorestart,
        "startsecs": str(_START_SECONDS),
        "startretries": str(_START_RETRIES),
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(layout.log(program.name)),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": str(_LOG_BACKUPS),
    }
    return {key: value for key, value in values.items() if value}


def _environment(values: Mapping[str, str]) -> str:
    for name, value in values.items():
        if _UNQUOTABLE.search(value):
            raise NativeError(
                f"{name}: supervisord cannot carry a quote, a line end, ' ;' or ' #' in {value!r}: choose another value"
            )
    return ",".join(f'{name}="{value}"' for name, value in sorted(values.items()))


def _section(name: str, values: Mapping[str, str]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key} = {_value(key, value)}\n" for key, value in values.items())


def _value(key: str, value: str) -> str:
    """Doubles each '%', which begins an expansion in supervisord's configuration."""
    if _CUT.search(value):
        raise NativeError(f"supervisord cannot carry ' ;' or ' #' in {key} = {value!r}: use a directory without it")
    return value.replace("%", "%%")
