"""The generations of Prometheus and Alertmanager on this machine, and how to run their commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "prometheus"
ALERTMANAGER = ROOT / "alertmanager"
COMMAND_SECONDS = 180.0  # ten seconds of CPU time, on two cores that are busy with other work


@dataclass(frozen=True)
class Tools:
    """Four programs of one generation; the rules must mean the same in each."""

    name: str
    prometheus: str
    promtool: str
    alertmanager: str
    amtool: str

    def programs(self) -> tuple[str, str, str, str]:
        return self.prometheus, self.promtool, self.alertmanager, self.amtool


def find_generations() -> tuple[Tools, ...]:
    """Those in one folder of PATH or in $GO_TOOLS_HOME/bin, and what PATH gives together; each once."""
    home = Path(os.environ.get("GO_TOOLS_HOME") or Path.home() / ".cache" / "go-tools")
    folders = [*os.environ.get("PATH", "").split(os.pathsep), str(home / "bin")]
    found = [find_tools(folder, folder) for folder in folders if folder] + [find_tools("PATH", None)]
    once = {tuple(map(os.path.realpath, tools.programs())): tools for tools in reversed(found) if tools}
    return tuple(reversed(once.values()))


def find_tools(name: str, path: str | None) -> Tools | None:
    """None unless all four are there (Debian calls one prometheus-alertmanager). `path` None means PATH."""
    prometheus, promtool, amtool = (shutil.which(tool, path=path) for tool in ("prometheus", "promtool", "amtool"))
    alertmanager = shutil.which("alertmanager", path=path) or shutil.which("prometheus-alertmanager", path=path)
    if not (prometheus and promtool and alertmanager and amtool):
        return None
    return Tools(name, prometheus, promtool, alertmanager, amtool)


def output_of(*command: str | Path, cwd: Path = ROOT) -> str:
    """What the command printed; an AssertionError with it when the command failed."""
    line = [str(part) for part in command]
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
