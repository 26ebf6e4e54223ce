"""Which parts run with an older configuration than the rendered one, and telling them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.config.files import write_if_changed
from deploy.errors import NativeError
from deploy.native.http import get
from deploy.native.layout import Layout
from deploy.native.programs import Program, digest
from deploy.native.supervisor import Supervisor
from deploy.native.waiting import last_lines

_RELOAD_SECONDS = 10.0
_POLL_SECONDS = 0.1
_MIN_AGE = 1.0  # seconds of clock that the success timestamp may lag behind ours: it has whole seconds


def read_applied(path: Path) -> dict[str, str]:
    """Part -> digest of the configuration it was started or reloaded with."""
    try:
        applied = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(part): str(value) for part, value in applied.items()} if isinstance(applied, dict) else {}


def write_applied(path: Path, programs: Iterable[Program]) -> None:
    write_if_changed(path, json.dumps(config_digests(programs), indent=2) + "\n")


def config_digests(programs: Iterable[Program]) -> dict[str, str]:
    return {program.name: _directory_digest(program.reloads) for program in programs if program.reloads}


def choose_reloads(
    programs: tuple[Program, ...], applied: Mapping[str, str], restarted: Iterable[str]
) -> tuple[Program, ...]:
    """Those whose files differ from what they run with; a restarted one has read them already."""
    present, fresh = config_digests(programs), set(restarted)
    return tuple(
        one
        for one in programs
        if one.name in present and one.name not in fresh and present[one.name] != applied.get(one.name)
    )


def reload_and_check(layout: Layout, supervisor: Supervisor, program: Program) -> None:
    """SIGHUP, then the part's own word for it: it keeps the old configuration when the new one is wrong."""
    began = time.time()
    supervisor.reload(program.name)
    deadline = time.monotonic() + _RELOAD_SECONDS
    while not _reloaded_since(program, began - _MIN_AGE):
        if time.monotonic() > deadline:
            lines = "\n".join(f"  | {line}" for line in last_lines(layout.log(program.name), 5))
            raise NativeError(f"{program.name} did not take the new configuration and runs with the old one:\n{lines}")
        time.sleep(_POLL_SECONDS)


def _reloaded_since(program: Program, when: float) -> bool:
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families((get(program.port, "/metrics") or (0, ""))[1])
        for sample in family.samples
        if sample.name.startswith(f"{program.name}_config_last_reload_success")
    }
    successful = values.get(f"{program.name}_config_last_reload_successful") == 1
    return successful and values.get(f"{program.name}_config_last_reload_success_timestamp_seconds", 0) >= when


def _directory_digest(directory: Path) -> str:
    return digest(*(path for path in sorted(directory.rglob("*")) if path.is_file()))
