"""A vLLM whose model or build is not as it should be, made for one server; what is installed stays as it is.

The script that runs vLLM looks for both in REAL_VLLM_HOME, under the names that its `install` prints.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


def with_model(script: Path, home: Path, change: Callable[[Path], object]) -> dict[str, str]:
    """The environment of a server that has a changed copy of the model."""
    program, model = _installed(script)
    home.mkdir()
    (home / program.parents[1].name).symlink_to(program.parents[1])
    shutil.copytree(model, home / model.name)
    change(home / model.name)
    return {"REAL_VLLM_HOME": str(home)}


def for_gpus(script: Path, home: Path) -> dict[str, str]:
    """The environment of a server whose build does not say that it is one for CPUs."""
    program, model = _installed(script)
    version = program.parents[1].name.rpartition("-")[2]
    info = home / "site" / f"vllm-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    environment = home / program.parents[1].name
    (environment / "bin").mkdir(parents=True)
    (environment / ".complete").touch()
    (home / model.name).symlink_to(model)
    stand_in = environment / "bin" / "vllm"
    stand_in.write_text(f'#!/bin/sh\nunset VLLM_TARGET_DEVICE\nPYTHONPATH={home / "site"} exec {program} "$@"\n')
    stand_in.chmod(0o755)
    return {"REAL_VLLM_HOME": str(home)}


def write_nan(model: Path) -> None:
    """Writes NaN over numbers of the last layer (the format of safetensors: a length, a table in JSON, the data)."""
    file = model / "model.safetensors"
    data = bytearray(file.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    first = begin + json.loads(data[8:begin])["lm_head.weight"]["data_offsets"][0]
    data[first : first + 4096] = b"\x00\x00\xc0\x7f" * 1024
    file.write_bytes(data)


def _installed(script: Path) -> tuple[Path, Path]:
    """The program and the model, as `install` prints them."""
    printed = subprocess.run(["/bin/bash", str(script), "install"], capture_output=True, text=True, check=True).stdout
    paths = dict(line.split(" ", 1) for line in printed.splitlines())
    return Path(paths["vllm"]), Path(paths["model"])
