"""Keeps the lifecycle of servers in a file, so that a restart of the exporter forgets none of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vllm_exporter.state import replace_file

VERSION = 1


def read_lifecycles(path: Path) -> dict[str, dict[str, Any]]:
    """By server; empty when there is no file. Raises OSError, and ValueError when there is one that makes no sense."""
    import json  # only who has a state directory pays for it

    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("servers"), dict):
        raise ValueError(f"not a lifecycle file of version {VERSION}")
    return {str(server): kept for server, kept in data["servers"].items() if isinstance(kept, dict)}


def write_lifecycles(path: Path, servers: dict[str, dict[str, Any]]) -> None:
    """Replaces the file as a whole. Raises OSError."""
    import json

    replace_file(path, json.dumps({"version": VERSION, "servers": servers}).encode() + b"\n")
