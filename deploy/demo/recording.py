"""`record`: the real output of `break hang`, line by line with its time, as an SVG."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.config.files import write_if_changed
from deploy.demo.errors import DemoError
from deploy.demo.svg import Shown, render
from deploy.demo.world import World

COMMAND = "make demo-break HOW=hang"


def record(world: World, out: Path) -> int:
    """Plays a hang once and writes it to `out`. Raises DemoError when it does not end as it should."""
    command = [sys.executable, "-m", "deploy.demo", "break", "hang", "--run", str(world.run)]
    environ = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, "FORCE_COLOR": "1"}
    began, lines = time.monotonic(), [Shown(0.0, f"$ {COMMAND}")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=world.root) as process:
        assert process.stdout is not None
        for text in process.stdout:
            print(text, end="", flush=True)
            lines.append(Shown(time.monotonic() - began, text.rstrip("\n")))
    if process.returncode != 0:
        raise DemoError(f"{COMMAND} ended with {process.returncode}: {out} stays as it was")
    write_if_changed(out, render(COMMAND, [_portable(world, line) for line in lines]))
    out.chmod(0o644)
    print(f"wrote {out}")
    return 0


def _portable(world: World, line: Shown) -> Shown:
    """Shortens paths to those that someone in the checkout sees."""
    return Shown(line.at, line.text.replace(f"{world.root}/", ""))
