"""Reloading: which parts run with an older configuration than the rendered one, and how they take the new one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from deploy.config.files import write_if_changed
from deploy.errors import NativeError
from deploy.native.health import read_sample, wait_for
from deploy.native.layout import Layout
from deploy.native.programs import Program, digest
from deploy.native.supervisor import Supervisor

_RELOAD_SECONDS = 10.0
_CLOCK_SECONDS = 1.0  # how far the timestamp of a success may lie before our clock: it has whole seconds
_LOG_LINES = 5


def read_applied(path: Path) -> dict[str, str]:
    """Returns part -> digest of the configuration that it was started or reloaded with."""
    try:
        applied = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(part): str(value) for part, value in applied.items()} if isinstance(applied, dict) else {}


def write_applied(path: Path, programs: Iterable[Program]) -> None:
    write_if_changed(path, json.dumps(config_digests(programs), indent=2) + "\n")


def config_digests(programs: Iterable[Program]) -> dict[str, str]:
    """Returns part -> digest of the files that it can reload."""
    return {program.name: _directory_digest(program.reloads) for program in programs if program.reloads}


def choose_reloads(
    programs: tuple[Program, ...], applied: Mapping[str, str], restarted: Iterable[str]
) -> tuple[Program, ...]:
    """Returns the programs whose files differ from those they run with; a restarted one has read them already."""
    present, fresh = config_digests(programs), set(restarted)
    return tuple(
        one
        for one in programs
        if one.name in present and one.name not in fresh and present[one.name] != applied.get(one.name)
    )


def reload_and_check(layout: Layout, supervisor: Supervisor, program: Program) -> None:
    """Sends SIGHUP and waits for the part's own word that it took the configuration. Raises NativeError.

    A part keeps its old configuration when the new one is wrong, and goes on as if nothing had happened.
    """
    began = time.time()
    supervisor.reload(program.name)
    if not wait_for(partial(_reloaded_since, program, began - _CLOCK_SECONDS), _RELOAD_SECONDS):
        raise NativeError(
            f"{program.name} did not take the new configuration and runs with the old one. The end of its log:\n"
            + layout.log_end(program.name, _LOG_LINES)
        )


def _reloaded_since(program: Program, when: float) -> bool:
    name = f"{program.name}_config_last_reload_success"
    successful = read_sample(program.port, f"{name}ful", program.password_file) == 1
    return successful and (read_sample(program.port, f"{name}_timestamp_seconds", program.password_file) or 0) >= when


def _directory_digest(directory: Path) -> str:
    return digest(*(path for path in sorted(directory.rglob("*")) if path.is_file()))
