"""The part inside vLLM, put where vLLM finds it, without touching vLLM's environment."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.e2e.harness.vllm_server import CHECKOUT


def entry_points() -> str:
    """Those of the distribution that concern vLLM."""
    groups = tomllib.loads((CHECKOUT / "exporter/pyproject.toml").read_text())["project"]["entry-points"]
    return "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in each.items()) for group, each in groups.items())


def installed(folder: Path) -> Path:
    """A directory for PYTHONPATH in which vLLM finds the part as if pip had put it there."""
    info = folder / "vllm_monitor-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-monitor\nVersion: 0\n")
    (info / "entry_points.txt").write_text(entry_points())
    (folder / "vllm_monitor").symlink_to(CHECKOUT / "exporter/vllm_monitor")
    return folder
