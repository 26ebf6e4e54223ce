"""Where this process hands its numbers over, and as whom. Without the directory everything here stays inert."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.process import current_process
from pathlib import Path
from typing import Literal

from vllm_monitor.snapshot import ProcessIdentity

VARIABLE = "VLLM_MONITOR_DIR"
PORT_VARIABLE = "VLLM_MONITOR_PORT"  # of the port of one's own, where no exporter runs
DEFAULT = "/run/vllm-monitor"
DEFAULT_PORT = 8000  # of `vllm serve`
Role = Literal["api_server", "engine_core", "worker", "other"]
# Names that vLLM gives the processes it makes (v1/engine/utils.py, v1/utils.py, v1/executor/multiproc_executor.py).
ROLES: Mapping[str, Role] = {
    "EngineCore": "engine_core",
    "VllmWorker": "worker",
    "ApiServer": "api_server",
    "MainProcess": "api_server",
}
RANK = re.compile(r"[^\s:]+::(?:APIServer|EngineCore|Worker)_([A-Za-z0-9_]{1,64})")
OWN_FILE = re.compile(r"(\d+)-(\d+)-(\d+)\.(snap|new)")


def chosen(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns where the directory is, or would be."""
    return Path(environment.get(VARIABLE) or DEFAULT)


def directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Returns the directory of the snapshot files, or None: where it is not there, nobody asked for numbers."""
    folder = chosen(environment)
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def port(arguments: Sequence[str] = sys.argv) -> int:
    """Returns the port on which this process's server listens, by its command line."""
    for at, word in enumerate(arguments):
        name, given, value = word.partition("=")
        text = value if given else "".join(arguments[at + 1 : at + 2])
        if name == "--port" and text.isdecimal() and int(text) < 65_536:
            return int(text)
    return DEFAULT_PORT if "serve" in arguments or any("api_server" in word for word in arguments[:1]) else 0


def own_role(arguments: Sequence[str] = sys.argv) -> Role:
    """Returns what this process is for vLLM; "other" for one that somebody else has made."""
    if arguments and arguments[0].endswith("/default_worker.py"):  # of Ray, which makes processes in its own way
        return "worker"
    name = current_process().name
    return next((role for word, role in ROLES.items() if name.startswith(word)), "other")


def own_rank() -> str:
    """Returns the rank that vLLM has written into the title of this process, such as DP0_TP1; '' when there is none."""
    match = RANK.match(Path("/proc/self/cmdline").read_text(errors="replace"))
    return match[1] if match else ""


def file_name(identity: ProcessIdentity) -> str:
    """Returns the name of a process's file, which tells by itself whose it was."""
    return f"{identity.pid}-{identity.start}-{identity.namespace}.snap"


def remove_left_over(folder: Path, own: ProcessIdentity) -> None:
    """Removes files of processes that are gone, of this PID namespace: those of others cannot be seen from here."""
    for file in folder.iterdir():
        match = OWN_FILE.fullmatch(file.name)
        if match is None:
            continue
        pid, start, namespace, _ = match.groups()
        if int(namespace) == own.namespace and start_of(pid) != start:
            with suppress(FileNotFoundError):  # the processes of a server start, and remove, at the same time
                if file.stat().st_uid == os.geteuid():
                    file.unlink()


def start_of(pid: str) -> str:
    """Returns the start time of a process in clock ticks, as text; '' when there is none of that id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
