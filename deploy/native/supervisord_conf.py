"""supervisord.conf from the list of programs. Pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping

from deploy.errors import NativeError
from deploy.native.layout import Layout
from deploy.native.programs import Program

# Each part keeps at most 4 x 10 MB of log.
_LOG_BYTES = "10MB"
_LOG_BACKUPS = 3
# Seconds: a part that lives this long has started; Prometheus fails on a bad configuration within one.
_START_SECONDS = 2
# A start that fails is tried again after 1, 2 and 3 s; after that supervisord gives up (FATAL), and says so.
_START_RETRIES = 3
_UNQUOTABLE = re.compile(r"[\"\n]|\s[;#]")  # supervisord ends a value at ' ;' or ' #', and knows no escape for '"'


def render_conf(layout: Layout, programs: tuple[Program, ...]) -> str:
    """Raises NativeError for a value that supervisord cannot carry."""
    parts = [_daemon(layout), *(_program(layout, program, order) for order, program in enumerate(programs, start=1))]
    sections = [section for part in parts for section in part]
    return "; Rendered by `make up`; changes are overwritten.\n" + "".join(_section(*section) for section in sections)


def _daemon(layout: Layout) -> list[tuple[str, dict[str, str]]]:
    daemon = {
        "logfile": str(layout.log("supervisord")),
        "logfile_maxbytes": _LOG_BYTES,
        "logfile_backups": "1",
        "pidfile": str(layout.pidfile),
        "umask": "077",
    }
    if os.geteuid() == 0:
        daemon["user"] = "root"  # said on purpose, or supervisord warns that nobody said it
    return [
        ("unix_http_server", {"file": str(layout.socket), "chmod": "0700"}),
        ("supervisord", daemon),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        ("supervisorctl", {"serverurl": layout.server_url}),
    ]


def _program(layout: Layout, program: Program, order: int) -> list[tuple[str, dict[str, str]]]:
    values = {
        "command": shlex.join(program.command),
        "environment": _environment(program.environment),
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
    return [(f"program:{program.name}", {key: value for key, value in values.items() if value})]


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
    """'%' begins an expansion in supervisord's configuration."""
    if re.search(r"\n|\s[;#]", value):
        raise NativeError(f"supervisord cannot carry ' ;' or ' #' in {key} = {value!r}: use a directory without it")
    return value.replace("%", "%%")
